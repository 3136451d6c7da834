"""Runs and studies that are killed again and again end with what undisturbed ones end with, to the byte."""

from killing import PLACES, RESULTS, kill_runs, kill_studies

KILLS_OF_RUNS, KILLS_OF_STUDIES = 17, 3


def test_kills_of_runs_change_nothing(tmp_path):
    report = kill_runs(tmp_path, KILLS_OF_RUNS)
    assert report.different == []
    assert set(report.kills) == set(PLACES)
    assert report.kills.total() == KILLS_OF_RUNS
    assert report.inside >= KILLS_OF_RUNS // 3


def test_kills_of_studies_change_nothing(tmp_path):
    report = kill_studies(tmp_path, KILLS_OF_STUDIES)
    assert report.different == []
    assert report.kills == {RESULTS: KILLS_OF_STUDIES}
