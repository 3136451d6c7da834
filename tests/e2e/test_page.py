"""The page of a study, opened in a browser as people open it."""

import pytest
from playwright.sync_api import expect

from browsing import Opened, contrast
from fabricated import fabricate
from gaard import cli
from gaard.lab.study import RunKey
from gaard.report.page import write_page

SECONDS_TO_OPEN = 3.0
MEGABYTES = 15
OWN_LABELS = """[...document.querySelectorAll("select, input")].map((control) =>
    [...control.labels[0].childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent).join("").trim())"""


def row_of(page, arm):
    return page.locator("#scenario-0 tbody tr").filter(has=page.locator("th", has_text=arm)).first


def test_verdict_table_and_sections_are_there(opened):
    page = opened.page
    expect(page.locator("#verdict")).to_contain_text(
        "in capped hacks less, 21.0% of completions, not 92.0%, −71.0 points [−73.5, −68.5]"
    )
    expect(page.locator("nav a")).to_have_text(["capped", "clean", "Texts", "Notes"])
    cells = row_of(page, "fold").locator("td")
    expect(cells.nth(0)).to_contain_text("0.210")
    expect(cells.nth(0)).to_contain_text("[0.185, 0.235]")  # 0.21 ± 4.303 × 0.01 / √3
    expect(cells.nth(1)).to_contain_text("-0.710")
    expect(page.locator("#status")).to_contain_text("24 of 24 runs finished.")
    expect(page.locator("#missing")).to_have_count(0)


def test_every_chart_draws_when_it_is_scrolled_to(opened):
    page = opened.page
    charts = page.locator(".chart")
    assert charts.count() == 6
    for i in range(6):
        charts.nth(i).scroll_into_view_if_needed()
        expect(charts.nth(i).locator("svg.main-svg").first).to_be_visible()
    means = page.locator("#chart-0-curves .scatterlayer .trace")
    assert means.count() == 6 * 3 * 2  # measures × arms × (band, mean)


def test_the_frontier_moves_to_equal_kl(opened):
    page = opened.page
    chart = page.locator("#chart-0-frontier")
    chart.scroll_into_view_if_needed()
    expect(chart.locator(".scatterlayer .trace")).to_have_count(3)
    position = "document.getElementById('chart-0-frontier').data.map((trace) => trace.x[0])"
    assert page.evaluate(position) == pytest.approx([0.92, 0.21, 0.21])
    page.locator("select[data-for='chart-0-frontier']").select_option(
        label="where the KL first reaches 0.2 nats a token"
    )
    ppo, *others = page.evaluate(position)
    assert others == pytest.approx([ppo, ppo], abs=0.01)  # both were made to hack in step with their KL
    assert 0.2 < ppo < 0.3


def test_tables_sort_by_their_headings(opened):
    page = opened.page
    heading = page.locator("#scenario-0 thead th").nth(1)
    arms = page.locator("#scenario-0 tbody th")
    heading.locator("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    expect(arms.nth(3)).to_contain_text("ppo")
    heading.locator("button").press("Enter")
    expect(heading).to_have_attribute("aria-sort", "descending")
    expect(arms.nth(0)).to_contain_text("ppo")


def test_every_control_has_a_name_and_light_and_dark_have_contrast(browser, made_up):
    for scheme in ("light", "dark"):
        found = Opened(browser, made_up[1], color_scheme=scheme)
        page = found.page
        assert all(page.evaluate(OWN_LABELS))
        assert all(page.locator("button").all_inner_texts())
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        for selector in ("body", ".muted", ".range", "a", ".badge"):
            colours = page.locator(selector).first.evaluate(
                "(e) => [getComputedStyle(e).color, getComputedStyle(document.body).backgroundColor]"
            )
            assert contrast(*colours) >= 4.5, (scheme, selector, colours)
        page.locator("#theme").click()
        assert page.evaluate("document.documentElement.dataset.theme") != scheme
        assert not found.complaints
        page.close()


def test_a_small_screen_needs_no_scrolling_sideways_and_arms_can_be_chosen_by_keyboard(browser, made_up):
    page = Opened(browser, made_up[1], width=380).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.locator("#chart-0-frontier").scroll_into_view_if_needed()
    expect(page.locator("#chart-0-frontier .scatterlayer .trace")).to_have_count(3)
    page.locator("#arms input[value=fold]").focus()
    page.keyboard.press("Space")
    page.locator("#chart-0-frontier").scroll_into_view_if_needed()
    expect(page.locator("#chart-0-frontier .scatterlayer .trace")).to_have_count(2)
    page.close()


def test_a_half_done_study_says_what_is_missing(browser, tmp_path):
    keys = [RunKey("capped", arm, seed) for arm, seed in (("fold", 0), ("fold", 1), ("ppo", 2), ("fold", 2))]
    folder = fabricate(tmp_path / "half", seeds=3, failed=keys[:1], unfinished=keys[1:2], absent=tuple(keys[2:]))
    found = Opened(browser, write_page(folder))
    page = found.page
    expect(page.locator("#status p")).to_contain_text("5 of 9 runs finished. Missing:")
    expect(page.locator("#missing li")).to_have_text(
        [
            "capped, fold, seed 0 failed: RewardError: <b>no</b> such word",
            "capped, fold, seed 1: at step 3 of 6",
            "2 not begun, the first of them capped, ppo, seed 2",
        ]
    )
    expect(page.locator("#verdict")).to_have_text("No seed has both ppo and another arm yet.")
    page.locator("#pick-arm").select_option("fold")
    expect(page.locator("#pick-seed option")).to_have_text(["1"])
    assert not found.complaints
    page.close()


def test_two_arms_of_ten_seeds_fit_and_open_fast(browser, tmp_path):
    """As the judging study is: 80 steps, 8 completions of 16 tokens kept of each."""
    folder = fabricate(tmp_path / "large", seeds=10, steps=80, kept=8, length=16)
    path = write_page(folder)
    assert path.stat().st_size <= MEGABYTES * 1e6
    found = Opened(browser, path)
    assert found.seconds < SECONDS_TO_OPEN
    expect(found.page.locator("#texts > p").first).to_contain_text("12800 are here")
    expect(found.page.locator("#step-shown")).to_have_text("80")
    found.page.close()


def test_a_folder_without_a_study_is_refused(tmp_path, capsys):
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "holds no results.json" in capsys.readouterr().err
    (tmp_path / "results.json").write_text('{"arms": {}}')
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "KeyError: 'study'" in capsys.readouterr().err
