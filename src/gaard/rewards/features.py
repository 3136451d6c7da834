"""The features that a reward is linear in, for methods that ask how sure the reward is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gaard.errors import ConfigError
from gaard.rewards.combination import CombinedReward
from gaard.rewards.exploitable import ExtraPay, ScaledReward
from gaard.rewards.imperfect import ImperfectReward, LengthBias
from gaard.rewards.protocol import reward_name
from gaard.rewards.shaping import words


def has_features(function: Any) -> bool:
    """Whether :func:`features_of` can tell the features of a reward function."""
    if isinstance(function, CombinedReward):
        return all(has_features(one) for one in function.functions)
    if isinstance(function, ScaledReward):
        return has_features(function.base)
    if isinstance(function, (ExtraPay, LengthBias)):
        return has_features(function.true_reward)
    if isinstance(function, ImperfectReward):
        return has_features(function.proxy)
    return callable(getattr(function, "features", None))


def check_features(function: CombinedReward, method: str) -> None:
    """Refuse a reward without features before anything is trained.

    Args:
        function: What trains.
        method: The name of what asks, for the message.

    Raises:
        ConfigError: Naming the reward.
    """
    missing = [reward_name(one) for one in function.functions if not has_features(one)]
    if missing:
        raise ConfigError(
            f"method {method!r} asks a reward for the features that it is linear in, and {missing[0]!r} tells none: "
            "use one such as HumanReward, give yours a method features(prompts=…, completions=…) that returns [N, D] "
            "numbers, or take another method"
        )


def reward_features(function: CombinedReward, prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
    """The gradient of a reward by the weights of its last, linear layer, text by text.

    Args:
        function: What trains.
        prompts: N texts.
        completions: N texts.

    Returns:
        float32 [N, D].
    """
    return torch.from_numpy(np.ascontiguousarray(features_of(function, prompts, completions), dtype=np.float32))


def features_of(function: Any, prompts: Sequence[str], completions: Sequence[str]) -> np.ndarray:
    """The same of any reward function that :func:`has_features`; [N, D].

    A sum has the weights of all its functions. Extra pay is one feature more, whose weight is the bonus; where it
    takes the place of the honest reward, the features of that count for nothing. What likes length has the number of
    words beside those of the honest reward.
    """
    if isinstance(function, CombinedReward):
        pairs = zip(function.weights, function.functions, strict=True)
        return np.concatenate([weight * features_of(one, prompts, completions) for weight, one in pairs], axis=1)
    if isinstance(function, ScaledReward):
        return function.weight * features_of(function.base, prompts, completions)
    if isinstance(function, ExtraPay):
        honest = features_of(function.true_reward, prompts, completions)
        paid = np.array([[function.pay(value, text) for value in (0.0, 1.0)] for text in completions], dtype=float)
        return np.concatenate([honest * (paid[:, 1:] - paid[:, :1]), paid[:, :1] / (function.bonus or 1.0)], axis=1)
    if isinstance(function, ImperfectReward):
        return features_of(function.proxy, prompts, completions)
    if isinstance(function, LengthBias):
        lengths = np.array([[len(words(text))] for text in completions], dtype=float)
        return np.concatenate([features_of(function.true_reward, prompts, completions), lengths], axis=1)
    return np.asarray(function.features(prompts=prompts, completions=completions))
