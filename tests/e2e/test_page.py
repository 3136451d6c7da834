"""The page of a study, opened in a browser as people open it."""

import os
import shutil
import time

import pytest
from playwright.sync_api import expect, sync_playwright

from fabricated import fabricate, write
from gaard import cli
from gaard.lab.study import RunKey
from gaard.report.page import write_page
from gaard.training.runlog import read_jsonl

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update")
SECONDS_TO_OPEN = 3.0
MEGABYTES = 15
EVIL = "</script><script>window.stolen = 1</script><img src=x onerror='window.stolen = 1'> <b>bold</b>"
OWN_LABELS = """[...document.querySelectorAll("select, input")].map((control) =>
    [...control.labels[0].childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent).join("").trim())"""
TOKEN_COLOURS = """[...document.querySelectorAll("#cards .token")].map((token) =>
    [token, token, document.body].map((e, i) => getComputedStyle(e)[i ? "backgroundColor" : "color"]))"""
STUDY = """
scenarios: [capped]
arms: [ppo, gaa-paper]
seeds: 1
settings: {max_steps: 2, batch_size: 8, num_mini_batches: 2, eval_completions: 16, use_cpu: true, progress: false}
"""


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail("these tests open pages in Chromium: install it (Debian: apt install chromium), or set CHROMIUM")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *root])
        yield chromium
        chromium.close()


class Opened:
    """A page, what it complained of, and what it asked the network for."""

    def __init__(self, browser, path, width=1280, **options):
        self.page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        self.complaints, self.requests = [], []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("request", lambda request: self.requests.append(request.url))
        began = time.perf_counter()
        self.page.goto(path.as_uri())
        expect(self.page.locator("#verdict")).to_be_visible()
        expect(self.page.locator("#cards li").first).to_be_attached()
        self.page.locator(".chart").first.scroll_into_view_if_needed()
        expect(self.page.locator(".chart svg.main-svg").first).to_be_attached()
        self.seconds = time.perf_counter() - began


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    folder = fabricate(tmp_path_factory.mktemp("study"), scenarios=("capped", "clean"), seeds=3)
    return folder, write_page(folder)


