"""Runs that are killed inside of what they do and started again; ``make kills`` prints how many came through.

A process tells when it enters the place where it is to die. The parent sends SIGKILL after a random part of the time
that the place takes.
"""

import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gaard.lab.summary
import gaard.training.outcome
import gaard.training.run
from forked import FORKS
from gaard.lab.compare import compare
from gaard.lab.study import study_of_settings
from gaard.training.checkpoint import _is_whole, checkpoints
from gaard.training.lock import LOCK
from tiny import WORDS, tiny_config, tiny_trainer, word_tokenizer, words_reward

SMALLEST = {"batch_size": 4, "num_mini_batches": 1, "num_ppo_epochs": 1, "max_completion_length": 4}
RUN = {**SMALLEST, "max_steps": 10, "save_steps": 2, "eval_steps": 3, "eval_completions": 4, "method": "ppo"}
SAME = ("metrics.jsonl", "samples.jsonl", "evaluations.jsonl", "evaluation.json", "model/model.safetensors")
# Place → what of the trainer, or of its modules, is called there.
PLACES: dict[str, Callable[[Any], tuple[Any, str]]] = {
    "a rollout": lambda trainer: (trainer.collector, "collect"),
    "an update": lambda trainer: (trainer, "update"),
    "a metrics line": lambda trainer: (trainer.run, "write_step"),
    "a checkpoint's writing": lambda trainer: (gaard.training.run, "save_checkpoint"),
    "an evaluation": lambda trainer: (gaard.training.outcome, "evaluate"),
    "taking a run up again": lambda trainer: (trainer.run, "open"),
    "the model's saving": lambda trainer: (trainer, "save_model"),
}
RESULTS = "the writing of a study's results"
CALLS = {"taking a run up again": 1, "the model's saving": 1, "an evaluation": 2, RESULTS: 3}  # of which one; else 3
REWARD = "def score(completions, **_):\n    return [len(set(text.split())) / 4 for text in completions]\n"


def drawing(completions, **_):
    """A reward with some chance in it, drawn from the global generator."""
    chances = torch.rand(len(completions)).tolist()
    return [score + 0.2 * chance for score, chance in zip(words_reward(completions), chances, strict=True)]


def study_files(folder: Path) -> dict[str, Any]:
    """A tiny model and a reward in a folder, and the settings of a run of them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reward.py").write_text(REWARD)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(tiny_config("gpt2")).save_pretrained(folder / "model")
    word_tokenizer(WORDS).save_pretrained(folder / "model")
    return settings_of(folder)


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings."""
    own = {"model": str(folder / "model"), "prompts": ["w1 w2"], "reward_funcs": [f"{folder}/reward.py:score"]}
    return {**own, **SMALLEST, "eval_completions": 4, "use_cpu": True, "progress": False}


# In the process that dies ---------------------------------------------------------------------------------------------


def told(owner: Any, name: str, tell: Any, at: int) -> None:
    """Tell when the call of that number is entered and left, and how long each took."""
    plain, calls = getattr(owner, name), Counter()

    def watched(*given, **keywords):
        calls[name] += 1
        if calls[name] == at:
            tell.send(("in", None))
        began = time.perf_counter()
        result = plain(*given, **keywords)
        tell.send(("out", time.perf_counter() - began))
        return result

    setattr(owner, name, watched)


def train(folder: Path, place: str | None, at: int, tell: Any) -> None:
    """What ``gaard train`` does, with each checkpoint told once it is saved."""
    torch.set_num_threads(1)
    plain = gaard.training.run.save_checkpoint

    def save(*given, **keywords):
        path = plain(*given, **keywords)
        tell.send(("saved", int(path.name[5:])))
        return path

    gaard.training.run.save_checkpoint = save
    trainer = tiny_trainer(folder, reward=drawing, **RUN)
    torch.manual_seed(7)  # what the reward draws from
    if place:
        told(*PLACES[place](trainer), tell, at)
    trainer.train()
    trainer.save_model(folder / "model")
    trainer.evaluated()
    tell.send(("done", None))


def study(folder: Path, place: str | None, at: int, tell: Any) -> None:
    """A study of three runs, whose results are written four times."""
    torch.set_num_threads(1)
    if place:
        told(gaard.lab.summary, "write", tell, at)
        gaard.lab.compare.write = gaard.lab.summary.write
    compare(study_of_settings({**settings_of(folder.parent), "max_steps": 1}, ["ppo", "fold"], [0]), folder)
    tell.send(("done", None))


