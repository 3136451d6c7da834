"""Settings of TRL's: whoever brings one hears what it is called here."""

import copy
import dataclasses
import pickle
import re

import pytest

from gaard import GAAConfig
from gaard.errors import ConfigError
from gaard.lab.spec import RunSpec, read_config
from gaard.training.trl_names import NAMES


def test_every_name_that_it_tells_is_a_setting_of_gaards_and_none_that_it_explains_is():
    fields = {field.name for field in dataclasses.fields(RunSpec)}
    told = {name for words in NAMES.values() for name in re.findall(r"`(\w+)`", words)}
    assert told <= fields
    assert not fields & NAMES.keys()


@pytest.mark.parametrize(("name", "words"), [("beta", "`kl_coef`"), ("num_generations", "gaard has no groups")])
def test_it_is_told_in_python_and_in_a_file(tmp_path, name, words):
    with pytest.raises(ConfigError, match=rf"GAAConfig\({name}=…\): .*{words}"):
        GAAConfig("x", **{name: 8})
    (tmp_path / "run.yaml").write_text(f"{name}: 8\n")
    with pytest.raises(ConfigError, match=rf"run\.yaml: '{name}' is TRL's, here .*{words}"):
        read_config(tmp_path / "run.yaml")


def test_another_unknown_name_has_its_nearest_neighbour():
    with pytest.raises(ConfigError, match=r"GAAConfig\(learning_rte=…\).*learning_rate"):
        GAAConfig("x", learning_rte=1e-5)


def test_a_config_is_copied_as_any_other_object():
    config = GAAConfig("x", kl_coef=0.5)
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config)), dataclasses.replace(config)):
        assert other == config
