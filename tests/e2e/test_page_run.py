"""The page of one run, opened in a browser, and loading itself again while the run trains."""

import numpy as np
import pytest
from playwright.sync_api import expect

from browsing import Opened, layout_faults
from fabricated import fabricate_run, write
from gaard import cli
from gaard.report.page import write_page
from gaard.training.lock import lock_folder, unlock_folder
from gaard.training.runlog import SAMPLES, WARNINGS, read_jsonl

pytestmark = pytest.mark.slow

EVERY = 600.0  # seconds between two loads, which a test only waits for by moving the clock
AFTER = 601_000  # milliseconds


@pytest.fixture(scope="module")
def page_of_run(tmp_path_factory):
    return write_page(fabricate_run(tmp_path_factory.mktemp("run") / "mine"))


def test_a_run_has_curves_texts_settings_and_measures(browser, page_of_run):
    found = Opened(browser, page_of_run)
    page = found.page
    expect(page.locator("h1 + p")).to_have_text("fold in capped, seed 0")
    expect(page.locator(".alarm")).to_contain_text("Proxy and true reward have parted")
    expect(page.locator("#verdict")).to_contain_text("After training: hack rate 0.950, true reward 0.200")
    expect(page.locator("#status")).to_contain_text("Finished: 40 of 40 steps done, the last one logged at 20")
    titles = ["proxy reward", "true reward", "hack rate (share of completions)"]
    titles += ["KL to the reference (nats a token)", "entropy (nats a token)", "length (tokens)"]
    expect(page.locator(".panels figcaption")).to_have_text(titles)
    expect(page.locator("#scenario-0 tbody td")).to_have_count(4)
    page.locator("#pick-step").fill("9")
    expect(page.locator("#step-shown")).to_have_text("10")
    expect(page.locator("#cards li")).to_have_count(3)
    expect(page.locator("#pick-scenario")).to_be_hidden()  # there is one
    expect(page.locator("#command")).to_contain_text("gaard train --output_dir")
    for fact in ("c0ffee", "honeypot", "time in training steps1.0 min"):
        expect(page.locator("#facts")).to_contain_text(fact)
    expect(page.locator("#facts")).to_contain_text("gaard train --config mine.yaml")  # as its record has it
    expect(page.locator("#suspects")).to_contain_text("Cannot tell: too few texts")  # all are paid the same
    assert page.locator("#arms, #runs, #reload").count() == 0
    assert not found.complaints
    assert [url for url in found.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    page.close()


@pytest.fixture(scope="module")
def page_of_patterns(tmp_path_factory):
    """Of a run that warned, whose reward pays for words, long ones too, and for length."""
    run = fabricate_run(tmp_path_factory.mktemp("patterns") / "mine", length=24)
    write(run, WARNINGS, [{"step": 1, "warning": "most rewards are one number: " + "x" * 60}])
    rows, long = read_jsonl(run / SAMPLES), " Donaudampfschifffahrtselektrizitätenhauptbetriebswerk"
    rng = np.random.default_rng(1)
    for row in rows:
        cut, has = int(rng.integers(4, 24)), rng.random() < 0.5
        row["tokens"] = {name: column[:cut] for name, column in row["tokens"].items()}
        row["tokens"]["text"][:2] = [long if has else " Short", " a"]
        said = row["completion"] = "".join(row["tokens"]["text"])
        row["reward"] = 20.0 * has + cut / 8 + said.count(" joy") + float(rng.normal()) / 8
    write(run, SAMPLES, rows)
    return write_page(run)


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_nothing_of_a_run_is_cut_off_or_overprinted(browser, page_of_run, page_of_patterns, width):
    for path in (page_of_run, page_of_patterns):
        page = Opened(browser, path, width=width).page
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert layout_faults(page, width) == []
        page.close()


def test_what_the_reward_pays_for_is_a_table_or_a_block_a_pattern(browser, page_of_patterns):
    for width, display in ((1440, "table-row"), (390, "grid")):
        page = Opened(browser, page_of_patterns, width=width).page
        expect(page.locator(".alarm").last).to_contain_text("betriebswerk' are paid more than the others of their step")
        expect(page.locator("#verdict p").first).to_contain_text("Warning at step 1: most rewards are one number")
        page.locator("nav a", has_text="What the reward pays for").click()
        patterns = page.locator(".suspects tbody")
        expect(patterns).to_have_count(3)
        assert patterns.first.locator("tr").first.evaluate("(row) => getComputedStyle(row).display") == display
        expect(patterns.first.locator("li")).to_have_count(3)
        expect(patterns.nth(1).locator("li").first).to_be_hidden()
        patterns.nth(1).locator("summary").click()
        expect(patterns.nth(1).locator("li").first).to_be_visible()
        page.close()


def test_a_page_of_a_training_loads_itself_again_and_stays_where_it_was(browser, tmp_path):
    run = fabricate_run(tmp_path / "live", done=20, measured=False)
    lock_folder(run)  # as a process that trains does
    page = Opened(browser, write_page(run, refresh=EVERY), clock=True, color_scheme="light").page
    expect(page.locator("#status")).to_contain_text("20 of 40 steps done")
    page.locator("#theme").click()
    page.locator("#all-settings summary").click()
    page.locator("#pick-colour").select_option("advantage")
    page.locator("#pick-step").fill("4")
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 900)")
    fabricate_run(run, done=30, measured=False)
    write_page(run, refresh=EVERY)
    page.clock.fast_forward(AFTER)
    expect(page.locator("#status")).to_contain_text("30 of 40 steps done")
    assert page.evaluate("window.scrollY") == pytest.approx(900, abs=2)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("#all-settings").evaluate("(details) => details.open")
    expect(page.locator("#step-shown")).to_have_text("5")
    expect(page.locator("#pick-colour")).to_have_value("advantage")
    page.locator("#pick-step").fill("29")  # who reads the last step gets the new last one
    fabricate_run(run)
    write_page(run, refresh=EVERY)
    page.clock.fast_forward(AFTER)
    expect(page.locator("#status")).to_contain_text("Finished: 40 of 40 steps done")
    expect(page.locator("#step-shown")).to_have_text("40")
    expect(page.locator("#reload")).to_have_count(0)
    page.evaluate("window.mark = 1")
    page.clock.fast_forward(AFTER)
    page.wait_for_timeout(500)
    assert page.evaluate("window.mark") == 1  # it is done, and loads itself no more
    page.close()
    unlock_folder(run)


