"""The short form of ``make soak``."""

from soak import soak_steps, soak_study


def test_a_run_of_some_steps(tmp_path):
    found = soak_steps(tmp_path / "run", 30)
    assert found["logged"]
    assert found["handles"][1] - found["handles"][0] <= 1
    assert found["checkpoints"] < found["limit"] + 0.1


def test_a_study_is_readable_at_every_moment(tmp_path):
    found = soak_study(tmp_path / "study", 4, 1)
    assert found["failed"] == 0
    assert found["runs"] == 4
    assert found["unread"] == []
    assert found["looks"] > 3
