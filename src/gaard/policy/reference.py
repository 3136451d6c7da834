"""The frozen model that a policy is held near: a copy, or, where adapters train, the same model without them."""

import copy
from typing import Any

from torch import Tensor, nn

from gaard.errors import ModelError
from gaard.policy.model import PolicyWithValue


def frozen_reference(policy: PolicyWithValue) -> PolicyWithValue:
    """What the policy is before training.

    Args:
        policy: The policy, untrained.

    Returns:
        A frozen copy; for a model with PEFT adapters (``model.add_adapter(LoraConfig(…))``) the model itself, seen
        without them, which takes no second model's memory.

    Raises:
        ModelError: If more than adapters trains, or they change the projection to the vocabulary.
    """
    if not has_adapters(policy.lm):
        return copy.deepcopy(policy).requires_grad_(False)
    return WithoutAdapters(policy)


def moving_reference(untrained: PolicyWithValue) -> PolicyWithValue:
    """A reference that can become another policy than the untrained one.

    Args:
        untrained: As :func:`frozen_reference` gives it; stays.

    Returns:
        A frozen copy.

    Raises:
        ModelError: For a model with adapters, whose reference is the model without them.
    """
    if isinstance(untrained, WithoutAdapters):
        raise ModelError(
            "reference_reset_steps needs a reference of its own, and with adapters it is the model without them: leave "
            "one of the two out"
        )
    return copy.deepcopy(untrained)


def has_adapters(lm: nn.Module) -> bool:
    """Whether PEFT adapters were added to a transformers model."""
    return bool(getattr(lm, "_hf_peft_config_loaded", False))


class WithoutAdapters(PolicyWithValue):
    """A policy's model with its adapters switched off during each forward.

    Args:
        policy: The policy that trains them.
    """

    def __init__(self, policy: PolicyWithValue):
        super().__init__(policy.lm, policy.temperature, policy.cpu_kernels)
        self.lm.disable_adapters()
        others = [name for name, parameter in self.lm.named_parameters() if parameter.requires_grad]
        self.lm.enable_adapters()
        if others:
            raise ModelError(
                f"beside its adapters the model trains {others[0]}: freeze it, or leave modules_to_save out of the "
                "adapter's configuration, since the reference is the model without its adapters"
            )
        if hasattr(self.lm.get_output_embeddings(), "base_layer"):
            raise ModelError(
                "an adapter changes the projection to the vocabulary, which the reference shares: leave it out of "
                "target_modules"
            )

    def hidden(self, *arguments: Any, **keywords: Any) -> Tensor:
        """As the policy's, without the adapters."""
        self.lm.disable_adapters()
        try:
            return super().hidden(*arguments, **keywords)
        finally:
            self.lm.enable_adapters()
