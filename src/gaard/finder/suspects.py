"""The patterns that a reward pays for, the one that stands out most first."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gaard.errors import ConfigError
from gaard.finder.evidence import Evidence, evidence
from gaard.finder.patterns import Pattern, occurrences
from gaard.method.groups import numbered
from gaard.training.damage import shown
from gaard.training.runlog import SAMPLES, read_jsonl

BAR = 3.0  # standard deviations; chosen in studies/22-finder
ROWS = 10
EXAMPLES = 3
END = 0.1  # part of the steps that counts as early, and as late
AGAIN = 4  # texts of a prompt from which on what it is paid is known; less would take too much of what a word is paid
ROUNDS = 50  # in which means of steps and prompts settle
SPREAD = 0.75  # share of the last texts from which on a pattern is not one of some prompts alone


@dataclass(frozen=True)
class SampledText:
    """A completion of a training step.

    Attributes:
        step: In which it was sampled.
        completion: Its text.
        reward: What it was paid.
        prompt: Of which prompt it is; texts of no prompt are of the same.
    """

    step: int
    completion: str
    reward: float
    prompt: str = ""


@dataclass(frozen=True)
class Suspect:
    """A pattern that is paid for.

    The gap is between texts of the same step that have in common which of the patterns above they have: what an earlier
    row explains does not count again.

    Attributes:
        pattern: What the texts have.
        texts: How many have it.
        early: Share of the texts in the first tenth of the steps that have it.
        late: The same in the last tenth.
        gap: How much more they were paid than texts without it, in standard deviations of the pay of these; infinite
            where these are all paid the same.
        error: Standard error of the gap; NaN where the gap is infinite.
        at_least: Lower end of the gap; those of all patterns that were compared hold together with 95%.
        examples: The best paid texts that have it.
        beyond_prompts: Whether it cannot be that merely the prompts of these texts are paid better. Where prompts come
            again, that is taken off the pay. Else the pattern must have come into three quarters of the last texts, and
            must have stood out by ``BAR`` while less than half of a step's texts had it.
    """

    pattern: Pattern
    texts: int
    early: float
    late: float
    gap: float
    error: float
    at_least: float
    examples: tuple[str, ...]
    beyond_prompts: bool = True


class Search(NamedTuple):
    """What came of a search.

    Attributes:
        rows: What the texts were paid for.
        comparable: Whether at least one pattern could be compared: some texts of a step have it and others lack it,
            often enough, and their pay differs.
    """

    rows: list[Suspect]
    comparable: bool


def suspects(texts: Sequence[SampledText]) -> list[Suspect]:
    """What the texts were paid for.

    Args:
        texts: Of one run; two or more a step.

    Returns:
        At most ten patterns whose texts were paid more beyond chance, in the order in which they stand out.
    """
    return search(texts).rows


def search(texts: Sequence[SampledText]) -> Search:
    """What the texts were paid for, and whether they can show it.

    Args:
        texts: Of one run; two or more a step.

    Returns:
        The rows of :func:`suspects`; without any, it takes texts that can be compared for that to say something.
    """
    texts = [text for text in texts if math.isfinite(text.reward)]
    if not texts:
        return Search([], False)
    found = occurrences([text.completion for text in texts])
    step = np.unique([text.step for text in texts], return_inverse=True)[1]
    reward, prompt = np.array([text.reward for text in texts]), np.array(numbered(text.prompt for text in texts))
    come_again = bool(np.median(np.bincount(prompt)[prompt]) >= AGAIN)
    if come_again:
        reward = _less_what_prompts_are_paid(reward, step, prompt)
    rows: list[Suspect] = []
    part, comparable = step, False
    while found.patterns and len(rows) < ROWS:
        seen = evidence(found, part, reward)
        comparable |= not np.isnan(seen.at_least).all()
        best = int(np.argmax(np.nan_to_num(seen.at_least, nan=-np.inf)))
        if not seen.at_least[best] > 0:
            break
        has = np.isin(np.arange(len(texts)), found.text[found.pattern == best])
        row = _suspect(found.patterns[best], has, seen, best, texts, step)
        if not come_again:
            while_rare = evidence(found, part, reward, rare=True).at_least[best]
            row = replace(row, beyond_prompts=bool(row.late >= SPREAD and while_rare >= BAR))
        rows.append(row)
        part = np.unique(2 * part + has, return_inverse=True)[1]
    return Search(rows, comparable)


def _less_what_prompts_are_paid(reward: np.ndarray, step: np.ndarray, prompt: np.ndarray) -> np.ndarray:
    """Pay beside that of the step and of the prompt: some prompts are easier, and their texts have words in common.

    Taking off the one shifts the other, where steps have other prompts: least squares, by turns.
    """
    for group in (step, prompt) * ROUNDS:
        reward = reward - (np.bincount(group, reward) / np.bincount(group))[group]
    return reward


def _suspect(
    pattern: Pattern, has: np.ndarray, seen: Evidence, number: int, texts: Sequence[SampledText], step: np.ndarray
) -> Suspect:
    """One row; ``has`` tells which texts have the pattern."""
    end = max(1, round(END * (step.max() + 1)))
    best_paid = sorted(compress(texts, has), key=lambda text: -text.reward)
    spread = seen.spread[number]
    return Suspect(
        pattern=pattern,
        texts=int(has.sum()),
        early=float(has[step < end].mean()),
        late=float(has[step > step.max() - end].mean()),
        gap=float(seen.gap[number] / spread) if spread else math.inf,
        error=float(seen.error[number] / spread) if spread else math.nan,
        at_least=float(seen.at_least[number]),
        examples=tuple(dict.fromkeys(text.completion for text in best_paid))[:EXAMPLES],
    )


def alarm(found: Sequence[Suspect]) -> bool:
    """Whether the first row stands out further than graded quality did in runs without a hack.

    Args:
        found: As :func:`suspects` returns them.

    Returns:
        True if its gap is ``BAR`` standard deviations at the least, and it is not the prompts' doing.
    """
    return bool(found) and found[0].at_least >= BAR and found[0].beyond_prompts


def read_texts(folder: Path) -> list[SampledText]:
    """The sampled texts of a run.

    Args:
        folder: The run's.

    Returns:
        A text a line of its ``samples.jsonl``.

    Raises:
        ConfigError: If the folder holds none, or fewer than two a step.
    """
    rows = read_jsonl(folder / SAMPLES)
    if not rows:
        raise ConfigError(f"{folder / SAMPLES} holds no texts: name the folder of a run with log_completions above 0")
    with shown(folder):
        texts = sampled(rows)
    if len({text.step for text in texts}) == len(texts):
        raise ConfigError(
            f"{folder / SAMPLES} has one text a step, and texts are compared within a step: train with "
            "log_completions=8"
        )
    return texts


def sampled(rows: Iterable[Mapping[str, Any]]) -> list[SampledText]:
    """The texts in rows of a ``samples.jsonl``.

    Args:
        rows: A text each.

    Returns:
        As many.
    """
    return [
        SampledText(int(row["step"]), str(row["completion"]), float(row["reward"]), _words(row["prompt"]))
        for row in rows
    ]


def _words(prompt: object) -> str:
    """A prompt, or a conversation, as one text."""
    return prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False)
