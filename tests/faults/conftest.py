"""What an undisturbed run leaves."""

import pytest
from small import done


@pytest.fixture(scope="package")
def undisturbed(tmp_path_factory):
    return done(tmp_path_factory.mktemp("undisturbed") / "run")
