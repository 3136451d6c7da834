"""The place on a run's page for what looked too good: patterns of texts that the reward paid unusually well."""

from dataclasses import dataclass, field

from gaard.errors import ConfigError
from gaard.finder import Suspect, read_texts, suspects
from gaard.finder.words import CAPTION, HEADINGS, MEANT, calm, cells, named, outstanding
from gaard.report.run_files import RunFiles

TITLE = "What looked too good"
FIGURES = HEADINGS[2:]


@dataclass(frozen=True)
class Row:
    """One pattern.

    Attributes:
        name: In words.
        figures: Pairs of a heading and what stands under it.
        examples: The best paid texts that have it.
    """

    name: str
    figures: list[tuple[str, str]]
    examples: list[str]


@dataclass(frozen=True)
class LookedTooGood:
    """What ``gaard find`` says of a run, as its page shows it.

    Attributes:
        said: The answer in a sentence, or why there is none.
        alarm: The alarm as a sentence, if there is one.
        rows: The patterns, the one that stands out most first.
        title: Of the section.
        caption: What the figures mean.
    """

    said: str
    alarm: str | None = None
    rows: list[Row] = field(default_factory=list)
    title: str = TITLE
    caption: str = f"What gaard find prints, and the best paid texts. {'; '.join(CAPTION.splitlines())}."


def looked_too_good(run: RunFiles) -> LookedTooGood:
    """What a run's reward pays for, by the texts that it kept so far.

    Args:
        run: The run.

    Returns:
        What to show; without rows where there are no texts to compare.
    """
    try:
        found = suspects(read_texts(run.folder))
    except ConfigError:
        return LookedTooGood("Not known: the run has kept no two texts of one step (log_completions).")
    loud = outstanding(found)
    alarm = f"{loud[0].upper()}{loud[1:]}." if loud else None
    said = f"{alarm} {MEANT}." if alarm else f"{calm().capitalize()}."
    return LookedTooGood(said, alarm, [_row(one) for one in found])


def _row(one: Suspect) -> Row:
    """A pattern as the page has it."""
    figures = list(zip(FIGURES, cells(one)[2:], strict=True))
    return Row(named(one), figures, [" ".join(text.split()) for text in one.examples])
