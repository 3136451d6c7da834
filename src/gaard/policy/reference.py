"""The frozen model that a policy is held near: a copy, or, where adapters train, the same model without them."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from gaard.errors import ModelError
from gaard.policy.model import Policy

# PEFT's ways to begin an adapter with values that it takes out of the weights that are adapted.
WEIGHT_CHANGING = ("pissa", "corda", "olora", "loftq", "lora_ga")
SEEN_TOKENS = 4
ROUNDING = 1e-5  # relative, of hidden states in float32


def frozen_reference(policy: Policy) -> Policy:
    """What the policy is before training.

    Args:
        policy: The policy, untrained.

    Returns:
        A frozen copy, which shares the weights that do not train; for a model with new PEFT adapters
        (``model.add_adapter(LoraConfig(…))``) the model itself, seen without them. With adapters neither takes a second
        model's memory.

    Raises:
        ModelError: If more than adapters trains, or they change the weights of the model itself or the projection to
            the vocabulary.
    """
    if has_adapters(policy.lm):
        _refuse_changed_weights(policy.lm)
        without = WithoutAdapters(policy)
        if _same_states(policy, without):
            return without
    return frozen_copy(policy)


def frozen_copy(policy: Policy) -> Policy:
    """A policy that stays what this one is now, until it is given other weights.

    Args:
        policy: The policy.

    Returns:
        A copy of what trains, on the same frozen weights.
    """
    shared = {id(weight): weight for weight in policy.parameters() if not weight.requires_grad}
    return copy.deepcopy(policy, shared).requires_grad_(False)


def _refuse_changed_weights(lm: PreTrainedModel) -> None:
    """That no adapter's first values were taken out of the weights that it adapts.

    The model without the adapter is then another than the user's, and so is what a saved adapter is put back on.
    """
    for config in lm.peft_config.values():
        way = getattr(config, "init_lora_weights", True)
        if isinstance(way, str) and way.lower().startswith(WEIGHT_CHANGING):
            raise ModelError(
                f"init_lora_weights={way!r} changes the weights of the model itself, so that neither the reference nor "
                "a saved adapter would belong to the model that you gave: use init_lora_weights=True, 'gaussian', "
                "'eva' or 'orthogonal'"
            )


@torch.no_grad()
def _same_states(policy: Policy, without: Policy) -> bool:
    """Whether adapters change nothing yet: those that were trained before do, and those drawn at random."""
    ids = torch.arange(SEEN_TOKENS, device=policy.lm.device)[None] % policy.lm.get_input_embeddings().weight.shape[0]
    seen, places = torch.ones_like(ids), torch.arange(SEEN_TOKENS, device=ids.device)[None]
    own, other = (x.hidden(ids, seen, places) for x in (policy, without))
    return bool((own - other).abs().max() <= ROUNDING * other.abs().max())


def has_adapters(lm: nn.Module) -> bool:
    """Whether PEFT adapters were added to a transformers model."""
    return bool(getattr(lm, "_hf_peft_config_loaded", False))


class WithoutAdapters(Policy):
    """A policy's model with its adapters switched off during each forward.

    Args:
        policy: The policy that trains them.
    """

    def __init__(self, policy: Policy):
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
