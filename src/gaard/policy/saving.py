"""A trained policy on disk: a plain transformers folder, with the critic beside it."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig, PreTrainedTokenizerBase

from gaard.errors import ModelError
from gaard.policy.model import Policy

VALUE_HEAD = "value_head.safetensors"


def save_policy(policy: Policy, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write what ``AutoModelForCausalLM.from_pretrained`` and ``AutoTokenizer`` load, and any value head.

    Args:
        policy: The policy.
        tokenizer: Its tokenizer.
        folder: Made if it is not there.

    Raises:
        ModelError: If the disk does not take it.
    """
    _make_saveable(policy)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        policy.lm.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if policy.value_head is not None:
            save_file({key: x.contiguous() for key, x in policy.value_head.state_dict().items()}, folder / VALUE_HEAD)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"the model could not be saved to {folder}: {error}. Free some space or choose another folder, and save "
            "again: a finished run is taken up from its last checkpoint"
        ) from error


def _make_saveable(policy: Policy) -> None:
    """Mend a generation config that transformers refuses to save: sampling options without sampling, or none at all.

    Published chat models come with such; training for hours must not end in that refusal.
    """
    if policy.lm.generation_config is None:
        policy.lm.generation_config = GenerationConfig.from_model_config(policy.lm.config)
    try:
        policy.lm.generation_config.validate(strict=True)
    except ValueError:
        policy.lm.generation_config.do_sample = True


def load_value_head(policy: Policy, folder: Path) -> bool:
    """Restore the critic that :func:`save_policy` wrote.

    Args:
        policy: Receives the value head.
        folder: A saved policy, or any model folder.

    Returns:
        Whether there was one, and the policy has a critic.

    Raises:
        ModelError: If the file does not fit the model.
    """
    path = folder / VALUE_HEAD
    if policy.value_head is None or not path.is_file():
        return False
    try:
        policy.value_head.load_state_dict(load_file(path))
    except Exception as error:
        raise ModelError(f"{path} is not the value head of this model ({error}): delete it to start afresh") from error
    return True
