"""A Hugging Face causal LM, with a value head on its own trunk (G2) or none, read through its last hidden state.

The vocabulary is projected in chunks of positions, and only at valid ones, so nothing of size
batch × length × vocabulary is ever held, with or without gradients.
"""

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache

from gaard.method import projection
from gaard.method.masking import distinct_prompts, position_ids
from gaard.method.projection import Projection, TokenFigures
from gaard.policy import kernels
from gaard.policy.recomputation import recomputed
from gaard.policy.statistics import TokenStatistics, scatter

CHUNK_ELEMENTS = 2**24  # logits held at once, in numbers: 64 MB in float32
VALUE_HEAD_STD = 1e-3  # near zero, so that the first advantages are the rewards' own; not zero, so that it is generic


class Policy(nn.Module):
    """A policy, and its critic on the same trunk unless it has none.

    Args:
        lm: Any decoder-only ``AutoModelForCausalLM``. Put in evaluation mode for good: dropout would make the old
            and the new log-probabilities disagree.
        temperature: The one temperature of sampling and of every log-probability.
        cpu_kernels: Whether a CPU uses the faster kernels of :mod:`gaard.policy.kernels`, one of which changes the
            model; equal but for rounding.
        critic: Whether there is a value head.
    """

    def __init__(self, lm: PreTrainedModel, temperature: float = 1.0, cpu_kernels: bool = False, critic: bool = True):
        super().__init__()
        self.lm = kernels.fused(lm) if cpu_kernels else lm
        self.temperature, self.cpu_kernels = temperature, cpu_kernels
        self.cap: float | None = getattr(lm.config.get_text_config(), "final_logit_softcapping", None)  # of logits
        size, wide = lm.get_output_embeddings().weight.shape[1], torch.promote_types(lm.dtype, torch.float32)
        self.value_head = nn.Linear(size, 1, dtype=wide, device=lm.device) if critic else None
        self.eval()

    def train(self, mode: bool = True) -> "Policy":
        """Stay in evaluation mode whatever is asked: dropout stays off."""
        return super().train(False)

    def initialize_value_head(self, generator: torch.Generator) -> None:
        """Draw the value head near zero, if there is one.

        Args:
            generator: On the CPU; the only source of randomness.
        """
        if self.value_head is None:
            return
        weight = torch.randn(self.value_head.weight.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            self.value_head.weight.copy_(weight * VALUE_HEAD_STD)
            self.value_head.bias.zero_()

    @property
    def critic(self) -> nn.Module:
        """The value head, or a module without parameters."""
        return self.value_head or nn.Identity()

    @property
    def trunk(self) -> nn.Module:
        """The decoder below the vocabulary projection."""
        # Llama 4's text model has the prefix of the model with images, and its trunk under another name.
        trunk = getattr(self.lm, self.lm.base_model_prefix, None)
        return self.lm.model if trunk is None else trunk

    def hidden(self, ids: Tensor, attention_mask: Tensor, positions: Tensor, cache: Cache | None = None) -> Tensor:
        """Last hidden states.

        Args:
            ids: int64 [B, L].
            attention_mask: [B, past + L], or a whole mask [B, 1, L, past + L].
            positions: int64 [B, L].
            cache: Keys and values of what came before; grows by L.

        Returns:
            [B, L, D].
        """
        return self.trunk(
            input_ids=ids,
            attention_mask=attention_mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def free_mask(self, mask: Tensor) -> Tensor:
        """A mask of who sees whom, in the form that the model's attention takes.

        Args:
            mask: bool [B, 1, L, past + L].

        Returns:
            The mask itself, or what eager attention adds to its scores.
        """
        if self.lm.config._attn_implementation != "eager":
            return mask
        return torch.zeros(mask.shape, dtype=self.lm.dtype, device=mask.device).masked_fill(
            ~mask, torch.finfo(self.lm.dtype).min
        )

    def values(self, hidden: Tensor) -> Tensor:
        """V, one a position (G2), in at least float32 whatever the trunk computes in; zeros without a critic.

        Args:
            hidden: [..., D].

        Returns:
            [...].
        """
        if self.value_head is None:
            return hidden.new_zeros(hidden.shape[:-1], dtype=torch.promote_types(hidden.dtype, torch.float32))
        with torch.autocast(hidden.device.type, enabled=False):
            return self.value_head(hidden.to(self.value_head.weight.dtype)).squeeze(-1)

    @property
    def projection(self) -> Projection:
        """The map from hidden states to logits, at the run's temperature."""
        head = self.lm.get_output_embeddings()
        product = kernels.product if self.cpu_kernels else projection.rows_by_matrix
        return Projection(head.weight, head.bias, self.temperature, self.cap, product)

    def packed(self, rows: int) -> AbstractContextManager[None]:
        """For as long as weights stand still and no gradient is recorded: linear layers packed, with the kernels.

        Args:
            rows: Rows that are multiplied at once, about.

        Returns:
            A context.
        """
        return kernels.packed(self.lm, rows) if self.cpu_kernels else nullcontext()

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits of the whole vocabulary over the run's temperature, without a gradient.

        Args:
            hidden: [N, D].

        Returns:
            [N, V], at least float32.
        """
        logits = self.lm.get_output_embeddings()(hidden)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return projection.capped(wide, self.cap).div_(self.temperature)

    def completion_hidden(
        self, prompt_ids: Tensor, prompt_mask: Tensor, completion_ids: Tensor, mask: Tensor
    ) -> Tensor:
        """Hidden states from which each completion token is predicted.

        Without a gradient, distinct prompts are read once. With one, prompt and completion go through together: weights
        used twice would have their whole gradient made twice, which takes longer than to read a short prompt again.

        Args:
            prompt_ids: int64 [B, P], left-padded.
            prompt_mask: bool [B, P].
            completion_ids: int64 [B, T].
            mask: bool [B, T], valid completion tokens.

        Returns:
            [B, T, D]; entry t has seen x_<t.
        """
        valid = torch.cat([prompt_mask, mask[:, :-1]], dim=1)
        length = prompt_ids.shape[1]
        if torch.is_grad_enabled():
            whole = torch.cat([prompt_ids, completion_ids[:, :-1]], dim=1)
            with recomputed(self.lm):
                return self.hidden(whole, valid.long(), position_ids(valid))[:, length - 1 :]
        cache = DynamicCache()
        ids, attention, rows = distinct_prompts(prompt_ids, prompt_mask)
        first = self.hidden(ids, attention.long(), position_ids(attention), cache)[rows, -1:]
        if completion_ids.shape[1] == 1:
            return first
        cache.batch_select_indices(rows)
        positions = position_ids(valid)[:, length:]
        return torch.cat([first, self.hidden(completion_ids[:, :-1], valid.long(), positions, cache)], dim=1)

    def forward(
        self,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        completion_ids: Tensor,
        completion_mask: Tensor,
        greedy_ids: Tensor,
        reference: "Reference | None" = None,
        with_entropy: bool = False,
    ) -> TokenStatistics:
        """The learning forward: one pass of the trunk, then the vocabulary in chunks.

        Args:
            prompt_ids: int64 [B, P], left-padded.
            prompt_mask: bool [B, P].
            completion_ids: int64 [B, T].
            completion_mask: bool [B, T].
            greedy_ids: int64 [B, T], x*_t.
            reference: The frozen model's hidden states and projection, for the exact KL.
            with_entropy: Whether the entropy is wanted.

        Returns:
            Statistics with gradients to trunk and value head.
        """
        hidden = self.completion_hidden(prompt_ids, prompt_mask, completion_ids, completion_mask)
        rows = hidden[completion_mask]
        tokens, greedy = completion_ids[completion_mask], greedy_ids[completion_mask]
        frozen = None if reference is None else (reference.hidden[completion_mask], reference.policy.projection)
        figures = self.token_figures(rows, tokens, greedy, frozen, with_entropy)
        logprobs, greedy_logprobs, entropy, kl = (scatter(figure, completion_mask) for figure in figures)
        values = scatter(self.values(rows), completion_mask)
        return TokenStatistics(logprobs, greedy_logprobs, values, entropy, kl)

    def logprobs(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities of several tokens after each hidden state, without a gradient.

        Args:
            rows: [N, D].
            tokens: int64 [N, k].

        Returns:
            [N, k].
        """
        if not tokens.numel():
            return rows.new_zeros(tokens.shape)
        parts = zip(rows.split(self.chunk_rows), tokens.split(self.chunk_rows), strict=True)
        return torch.cat([self.logits(some).log_softmax(-1).gather(-1, ids) for some, ids in parts])

    @property
    def chunk_rows(self) -> int:
        """Positions whose logits are held at once."""
        return max(1, CHUNK_ELEMENTS // self.lm.get_output_embeddings().weight.shape[0])

    def token_figures(
        self,
        rows: Tensor,
        tokens: Tensor,
        greedy: Tensor,
        reference: tuple[Tensor, Projection] | None = None,
        with_entropy: bool = False,
    ) -> TokenFigures:
        """What the distributions after hidden states say of tokens, a chunk of rows at a time.

        Args:
            rows: [N, D].
            tokens: int64 [N].
            greedy: int64 [N].
            reference: Hidden states [N, D] and projection of the frozen model, for the exact KL.
            with_entropy: Whether the entropy is wanted.

        Returns:
            The figures, each [N].
        """
        parts = []
        for chunk in torch.arange(len(rows), device=rows.device).split(self.chunk_rows):
            frozen = None if reference is None else (reference[0][chunk], reference[1])
            arguments = (rows[chunk], self.projection, tokens[chunk], greedy[chunk], frozen, with_entropy)
            alone = len(chunk) == len(rows)  # a single chunk is small: keep it rather than compute it again
            parts.append(
                projection.token_figures(*arguments)
                if alone or not torch.is_grad_enabled()
                else checkpoint(projection.token_figures, *arguments, use_reentrant=False)
            )
        return TokenFigures(*(torch.cat(column) for column in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Reference:
    """The frozen model at a batch's positions: its hidden states, and itself for the projection.

    Attributes:
        hidden: [B, T, D], kept instead of the logits, which are V/D times as large.
        policy: The frozen policy.
    """

    hidden: Tensor
    policy: Policy


def half_copy(policy: Policy) -> Policy:
    """The policy with its language model in bfloat16, for sampling; the value head stays as it is.

    Args:
        policy: The policy.

    Returns:
        A frozen copy.
    """
    half = copy.deepcopy(policy).requires_grad_(False)
    half.lm.to(torch.bfloat16)
    return half
