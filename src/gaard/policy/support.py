"""Refuses, before any training time is spent, a model that gaard would get wrong."""

import torch
from torch import Tensor

from gaard.errors import ModelError
from gaard.method.masking import position_ids
from gaard.policy.branch import greedy_hidden
from gaard.policy.model import PolicyWithValue
from gaard.policy.sampling import Samples, rescored, sample

WINDOWS = ("sliding_window", "window_size", "attention_window")  # what configurations call them
TRIAL_TOKENS = 4
TOLERANCE = 0.02  # relative; rounding stays well below it in float32, a wrong position or mask far above


def check_supported(policy: PolicyWithValue, longest_prompt: tuple[str, int], completion: int) -> None:
    """Check that the model's context is long enough, and that gaard computes with it what the model itself does.

    Args:
        policy: The policy.
        longest_prompt: What names it in a message, and its tokens.
        completion: Tokens of the longest completion.

    Raises:
        ModelError: If the context is too short, attention slides within it or takes no free mask, or a trial finds
            that logits, cached decoding or the greedy branch are not what plain forwards give.
    """
    config = policy.lm.config
    _check_context(policy, longest_prompt, completion)
    if config._attn_implementation not in ("sdpa", "eager"):
        raise ModelError(
            f"attn_implementation={config._attn_implementation!r} takes no free attention mask, which the greedy "
            "branch needs: load the model with attn_implementation='sdpa'"
        )
    try:
        fault = _trial(policy)
    except Exception as error:
        fault = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if fault:
        raise ModelError(
            f"gaard cannot train {config.model_type} models: a trial on a few tokens gave {fault}. Decoder-only "
            "attention models with absolute or rotary positions work (GPT-2, Llama, Qwen, Mistral, Gemma, OPT, …)"
        )


def _check_context(policy: PolicyWithValue, longest_prompt: tuple[str, int], completion: int) -> None:
    """The longest prompt and completion against the positions and windows of the model."""
    config, (where, prompt) = policy.lm.config, longest_prompt
    context = prompt + completion
    needs = f"{where} has {prompt} tokens, and with max_completion_length={completion} needs"
    remedy = "shorten the prompt or lower max_completion_length"
    limit = getattr(config, "max_position_embeddings", None)
    if limit is not None and context > limit:
        raise ModelError(f"{needs} {context}, but {config.model_type} has max_position_embeddings={limit}: {remedy}")
    for name in WINDOWS if getattr(config, "use_sliding_window", True) else ():
        window = getattr(config, name, None)
        # The greedy branch stands behind the completion in the cache, as far again.
        if isinstance(window, int) and context + completion > window:
            raise ModelError(
                f"{needs} {context + completion} places in the cache, more than {name}={window} of "
                f"{config.model_type}: {remedy}"
            )


@torch.no_grad()
def _trial(policy: PolicyWithValue) -> str:
    """What is wrong, if anything: prompts of unequal length, sampled by gaard, against plain forwards."""
    device, vocabulary = policy.lm.device, policy.lm.get_output_embeddings().weight.shape[0]
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, vocabulary, (2, 3), generator=generator).to(device)
    mask = torch.tensor([[True, True, True], [False, True, True]], device=device)
    uniforms = torch.rand(2, TRIAL_TOKENS, generator=generator, dtype=torch.float64).to(device)
    if not policy.lm(input_ids=ids[:1]).logits.isfinite().all():
        return "logits that are not finite (check the weights and the dtype)"
    samples = sample(policy, ids, mask, uniforms, eos_token_ids=[], pad_token_id=0)
    branch = greedy_hidden(policy, samples, samples.completion_mask)
    if _differs(rescored(policy, samples).logprobs, samples.logprobs):
        return "log-probabilities that are not those of the weights of its vocabulary projection"
    for row in range(2):
        prompt = ids[row][mask[row]]
        whole = torch.cat([prompt, samples.completion_ids[row]])
        fault = _row_fault(policy, samples, branch, row, prompt, whole)
        if fault:
            return fault
    return ""


def _row_fault(
    policy: PolicyWithValue, samples: Samples, branch: Tensor, row: int, prompt: Tensor, whole: Tensor
) -> str:
    """One row of the trial against forwards of its own, without padding or cache."""
    own = policy.lm(input_ids=whole[None]).logits[0, len(prompt) - 1 : -1]
    logprobs = torch.log_softmax(own.float() / policy.temperature, -1)
    expected = logprobs.gather(-1, samples.completion_ids[row][:, None]).squeeze(-1)
    if _differs(samples.logprobs[row].float(), expected):
        return "log-probabilities that are not the model's own (scaled or capped logits, or state beside the cache)"
    for t in range(TRIAL_TOKENS):
        ids = torch.cat([prompt, samples.completion_ids[row, :t], samples.greedy_ids[row, t : t + 1]])[None]
        plain = policy.hidden(ids, torch.ones_like(ids), position_ids(torch.ones_like(ids).bool()))[0, -1]
        if _differs(branch[row, t], plain):
            return "values of greedy tokens that are not those of plain forwards (positions counted by cache slots)"
    return ""


def _differs(x: Tensor, y: Tensor) -> bool:
    """Whether two tensors differ by more than rounding."""
    return bool((x - y).abs().max() > TOLERANCE * y.abs().max().clamp(min=1e-3))
