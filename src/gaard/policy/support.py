"""Refuses, before any training time is spent, a model that gaard would get wrong."""

from collections.abc import Sequence
from inspect import signature

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from gaard.errors import ModelError
from gaard.method.masking import position_ids
from gaard.policy.branch import greedy_hidden
from gaard.policy.model import Policy
from gaard.policy.sampling import Samples, rescored, sample

WINDOWS = ("sliding_window", "window_size", "attention_window", "attention_chunk_size")  # what configurations call them
TRIAL_TOKENS = 4
TOLERANCE = 0.02  # relative; rounding stays well below it in float32, a wrong position or mask far above
HEAD_TOLERANCE = 1e-4  # relative; of one product made twice from the same numbers


def check_supported(
    policy: Policy,
    longest_prompt: tuple[str, int],
    completion: int,
    prompts: Sequence[Sequence[int]] = (),
) -> None:
    """Check that the model learns, that its context is long enough, and that gaard computes with it what itself does.

    Args:
        policy: The policy.
        longest_prompt: What names it in a message, and its tokens.
        completion: Tokens of the longest completion.
        prompts: Token ids of all prompts.

    Raises:
        ModelError: If no weight learns, a prompt has a token that the model does not embed, the context is too short,
            positions or attention are of a kind that the greedy branch cannot use, or a trial finds that logits,
            cached decoding or the greedy branch are not what plain forwards give.
    """
    config = policy.lm.config
    if not any(parameter.requires_grad for parameter in policy.lm.parameters()):
        raise ModelError(
            "no parameter of the model requires a gradient, so that the critic alone would learn: unfreeze it "
            "(model.requires_grad_(True)), or add an adapter (model.add_adapter(LoraConfig(…)))"
        )
    _check_embedded(policy, prompts)
    _check_context(config, longest_prompt, completion)
    if config._attn_implementation not in ("sdpa", "eager"):
        raise ModelError(
            f"attn_implementation={config._attn_implementation!r} takes no free attention mask, which the greedy "
            "branch needs: load the model with attn_implementation='sdpa'"
        )
    fault = _kind_fault(policy)
    try:
        fault = fault or _trial(policy, longest_prompt[1] + completion)
    except Exception as error:
        fault = f"a trial on a few tokens gave {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if fault:
        raise ModelError(
            f"gaard cannot train {config.model_type} models: {fault}. Decoder-only attention models with absolute or "
            "rotary positions work (GPT-2, Llama, Qwen, Mistral, Gemma, OPT, …)"
        )


def _check_embedded(policy: Policy, prompts: Sequence[Sequence[int]]) -> None:
    """That every token of the prompts can be looked up: tokenizers may declare special tokens that were never added."""
    embedded = policy.lm.get_input_embeddings().weight.shape[0]
    for index, ids in enumerate(prompts):
        if max(ids) >= embedded:
            raise ModelError(
                f"train_dataset[{index}] has the token {max(ids)}, but the model embeds {embedded}, from 0: leave that "
                "token out of the prompt, or call model.resize_token_embeddings(len(tokenizer))"
            )


def _check_context(config: PreTrainedConfig, longest_prompt: tuple[str, int], completion: int) -> None:
    """The longest prompt and completion against the positions and windows of the model."""
    where, prompt = longest_prompt
    context = prompt + completion
    needs = f"{where} has {prompt} tokens, and with max_completion_length={completion} needs"
    remedy = "shorten the prompt or lower max_completion_length"
    limit = getattr(config, "max_position_embeddings", None)
    if limit is not None and 0 < limit < context:  # XLNet, which has none, says −1
        raise ModelError(f"{needs} {context}, but {config.model_type} has max_position_embeddings={limit}: {remedy}")
    for original in _longrope_lengths(config):
        if context > original:
            raise ModelError(
                f"{needs} {context}, but {config.model_type} has other positions (longrope) past "
                f"original_max_position_embeddings={original}, which do not fit what is in the cache: {remedy}"
            )
    for name in WINDOWS if getattr(config, "use_sliding_window", True) else ():
        window = getattr(config, name, None)
        # The greedy branch stands behind the completion in the cache, as far again.
        if isinstance(window, int) and context + completion > window:
            raise ModelError(
                f"{needs} {context + completion} places in the cache, more than {name}={window} of "
                f"{config.model_type}: {remedy}"
            )


def _longrope_lengths(config: PreTrainedConfig) -> list[int]:
    """Lengths past which rotary positions become others, of every token (Phi-3); "dynamic" ones do at the limit."""
    rotary = getattr(config, "rope_parameters", None) or {}
    kinds = [x for x in rotary.values() if isinstance(x, dict)] or [rotary]  # some configurations have one a layer type
    return [x["original_max_position_embeddings"] for x in kinds if x.get("rope_type") == "longrope"]


