"""From prompts to a rollout: sample, observe the greedy branch, ask the reference, score."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedTokenizerBase

from gaard.method.groups import neighbours
from gaard.method.masking import last_token_mask
from gaard.method.sign_radius import group_distances
from gaard.methods.experience import Observation, Rollout, is_completion
from gaard.policy.branch import best_by_value, greedy_values
from gaard.policy.model import Policy, half_copy
from gaard.policy.sampling import Samples, rescored, sample, score_completions
from gaard.regularizers import Regularizer
from gaard.rewards.features import reward_features
from gaard.training.config import GAAConfig
from gaard.training.prompts import PromptBatch
from gaard.training.scoring import Scorer, decode


class Clock:
    """Wall-clock seconds of the parts of one step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._start = self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """End a part; what is still running on an accelerator counts as its own."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.laps[part] = self.laps.get(part, 0.0) + now - self._last
        self._last = now

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._start


@dataclass
class Collector:
    """What it takes to roll out one batch.

    Attributes:
        policy: The policy being trained, not wrapped.
        reference: The frozen policy that KL is measured to.
        untrained: The policy before training: the reference, unless that is reset.
        scorer: The rewards.
        tokenizer: The policy's.
        eos_token_ids: Token ids that end a completion.
        accelerator: Spreads rows over processes.
        config: The run's settings.
        half: The policy in bfloat16, made when first needed and filled anew for every rollout.
        baseline_scores: For each prompt met so far, what the untrained model's completions are paid.
    """

    policy: Policy
    reference: Policy
    untrained: Policy
    scorer: Scorer
    tokenizer: PreTrainedTokenizerBase
    eos_token_ids: list[int]
    accelerator: Accelerator
    config: GAAConfig
    half: Policy | None = field(default=None, init=False)
    baseline_scores: dict[tuple[str, ...], Tensor] = field(default_factory=dict, init=False)

    def collect(
        self, batch: PromptBatch, generator: torch.Generator, clock: Clock, observation: Observation
    ) -> Rollout:
        """Roll out a batch: this process its rows, then all together.

        Args:
            batch: Prompts of the whole batch.
            generator: Gives one number a token of the whole batch, the same on every process.
            clock: Stops the parts.
            observation: What has to be seen beside the samples.

        Returns:
            The whole batch's rollout, the same on every process.
        """
        shape = (len(batch.texts), self.config.max_completion_length)
        uniforms = torch.rand(shape, generator=generator, dtype=torch.float64)
        second = torch.rand(shape, generator=generator, dtype=torch.float64) if observation.random_token else None
        rows = shard(len(batch.texts), self.accelerator)
        own = batch.rows(rows.start, rows.stop)
        sampler = self._sampler()
        with sampler.packed(len(own.texts)):
            numbers = uniforms[rows], None if second is None else second[rows]
            samples = self._sample(sampler, own, *numbers, candidates=observation.candidates)
            clock.lap("sample")
            looks = observation.greedy_branch
            samples = best_by_value(sampler, samples) if looks and observation.candidates else samples
            branch = greedy_values(sampler, samples) if looks else torch.zeros_like(samples.values)
            clock.lap("branch")
        with self.accelerator.autocast():
            # In bfloat16 decoding and learning round differently, and a ratio of 1 would not be 1.
            samples = rescored(self.policy, samples) if self.config.bf16 else samples
            clock.lap("sample")
            ref_logprobs, ref_hidden = score_completions(self.reference, samples)
            clock.lap("reference")
        kept = {f.name: getattr(samples, f.name) for f in fields(samples) if f.name != "cache"}
        rollout = Rollout(
            **kept,
            greedy_values=branch,
            ref_logprobs=ref_logprobs,
            ref_hidden=ref_hidden if observation.reference_hidden else ref_hidden[..., :0],
            **self._scores(own, samples, observation),
        )
        rollout = self._with_distances(gathered(rollout, self.accelerator), own, samples, observation)
        self.scorer.logged = self.scorer.logged.gathered(self.accelerator)
        clock.lap("score")
        return rollout

    @torch.no_grad()
    def _sampler(self) -> Policy:
        """The policy as it samples: with bf16 a copy, cast once; autocast would cast every weight at every token."""
        if not self.config.bf16:
            return self.policy
        if self.half is None:
            self.half = half_copy(self.policy)
        for own, now in zip(self.half.parameters(), self.policy.parameters(), strict=True):
            own.copy_(now)
        return self.half

    def _sample(
        self,
        sampler: Policy,
        batch: PromptBatch,
        uniforms: Tensor,
        second: Tensor | None = None,
        candidates: int = 0,
    ) -> Samples:
        """One process's completions."""
        device = self.accelerator.device
        return sample(
            sampler,
            batch.ids.to(device),
            batch.mask.to(device),
            uniforms.to(device),
            self.eos_token_ids,
            int(self.tokenizer.pad_token_id or 0),
            None if second is None else second.to(device),
            candidates,
        )

    def _scores(self, batch: PromptBatch, samples: Samples, observation: Observation) -> dict[str, Tensor]:
        """Proxy, truth, hacks, what trains, and the same of texts that end on the greedy token or are a baseline."""
        device = self.accelerator.device
        texts, ids = decode(self.tokenizer, samples.completion_ids, samples.completion_mask)
        rows = {"prompts": batch.texts, "completion_ids": ids, "columns": batch.columns}
        scores = self.scorer.score(texts, **rows)
        known, which = {"proxy": scores.proxy, "true": scores.true}, self.config.trains_on
        trained = known[which] if isinstance(which, str) else self.scorer.again(which, completions=texts, **rows)
        looks, count = observation.greedy_branch, observation.baseline_completions
        baseline = [self._baseline(batch.rows(i, i + 1), count) for i in range(len(texts))] if count else []
        columns = {
            "scores": scores.proxy,
            "trained_scores": trained,
            "greedy_scores": self._greedy_scores(batch, samples, trained) if looks else trained,
            "part_scores": scores.parts,
            "true_scores": scores.true,
            "judge_scores": scores.judge,
            "hacked": scores.hacked,
            "baseline_scores": torch.stack(baseline) if count else trained.new_zeros(len(texts), 0),
            "feature_distances": torch.zeros_like(trained),
            "kept": torch.ones(len(texts), dtype=torch.bool),
        }
        return {name: column.to(device) for name, column in columns.items()}

    def _with_distances(
        self, rollout: Rollout, own: PromptBatch, samples: Samples, observation: Observation
    ) -> Rollout:
        """The whole batch's rollout, with the distances of the reward's features if they were asked for."""
        if not observation.reward_features:
            return rollout
        texts, _ = decode(self.tokenizer, samples.completion_ids, samples.completion_mask)
        features = reward_features(self.scorer.trained(self.config.trained_reward), own.texts, texts)
        whole = self.accelerator.gather(features.to(self.accelerator.device))
        groups = neighbours(whole, self.config.advantages.num_generations)
        return replace(rollout, feature_distances=group_distances(whole, groups))

    def _trained_scores(self, batch: PromptBatch, ids: Tensor, mask: Tensor) -> Tensor:
        """The reward that trains, before it is shaped, of other completions of some prompts; float32 [n]."""
        texts, rows = decode(self.tokenizer, ids, mask)
        return self.scorer.again(
            self.config.trains_on,
            completions=texts,
            prompts=batch.texts,
            completion_ids=rows,
            columns=batch.columns,
        )

    def _greedy_scores(self, batch: PromptBatch, samples: Samples, scores: Tensor) -> Tensor:
        """Scores with the last token replaced by the greedy one; asked only where that is another token."""
        last = last_token_mask(samples.completion_mask)
        ids = torch.where(last, samples.greedy_ids, samples.completion_ids)
        changed = (ids != samples.completion_ids).any(-1)
        if not changed.any():
            return scores
        chosen = batch.chosen(changed.nonzero().flatten().tolist())
        greedy = self._trained_scores(chosen, ids[changed], samples.completion_mask[changed])
        return scores.masked_scatter(changed.cpu(), greedy)

    def _baseline(self, row: PromptBatch, count: int) -> Tensor:
        """What completions of one prompt by the untrained model are paid; asked for once, and kept in checkpoints."""
        key = (row.texts[0], *(str(values[0]) for values in row.columns.values()))
        if key not in self.baseline_scores:
            digest = hashlib.sha256(repr((self.config.seed, key)).encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
            batch = row.unpadded().chosen([0] * count)
            shape = (count, self.config.max_completion_length)
            uniforms = torch.rand(shape, generator=generator, dtype=torch.float64)
            with self.untrained.packed(count):
                samples = self._sample(self.untrained, batch, uniforms)
            self.baseline_scores[key] = self._trained_scores(batch, samples.completion_ids, samples.completion_mask)
        return self.baseline_scores[key]


def shaped(rollout: Rollout, regularizers: Sequence[Regularizer], generator: torch.Generator) -> Rollout:
    """The rollout as the regularisers shape it: the rewards that train, and which completions are learned from.

    Args:
        rollout: As it was scored.
        regularizers: In their order; each sees what those before it made.
        generator: The run's, on the CPU, for those that draw.

    Returns:
        The rollout with other ``trained_scores``, ``greedy_scores`` and ``kept``.
    """
    for one in regularizers:
        rollout = one.shape(rollout, generator)
    return rollout


def gathered(rollout: Rollout, accelerator: Accelerator) -> Rollout:
    """The rollouts of all processes as one, the same on every process, in the order of the global batch.

    Args:
        rollout: Of this process.
        accelerator: Tells the processes.

    Returns:
        A rollout of all rows, completions padded to the longest of any process.
    """
    if accelerator.num_processes == 1:
        return rollout
    horizon = max(gather_object([rollout.completion_ids.shape[1]]))
    columns = {}
    for field_ in fields(rollout):
        x = getattr(rollout, field_.name)
        if is_completion(field_.name, x):
            x = pad(x, (0, 0) * (x.ndim - 2) + (0, horizon - x.shape[1]))
        columns[field_.name] = accelerator.gather(x.contiguous())
    return Rollout(**columns)


def shard(size: int, accelerator: Accelerator) -> slice:
    """This process's rows of ``size`` that every process knows."""
    share = size // accelerator.num_processes
    return slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)
