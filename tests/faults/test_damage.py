"""What is cut off, flipped, half renamed or gone: the run goes on to the same end, or says what to do."""

import errno
import json
import shutil
import warnings

import pyarrow.parquet as pq
import pytest
import torch
from kinds import of
from small import done, left, made

from gaard.errors import CheckpointError, ConfigError, GaardWarning
from gaard.report.page import write_page
from gaard.report.study_files import read_study_files
from gaard.training import checkpoint
from gaard.training.runlog import read_jsonl

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


def garbled(name, line):
    """One line in the middle has another content."""

    def damage(folder):
        lines = (folder / name).read_bytes().splitlines(keepends=True)
        (folder / name).write_bytes(b"".join([*lines[:1], line + b"\n", *lines[2:]]))

    return damage


LINES = {
    "metrics.jsonl with a line garbled": ("metrics.jsonl", b'{"step": 2, "rew#rd"}'),
    "samples.jsonl with a line garbled": ("samples.jsonl", b"\x00\x00\x00"),
    "evaluations.jsonl with a line nested without end": ("evaluations.jsonl", b"[" * 200_000),
    "warnings.jsonl with a row of another program": ("warnings.jsonl", b'{"a": 1}'),
}


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("kind", of("faults/test_damage.py::test_a_garbled_line_costs_no_other_line"))
def test_a_garbled_line_costs_no_other_line(kind, finished, stopped, tmp_path):
    folder, (name, line) = tmp_path / "run", LINES[kind]
    shutil.copytree(stopped, folder)
    if finished:
        done(folder)
    path = folder / name
    if not path.exists():  # nobody was warned
        path.write_text("".join(json.dumps({"step": 1, "warning": text}) + "\n" for text in ("a", "b", "c")))
    whole = path.read_bytes().splitlines(keepends=True)
    garbled(name, line)(folder)
    damaged = path.read_bytes()
    words = rf"{name} has 1 line\(s\) that no run wrote.*{name}\.damaged is the file as it was"
    with pytest.warns(GaardWarning, match=words):
        done(folder)
    assert (folder / f"{name}.damaged").read_bytes() == damaged
    kept, expected = path.read_bytes().splitlines(keepends=True), [*whole[:1], *whole[2:]]
    assert kept[: len(expected)] == expected
    assert len(read_jsonl(folder / "metrics.jsonl")) == 4 - ("metrics" in name)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        done(folder)
    assert not any("no run wrote" in str(one.message) for one in told)  # once is enough


MEASURES = {
    "evaluation.json cut off": cut("evaluation.json"),
    "evaluation.json with other JSON in it": replaced("evaluation.json", b"[1, 2]"),
    "evaluation.json without measures": replaced("evaluation.json", b"{}"),
    "evaluation.json with some measures": replaced("evaluation.json", b'{"true_reward": 0.5}'),
    "evaluation.json with a text in a measure's place": lambda folder: (folder / "evaluation.json").write_text(
        (folder / "evaluation.json").read_text().replace('"entropy": ', '"entropy": "x", "entropy_": ')
    ),
    "evaluation.json nested without end": replaced("evaluation.json", b"[" * 200_000),
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
    "run.json nested without end": (replaced("run.json", b"[" * 200_000), r"run\.json is not readable JSON"),
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


UNREAD = {
    "memory is exhausted while a checkpoint is read": (torch.OutOfMemoryError("out of memory"), "free memory"),
    "a disk fails while a checkpoint is read": (OSError(errno.EIO, "Input/output error"), "see to the disk"),
}


@pytest.mark.parametrize("kind", of("faults/test_damage.py::test_what_cannot_be_read_now_is_not_called_damaged"))
def test_what_cannot_be_read_now_is_not_called_damaged(kind, stopped, tmp_path, undisturbed, monkeypatch):
    """Else a user would delete it, or the run go on from an older one and leave the newer one behind."""
    folder, (failure, remedy), tried = tmp_path / "run", UNREAD[kind], []
    shutil.copytree(stopped, folder)
    before = {path: path.read_bytes() for path in (folder / "checkpoints").rglob("*") if path.is_file()}

    def failing(*given):
        tried.append(given)
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "load_weights", failing)
        words = f"step-000003 could not be read .*not say that it is damaged: {remedy}"
        with pytest.raises(CheckpointError, match=words):
            made(folder).train()
    assert len(tried) == 1  # and none before it
    assert {path: path.read_bytes() for path in (folder / "checkpoints").rglob("*") if path.is_file()} == before
    assert done(folder) == undisturbed


def test_a_damaged_checkpoint_is_set_aside_and_not_deleted(stopped, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(stopped, folder)
    cut("checkpoints/step-000003/policy.safetensors")(folder)
    with pytest.warns(GaardWarning, match="step-000003 is damaged"):
        made(folder, save_steps=99).training_step()
    trainer = made(folder, max_steps=9, save_steps=99)
    trainer.run.log.checkpoints.joinpath("step-000003").rename(trainer.run.log.checkpoints / "step-000008")
    with pytest.warns(GaardWarning, match="step-000008 is damaged"):
        trainer.training_step()
    trainer.run.save()
    assert {path.name for path in trainer.run.log.checkpoints.iterdir()} == {
        *("step-000002", "step-000003", "damaged-step-000008")
    }


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
