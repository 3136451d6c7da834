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


class Rater(torch.nn.Module):
    """A language model without its head, and a linear layer.

    Args:
        body: Token ids [B, T] and mask [B, T] → ``last_hidden_state`` [B, T, D].
        layer: [D] → 1.
    """

    def __init__(self, body: torch.nn.Module, layer: torch.nn.Linear):
        super().__init__()
        self.body, self.layer = body, layer

    def outputs(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The body's last hidden states, their mean over a text's tokens, [B, D]."""
        hidden: Tensor = self.body(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Rewards [B]."""
        rewards: Tensor = self.layer(self.outputs(ids, mask)).squeeze(-1)
        return rewards


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
        lm, self.tokenizer = load_model_and_tokenizer(model, quiet=True)
        self.tokenizer.padding_side = "right"
        with torch.random.fork_rng(devices=[]):  # its first weights are put away
            self.model = Rater(lm.base_model, torch.nn.Linear(lm.config.hidden_size, 1)).eval()
        outputs = torch.cat([self.model.outputs(*batch) for batch in self._batches(ratings.texts)])
        weights, bias = _fitted(outputs.detach().double().numpy(), np.array(ratings.values), damping)
        with torch.no_grad():
            self.model.layer.weight.copy_(torch.from_numpy(weights / (HIGHEST - LOWEST)))
            self.model.layer.bias.fill_((bias - LOWEST) / (HIGHEST - LOWEST))
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
        return [reward for batch in self._batches(completions) for reward in self.model(*batch).tolist()]

    def _batches(self, texts: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        """Token ids and masks; an empty text is one end of text."""
        filled = [text or self.tokenizer.eos_token for text in texts]
        encoded = [
            self.tokenizer(filled[start : start + BATCH], padding=True, return_tensors="pt")
            for start in range(0, len(filled), BATCH)
        ]
        return [(batch.input_ids, batch.attention_mask) for batch in encoded]

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
