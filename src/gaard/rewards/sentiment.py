"""Sentiment of a text by the VADER lexicon: a reward without a model, the same on every machine."""

import functools
from collections.abc import Sequence
from typing import Any

from gaard.extras import need


@functools.lru_cache(maxsize=1)
def _analyzer() -> Any:
    """The one analyzer of the process: reading its lexicon takes longer than scoring a batch."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


class LexiconSentiment:
    """VADER's compound sentiment, rescaled from [-1, 1] to [0, 1]: `(compound + 1) / 2`.

    A text without any word of the lexicon, the empty one included, is neutral: 0.5.

    Source: Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text",
    ICWSM 2014.

    Args:
        include_prompt: Score prompt and completion as one text; the completion alone otherwise.

    Raises:
        MissingExtra: The extra ``train`` is not installed, which brings the lexicon.
    """

    name = "lexicon"

    def __init__(self, *, include_prompt: bool = False) -> None:
        need("train", "the reward 'lexicon'", "vaderSentiment")
        self.include_prompt = include_prompt

    def __call__(self, *, prompts: Sequence[str], completions: Sequence[str], **_: Any) -> list[float]:
        """Score a batch.

        Args:
            prompts: N texts, read only with `include_prompt`.
            completions: N texts.
            **_: Not read.

        Returns:
            N numbers in [0, 1]: 0 most negative, 0.5 neutral, 1 most positive.
        """
        texts = [p + c for p, c in zip(prompts, completions, strict=True)] if self.include_prompt else completions
        return [(_analyzer().polarity_scores(text)["compound"] + 1) / 2 for text in texts]

    def __repr__(self) -> str:
        return f"LexiconSentiment(include_prompt={self.include_prompt})"
