"""The completions that a run keeps for people to read, each token with what the method saw there."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from gaard.methods.experience import Experience, Rollout
from gaard.training.config import GAAConfig
from gaard.training.scoring import Scorer, decode
from gaard.training.update import weights

CONTEXT = 4  # tokens decoded before a token: some tokenizers drop the space of one that stands alone
DIGITS = 4
HALF = "\ufffd"  # what a letter that is not whole decodes to


def sample_rows(
    step: int,
    prompts: Sequence[str],
    experience: Experience,
    tokenizer: PreTrainedTokenizerBase,
    scorer: Scorer,
    config: GAAConfig,
) -> list[dict[str, Any]]:
    """The first completions of a step, for ``samples.jsonl``.

    Args:
        step: Its number.
        prompts: Of the whole batch.
        experience: The whole batch.
        tokenizer: The policy's.
        scorer: Knows where in a text a hack stands, and what its functions have logged of the whole batch.
        config: ``log_completions`` and the method.

    Returns:
        A row a completion; its ``tokens`` are columns of equal length (docs/metrics.md).
    """
    rollout, keep = experience.rollout, slice(config.log_completions)
    texts, ids = decode(tokenizer, rollout.completion_ids[keep], rollout.completion_mask[keep])
    columns = _token_columns(experience, config)
    rows = []
    for i, sampled in enumerate(ids):
        tokens: dict[str, list[Any]] = token_texts(tokenizer, sampled, experience.greedy_ids[i].tolist())
        tokens["hack"] = marked(tokens["text"], scorer.spans("".join(tokens["text"]), prompts[i]))
        tokens |= {name: _rounded(x[i, : len(sampled)]) for name, x in columns.items()}
        rows.append(
            {
                "step": step,
                "prompt": prompts[i],
                "completion": texts[i],
                **_scores(rollout, i),
                **({"extra": scorer.logged.row(i)} if scorer.logged.columns else {}),
                "tokens": tokens,
            }
        )
    return rows


def _scores(rollout: Rollout, i: int) -> dict[str, Any]:
    """What a completion was paid, and of truth and hack what is known."""
    row: dict[str, Any] = {"reward": float(rollout.scores[i])}
    if not rollout.true_scores[i].isnan():
        row["true_reward"] = float(rollout.true_scores[i])
    if not rollout.hacked[i].isnan():
        row["hacked"] = bool(rollout.hacked[i])
    return row


def _token_columns(experience: Experience, config: GAAConfig) -> dict[str, Tensor]:
    """What is known of every token, [B, T] each; a and b as if the whole rollout were one minibatch."""
    weight = weights(experience, config.method)
    columns = {"eta": experience.eta, "advantage": experience.advantages, "turned": experience.turned}
    columns |= {"a": weight.a, "b": weight.b}
    if config.method.observes.of_likely_tokens:
        columns |= {"sigma": experience.sigma, "greedy_advantage": experience.greedy_advantages}
    return columns


def _rounded(x: Tensor) -> list[float]:
    """As short as a reader needs them."""
    return [round(number, DIGITS) + 0.0 for number in x.double().tolist()]


def token_texts(
    tokenizer: PreTrainedTokenizerBase, sampled: Sequence[int], greedy: Sequence[int]
) -> dict[str, list[Any]]:
    """The text that each sampled token adds, and the one that the greedy token would have added in its place.

    Args:
        tokenizer: The policy's.
        sampled: Token ids of one completion.
        greedy: x*_t at the same places, and perhaps at more.

    Returns:
        As many entries as sampled tokens: ``text``, which joins to the decoded completion, special tokens by name; a
        letter of several tokens stands at the last of them; ``greedy``; ``other``, 1 where the two ids differ.
    """
    starts = [max(0, t - CONTEXT) for t in range(len(sampled))]
    before = [list(sampled[start:t]) for t, start in enumerate(starts)]
    contexts = _decoded(tokenizer, before)
    found: dict[str, list[Any]] = {}
    for name, tokens in (("text", sampled), ("greedy", greedy)):
        wholes = _decoded(tokenizer, [[*context, token] for context, token in zip(before, tokens, strict=False)])
        found[name] = [whole[len(context) :] for whole, context in zip(wholes, contexts, strict=True)]
    if any(HALF in text for text in found["text"]):
        found["text"] = _whole_letters(tokenizer, sampled)
    found["other"] = [int(token != x) for token, x in zip(sampled, greedy, strict=False)]
    return found


def _whole_letters(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """The text that each token adds, none until a letter is whole."""
    texts, begin = [], 0
    for t in range(len(ids)):
        start = max(0, begin - CONTEXT)
        context, whole = _decoded(tokenizer, [list(ids[start:begin]), list(ids[start : t + 1])])
        added = whole[len(context) :]
        open_letter = added.endswith(HALF) and t + 1 < len(ids)
        texts.append("" if open_letter else added)
        begin = begin if open_letter else t + 1
    return texts


def _decoded(tokenizer: PreTrainedTokenizerBase, rows: list[list[int]]) -> list[str]:
    """Special tokens included, nothing cleaned up."""
    return tokenizer.batch_decode(rows, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def marked(pieces: Sequence[str], spans: Sequence[tuple[int, int]]) -> list[int]:
    """Which pieces of a text stand in one of some spans.

    Args:
        pieces: The text, cut up.
        spans: Start and end in the whole text, in characters.

    Returns:
        1 or 0 a piece.
    """
    ends = torch.tensor([len(piece) for piece in pieces]).cumsum(0).tolist() if pieces else []
    starts = [0, *ends[:-1]]
    inside = [
        any(start < last and first < end for first, last in spans) for start, end in zip(starts, ends, strict=False)
    ]
    return [int(piece) for piece in inside]