@pytest.fixture
def opened(browser, made_up):
    found = Opened(browser, made_up[1])
    yield found
    assert not found.complaints
    assert [url for url in found.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    found.page.close()


def row_of(page, arm):
    return page.locator("#scenario-0 tbody tr").filter(has=page.locator("th", has_text=arm)).first


def test_verdict_table_and_sections_are_there(opened):
    page = opened.page
    expect(page.locator("#verdict")).to_contain_text(
        "in capped hacks less, 21.0% of completions, not 92.0%, −71.0 points [−73.5, −68.5]"
    )
    expect(page.locator("nav a")).to_have_text(["capped", "clean", "Texts", "Notes"])
    cells = row_of(page, "gaa").locator("td")
    expect(cells.nth(0)).to_contain_text("0.210")
    expect(cells.nth(0)).to_contain_text("[0.185, 0.235]")  # 0.21 ± 4.303 × 0.01 / √3
    expect(cells.nth(1)).to_contain_text("-0.710")
    expect(page.locator("#status")).to_contain_text("18 of 18 runs finished.")
    expect(page.locator("#missing")).to_have_count(0)


def test_every_chart_draws_when_it_is_scrolled_to(opened):
    page = opened.page
    charts = page.locator(".chart")
    assert charts.count() == 6
    for i in range(6):
        charts.nth(i).scroll_into_view_if_needed()
        expect(charts.nth(i).locator("svg.main-svg").first).to_be_visible()
    means = page.locator("#chart-0-curves .scatterlayer .trace")
    assert means.count() == 6 * 2 * 2  # measures × arms × (band, mean)


def test_the_frontier_moves_to_equal_kl(opened):
    page = opened.page
    chart = page.locator("#chart-0-frontier")
    chart.scroll_into_view_if_needed()
    expect(chart.locator(".scatterlayer .trace")).to_have_count(2)
    position = "document.getElementById('chart-0-frontier').data.map((trace) => trace.x[0])"
    assert page.evaluate(position) == pytest.approx([0.92, 0.21])
    page.locator("select[data-for='chart-0-frontier']").select_option(
        label="where the KL first reaches 0.2 nats a token"
    )
    ppo, gaa = page.evaluate(position)
    assert ppo == pytest.approx(gaa, abs=0.01)  # both were made to hack in step with their KL
    assert 0.2 < ppo < 0.3


def test_tables_sort_by_their_headings(opened):
    page = opened.page
    heading = page.locator("#scenario-0 thead th").nth(1)
    arms = page.locator("#scenario-0 tbody th")
    heading.locator("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    expect(arms.nth(2)).to_contain_text("ppo")
    heading.locator("button").press("Enter")
    expect(heading).to_have_attribute("aria-sort", "descending")
    expect(arms.nth(0)).to_contain_text("ppo")


def test_filters_choose_the_texts_of_one_run_and_step(opened, made_up):
    page = opened.page
    page.locator("#pick-arm").select_option("gaa")
    page.locator("#pick-seed").select_option("2")
    page.locator("#pick-step").fill("3")
    expect(page.locator("#step-shown")).to_have_text("4")
    rows = [row for row in read_jsonl(made_up[0] / "capped/gaa-seed2/samples.jsonl") if row["step"] == 4]
    texts = page.locator("#cards .text")
    expect(texts).to_have_text([row["prompt"] + row["completion"] for row in rows])
    hacked = [row for row in rows if row["hacked"]]
    page.locator("#only-hacks").check()
    expect(texts).to_have_count(len(hacked))
    expect(page.locator("#count")).to_contain_text(f"{len(hacked)} of 3 texts")
    marked = sum(sum(row["tokens"]["hack"]) for row in hacked)
    expect(page.locator("#cards .token.hack")).to_have_count(marked)
    page.locator("#pick-scenario").select_option("clean")
    expect(page.locator("#pick-arm")).to_have_value("gaa")
    page.locator("#only-hacks").uncheck()
    rows = [row for row in read_jsonl(made_up[0] / "clean/gaa-seed2/samples.jsonl") if row["step"] == 4]
    expect(texts).to_have_text([row["prompt"] + row["completion"] for row in rows])


def alpha(token):
    return float(token.evaluate("(t) => getComputedStyle(t).backgroundColor").rstrip(")").split(",")[3])


def test_colours_follow_the_chosen_number(opened, made_up):
    page = opened.page
    page.locator("#pick-arm").select_option("gaa")
    page.locator("#pick-step").fill("0")
    tokens = read_jsonl(made_up[0] / "capped/gaa-seed0/samples.jsonl")[0]["tokens"]
    shades = {
        "eta": lambda x: x,
        "sigma": lambda x: min(1, max(0, x / 2)),
        "a": lambda x: abs(x - 1),
        "b": lambda x: -x,
    }
    for name, shade in shades.items():
        page.locator("#pick-colour").select_option(name)
        found = [alpha(page.locator("#cards li").first.locator(".token").nth(i)) for i in range(8)]
        assert found == pytest.approx([0.65 * shade(x) for x in tokens[name]], abs=0.006)
    page.locator("#pick-colour").select_option("")
    assert page.locator("#cards .token").first.evaluate("(t) => t.style.backgroundColor") == ""


def shown(page):
    terms, values = (page.locator(f"#tip {tag}").all_inner_texts() for tag in ("dt", "dd"))
    return dict(zip(terms, values, strict=True))


def test_the_keyboard_goes_along_a_text(opened):
    page = opened.page
    first = page.locator("#cards li").first.locator(".token")
    first.nth(0).focus()
    expect(page.locator("#tip")).to_be_visible()
    expect(first.nth(0)).to_have_attribute("aria-describedby", "tip")
    page.keyboard.press("ArrowRight")
    expect(first.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(first.nth(7)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()
    page.keyboard.press("Tab")
    expect(page.locator("#cards li").nth(1).locator(".token").first).to_be_focused()


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


def test_coloured_tokens_can_be_read_in_light_and_dark(browser, made_up):
    for scheme in ("light", "dark"):
        page = Opened(browser, made_up[1], color_scheme=scheme).page
        page.locator("#pick-arm").select_option("gaa")
        for name in ("eta", "sigma", "a", "b"):
            page.locator("#pick-colour").select_option(name)
            for ink, shade, paper in page.evaluate(TOKEN_COLOURS):
                assert contrast(ink, laid_over(shade, paper)) >= 4.5, (scheme, name, shade)
        page.close()


def test_a_small_screen_needs_no_scrolling_sideways_and_arms_can_be_chosen_by_keyboard(browser, made_up):
    page = Opened(browser, made_up[1], width=380).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.locator("#chart-0-frontier").scroll_into_view_if_needed()
    expect(page.locator("#chart-0-frontier .scatterlayer .trace")).to_have_count(2)
    page.locator("#arms input[value=gaa]").focus()
    page.keyboard.press("Space")
    page.locator("#chart-0-frontier").scroll_into_view_if_needed()
    expect(page.locator("#chart-0-frontier .scatterlayer .trace")).to_have_count(1)
    page.close()


def channels(colour):
    return [float(x) for x in colour[colour.index("(") + 1 :].rstrip(")").split(",")]


def laid_over(shade, paper):
    """A colour that lets some of the paper through."""
    *rgb, alpha = channels(shade) if shade.startswith("rgba") else [*channels(shade), 1.0]
    mixed = [alpha * x + (1 - alpha) * y for x, y in zip(rgb, channels(paper), strict=False)]
    return f"rgb({', '.join(map(str, mixed))})"


def contrast(one, other):
    """WCAG 2.1's ratio of two colours."""

    def luminance(colour):
        shares = [x / 255 for x in channels(colour)[:3]]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_no_script_of_a_sample_runs(browser, tmp_path):
    """In texts, prompts, errors and the study's own words."""
    failing = RunKey("capped", "gaa", 1)
    folder = fabricate(tmp_path / EVIL.replace("/", "|"), failed=(failing,))
    path = folder / "capped/gaa-seed0/samples.jsonl"
    rows = read_jsonl(path)
    for row in rows:
        row["prompt"] = EVIL
        row["tokens"]["text"][0] = row["tokens"]["greedy"][0] = EVIL
    write(path.parent, path.name, rows)
    results = (folder / "results.json").read_text().replace("made up", EVIL).replace("no</b>", EVIL.replace('"', ""))
    (folder / "results.json").write_text(results)
    found = Opened(browser, write_page(folder))
    page = found.page
    page.locator("#pick-arm").select_option("gaa")
    expect(page.locator("#cards .prompt").first).to_have_text(EVIL)
    page.locator("#cards .token").first.hover()
    assert EVIL in page.locator("#tip").inner_text().replace('\\"', '"')
    expect(page.locator("h1 + p")).to_have_text(EVIL)
    expect(page.locator("#missing li")).to_contain_text("window.stolen")
    page.wait_for_timeout(300)
    assert page.evaluate("window.stolen") is None
    assert page.locator("img, #cards b, #missing b").count() == 0
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.stolen = 1\">')")
    page.wait_for_timeout(300)
    assert page.evaluate("window.stolen") is None  # even where markup got in, the page's policy stops it
    page.close()


def test_a_half_done_study_says_what_is_missing(browser, tmp_path):
    keys = [RunKey("capped", arm, seed) for arm, seed in (("gaa", 0), ("gaa", 1), ("ppo", 2), ("gaa", 2))]
    folder = fabricate(tmp_path / "half", seeds=3, failed=keys[:1], unfinished=keys[1:2], absent=tuple(keys[2:]))
    found = Opened(browser, write_page(folder))
    page = found.page
    expect(page.locator("#status p")).to_contain_text("5 of 9 runs finished. Missing:")
    expect(page.locator("#missing li")).to_have_text(
        [
            "capped, gaa, seed 0 failed: RewardError: <b>no</b> such word",
            "capped, gaa, seed 1: at step 3 of 6",
            "2 not begun, the first of them capped, ppo, seed 2",
        ]
    )
    expect(page.locator("#verdict")).to_have_text("No seed has both gaa and ppo yet.")
    page.locator("#pick-arm").select_option("gaa")
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


def test_a_real_study_shows_on_hover_what_was_logged(browser, tmp_path, capsys):
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    assert cli.main(["compare", str(study), "--out", str(tmp_path / "out")]) == 0
    page_path = tmp_path / "out" / "report.html"
    assert str(page_path) in capsys.readouterr().out
    page_path.unlink()
    assert cli.main(["report", str(tmp_path / "out")]) == 0
    found = Opened(browser, page_path)
    page = found.page
    for arm in ("gaa-paper", "ppo"):
        page.locator("#pick-arm").select_option(arm)
        page.locator("#pick-step").fill("1")
        row = [row for row in read_jsonl(tmp_path / "out/capped" / f"{arm}-seed0/samples.jsonl") if row["step"] == 2][1]
        for i in (0, 3, 7):
            page.locator("#cards li").nth(1).locator(".token").nth(i).hover()
            tip, tokens = shown(page), row["tokens"]
            assert (tip["sampled"], tip["greedy"]) == tuple(f'"{tokens[name][i]}"' for name in ("text", "greedy"))
            for name, key in (("η", "eta"), ("a", "a"), ("b", "b"), ("advantage", "advantage")):
                assert float(tip[name]) == pytest.approx(tokens[key][i], abs=6e-4)
            for name, key in (("σ", "sigma"), ("greedy advantage", "greedy_advantage")):
                expected = "not looked at" if arm == "ppo" else pytest.approx(tokens[key][i], abs=6e-4)
                assert (tip[name] if arm == "ppo" else float(tip[name])) == expected
    assert not found.complaints
    page.close()


def test_a_folder_without_a_study_is_refused(tmp_path, capsys):
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "holds no results.json" in capsys.readouterr().err
    (tmp_path / "results.json").write_text('{"arms": {}}')
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "KeyError: 'study'" in capsys.readouterr().err
