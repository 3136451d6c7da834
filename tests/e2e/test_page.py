"""The page of a study, opened in a browser as people open it."""

import csv
import io
import json

import pytest
from playwright.sync_api import expect

from browsing import Opened, contrast, draw_all
from fabricated import fabricate
from gaard import cli
from gaard.lab.study import RunKey
from gaard.report.page import write_page
from gaard.training.lock import alone_in
from gaard.training.runlog import read_jsonl

pytestmark = pytest.mark.slow

OWN_LABELS = """[...document.querySelectorAll("select, input")].map((control) =>
    [...control.labels[0].childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent).join("").trim())"""


def row_of(page, arm):
    return page.locator("#scenario-0 tbody tr").filter(has=page.locator("th", has_text=arm)).first


def test_verdict_table_and_sections_are_there(opened):
    page = opened.page
    expect(page.locator("#verdict")).to_contain_text(
        "in capped hacks less, 21.0% of completions, not 92.0%, −71.0 points [−73.5, −68.5]"
    )
    expect(page.locator("nav a")).to_have_text(["capped", "clean", "Texts", "Runs", "Settings", "Notes"])
    cells = row_of(page, "fold").locator("td")
    expect(cells.nth(0)).to_contain_text("0.210")
    expect(cells.nth(0)).to_contain_text("[0.185, 0.235]")  # 0.21 ± 4.303 × 0.01 / √3
    expect(cells.nth(0)).to_contain_text("Δ −0.710")
    expect(cells.nth(0)).to_contain_text("[−0.735, −0.685]")
    expect(page.locator("#status")).to_contain_text("24 of 24 runs finished.")
    expect(page.locator("#missing")).to_have_count(0)


def test_every_chart_draws_when_it_is_scrolled_to(opened):
    page = opened.page
    assert page.locator(".chart").count() == 2 * (6 + 1 + 2)  # scenarios × (measures, frontier, a and b)
    draw_all(page)
    for panel in page.locator("#scenario-0 .panels .chart").all():
        expect(panel.locator(".scatterlayer .trace")).to_have_count(3 * 2)  # arms × (band, mean)


def test_single_seeds_come_when_they_are_asked_for(opened):
    page = opened.page
    draw_all(page)
    reach = "document.getElementById('chart-0-reward').layout.yaxis.range"
    before = page.evaluate(reach)
    page.locator("#seeds").check()
    expect(page.locator("#chart-0-reward .scatterlayer .trace")).to_have_count(3 * 2 + 9)
    expect(page.locator("#chart-0-frontier .scatterlayer .trace")).to_have_count(3 + 9)
    assert page.evaluate(reach) != before  # as wide as the seeds need
    page.locator("#arms input[value=fold]").uncheck()
    expect(page.locator("#chart-0-reward .scatterlayer .trace")).to_have_count(2 * 2 + 6)
    page.locator("#seeds").uncheck()
    expect(page.locator("#chart-0-reward .scatterlayer .trace")).to_have_count(2 * 2)


def click_on(page, chart, x, y):
    """Where a chart has these numbers."""
    div = page.locator(f"#{chart}")
    div.scroll_into_view_if_needed()
    expect(div.locator("svg.main-svg").first).to_be_attached()
    place = """([id, x, y]) => { const div = document.getElementById(id), { xaxis, yaxis } = div._fullLayout;
        const box = div.getBoundingClientRect();
        return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)]; }"""
    at = page.evaluate(place, [chart, x, y])
    page.mouse.move(*at, steps=3)
    page.wait_for_timeout(300)  # Plotly looks under the pointer at intervals
    page.mouse.click(*at)


def test_a_point_of_a_chart_leads_to_its_run_and_its_texts(opened):
    page = opened.page
    for arm in ("fold", "gaa-text"):
        page.locator(f"#arms input[value={arm}]").uncheck()
    page.locator("#pick-arm").select_option("fold")
    click_on(page, "chart-0-hack_rate", 3, 0.2)  # running mean of 0, 0.2 and 0.4
    expect(page.locator("#pick-arm")).to_have_value("ppo")
    expect(page.locator("#step-shown")).to_have_text("3")
    expect(page.locator("#texts")).to_be_in_viewport()
    page.locator("#seeds").check()
    click_on(page, "chart-1-frontier", 0.94, 0.3 + 0.001 * 4 * 3)  # seed 2 of ppo
    expect(page.locator("#pick-scenario")).to_have_value("clean")
    expect(page.locator("#pick-seed")).to_have_value("2")
    expect(page.locator("#step-shown")).to_have_text("6")
    expect(page.locator("#which")).to_contain_text("clean/ppo-seed2 · finished · hack rate 0.940")


def test_the_keyboard_leads_to_the_texts_of_an_arm_and_of_a_run(opened):
    page = opened.page
    page.locator("#scenario-1").get_by_role("button", name="texts of gaa-text").press("Enter")
    expect(page.locator("#pick-seed")).to_be_focused()
    expect(page.locator("#pick-scenario")).to_have_value("clean")
    expect(page.locator("#pick-arm")).to_have_value("gaa-text")
    page.locator("#all-runs summary").press("Enter")
    link = page.locator("#all-runs a", has_text="capped/fold-seed1")
    expect(link).to_have_attribute("href", "capped/fold-seed1/")
    page.get_by_role("button", name="texts of capped/fold-seed1").press("Enter")
    expect(page.locator("#which")).to_contain_text("capped/fold-seed1")


