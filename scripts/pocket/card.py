"""The pocket model's card."""

import textwrap
from pathlib import Path
from typing import Any

from language_model import POCKET

TEMPLATE = Path(__file__).with_name("card.md")
NAMES = {"people": "people's sentences", "written": "written reviews", "all": "both"}


def write_card(folder: Path, figures: dict[str, Any], samples: list[str], temperature: float) -> None:
    """Write README.md beside the model.

    Args:
        folder: The model's.
        figures: As ``figures.json`` has them.
        samples: Texts.
        temperature: That they were drawn at.
    """
    pocket, reward = figures["pocket"], figures["human_reward"]
    rows = [
        f"| {NAMES[part]} | {row['texts']:,} | **{row['pocket']:.1f}** | {row['five_grams_of_words']:.1f} | "
        f"{row['five_grams_of_tokens']:.1f} |"
        for part, row in pocket["perplexity"].items()
    ]
    text = TEMPLATE.read_text(encoding="utf-8").format(
        layers=POCKET.layers,
        width=POCKET.width,
        vocabulary=f"{pocket['vocabulary']:,}",
        parameters=pocket["parameters"] / 1e6,
        people_words=pocket["people_words"],
        written_words=pocket["written_words"],
        reviews=pocket["reviews"],
        seed=pocket["seed"],
        perplexities="\n".join(rows),
        sentences=reward["training_sentences"],
        n=reward["human"]["n"],
        human=correlation(reward["human"]),
        lexicon=correlation(reward["lexicon"]),
        temperature=temperature,
        samples="\n".join(
            in_lines(f"{number}. {' '.join(sample.split())}") for number, sample in enumerate(samples, 1)
        ),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def in_lines(item: str) -> str:
    """An item of a numbered list in lines that fit a screen."""
    indent = " " * (item.index(" ") + 1)
    return "\n".join(textwrap.wrap(item, 116, subsequent_indent=indent, break_on_hyphens=False))


def correlation(figure: dict[str, float]) -> str:
    """As ``r [low, high]``."""
    return f"{figure['r']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
