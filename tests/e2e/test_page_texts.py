"""The sampled texts on the page of a study, token by token."""

import pytest
from playwright.sync_api import expect

from browsing import Opened, contrast, laid_over
from fabricated import fabricate, write
from gaard import cli
from gaard.lab.study import RunKey
from gaard.report.page import write_page
from gaard.training.runlog import read_jsonl

pytestmark = pytest.mark.slow

EVIL = "</script><script>window.stolen = 1</script><img src=x onerror='window.stolen = 1'> <b>bold</b>"
TOKEN_COLOURS = """[...document.querySelectorAll("#cards .token")].map((token) =>
    [token, token, document.body].map((e, i) => getComputedStyle(e)[i ? "backgroundColor" : "color"]))"""
STUDY = """
scenarios: [capped]
arms: [ppo, gaa-text]
seeds: 1
settings: {max_steps: 2, batch_size: 8, num_mini_batches: 2, eval_completions: 16, use_cpu: true, progress: false}
"""


def test_filters_choose_the_texts_of_one_run_and_step(opened, made_up):
    page = opened.page
    page.locator("#pick-arm").select_option("gaa-text")
    page.locator("#pick-seed").select_option("2")
    page.locator("#pick-step").fill("3")
    expect(page.locator("#step-shown")).to_have_text("4")
    rows = [row for row in read_jsonl(made_up[0] / "capped/gaa-text-seed2/samples.jsonl") if row["step"] == 4]
    texts = page.locator("#cards .text")
    expect(texts).to_have_text([row["prompt"] + row["completion"] for row in rows])
    hacked = [row for row in rows if row["hacked"]]
    page.locator("#only-hacks").check()
    expect(texts).to_have_count(len(hacked))
    expect(page.locator("#count")).to_contain_text(f"{len(hacked)} of 3 texts")
    marked = sum(sum(row["tokens"]["hack"]) for row in hacked)
    expect(page.locator("#cards .token.hack")).to_have_count(marked)
    page.locator("#pick-scenario").select_option("clean")
    expect(page.locator("#pick-arm")).to_have_value("gaa-text")
    page.locator("#only-hacks").uncheck()
    rows = [row for row in read_jsonl(made_up[0] / "clean/gaa-text-seed2/samples.jsonl") if row["step"] == 4]
    expect(texts).to_have_text([row["prompt"] + row["completion"] for row in rows])


def alpha(token):
    return float(token.evaluate("(t) => getComputedStyle(t).backgroundColor").rstrip(")").split(",")[3])


def test_colours_follow_the_chosen_number(opened, made_up):
    page = opened.page
    page.locator("#pick-arm").select_option("gaa-text")
    page.locator("#pick-step").fill("0")
    tokens = read_jsonl(made_up[0] / "capped/gaa-text-seed0/samples.jsonl")[0]["tokens"]
    shades = {
        "eta": lambda x: x,
        "sigma": lambda x: min(1, max(0, x / 2)),
        "a": lambda x: abs(x - 1),
        "b": lambda x: -x,
        "advantage": lambda x: min(1, abs(x) / 3),
        "greedy_advantage": lambda x: min(1, abs(x) / 3),
    }
    for name, shade in shades.items():
        page.locator("#pick-colour").select_option(name)
        found = [alpha(page.locator("#cards li").first.locator(".token").nth(i)) for i in range(8)]
        assert found == pytest.approx([0.65 * shade(x) for x in tokens[name]], abs=0.006)
    page.locator("#pick-colour").select_option("happened")
    found = [alpha(page.locator("#cards li").first.locator(".token").nth(i)) for i in range(8)]
    strengths = [1 if turned else -b for turned, b in zip(tokens["turned"], tokens["b"], strict=True)]
    assert found == pytest.approx([0.65 * strength for strength in strengths], abs=0.006)
    page.locator("#pick-colour").select_option("")
    assert page.locator("#cards .token").first.evaluate("(t) => t.style.backgroundColor") == ""


