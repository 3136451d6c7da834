"""The typed batch that a rollout leaves behind and that the updates are made from."""

from dataclasses import dataclass, fields, replace

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.nn.functional import pad

from gaard.policy.sampling import Samples


@dataclass(frozen=True)
class Rollout:
    """One rollout of the whole batch over all processes; [B, T] unless said otherwise.

    Attributes:
        prompt_ids: int64 [B, P], left-padded.
        prompt_mask: bool [B, P].
        completion_ids: int64.
        completion_mask: bool.
        logprobs: log π_old(x_t).
        ref_logprobs: log π_ref(x_t).
        ref_hidden: [B, T, D], the reference's hidden states, or [B, T, 0] if no exact KL is asked for.
        entropy: Nats.
        greedy_ids: int64, x*_t.
        greedy_logprobs: log π_old(x*_t).
        values: V(x_<t).
        greedy_values: V(x_<t, x*_t); zeros if the method does not look.
        scores: [B], the proxy reward as returned.
        trained_scores: [B], what trains: the proxy, shaped, or the truth.
        greedy_scores: [B], the same with the last token replaced by the greedy one.
        true_scores: [B], the true reward.
        gold_scores: [B], the gold reward; NaN without a gold judge.
        hacked: bool [B], whether the detector fired.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    completion_ids: Tensor
    completion_mask: Tensor
    logprobs: Tensor
    ref_logprobs: Tensor
    ref_hidden: Tensor
    entropy: Tensor
    greedy_ids: Tensor
    greedy_logprobs: Tensor
    values: Tensor
    greedy_values: Tensor
    scores: Tensor
    trained_scores: Tensor
    greedy_scores: Tensor
    true_scores: Tensor
    gold_scores: Tensor
    hacked: Tensor

    def rows(self, index: Tensor) -> "Rollout":
        """Some of the batch.

        Args:
            index: int64 [b].

        Returns:
            A rollout of those rows.
        """
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def until(self, horizon: int) -> "Rollout":
        """The first ``horizon`` completion tokens of every row."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return Rollout(**{key: x[:, :horizon] if _is_completion(key, x) else x for key, x in columns.items()})

    def gathered(self, accelerator: Accelerator) -> "Rollout":
        """The rollouts of all processes as one, the same on every process, in the order of the global batch.

        Args:
            accelerator: Tells the processes.

        Returns:
            A rollout of all rows, completions padded to the longest of any process.
        """
        if accelerator.num_processes == 1:
            return self
        horizon = max(gather_object([self.completion_ids.shape[1]]))
        columns = {}
        for field in fields(self):
            x = getattr(self, field.name)
            if _is_completion(field.name, x):
                x = pad(x, (0, 0) * (x.ndim - 2) + (0, horizon - x.shape[1]))
            columns[field.name] = accelerator.gather(x.contiguous())
        return Rollout(**columns)


def _is_completion(name: str, x: Tensor) -> bool:
    """Whether a field's second dimension counts completion tokens."""
    return x.ndim > 1 and not name.startswith("prompt")


@dataclass(frozen=True)
class Experience:
    """A rollout with its advantages; [B, T], the whole batch.

    Attributes:
        rollout: What was sampled.
        advantages: A(x_t), as the surrogate uses them.
        greedy_advantages: A(x*_t), on the same scale.
        returns: Targets of the value head.
        eta: η_t = π_old(x*_t) (G6).
        sigma: σ_t, the gap (G6).
        turned: bool, where ``advantage_fold`` made a good advantage a bad one.
    """

    rollout: Rollout
    advantages: Tensor
    greedy_advantages: Tensor
    returns: Tensor
    eta: Tensor
    sigma: Tensor
    turned: Tensor

    def rows(self, index: Tensor) -> "Experience":
        """Some of the batch, cut to its longest completion.

        Args:
            index: int64 [b].

        Returns:
            An experience of those rows.
        """
        rollout = self.rollout.rows(index)
        horizon = int(rollout.completion_mask.sum(-1).max())
        columns = {f.name: getattr(self, f.name)[index, :horizon] for f in fields(self) if f.name != "rollout"}
        return Experience(rollout=rollout.until(horizon), **columns)


def observed(samples: Samples, **columns: Tensor) -> Rollout:
    """Join what sampling kept with what was scored and observed after it.

    Args:
        samples: Of this process.
        columns: The other fields of :class:`Rollout`.

    Returns:
        This process's part of the rollout.
    """
    spent = ("cache", "candidate_ids", "candidate_logprobs")
    kept = {f.name: getattr(samples, f.name) for f in fields(samples) if f.name not in spent}
    return Rollout(**kept, **columns)


def minibatches(size: int, parts: int, generator: torch.Generator) -> list[Tensor]:
    """A random partition of the batch's rows, the same on every process.

    Args:
        size: Rows.
        parts: Minibatches; divides ``size``.
        generator: The run's, on the CPU.

    Returns:
        ``parts`` index tensors, int64 [size / parts].
    """
    return list(torch.randperm(size, generator=generator).chunk(parts))
