"""What is fed bad input: a function a reader. Each ends well or on one of gaard's own errors, and on nothing else."""

import contextlib
import io
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tests.tiny import tiny_trainer, word_tokenizer

from fuzz.inputs import ANSWER, EDITS, FIELDS, GGUF, RESULTS, ROWS, STATES, STEP_FILES, STUDY, VALUE, WORDS, YAML
from gaard.arguments import add_settings, check_options, given_settings, plain_parser
from gaard.errors import GaardError
from gaard.finder import read_texts, search
from gaard.lab.spec import RunSpec, check_given
from gaard.lab.study import read_study
from gaard.models.gguf_header import check_header
from gaard.report.page import write_page
from gaard.rewards import score
from gaard.training.checkpoint import OPTIMIZER, POLICY, STATE, checkpoints, load_checkpoint
from gaard.training.prompt_files import read_prompts
from gaard.training.prompts import PromptStream
from gaard.training.scoring import decode
from gaard.training.texts import token_texts
from gaard.yaml_files import read_mapping


@contextlib.contextmanager
def documented() -> Iterator[None]:
    """Let gaard's own errors pass, and no others; say nothing."""
    with warnings.catch_warnings(), contextlib.suppress(GaardError):
        warnings.simplefilter("ignore")
        yield


@cache
def scratch() -> Path:
    """A folder of this process."""
    folder = Path(tempfile.mkdtemp(prefix="gaard-fuzz-"))
    os.chdir(folder)
    return folder


def written(name: str, content: bytes | str) -> Path:
    """A file in that folder."""
    path = scratch() / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


# Settings, configuration files, studies -------------------------------------------------------------------------------


def settings(given: dict[str, Any]) -> None:
    """Fields of a run, as Python gives them."""
    with documented():
        RunSpec(**{"output_dir": str(scratch() / "run"), **given}).record()


def command_line(words: list[str]) -> None:
    """Words behind ``gaard train``."""
    scratch()
    with documented():
        parser = add_settings(plain_parser("train", "", "[--OPTION VALUE ...]"))
        check_options(words, ())
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):  # --help
            check_given(given_settings(parser.parse_args(words)))


def yaml_file(content: bytes) -> None:
    """A configuration file."""
    with documented():
        read_mapping(written("x.yaml", content), "x.yaml")


def study_file(content: Any) -> None:
    """A study, of keys that a study has."""
    text = content if isinstance(content, bytes) else json.dumps(content, default=str)
    path = written("study.yaml", text)
    with documented():
        read_study(path).specs(scratch() / "runs")


def prompt_file(case: tuple[str, bytes]) -> None:
    """A file of prompts."""
    with documented():
        PromptStream(read_prompts(str(written(f"prompts{case[0]}", case[1]))), tokenizer())


# Folders --------------------------------------------------------------------------------------------------------------


A_RUN = {"max_steps": 3, "save_steps": 1, "save_total_limit": 2, "log_completions": 4}


@cache
def a_run() -> Any:
    """A trainer that has saved two checkpoints, and its folder."""
    folder = scratch() / "whole"
    trainer = tiny_trainer(folder, **A_RUN)
    with documented():
        trainer.train()
        trainer.evaluated()
    return trainer, folder