def test_colours_are_those_that_say_something_of_the_run(opened):
    page = opened.page
    everywhere = ["what happened", "advantage (standard deviations)"]
    looking = [
        *("a (weight of the sampled token)", "b (weight of the greedy token)", "σ (standard deviations)"),
        *("η (probability of the greedy token)", "greedy advantage (standard deviations)"),
    ]
    events = {
        "ppo": ["part of a hack"],
        "fold": ["turned by the method: too good, so pushed down", "part of a hack"],
    }
    colours = page.locator("#pick-colour option")
    for arm, expected in events.items():
        page.locator("#pick-arm").select_option(arm)
        expect(colours).to_have_text([*everywhere, "none"])
        expect(page.locator("#legend .patch")).to_have_text(expected)
    page.locator("#pick-arm").select_option("gaa-text")
    expect(colours).to_have_text([*everywhere, *looking, "none"])
    expect(page.locator("#legend .patch")).to_have_count(3)
    page.locator("#pick-colour").select_option("sigma")
    page.locator("#pick-arm").select_option("fold")
    expect(page.locator("#pick-colour")).to_have_value("happened")
    page.locator("#pick-arm").select_option("gaa-text")
    expect(page.locator("#pick-colour")).to_have_value("sigma")


def test_what_happened_to_a_token_has_the_colour_of_it(opened, made_up):
    page = opened.page
    page.locator("#pick-arm").select_option("fold")
    page.locator("#pick-step").fill("0")
    tokens = read_jsonl(made_up[0] / "capped/fold-seed0/samples.jsonl")[0]["tokens"]
    tones = {"turned": "43, 108, 176", "hack": "200, 40, 40"}
    expected = [
        "turned" if turned else "hack" if hack else ""
        for turned, hack in zip(tokens["turned"], tokens["hack"], strict=True)
    ]
    assert set(expected) == {"turned", "hack", ""}
    for i, name in enumerate(expected):
        token = page.locator("#cards li").first.locator(".token").nth(i)
        assert token.evaluate("(t) => t.style.backgroundColor") == (f"rgba({tones[name]}, 0.65)" if name else "")


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


def test_coloured_tokens_can_be_read_in_light_and_dark(browser, made_up):
    for scheme in ("light", "dark"):
        page = Opened(browser, made_up[1], color_scheme=scheme).page
        page.locator("#pick-arm").select_option("gaa-text")
        for name in ("happened", "eta", "sigma", "a", "b", "advantage", "greedy_advantage"):
            page.locator("#pick-colour").select_option(name)
            for ink, shade, paper in page.evaluate(TOKEN_COLOURS):
                assert contrast(ink, laid_over(shade, paper)) >= 4.5, (scheme, name, shade)
        page.close()


def test_no_script_of_a_sample_runs(browser, tmp_path):
    """In texts, prompts, errors and the study's own words."""
    failing = RunKey("capped", "gaa-text", 1)
    folder = fabricate(tmp_path / EVIL.replace("/", "|"), arms=("ppo", "gaa-text"), failed=(failing,))
    path = folder / "capped/gaa-text-seed0/samples.jsonl"
    rows = read_jsonl(path)
    for row in rows:
        row["prompt"] = EVIL
        row["tokens"]["text"][0] = row["tokens"]["greedy"][0] = EVIL
    write(path.parent, path.name, rows)
    results = (folder / "results.json").read_text().replace("made up", EVIL).replace("no</b>", EVIL.replace('"', ""))
    (folder / "results.json").write_text(results)
    found = Opened(browser, write_page(folder))
    page = found.page
    page.locator("#pick-arm").select_option("gaa-text")
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
    for arm in ("gaa-text", "ppo"):
        page.locator("#pick-arm").select_option(arm)
        page.locator("#pick-step").fill("1")
        row = [row for row in read_jsonl(tmp_path / "out/capped" / f"{arm}-seed0/samples.jsonl") if row["step"] == 2][1]
        for i in (0, 3, 7):
            page.locator("#cards li").nth(1).locator(".token").nth(i).hover()
            tip, tokens = shown(page), row["tokens"]
            assert (tip["sampled"], tip["greedy"]) == tuple(f'"{tokens[name][i]}"' for name in ("text", "greedy"))
            for name, key in (("η", "eta"), ("advantage", "advantage")):
                assert float(tip[name]) == pytest.approx(tokens[key][i], abs=6e-4)
            for name, key in (("a", "a"), ("b", "b"), ("σ", "sigma"), ("greedy advantage", "greedy_advantage")):
                if arm != "ppo":  # of which a is 1 and b is 0 everywhere, which says nothing
                    assert float(tip[name]) == pytest.approx(tokens[key][i], abs=6e-4)
                else:
                    assert name not in tip
    assert not found.complaints
    page.close()