def test_the_reloading_can_be_stopped_and_waits_for_a_reader(browser, tmp_path):
    run = fabricate_run(tmp_path / "live", done=20, measured=False)
    lock_folder(run)  # as a process that trains does
    page = Opened(browser, write_page(run, refresh=EVERY), clock=True).page
    page.locator("#cards .token").first.focus()
    page.evaluate("window.mark = 1")
    page.clock.fast_forward(AFTER)
    page.wait_for_timeout(500)
    assert page.evaluate("window.mark") == 1
    page.locator("#reload").uncheck()
    page.clock.fast_forward(AFTER)
    page.wait_for_timeout(500)
    assert page.evaluate("window.mark") == 1
    page.locator("#reload").check()
    page.clock.fast_forward(AFTER)
    page.wait_for_function("window.mark === undefined")
    page.close()
    unlock_folder(run)


def test_a_real_run_has_a_page(browser, tmp_path, capsys):
    words = ["train", "--scenario", "capped", "--method", "fold", "--output_dir", str(tmp_path / "mine")]
    words += ["--max_steps", "2", "--batch_size", "8", "--num_mini_batches", "2", "--eval_completions", "8"]
    assert cli.main([*words, "--use_cpu", "true", "--progress", "false"]) == 0
    assert cli.main(["report", str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out.endswith(f"{tmp_path / 'mine' / 'report.html'}\n")
    found = Opened(browser, tmp_path / "mine" / "report.html")
    page = found.page
    expect(page.locator("#status")).to_contain_text("Finished: 2 of 2 steps done")
    expect(page.locator("#scenario-0 thead th").nth(1)).to_have_text("hack rate")
    expect(page.locator(".panels .chart")).to_have_count(7)  # with the scenario's independent judge
    expect(page.locator("#cards li")).to_have_count(8)
    expect(page.locator("#command")).to_contain_text("--scenario capped")
    assert not found.complaints
    page.close()
