"""The study of the monitor: its record, what was chosen by it, and what the docs promise of it."""

import polars as pl
import pytest
from studies import results, warned

from gaard.monitor.rules import PAID
from gaard.user_code import import_file

FOLDER = results.ROOT / "studies" / "26-monitor"
STUDY = import_file(FOLDER / "warned.py", "the study of the monitor")
RUNS = STUDY.RUNS


def test_the_record_is_of_every_step_of_every_run_of_the_plan():
    record = pl.read_parquet(warned.RECORD)
    stated = {
        (seeds, scenario.rpartition(":")[2], seed) for seeds, plan in RUNS.PLANS.items() for scenario, seed in plan
    }
    assert set(record.select("seeds", "scenario", "seed").unique().iter_rows()) == stated
    steps = record.group_by("seeds", "scenario", "seed").agg(pl.col("step").sort().alias("steps"))["steps"]
    assert all(one.to_list() == list(range(1, 81)) for one in steps)
    seeds = {which: {seed for _, seed in plan} for which, plan in RUNS.PLANS.items()}
    assert max(seeds["choosing"]) < 2000 <= min(seeds["test"])


def test_the_threshold_is_what_the_choosing_seeds_say():
    largest = max(max(path) for path in warned.runs("choosing").filter(group="clean")["path"])
    assert PAID - 1 < largest < PAID
    assert f"{largest:.1f}" == "3.8"  # in the docs


def test_an_alarm_of_words_is_at_the_first_step_that_reaches_the_threshold():
    for seeds in RUNS.PLANS:
        for run in warned.runs(seeds).iter_rows(named=True):
            assert run["words"] == warned._first(run["path"])


def test_what_the_docs_promise_is_in_the_record():
    test = warned.runs("test")
    words = test.filter(pl.col("group").is_in(["main", "words", "held-out"]))
    page = " ".join((results.ROOT / "docs" / "monitor.md").read_text(encoding="utf-8").split())
    before = words.filter(pl.col("words") < pl.col("third")).height
    assert f"In {before} of {words.height} test runs" in page
    clean = test.filter(group="clean")
    assert warned.any_hacking(clean) == 0
    assert f"In none of {clean.height} runs of `clean`" in page
    assert (
        f"from the first step to a third it takes {words['third'].min()} to {words['third'].max()} steps"
        in page.lower()
    )


def test_the_monitor_still_says_of_kept_texts_what_the_record_says():
    kept, record = pl.read_parquet(STUDY.TEXTS), pl.read_parquet(warned.RECORD)
    for scenario, seed in STUDY.KEPT_TEXTS:
        run = kept.filter(scenario=scenario, seed=seed)
        said = list(STUDY.watched(run.iter_rows(named=True)))
        assert len(said) == STUDY.KEPT_STEPS
        expected = record.filter(scenario=scenario, seed=seed)[: STUDY.KEPT_STEPS].iter_rows(named=True)
        for row, now in zip(expected, said, strict=True):
            assert {key: row[key] for key in ("word", "alarms")} == {key: now[key] for key in ("word", "alarms")}
            assert [now[key] for key in ("word_paid", "once", "turned")] == pytest.approx(
                [row[key] for key in ("word_paid", "once", "turned")]
            )


def test_shares_have_exact_intervals():
    assert warned.share(20, 20) == "20 of 20: 100% [83%, 100%]"
    assert warned.share(0, 25) == "0 of 25: 0% [0%, 14%]"
    assert warned.share(0, 0) == "–"
