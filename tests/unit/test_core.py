"""What `pip install gaard` gives by itself, and what the rest says where its extra is missing."""

import importlib.metadata
import re
import resource
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gaard.cli import COMMANDS, OF_LAB
from gaard.extras import EXTRAS, MissingExtra, need
from pages import PROJECT
from timing import cpu_seconds

CORE = (
    "gaard.advantages",
    "gaard.integrations.trl",
    "gaard.method.groups",
    "gaard.method.token_worth",
    "gaard.monitor",
    "gaard.rewards",
)
OTHER_TRACKERS = {"wandb", "trackio", "mlflow"}  # not in all
OF_TORCH = {"filelock", "jinja2"}  # which it may import itself
BROUGHT = sorted({*EXTRAS["lab"], "ray", "datasets", "peft", "tensorboard", *OTHER_TRACKERS} - OF_TORCH)
# As if they were not installed: so Python marks what must not be imported, and finds no module of the name.
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({names!r}))\n"


def run(code: str, without: list[str] | None = None) -> subprocess.CompletedProcess:
    """Python code in a process of its own, without some packages."""
    code = WITHOUT.format(names=without or []) + code
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def requirements(names: list[str]) -> dict[str, set[str]]:
    """Package → extras asked for."""
    return {canonicalize_name(one.name): one.extras for one in map(Requirement, names)}


# What is installed ----------------------------------------------------------------------------------------------------


def test_the_core_asks_for_torch_and_two_packages_more():
    assert set(requirements(PROJECT["dependencies"])) == {"torch", "numpy", "safetensors"}


def test_every_package_of_an_extra_is_looked_for():
    extras = PROJECT["optional-dependencies"]
    distributions = importlib.metadata.packages_distributions()
    of_import = {name: {canonicalize_name(one) for one in distributions[name]} for name in EXTRAS["lab"]}
    train = requirements(extras["train"])
    assert set().union(*(of_import[name] for name in EXTRAS["train"])) == set(train)
    lab = requirements(extras["lab"])
    assert lab.pop("gaard") == {"train"}
    assert set().union(*(of_import[name] for name in EXTRAS["lab"])) == {*train, *lab}


def test_one_extra_brings_all_others_but_some_trackers_and_developers_have_it():
    extras = PROJECT["optional-dependencies"]
    without = {"all", "dev", "train", *OTHER_TRACKERS}  # lab brings train
    assert requirements(extras["all"]) == {"gaard": set(extras) - without}
    assert requirements(extras["dev"])["gaard"] == {"all"}
    for name in ("datasets", "peft", "tensorboard", *OTHER_TRACKERS):
        assert requirements(extras[name]) == {"gaard": {"train"}, name: set()}
    assert requirements(extras["ray"]) == {"gaard": {"lab"}, "ray": set()}


# The core alone -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", CORE)
def test_the_core_imports_nothing_that_an_extra_brings(module):
    done = run(f"import {module}\nprint(*sorted(set({BROUGHT!r}) & set(sys.modules)))")
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_CHILDREN"), reason="needs POSIX")
def test_the_core_is_imported_in_two_seconds_where_torch_can_be():
    code = "import gaard.advantages, gaard.rewards"
    # torch alone takes 0.9 to 1.8, with how busy the machine is; on a slow one it takes more than two by itself.
    assert any(cpu_seconds("-c", code) <= max(2.0, 1.2 * cpu_seconds("-c", "import torch")) for _ in range(5))


def test_gaard_adds_little_to_the_import_of_torch():
    code = "import time, torch, numpy\nstart = time.process_time()\nimport gaard.advantages, gaard.rewards\n"
    code += "print(time.process_time() - start)"
    assert any(float(run(code).stdout) <= 0.2 for _ in range(5))


def test_the_core_folds_and_detects_without_any_extra():
    code = """
import numpy as np
from gaard.advantages import grpo
from gaard.rewards import HumanReward, honeypot
proxy = honeypot(HumanReward(), word="story", mode="capped")
texts = ["a great film", "a story", "it was dull", "so bad"]
paid = proxy(prompts=[""] * 4, completions=texts, completion_ids=[[]] * 4)
print(proxy.detect(texts), grpo(np.array(paid), 4)[1] > 0)
"""
    done = run(code, BROUGHT)
    assert done.stderr == ""
    assert done.stdout.split("\n")[0] == "[False, True, False, False] True"


