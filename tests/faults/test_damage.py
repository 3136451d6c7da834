"""What is cut off, flipped, half renamed or gone: the run goes on to the same end, or says what to do."""

import json
import shutil
import warnings

import pyarrow.parquet as pq
import pytest
from kinds import of
from small import done, left, made

from gaard.errors import CheckpointError, ConfigError
from gaard.report.page import write_page
from gaard.report.study_files import read_study_files

# Files of a run that is stopped after step 3 -------------------------------------------------------------------------


def cut(name, lost=7):
    """The last bytes are lost."""

    def damage(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-lost])

    return damage


def ending(name, content):
    """Bytes are added."""

    def damage(folder):
        path = folder / name
        path.write_bytes((path.read_bytes() if path.exists() else b"") + content)

    return damage


def replaced(name, content):
    """Another content."""

    def damage(folder):
        (folder / name).write_bytes(content)

    return damage


def half_renamed(folder):
    """A checkpoint that was killed while it was written, and a file of which the same is true."""
    newest = folder / "checkpoints" / "step-000003"
    shutil.copytree(newest, folder / "checkpoints" / ".step-000004.tmp")
    (folder / "checkpoints" / ".step-000004.tmp" / "state.json").unlink()
    (folder / ".run.json.tmp").write_text('{"confi')


def swapped(folder):
    """The weights of another step under this one's name."""
    one, other = (folder / "checkpoints" / f"step-{step}" / "policy.safetensors" for step in ("000003", "000002"))
    shutil.copy(other, one)


def renamed(folder):
    """A checkpoint under the name of another step, as a copy by hand may have it."""
    (folder / "checkpoints" / "step-000003").rename(folder / "checkpoints" / "step-000004")


DAMAGES = {
    "metrics.jsonl cut off in a line": ending("metrics.jsonl", b'{"step": 4, "lo'),
    "metrics.jsonl with lines of steps that no checkpoint has": ending("metrics.jsonl", b'{"step": 4}\n{"step": 5}\n'),
    "samples.jsonl with bytes that are no text": ending("samples.jsonl", b'\xff\xfe\x00{"step"'),
    "evaluations.jsonl cut off in a line": ending("evaluations.jsonl", b'{"step": 6'),
    "timings.jsonl emptied": replaced("timings.jsonl", b""),
    "evaluation.json of an earlier end": replaced("evaluation.json", b'{"true_reward": 9.0}'),
    "a checkpoint and a file half renamed": half_renamed,
    "weights of another step in a checkpoint": swapped,
    "a checkpoint under another step's name": renamed,
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped") / "run"
    trainer = made(folder)
    for _ in range(3):
        trainer.training_step()
    trainer.run.close()
    return folder


@pytest.mark.parametrize("kind", of("faults/test_damage.py::test_a_damaged_run_goes_on_to_the_same_end"))
def test_a_damaged_run_goes_on_to_the_same_end(kind, stopped, tmp_path, undisturbed):
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    DAMAGES[kind](folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert done(folder) == undisturbed


MEASURES = {
    "evaluation.json cut off": cut("evaluation.json"),
    "evaluation.json with other JSON in it": replaced("evaluation.json", b"[1, 2]"),
    "evaluation.json gone": lambda folder: (folder / "evaluation.json").unlink(),
}


@pytest.mark.parametrize("kind", of("faults/test_damage.py::test_lost_measures_are_taken_again"))
def test_lost_measures_are_taken_again(kind, tmp_path, undisturbed):
    done(tmp_path)
    MEASURES[kind](tmp_path)
    trainer = made(tmp_path)
    trainer.evaluated()
    assert left(tmp_path, trainer) == undisturbed


REFUSALS = {
    "run.json cut off": (cut("run.json"), r"run\.json is not readable JSON.*use another output_dir or --overwrite"),
    "run.json of another program": (replaced("run.json", b'{"a": 1}'), r"is not a run's record: use an output_dir"),
    "run.json that is no text": (replaced("run.json", b"\xff\xfe"), r"run\.json is not readable JSON"),
}


@pytest.mark.parametrize("kind", of("faults/test_damage.py::test_a_damage_that_cannot_be_mended_is_named"))
def test_a_damage_that_cannot_be_mended_is_named(kind, stopped, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    damage, words = REFUSALS[kind]
    damage(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=words):
        made(folder).train()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


# Files of a study -----------------------------------------------------------------------------------------------------


def flipped(name):
    """One bit in the middle."""

    def damage(folder):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return damage


STUDIES = {
    "results.json cut off": cut("results.json", 40),
    "results.json with other JSON in it": replaced("results.json", b"[]"),
    "results.json with a bit flipped": flipped("results.json"),
    "results.json gone": lambda folder: (folder / "results.json").unlink(),
    "runs.parquet cut off": cut("runs.parquet", 40),
    "runs.parquet with a bit flipped": flipped("runs.parquet"),
    "runs.parquet half renamed": lambda folder: (folder / "runs.parquet").rename(folder / "runs.tmp"),
    "results.json half renamed": lambda folder: (folder / "results.json").rename(folder / ".results.json.tmp"),
}


@pytest.mark.parametrize("kind", of("faults/test_damage.py::test_damaged_results_are_made_again_from_the_runs"))
def test_damaged_results_are_made_again_from_the_runs(kind, carried_out, tmp_path):
    whole, again = carried_out
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    STUDIES[kind](folder)
    if "cut off" in kind and "results" in kind:
        with pytest.raises(ConfigError, match="the same gaard compare again writes it anew"):
            write_page(folder)
    again(folder)
    assert (folder / "results.json").read_bytes() == (whole / "results.json").read_bytes()
    assert pq.read_table(folder / "runs.parquet") == pq.read_table(whole / "runs.parquet")
    assert not list(folder.glob("*.tmp")) or "half renamed" in kind
    assert read_study_files(folder).finished
    assert json.loads((folder / "results.json").read_text())["runs"]
