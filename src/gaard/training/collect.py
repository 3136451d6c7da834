"""From prompts to a rollout: sample, observe the greedy branch, ask the reference, score."""

import hashlib
import time
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from gaard.method.masking import last_token_mask
from gaard.policy.branch import best_by_value, greedy_values
from gaard.policy.model import PolicyWithValue, half_copy
from gaard.policy.sampling import Samples, rescored, sample, score_completions
from gaard.rewards import score
from gaard.training.config import GAAConfig
from gaard.training.experience import Rollout, observed
from gaard.training.judge import Judge, decode
from gaard.training.prompts import PromptBatch

RIVALS = 8  # completions of the untrained model that each prompt's are held against (PAR finds one enough)


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
        judge: The rewards.
        tokenizer: The policy's.
        eos_token_ids: Token ids that end a completion.
        accelerator: Spreads rows over processes.
        config: The run's settings.
        half: The policy in bfloat16, made when first needed and filled anew for every rollout.
        rivals: For each prompt met so far, what the untrained model's completions are paid.
    """

    policy: PolicyWithValue
    reference: PolicyWithValue
    untrained: PolicyWithValue
    judge: Judge
    tokenizer: PreTrainedTokenizerBase
    eos_token_ids: list[int]
    accelerator: Accelerator
    config: GAAConfig
    half: PolicyWithValue | None = field(default=None, init=False)
    rivals: dict[tuple[str, ...], Tensor] = field(default_factory=dict, init=False)

    def collect(self, batch: PromptBatch, generator: torch.Generator, clock: Clock) -> Rollout:
        """Roll out a batch: this process its rows, then all together.

        Args:
            batch: Prompts of the whole batch.
            generator: Gives one number a token of the whole batch, the same on every process.
            clock: Stops the parts.

        Returns:
            The whole batch's rollout, the same on every process.
        """
        size, horizon = len(batch.texts), self.config.max_completion_length
        uniforms = torch.rand(size, horizon, generator=generator, dtype=torch.float64)
        random = self.config.greedy_token == "random"
        second = torch.rand(size, horizon, generator=generator, dtype=torch.float64) if random else None
        rows = shard(size, self.accelerator)
        own = batch.rows(rows.start, rows.stop)
        sampler, looks = self._sampler(), self.config.reading.observes
        with sampler.packed(len(own.texts)):
            samples = self._sample(sampler, own, uniforms[rows], None if second is None else second[rows])
            clock.lap("sample")
            if self.config.greedy_token == "value":
                samples = best_by_value(sampler, samples)
            branch = greedy_values(sampler, samples) if looks else torch.zeros_like(samples.values)
            clock.lap("branch")
        with self.accelerator.autocast():
            # In bfloat16 decoding and learning round differently, and a ratio of 1 would not be 1.
            samples = rescored(self.policy, samples) if self.config.bf16 else samples
            clock.lap("sample")
            ref_logprobs, ref_hidden = score_completions(self.reference, samples)
            clock.lap("reference")
        rollout = observed(
            samples,
            greedy_values=branch,
            ref_logprobs=ref_logprobs,
            ref_hidden=ref_hidden if self.config.exact_kl else ref_hidden[..., :0],
            **self._scores(own, samples, looks),
        ).gathered(self.accelerator)
        clock.lap("score")
        return rollout

    @torch.no_grad()
    def _sampler(self) -> PolicyWithValue:
        """The policy as it samples: with bf16 a copy, cast once; autocast would cast every weight at every token."""
        if not self.config.bf16:
            return self.policy
        if self.half is None:
            self.half = half_copy(self.policy)
        for own, now in zip(self.half.parameters(), self.policy.parameters(), strict=True):
            own.copy_(now)
        return self.half

    def _sample(
        self, sampler: PolicyWithValue, batch: PromptBatch, uniforms: Tensor, second: Tensor | None = None
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
            self.config.greedy_candidates if self.config.greedy_token == "value" else 0,
        )

    def _scores(self, batch: PromptBatch, samples: Samples, looks: bool) -> dict[str, Tensor]:
        """Proxy, truth, hacks, what trains, and the same of the texts that end on the greedy token."""
        device = self.accelerator.device
        texts, ids = decode(self.tokenizer, samples.completion_ids, samples.completion_mask)
        scores = self.judge.score(texts, prompts=batch.texts, completion_ids=ids, columns=batch.columns)
        trained = scores.true if self.config.trained_reward == "true" else scores.proxy
        greedy = self._greedy_scores(batch, samples, trained) if looks else trained
        if self.config.reward_shaping == "par":
            rivals = torch.stack([self._rival_scores(batch.rows(i, i + 1)) for i in range(len(batch.texts))])
            trained, greedy = (torch.sigmoid(x[:, None] - rivals).mean(-1) for x in (trained, greedy))
        return {
            "scores": scores.proxy.to(device),
            "trained_scores": trained.to(device),
            "greedy_scores": greedy.to(device),
            "true_scores": scores.true.to(device),
            "gold_scores": scores.gold.to(device),
            "hacked": scores.hacked.to(device),
        }

    def _trained_scores(self, batch: PromptBatch, ids: Tensor, mask: Tensor) -> Tensor:
        """The reward that trains, before it is shaped, of other completions of some prompts; float32 [n]."""
        texts, rows = decode(self.tokenizer, ids, mask)
        trained = self.judge.true if self.config.trained_reward == "true" else self.judge.proxy
        return score(trained, completions=texts, prompts=batch.texts, completion_ids=rows, columns=batch.columns)

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

    def _rival_scores(self, row: PromptBatch) -> Tensor:
        """What completions of one prompt by the untrained model are paid; asked for once, and kept in checkpoints."""
        key = (row.texts[0], *(str(values[0]) for values in row.columns.values()))
        if key not in self.rivals:
            digest = hashlib.sha256(repr((self.config.seed, key)).encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
            shape = (RIVALS, self.config.max_completion_length)
            batch = row.unpadded().chosen([0] * RIVALS)
            uniforms = torch.rand(shape, generator=generator, dtype=torch.float64)
            with self.untrained.packed(RIVALS):
                samples = self._sample(self.untrained, batch, uniforms)
            self.rivals[key] = self._trained_scores(batch, samples.completion_ids, samples.completion_mask)
        return self.rivals[key]


def shard(size: int, accelerator: Accelerator) -> slice:
    """This process's rows of ``size`` that every process knows."""
    share = size // accelerator.num_processes
    return slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)