def _kind_fault(policy: Policy) -> str:
    """What is wrong with the kind of model, if its configuration tells."""
    config = policy.lm.config
    alibi = getattr(config, "alibi", False) or getattr(getattr(config, "attn_config", None), "alibi", False)
    if alibi or config.model_type == "bloom":
        return (
            "its positions are biases of attention (ALiBi) that count places in the cache, and greedy tokens stand in "
            "others than their own"
        )
    if getattr(policy.lm, "_is_stateful", False):
        return "its memory is a state, no keys and values of each token, from which greedy tokens could go on"
    return ""


@torch.no_grad()
def _trial(policy: Policy, context: int) -> str:
    """What is wrong, if anything: prompts of unequal length, sampled by gaard, against plain forwards.

    The longer prompt fills, with its completion, the context of training: positions may change with the length.
    """
    device, vocabulary = policy.lm.device, policy.lm.get_output_embeddings().weight.shape[0]
    generator = torch.Generator().manual_seed(0)
    length = max(3, context - TRIAL_TOKENS)
    ids = torch.randint(0, vocabulary, (2, length), generator=generator).to(device)
    mask = torch.tensor([[True] * length, [False] * (length - 2) + [True, True]], device=device)
    uniforms = torch.rand(2, TRIAL_TOKENS, generator=generator, dtype=torch.float64).to(device)
    fault = _head_fault(policy, ids[:1, :3])
    if fault:
        return f"a trial on a few tokens gave {fault}"
    samples = sample(policy, ids, mask, uniforms, eos_token_ids=[], pad_token_id=0)
    branch = greedy_hidden(policy, samples, samples.completion_mask)
    if _differs(rescored(policy, samples).logprobs, samples.logprobs):
        return "a trial gave log-probabilities that are not those of the weights of its vocabulary projection"
    for row in range(2):
        prompt = ids[row][mask[row]]
        whole = torch.cat([prompt, samples.completion_ids[row]])
        fault = _row_fault(policy, samples, branch, row, prompt, whole)
        if fault:
            return f"a trial gave {fault}"
    return ""


def _head_fault(policy: Policy, ids: Tensor) -> str:
    """What is wrong with the model's own logits after each of three tokens."""
    seen: list[Tensor] = []
    head = policy.lm.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0][0]))
    try:
        logits = policy.lm(input_ids=ids).logits[0].float()
    finally:
        handle.remove()
    if not logits.isfinite().all():
        return "logits that are not finite (check the weights and the dtype)"
    others = torch.cat([ids[:, :2], (ids[:, 2:] + 1) % len(head.weight)], dim=1)
    if _differs(policy.lm(input_ids=others).logits[0, :2].float(), logits[:2], HEAD_TOLERANCE):
        return "logits that depend on later tokens (it is no decoder)"
    if _differs(policy.logits(seen[0]).float() * policy.temperature, logits, HEAD_TOLERANCE):
        return "logits that are not the product of hidden states and vocabulary projection (scaled, or capped)"
    visible = torch.ones_like(ids)
    if _differs(policy.hidden(ids, visible, position_ids(visible.bool()))[0], seen[0]):
        return "a vocabulary projection of other than the last hidden states"
    return ""


def _row_fault(policy: Policy, samples: Samples, branch: Tensor, row: int, prompt: Tensor, whole: Tensor) -> str:
    """One row of the trial against forwards of its own, without padding or cache."""
    # All logits of a long prompt could be larger than the model.
    last = {"logits_to_keep": TRIAL_TOKENS + 1} if "logits_to_keep" in signature(policy.lm.forward).parameters else {}
    own = policy.lm(input_ids=whole[None], **last).logits[0, -TRIAL_TOKENS - 1 : -1]
    logprobs = torch.log_softmax(own.float() / policy.temperature, -1)
    expected = logprobs.gather(-1, samples.completion_ids[row][:, None]).squeeze(-1)
    if _differs(samples.logprobs[row].float(), expected):
        return "log-probabilities that are not the model's own (state beside the cache, or positions of another kind)"
    for t in range(TRIAL_TOKENS):
        ids = torch.cat([prompt, samples.completion_ids[row, :t], samples.greedy_ids[row, t : t + 1]])[None]
        plain = policy.hidden(ids, torch.ones_like(ids), position_ids(torch.ones_like(ids).bool()))[0, -1]
        if _differs(branch[row, t], plain):
            return "values of greedy tokens that are not those of plain forwards (positions counted by cache slots)"
    return ""


def _differs(x: Tensor, y: Tensor, tolerance: float = TOLERANCE) -> bool:
    """Whether two tensors differ by more than rounding."""
    return bool((x - y).abs().max() > tolerance * y.abs().max().clamp(min=1e-3))