def changed(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Bytes with parts cut out and others put in: place as a share, how many are cut, what is put there."""
    for share, cut, put in edits:
        place = int(share * len(content))
        content = content[:place] + put + content[place + cut :]
    return content


def copied(name: str, *without: str) -> Path:
    """The run's folder in a fresh copy, but for some of its files."""
    copy = scratch() / name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(a_run()[1], copy, ignore=shutil.ignore_patterns(*without))
    return copy


def copied_checkpoint() -> Path:
    """The run's newest checkpoint in a fresh copy, alone in its folder."""
    copy = scratch() / "copy" / "step-000003"
    shutil.rmtree(copy.parent, ignore_errors=True)
    shutil.copytree(checkpoints(a_run()[1] / "checkpoints")[0], copy)
    return copy


def loaded(checkpoint: Path) -> Any:
    """The state of a checkpoint, and its weights in the run's trainer."""
    trainer, _ = a_run()
    return load_checkpoint(checkpoint.parent, trainer.policy, trainer.state.optimizer, None, lambda text: None)


def sign(checkpoint: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint's state with the hash that belongs to it."""
    from gaard.training.checkpoint import _digest

    state = json.loads(json.dumps({key: value for key, value in state.items() if key != "sha256"}, default=str))
    (checkpoint / STATE).write_text(json.dumps({**state, "sha256": _digest(state)}))


def checkpoint(case: tuple[int, list[tuple[float, int, bytes]]]) -> None:
    """A checkpoint's file, changed."""
    copy = copied_checkpoint()
    files = sorted(copy.iterdir())
    file = files[case[0] % len(files)]
    before = file.read_bytes()
    file.write_bytes(changed(before, case[1]))
    with documented():
        loaded(copy)
        assert says(file, before) == says(file, file.read_bytes())  # else it is refused


def says(file: Path, content: bytes) -> Any:
    """What a file of a checkpoint says: JSON may be laid out otherwise."""
    if file.name == STATE:
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(content)
    return content


def signed_weights(case: tuple[str, int, str, float]) -> None:
    """A checkpoint with another number or tensor in it, with the hashes that belong to it."""
    from gaard.training.checkpoint import _sha256

    copy, (name, place, how, number) = copied_checkpoint(), case
    path = copy / name
    held = load_file(str(path))
    key = sorted(held)[place % len(held)]
    tensor = held.pop(key)
    others: dict[str, Callable[[], dict[str, torch.Tensor]]] = {
        "number": lambda: {key: torch.full_like(tensor, number) if tensor.is_floating_point() else tensor},
        "shape": lambda: {key: tensor.flatten()[:-1].clone()},
        "type": lambda: {key: tensor.to(torch.float64)},
        "gone": lambda: {},
        "more": lambda: {key: tensor, f"{key}.x": tensor.clone()},
    }
    save_file({**held, **others[how]()}, str(path))
    state = json.loads((copy / STATE).read_text())
    state["hashes"][name] = _sha256(path)
    sign(copy, state)
    with documented():
        loaded(copy)


def signed_state(case: tuple[str, Any]) -> None:
    """A checkpoint whose state says something else, with the hash that belongs to it."""
    from gaard.training.damage import told_of

    copy = copied_checkpoint()
    sign(copy, {**json.loads((copy / STATE).read_text()), case[0]: case[1]})
    with documented():
        found = loaded(copy)
        told_of(copy)(a_run()[0].state.restore)(found)


def edit(path: Path, edits: list[tuple[float, int, bytes]]) -> None:
    """A file with other bytes in it, whether it was there or not."""
    path.write_bytes(changed(path.read_bytes() if path.exists() else b"", edits))


def taken_up(case: tuple[str, list[tuple[float, int, bytes]]]) -> None:
    """A run whose folder has a changed file, gone on with: it ends, with each step that the log could keep."""
    copy = copied("taken-up")
    edit(copy / case[0], case[1])
    with documented():
        trainer = tiny_trainer(copy, **A_RUN | {"max_steps": 4})
        trainer.train()
        trainer.evaluated()
        assert trainer.run.finished
        assert trainer.run.log.read("metrics.jsonl")[-1]["step"] == 4


def results(case: tuple[str, list[tuple[float, int, bytes]]]) -> None:
    """A file of a run's folder, changed, and what reads it: the page, and ``gaard find``."""
    copy = copied("shown", "checkpoints")
    edit(copy / case[0], case[1])
    read_folder(copy)


def rows(case: tuple[str, int, str, Any]) -> None:
    """A row of a step file with another value under a key of its own, and what reads it."""
    copy, (name, line, key, value) = copied("shown", "checkpoints"), case
    path = copy / name
    found = [json.loads(one) for one in path.read_text().splitlines()] if path.exists() else []
    if not found:
        return
    row = found[line % len(found)]
    keys = sorted(row)
    row[keys[int(key) % len(keys)]] = value
    path.write_text("".join(json.dumps(one, default=str) + "\n" for one in found))
    read_folder(copy)


def study_results(content: Any) -> None:
    """A ``results.json``."""
    folder = scratch() / "study"
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(content if isinstance(content, str) else json.dumps(content, default=str))
    read_folder(folder)


def read_folder(folder: Path) -> None:
    """The page of a folder, and what its reward pays for."""
    with documented():
        write_page(folder, path=scratch() / "page.html")
    with documented():
        search(read_texts(folder))


# Rewards, tokenizers, models ------------------------------------------------------------------------------------------


def reward(answer: Any) -> None:
    """What a reward function answers; finite numbers or None come out, or an error."""
    texts = ["a", "b\x1b", "\ud800"]
    with documented():
        batch = {"prompts": texts, "completions": texts, "completion_ids": [[1]] * 3, "columns": {}}
        found = score(lambda completions, **_: answer, **batch)
        assert not found.isinf().any()  # NaN stands for None, "does not score"


@cache
def tokenizer() -> Any:
    """Whole words."""
    return word_tokenizer([f"w{i}" for i in range(29)])


@cache
def pocket() -> Any:
    """That of the model that ships: byte pairs."""
    from transformers import AutoTokenizer

    from gaard.models.aliases import embedded_folder

    return AutoTokenizer.from_pretrained(embedded_folder("pocket"))


def prompts(given: list[Any]) -> None:
    """Prompts of any kind."""
    for one in (tokenizer(), pocket()):
        with documented():
            PromptStream(given, one)


def tokens(ids: list[int]) -> None:
    """Tokens in any order: texts of them, each token's own part, which together are the whole."""
    one = pocket()
    ids = [i % len(one) for i in ids]
    with documented():
        decode(one, torch.tensor([ids], dtype=torch.long), torch.ones(1, len(ids), dtype=torch.bool))
        token_texts(one, ids, ids)


def gguf(content: bytes) -> None:
    """The header of a GGUF file; a ValueError is what its reader makes an error of."""
    with contextlib.suppress(ValueError):
        check_header(written("x.gguf", b"GGUF" + content))


FILES = [POLICY, OPTIMIZER]
HOW = st.sampled_from(["number", "shape", "type", "gone", "more"])
TARGETS: dict[str, tuple[Callable[[Any], None], st.SearchStrategy[Any]]] = {
    "settings": (settings, st.dictionaries(st.sampled_from(FIELDS), VALUE, max_size=4)),
    "command-line": (command_line, st.lists(WORDS, max_size=6)),
    "yaml": (yaml_file, st.binary(max_size=60) | YAML),
    "study": (study_file, STUDY | st.binary(max_size=60)),
    "prompt-file": (prompt_file, st.tuples(st.sampled_from([".txt", ".jsonl", ".csv", ".parquet"]), ROWS)),
    "checkpoint": (checkpoint, st.tuples(st.integers(0, 9), EDITS)),
    "signed-weights": (signed_weights, st.tuples(st.sampled_from(FILES), st.integers(0, 99), HOW, st.floats(width=32))),
    "taken-up": (taken_up, st.tuples(st.sampled_from(STEP_FILES), EDITS)),
    "signed-state": (signed_state, st.tuples(st.sampled_from(STATES), VALUE)),
    "results": (results, st.tuples(st.sampled_from(STEP_FILES), EDITS)),
    "rows": (rows, st.tuples(st.sampled_from(STEP_FILES[:4]), st.integers(0, 9), st.integers(0, 40).map(str), VALUE)),
    "study-results": (study_results, RESULTS | st.text(max_size=20)),
    "reward": (reward, ANSWER),
    "prompts": (prompts, st.lists(VALUE | st.dictionaries(st.sampled_from(["prompt", "a"]), VALUE), max_size=3)),
    "tokens": (tokens, st.lists(st.integers(0, 2**20), max_size=24)),
    "gguf": (gguf, GGUF),
}  # fmt: skip
