"""A reward model in the usual form, small: a language model with a linear layer, fitted to ratings."""

import copy
from functools import lru_cache

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from gaard.models.loading import load_model_and_tokenizer
from gaard.rewards import ClassifierReward
from gaard.rewards.learned import Ratings

DAMPING = 1.0  # of the ridge regression, a rating's share: best, or within 0.02 of it, for 50 to 800 ratings
LOWEST, SPAN = -4.0, 8.0  # of ratings, so that the reward is in the units of `HumanReward`, where 0.5 is neither


@lru_cache(maxsize=8)
def reward_model(ratings: Ratings, model: str = "pocket", damping: float = DAMPING) -> ClassifierReward:
    """What a language model makes of the last token of a text, taken linearly to a rating.

    The language model stays as it is; the layer is fitted by ridge regression on its standardised outputs. The reward
    has no bounds, as that of most reward models. It rates the completion alone.

    Args:
        ratings: What it is fitted to.
        model: As for :func:`gaard.models.loading.load_model_and_tokenizer`.
        damping: d; what is minimised, over n ratings, is |Zw − y|² + d·n·|w|².

    Returns:
        The reward; the same object each time.
    """
    lm, tokenizer = load_model_and_tokenizer(model, quiet=True)
    config = copy.deepcopy(lm.config)
    config.num_labels = 1
    with torch.random.fork_rng(devices=[]):  # the weights that these draw are put away
        rater = AutoModelForSequenceClassification.from_config(config)
        layer = torch.nn.Linear(config.hidden_size, 1)
    rater.base_model.load_state_dict(lm.base_model.state_dict())
    rater.score = torch.nn.Identity()
    outputs = np.array([_last(rater.eval(), tokenizer(text).input_ids) for text in ratings.texts])
    weights, bias = _fitted(outputs, np.array(ratings.values), damping)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights / SPAN))
        layer.bias.fill_((bias - LOWEST) / SPAN)
    rater.score = layer
    reward = ClassifierReward(rater, tokenizer, output="logit")
    reward.name = f"{model} model with {len(ratings.texts)} ratings"
    return reward


@torch.no_grad()
def _last(rater: torch.nn.Module, ids: list[int]) -> list[float]:
    """What a model without its layer gives for the last token."""
    text = torch.tensor([ids])
    found: list[float] = rater(text, attention_mask=torch.ones_like(text)).logits[0].tolist()
    return found


def _fitted(outputs: np.ndarray, values: np.ndarray, damping: float) -> tuple[np.ndarray, float]:
    """Weights float64 [D] and bias of the ridge regression of N values on outputs [N, D], standardised."""
    mean, spread = outputs.mean(0), outputs.std(0) + 1e-6
    units = (outputs - mean) / spread
    square = units.T @ units + damping * len(values) * np.eye(len(mean))
    weights = np.linalg.solve(square, units.T @ (values - values.mean())) / spread
    return weights, float(values.mean() - mean @ weights)