# In the one that kills ------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What came of the kills.

    Attributes:
        kills: Place → how many.
        inside: Of them, those that came before the place was left.
        runs: Compared with the undisturbed one.
        different: Of them, with what they differ in.
    """

    kills: Counter = field(default_factory=Counter)
    inside: int = 0
    runs: int = 0
    different: list[str] = field(default_factory=list)


def attempt(work: Callable[..., None], folder: Path, place: str | None, at: int, delay: float) -> list[tuple[str, Any]]:
    """One process, killed so long after it entered the place; all that it told, the last of it before it died."""
    tells, tell = FORKS.Pipe(duplex=False)
    process, heard = FORKS.Process(target=work, args=(folder, place, at, tell)), []
    process.start()
    tell.close()
    with contextlib.suppress(EOFError):
        while True:
            heard.append(tells.recv())
            if heard[-1][0] == "in":
                time.sleep(delay)
                process.kill()
    process.join()
    assert process.exitcode in (0, -9), f"exit {process.exitcode} in {folder}: {heard}"
    return heard


def check_saved(folder: Path, saved: int) -> None:
    """Nothing that was told to be saved is lost."""
    whole = [path for path in checkpoints(folder / "checkpoints") if _is_whole(path)]
    newest = max((int(path.name[5:]) for path in whole), default=0)
    assert newest >= saved, f"{folder}: step {saved} was saved, {newest} is there"


def kill(
    work: Callable[..., None],
    places: list[str],
    undisturbed: Callable[[Path], Any],
    folder: Path,
    kills: int,
    seed: int = 0,
) -> Report:
    """So many kills, in places by turns, along as many runs as it takes; each run in the end equals the first."""
    report, moments, number = Report(), random.Random(seed), 0
    expected = reached = None
    takes = dict.fromkeys(places, 0.02)  # seconds
    attempt(work, folder / "whole", None, 0, 0.0)
    expected, reached = undisturbed(folder / "whole"), folder / "run-0"
    saved = 0
    while True:
        done = report.kills.total() >= kills
        place = None if done else places[report.kills.total() % len(places)]
        at = moments.randint(1, CALLS.get(place, 3))
        heard = attempt(work, reached, place, at, moments.uniform(0, takes.get(place, 0)))
        saved = max([saved, *(step for what, step in heard if what == "saved")])
        if work is train:
            check_saved(reached, saved)
        lasted = [seconds for what, seconds in heard if what == "out"]
        if place and lasted:
            takes[place] = lasted[-1]
        if ("done", None) in heard:
            report.runs += 1
            if undisturbed(reached) != expected:
                report.different.append(str(reached))
            if done:
                return report
            number, saved = number + 1, 0
            reached = folder / f"run-{number}"
        else:
            report.kills[place] += 1
            report.inside += heard[-1][0] == "in"


def run_left(folder: Path) -> dict[str, bytes]:
    """What is to be equal of a run."""
    assert not (folder / LOCK).exists()
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"step-000008", "step-000010"}
    return {name: (folder / name).read_bytes() for name in SAME}


def study_left(folder: Path) -> tuple[Any, Any]:
    """The same of a study, without what the clock said."""
    results = json.loads((folder / "results.json").read_text())
    for scenario in results["scenarios"].values():
        for arm in scenario["arms"].values():
            arm.pop("seconds_per_step", None)
    for run in results["runs"]:
        run["measures"].pop("seconds_per_step", None)
    return results, pq.read_table(folder / "runs.parquet").drop_columns("seconds_per_step").to_pylist()


def kill_runs(folder: Path, kills: int, seed: int = 0) -> Report:
    """Runs."""
    return kill(train, list(PLACES), run_left, folder, kills, seed)


def kill_studies(folder: Path, kills: int, seed: int = 0) -> Report:
    """Studies."""
    study_files(folder)
    return kill(study, [RESULTS], study_left, folder, kills, seed)


def main(kills: int = 200, seed: int = 0) -> int:
    """So many kills at moments of that seed, a tenth of them of studies; prints what came of them."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as there:
        of_studies = kills // 10
        reports = [kill_runs(Path(there) / "runs", kills - of_studies, seed)]
        reports.append(kill_studies(Path(there) / "studies", of_studies, seed))
    total = sum((report.kills for report in reports), Counter())
    for place, count in total.items():
        print(f"{count:4} in {place}")
    different = [one for report in reports for one in report.different]
    inside, runs = (sum(getattr(report, name) for report in reports) for name in ("inside", "runs"))
    print(
        f"{total.total()} kills, {inside} of them before the place was left; {runs} runs and studies compared, ", end=""
    )
    print(f"{len(different)} different from the undisturbed one; {time.monotonic() - began:.0f} s")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