def downloaded(page, name, to):
    with page.expect_download() as coming:
        page.locator(f"#downloads button[data-file='{name}']").click()
    assert coming.value.suggested_filename == name
    coming.value.save_as(to / name)
    return (to / name).read_text(encoding="utf-8")


def test_the_numbers_can_be_taken_along(opened, made_up, tmp_path):
    page = opened.page
    runs = list(csv.DictReader(io.StringIO(downloaded(page, "runs.csv", tmp_path))))
    results = json.loads((made_up[0] / "results.json").read_text())["runs"]
    assert len(runs) == len(results) == 24
    assert float(runs[1]["hack_rate"]) == results[1]["measures"]["hack_rate"]
    curves = list(csv.DictReader(io.StringIO(downloaded(page, "curves.csv", tmp_path))))
    metrics = read_jsonl(made_up[0] / "capped/ppo-seed1/metrics.jsonl")
    wanted = {"scenario": "capped", "measure": "hack_rate", "arm": "ppo", "seed": "1", "step": "2"}
    (one,) = [row for row in curves if wanted.items() <= row.items()]
    assert float(one["value"]) == pytest.approx(sum(row["hack_rate"] for row in metrics[:2]) / 2, abs=1e-4)
    (mean,) = [row for row in curves if {**wanted, "seed": ""}.items() <= row.items()]
    assert (mean["seeds"], float(mean["low"]) <= float(mean["value"]) <= float(mean["high"])) == ("3", True)
    both = json.loads(downloaded(page, "report.json", tmp_path))
    assert (len(both["runs"]), len(both["curves"])) == (24, len(curves))


def test_the_page_says_how_its_numbers_came_about(opened):
    page = opened.page
    expect(page.locator("#command")).to_have_text("gaard compare study.yaml")
    page.locator("#file summary").click()
    expect(page.locator("#file pre")).to_contain_text("arms: [ppo, fold, gaa-text]")
    page.locator("#all-settings summary").click()
    expect(page.locator("#all-settings")).to_contain_text("method (gaa-text)")
    expect(page.locator("#facts")).to_contain_text("last step")


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
        assert all(page.locator("button").all_text_contents())
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


def test_a_league_has_every_arm_in_its_picture_and_boxes_choose_rows_of_tables(browser, tmp_path):
    """Eight arms, of which the charts show six at first."""
    arms = ["ppo", "oracle", "fold", *(f"arm{number}" for number in range(5))]
    folder = fabricate(tmp_path, scenarios=("capped", "clean"), arms=arms, seeds=3, steps=3, kept=1, gains=True)
    found = Opened(browser, write_page(folder))
    page = found.page
    expect(page.locator("nav a").first).to_have_text("all scenarios")
    page.locator("#chart-standings").scroll_into_view_if_needed()
    expect(page.locator("#chart-standings .scatterlayer .trace")).to_have_count(8)
    page.locator("#arms input[value=fold]").uncheck()
    expect(page.locator("#chart-standings .scatterlayer .trace")).to_have_count(8)
    tables = page.locator("#scenario-0 table")
    expect(tables).to_have_count(2)
    rows, judged = (tables.nth(number).locator("tbody tr:visible") for number in range(2))
    expect(rows).to_have_count(8)
    expect(judged).to_have_count(7)  # PPO is what they are compared with
    page.get_by_label("only these in the tables").check()
    expect(rows).to_have_count(5)
    expect(judged).to_have_count(4)
    expect(page.locator("#scenario-1 tbody tr:visible")).to_have_count(6)  # and the untrained model, which has no box
    page.locator("#arms input[value=fold]").check()
    expect(judged).to_have_count(5)
    judged.first.scroll_into_view_if_needed()
    expect(judged.filter(has_text="fold").locator("td").first).to_have_text("capped" + "helps")
    assert not found.complaints
    page.close()


def test_a_half_done_study_says_what_is_missing(browser, tmp_path):
    keys = [RunKey("capped", arm, seed) for arm, seed in (("fold", 0), ("fold", 1), ("ppo", 2), ("fold", 2))]
    folder = fabricate(tmp_path / "half", seeds=3, failed=keys[:1], unfinished=keys[1:2], absent=tuple(keys[2:]))
    with alone_in(folder, "--out"):  # as gaard compare does
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


def test_where_nothing_was_declared_nothing_is_shown_as_zero(browser, tmp_path):
    found = Opened(browser, write_page(fabricate(tmp_path / "unknown", known=False)))
    page = found.page
    expect(page.locator("#verdict")).to_contain_text("nothing was declared to be a hack")
    expect(page.locator("#count")).to_have_text("3 of 3 texts, nothing was declared to be a hack")
    expect(page.locator("#cards .facts").first).to_have_text("proxy 0.500 · true –")
    expect(page.locator("#only-hacks")).to_be_hidden()
    assert not found.complaints
    page.close()


def test_a_folder_without_a_study_is_refused(tmp_path, capsys):
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "holds no results.json and no run.json" in capsys.readouterr().err
    (tmp_path / "results.json").write_text('{"arms": {}}')
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "KeyError: 'study'" in capsys.readouterr().err
