"""What the reward of a run pays for, on the run's page: what ``gaard find`` says of it."""

from dataclasses import dataclass
from typing import Any

from gaard.finder import sampled, search
from gaard.finder.words import CAPTION, HEADINGS, QUESTION, best_paid, calm, cells, claim, named
from gaard.report.run_files import RunFiles

TITLE = "What the reward pays for"
NOT_KEPT = "cannot tell: this run keeps no texts (log_completions=0); log_completions=8 keeps some"
NONE_YET = "cannot tell: no text is kept yet"


@dataclass(frozen=True)
class Found:
    """What there is to say of a run's texts.

    Attributes:
        answer: Whether something stands out, or why nobody can tell.
        alarm: What is alarming; None if nothing is.
        rows: ``cells``, a text below each heading, ``name``, and ``texts``, the best paid ones, of each pattern.
    """

    answer: str
    alarm: str | None = None
    rows: tuple[dict[str, Any], ...] = ()

    def section(self) -> dict[str, Any]:
        """As the page takes it, which escapes all texts."""
        parts = {"title": TITLE, "answer": self.answer, "caption": CAPTION.splitlines(), "headings": HEADINGS}
        return {**parts, "rows": self.rows}


def find_suspects(run: RunFiles) -> Found:
    """Look for patterns that the reward pays unusually well, as ``gaard find`` does.

    Args:
        run: The run; it may still be training.

    Returns:
        The answer and its rows; without rows where nothing is paid for beyond chance, or nobody can tell.
    """
    samples = run.samples()
    if not samples:
        return Found(_sentence(NOT_KEPT if run.config.get("log_completions") == 0 else NONE_YET))
    found, comparable = search(sampled(samples))
    alarm = claim(found)
    rows = tuple({"cells": cells(one), "name": named(one), "texts": best_paid(one)} for one in found)
    if alarm is None:
        return Found(_sentence(calm(found, comparable)), rows=rows)
    return Found(f"{_sentence(alarm)} {_sentence(QUESTION)}", _sentence(alarm), rows)


def _sentence(words: str) -> str:
    """With a capital letter and a full stop."""
    return f"{words[0].upper()}{words[1:]}."
