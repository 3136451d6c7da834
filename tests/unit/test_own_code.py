"""What tells a method of a user's own: its code, wherever it stands, and the code that it uses."""

import functools
import linecache
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import __main__
from gaard import GAAConfig
from gaard.arguments import add_settings, check_options, given_settings, plain_parser
from gaard.errors import ConfigError
from gaard.lab.spec import RunSpec
from gaard.methods import Fold, Method, find_method

MINE = """
from dataclasses import dataclass
{imports}
from gaard.methods import Method

@dataclass(frozen=True)
class Mine(Method):
    name = "mine"

    def shape(self, estimates, mask):
        return {result}
"""


def in_notebook(cell, result, imports="", kept=True, source=MINE):
    """The method as a notebook defines it: run in ``__main__``, its source kept under the name of the cell."""
    source = source.format(result=result, imports=imports)
    if kept:
        linecache.cache[cell] = (len(source), None, source.splitlines(keepends=True), cell)
    exec(compile(source, cell, "exec"), vars(__main__))
    return vars(__main__)["Mine"]


@pytest.fixture(autouse=True)
def _clean_main():
    before = dict(vars(__main__))
    yield
    vars(__main__).clear()
    vars(__main__).update(before)


def test_methods_of_a_notebook_are_told_apart():
    records = [in_notebook(f"<cell-{i}>", result)().record() for i, result in enumerate(("1", "1", "-1"))]
    assert records[0] == records[1]
    assert records[0]["code"] != records[2]["code"]


def test_a_constant_and_a_function_of_the_script_count():
    vars(__main__)["SCALE"] = 1
    kind = in_notebook("<cell-a>", "SCALE")
    before, same = kind().record(), kind().record()
    vars(__main__)["SCALE"] = 2
    assert before == same != kind().record()


def test_a_constant_of_a_class_in_a_notebook_counts():
    scaled = MINE.replace('name = "mine"', 'name = "mine"\n    scale = {result}').replace("return {result}", "return 1")
    codes = [in_notebook("<cell-b>", scale, source=scaled)().record()["code"] for scale in ("1", "1", "2")]
    assert codes[0] == codes[1] != codes[2]


@pytest.mark.parametrize("cell", ["<string>", "<lost-cell>"])
def test_a_method_whose_code_cannot_be_read_is_refused(cell):
    with pytest.raises(ConfigError, match=r"method 'mine': the source of the class Mine cannot be read.*Python file"):
        in_notebook(cell, "1", kept=False)()


HELPERS = {
    "function": ("from helper_of_mine import k", "k()", "def k(): return {}\n"),
    "module": ("import helper_of_mine", "helper_of_mine.k()", "def k(): return {}\n"),
    "decorated": ("import torch\nfrom helper_of_mine import k", "k()", "def k(): return {}\n"),
}


@pytest.mark.parametrize("case", HELPERS)
def test_what_a_method_uses_of_another_file_counts(tmp_path, monkeypatch, case):
    imports, result, helper = HELPERS[case]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    text = MINE.format(imports=imports, result=result)
    if case == "decorated":
        text = text.replace("    def shape", "    @torch.no_grad()\n    def shape")
    (tmp_path / "mine.py").write_text(text)

    def recorded(value):
        sys.modules.pop("helper_of_mine", None)
        (tmp_path / "helper_of_mine.py").write_text(helper.format(value))
        return find_method(str(tmp_path / "mine.py")).record()

    first = recorded("1.0")
    assert recorded("1.0") == first
    assert recorded("-1.0") != first
    sys.modules.pop("helper_of_mine", None)


def test_a_base_class_in_another_file_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom base_of_mine import Mine as Base\n"
        '@dataclass(frozen=True)\nclass Own(Base):\n    name = "own"\n'
    )

    def recorded(result):
        sys.modules.pop("base_of_mine", None)
        (tmp_path / "base_of_mine.py").write_text(MINE.format(imports="", result=result))
        return find_method(f"{tmp_path / 'mine.py'}:Own").record()

    first = recorded("1.0")
    assert recorded("1.0") == first
    assert recorded("-1.0") != first
    sys.modules.pop("base_of_mine", None)


