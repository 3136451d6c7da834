"""The measures of a policy on fresh completions."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from gaard.method.masking import masked_mean
from gaard.methods.experience import Observation, Rollout
from gaard.policy.model import Reference
from gaard.training.collect import Clock, Collector
from gaard.training.metrics import rollout_metrics
from gaard.training.prompts import PromptStream

MEASURES = (
    *("hack_rate", "hack_count", "true_reward", "judge_reward", "proxy_reward", "kl_untrained", "entropy"),
    *("completion_length", "distinct_1", "distinct_2", "untrained_perplexity"),
)
IF_DECLARED = {"hack_rate", "hack_count", "true_reward", "judge_reward"}  # of which a run may have none
EVALUATION_STREAM = 2**40  # keeps the seeds of evaluation apart from those of training


@torch.no_grad()
def evaluate(collector: Collector, prompts: PromptStream, completions: int, seed: int) -> dict[str, float]:
    """Sample afresh and measure; nothing of the training's state is touched.

    Args:
        collector: Policy, reference and rewards.
        prompts: The dataset; drawn from in an order of its own.
        completions: At least this many, in whole batches.
        seed: Of the samples.

    Returns:
        Each of ``MEASURES`` that is known: hacks, true and judge reward only where they were declared. All are means
        over completions but ``hack_count``, the number of hacks among them. ``kl_untrained`` is the exact KL to the
        untrained model, in nats a token, as is ``entropy``. ``distinct_n`` is the share of distinct n-grams of tokens
        among all. ``untrained_perplexity`` is a token's, under the untrained model.
    """
    collector = replace(collector, reference=collector.untrained)
    rows, ids, surprise = [], [], []
    for rollout in _rollouts(collector, prompts.fresh(), completions, seed):
        rows.append({**rollout_metrics(rollout), "kl_untrained": exact_kl(collector, rollout)})
        mask = rollout.completion_mask
        ids += [row[valid].tolist() for row, valid in zip(rollout.completion_ids, mask, strict=True)]
        surprise.append(-rollout.ref_logprobs[mask].double())
    measures = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
    measures["proxy_reward"] = measures["reward"]
    if "hack_rate" in measures:
        measures["hack_count"] = round(measures["hack_rate"] * len(ids))
    measures |= {f"distinct_{n}": distinct(ids, n) for n in (1, 2)}
    measures["untrained_perplexity"] = float(torch.cat(surprise).mean().exp())
    return {key: measures[key] for key in MEASURES if key in measures}


def are_measures(found: Any) -> bool:
    """Whether something that was read can be what :func:`evaluate` returned."""
    if not isinstance(found, dict) or not set(MEASURES) - IF_DECLARED <= found.keys() <= set(MEASURES):
        return False
    return all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in found.values())


def distinct(texts: Sequence[Sequence[int]], n: int) -> float:
    """Share of distinct n-grams among all n-grams of some texts (Li et al., arXiv 1510.03055).

    Args:
        texts: Token ids.
        n: Tokens a gram.

    Returns:
        In (0, 1]; 0 if no text has n tokens.
    """
    grams = [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


@torch.no_grad()
def exact_kl(collector: Collector, rollout: Rollout) -> float:
    """KL(π‖reference) over the whole vocabulary at the rollout's positions, nats a token."""
    batch, mask = rollout, rollout.completion_mask
    with collector.accelerator.autocast():
        statistics = collector.policy(
            batch.prompt_ids,
            batch.prompt_mask,
            batch.completion_ids,
            mask,
            batch.greedy_ids,
            Reference(batch.ref_hidden, collector.reference),
        )
    return float(masked_mean(statistics.kl, mask))


def _rollouts(collector: Collector, prompts: PromptStream, completions: int, seed: int) -> Iterator[Rollout]:
    """Batches of fresh samples until there are enough."""
    generator = torch.Generator().manual_seed(EVALUATION_STREAM + seed)
    size = collector.config.batch_size
    for _ in range(-(-completions // size)):
        seen = Observation(reference_hidden=True)
        yield collector.collect(prompts.draw(size, generator), generator, Clock(), seen)
