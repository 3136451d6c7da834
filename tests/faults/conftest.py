"""What an undisturbed run leaves, and a study that is done."""

import pytest
from killing import study_files
from small import done

from gaard.lab.compare import compare
from gaard.lab.study import study_of_settings


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    return done(tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.fixture(scope="session")
def carried_out(tmp_path_factory):
    """A study of two runs that is done, and how it is carried out again."""
    there = tmp_path_factory.mktemp("study")
    settings = study_files(there)

    def again(folder):
        return compare(study_of_settings({**settings, "max_steps": 1}, ["ppo"], [0]), folder)

    again(there / "out")
    return there / "out", again