def test_a_helper_that_changes_later_changes_no_record(tmp_path, monkeypatch):
    """What trains is what was imported."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper_of_mine.py").write_text("def k(): return 1\n")
    (tmp_path / "mine.py").write_text(MINE.format(imports="from helper_of_mine import k", result="k()"))
    method = find_method(str(tmp_path / "mine.py"))
    before = method.record()
    (tmp_path / "helper_of_mine.py").write_text("def k(): return -100\n")
    assert method.record() == before
    sys.modules.pop("helper_of_mine", None)


def made(factor):
    @dataclass(frozen=True)
    class Made(Method):
        name = "made"

        def shape(self, estimates, mask):
            return factor * estimates.advantages

    return Made()


def test_what_a_function_gave_a_class_counts():
    assert made(1).record() == made(1).record() != made(2).record()


@pytest.mark.slow
def test_a_method_of_a_script_has_one_record_in_the_processes_that_it_starts(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        MINE.format(imports="import multiprocessing", result="1")
        + "def record(method):\n    return method.record()\n"
        + 'if __name__ == "__main__":\n'
        + '    with multiprocessing.get_context("spawn").Pool(1) as pool:\n'
        + "        print(pool.apply(record, (Mine(),)) == Mine().record())\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@dataclass(frozen=True)
class Placed(Method):
    name = "placed"
    where: object = None


@pytest.mark.parametrize("value", [Path("x"), {1, 2}, np.ones(1), functools.partial(print)], ids=repr)
def test_an_option_that_json_cannot_hold_is_refused_when_it_is_given(value):
    with pytest.raises(ConfigError, match=r"method 'placed': where=.* cannot stand in a run's record"):
        Placed(value)


def test_a_class_that_adds_options_is_a_dataclass():
    """One that adds none needs no decorator; without it Python would ignore the options of one that does."""

    class Same(Fold):
        name = "same"

    class Other(Fold):
        threshold = 2.0

    class More(Fold):
        more: float = 2.0

    assert Same(threshold=2).threshold == 2
    for wrong in (Other, More):
        with pytest.raises(ConfigError, match=f"the class {wrong.__name__} is no dataclass: write @dataclass"):
            wrong()


def test_a_class_with_its_own_init_is_refused():
    """What it takes would be no option: it could not be set, and no record would have it."""
    with pytest.raises(ConfigError, match=r"class Own has an __init__ of its own \(Own's\): leave it out; the options"):

        class Own(Method):
            name = "own"

            def __init__(self, limit=2.0):
                self.limit = limit

    class Taking:
        def __init__(self, limit=2.0):
            self.limit = limit

    with pytest.raises(ConfigError, match=r"class Mixed has an __init__ of its own \(Taking's\)"):

        class Mixed(Taking, Method):
            name = "mixed"

    @dataclass(frozen=True, slots=True)  # which makes a class of a class, with the __init__ of a dataclass
    class Narrow(Method):
        name = "narrow"
        limit: float = 2.0

    assert Narrow(limit=3).limit == 3


def test_whole_numbers_of_numpy_are_whole_numbers():
    config = GAAConfig("x", batch_size=np.int64(32), seed=np.uint8(1), kl_coef=np.int32(1), max_steps=np.int64(3))
    assert (config.batch_size, config.seed, config.max_steps) == (32, 1, 3)
    assert [type(v) for v in (config.batch_size, config.seed, config.kl_coef)] == [int, int, float]
    for wrong in (np.bool_(True), True, np.float64(3)):
        with pytest.raises(ConfigError, match="must be a whole number"):
            GAAConfig("x", batch_size=wrong)


BOOSTED = MINE.replace('name = "mine"\n', 'name = "mine"\n    boost: float = 1.0\n').format(imports="", result="1")


def spec(words):
    parser = add_settings(plain_parser("train", "", ""))
    check_options(words, ())
    return RunSpec(**given_settings(parser.parse_args(words)))


def test_the_command_line_takes_the_options_of_a_users_own_class(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(BOOSTED)
    (tmp_path / "run.yaml").write_text("method: mine.py\n")
    for given in (["--method", "mine.py"], ["--method=mine.py:Mine"], ["--config", "run.yaml"]):
        for boost in (["--method.boost", "3"], ["--method.boost=3"]):
            for words in ([*given, *boost], [*boost, *given]):
                assert spec(["--output_dir", "x", *words]).method.boost == 3.0
        with pytest.raises(ConfigError, match=r"has no option 'bost': did you mean 'boost'\?"):
            spec(["--output_dir", "x", *given, "--method.bost", "3"])