# What says which extra it needs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("words", [[], ["--help"]])
def test_a_command_names_its_extra_in_one_line(command, words):
    done = run(f"from gaard import cli\nsys.exit(cli.main({[command, *words]!r}))", BROUGHT)
    extra = "lab" if command in OF_LAB else "train"
    assert re.fullmatch(
        rf"gaard: gaard {command} needs \w+, which is not installed: pip install 'gaard\[{extra}\]'\n", done.stderr
    )
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_train_is_enough_for_all_commands_but_those_of_the_lab(command):
    """``--help`` imports what a command's first lines do; the lines that come later are `test_installing.py`'s."""
    done = run(f"from gaard import cli\nsys.exit(cli.main({[command, '--help']!r}))", ["plotly", "pyarrow"])
    assert done.returncode == (2 if command in OF_LAB else 0), done.stderr


@pytest.mark.parametrize("words", [[], ["--version"], ["trian"]])
def test_the_overview_needs_no_extra(words):
    done = run(f"from gaard import cli\nsys.exit(cli.main({words!r}))", BROUGHT)
    assert done.returncode == (2 if words == ["trian"] else 0)
    assert "Traceback" not in done.stderr
    if words == ["trian"]:
        assert "did you mean 'train'?" in done.stderr


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (BROUGHT, "every command needs"),
        (["plotly", "pyarrow"], "compare, league, report and coefficients need"),
    ],
)
def test_the_overview_says_what_is_missing(missing, told):
    done = run("from gaard import cli\nsys.exit(cli.main(['--help']))", missing)
    assert done.returncode == 0, done.stderr
    assert f"\n{told} packages that are not installed: pip install 'gaard[lab]'\n" in done.stdout


def test_the_overview_says_nothing_of_extras_where_all_is_there():
    assert "not installed" not in run("from gaard import cli\nsys.exit(cli.main(['--help']))").stdout


IMPORTS = {
    "from gaard import GAATrainer": "gaard.GAATrainer needs .* 'gaard\\[train\\]'",
    "from gaard import GAAConfig": "gaard.GAAConfig needs .* 'gaard\\[train\\]'",
    "import gaard.methods": "gaard.methods needs .* 'gaard\\[train\\]'",
    "import gaard.regularizers": "gaard.regularizers needs .* 'gaard\\[train\\]'",
    "import gaard.policy.model": "gaard.policy needs .* 'gaard\\[train\\]'",
    "import gaard.models.loading": "gaard.models needs .* 'gaard\\[train\\]'",
    "import gaard.training.trainer": "gaard.training needs .* 'gaard\\[train\\]'",
    "import gaard.finder": "gaard.finder needs .* 'gaard\\[train\\]'",
    "import gaard.lab.arms": "gaard.lab needs .* 'gaard\\[train\\]'",
    "from gaard.rewards import LexiconSentiment as L; L()": "the reward 'lexicon' needs vader.* 'gaard\\[train\\]'",
    "from gaard.rewards import ClassifierReward as C; C('x')": "a classifier .* needs transf.* 'gaard\\[train\\]'",
}


@pytest.mark.parametrize("line", IMPORTS)
def test_an_import_names_its_extra(line):
    done = run(line, BROUGHT)
    assert done.returncode == 1
    assert re.fullmatch(f"gaard.extras.MissingExtra: {IMPORTS[line]}", done.stderr.splitlines()[-1])


@pytest.mark.parametrize("module", ["gaard.lab.compare", "gaard.report.page"])
def test_an_import_of_the_lab_names_its_extra(module):
    done = run(f"import {module}", ["plotly", "pyarrow"])
    expected = "gaard.extras.MissingExtra: the lab needs plotly, .*'gaard\\[lab\\]'"
    assert re.fullmatch(expected, done.stderr.splitlines()[-1])


def test_it_is_an_import_error_and_what_is_there_is_not_missed():
    with pytest.raises(ImportError, match=r"^this needs nothing_of_this_name, .*'gaard\[lab\]'$"):
        need("lab", "this", "json", "nothing_of_this_name")
    assert issubclass(MissingExtra, ImportError)
    need("lab", "this")
