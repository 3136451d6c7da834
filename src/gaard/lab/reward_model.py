"""A reward model, small: a language model with a linear layer on the mean of its outputs, fitted to ratings."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gaard.models.loading import load_model_and_tokenizer
from gaard.rewards.human import HIGHEST, LOWEST
from gaard.rewards.learned import Ratings

DAMPING = 1.0  # of the ridge regression, a rating's share: best, or within 0.02 of it, for 50 to 800 ratings
BATCH = 64  # texts at once


class Reader(torch.nn.Module):
    """What a language model makes of texts: the mean of its last hidden states over a text's tokens.

    It reads the same texts once, however many ask: a proxy, the detector of its hacks, the members of an ensemble.

    Args:
        model: As for :func:`gaard.models.loading.load_model_and_tokenizer`.
    """

    def __init__(self, model: str):
        super().__init__()
        lm, self._tokenizer = load_model_and_tokenizer(model, quiet=True)
        self._tokenizer.padding_side = "right"
        self.body, self.width = lm.base_model, lm.config.hidden_size
        self._last: tuple[tuple[str, ...], Tensor] | None = None

    @torch.no_grad()
    def forward(self, texts: Sequence[str]) -> Tensor:
        """Outputs [N, D] of N texts; an empty one is one end of text."""
        asked, last = tuple(texts), self._last
        if last is None or last[0] != asked:
            filled = [text or self._tokenizer.eos_token for text in asked]
            parts = [self._read(filled[start : start + BATCH]) for start in range(0, len(filled), BATCH)]
            last = self._last = asked, torch.cat([torch.empty(0, self.width), *parts])
        return last[1]

    def _read(self, texts: list[str]) -> Tensor:
        batch = self._tokenizer(texts, padding=True, return_tensors="pt")
        hidden: Tensor = self.body(input_ids=batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        weights = batch.attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)


@lru_cache(maxsize=1)
def _reader(model: str) -> Reader:
    return Reader(model).eval()


class RewardModel:
    """What a language model makes of a text, taken linearly to a rating.

    The language model stays as it is; the layer is fitted by ridge regression on its standardised outputs. The reward
    has no bounds, as that of most reward models, and the units of `HumanReward`. It rates the completion alone.

    Args:
        ratings: N ≥ 2 rated texts that it is fitted to.
        model: As for :func:`gaard.models.loading.load_model_and_tokenizer`.
        damping: d; what is minimised is |Zw − y|² + d·N·|w|².
    """

    def __init__(self, ratings: Ratings, model: str = "pocket", damping: float = DAMPING):
        reader = _reader(model)
        with torch.random.fork_rng(devices=[]):  # its first weights are put away
            layer = torch.nn.Linear(reader.width, 1)
        weights, bias = _fitted(reader(ratings.texts).double().numpy(), np.array(ratings.values), damping)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weights / (HIGHEST - LOWEST)))
            layer.bias.fill_((bias - LOWEST) / (HIGHEST - LOWEST))
        self.model = torch.nn.Sequential(reader, layer).eval()
        self.name = f"{model} model with {len(ratings.texts)} ratings"

    @torch.no_grad()
    def __call__(self, *, completions: Sequence[str], **_: Any) -> list[float]:
        """Rate N completions.

        Args:
            completions: N texts.
            **_: Not read.

        Returns:
            N floats.
        """
        rewards: list[float] = self.model(completions).squeeze(-1).tolist()
        return rewards

    def features(self, *, completions: Sequence[str], **_: Any) -> np.ndarray:
        """What the reward is linear in: its gradient by the weights of its layer.

        Args:
            completions: N texts.
            **_: Not read.

        Returns:
            float32 [N, D].
        """
        outputs: np.ndarray = self.model[0](completions).numpy()
        return outputs

    def __repr__(self) -> str:
        return f"RewardModel({self.name!r})"


@lru_cache(maxsize=8)
def reward_model(ratings: Ratings) -> RewardModel:
    """The reward model of some ratings, on the pocket model; the same object each time."""
    return RewardModel(ratings)


def _fitted(outputs: np.ndarray, values: np.ndarray, damping: float) -> tuple[np.ndarray, float]:
    """Weights float64 [D] and bias of the ridge regression of N values on outputs [N, D], standardised."""
    mean, spread = outputs.mean(0), outputs.std(0) + 1e-6
    units = (outputs - mean) / spread
    square = units.T @ units + damping * len(values) * np.eye(len(mean))
    weights = np.linalg.solve(square, units.T @ (values - values.mean())) / spread
    return weights, float(values.mean() - mean @ weights)
