"""From the name of a model to the model and its tokenizer."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from gaard.errors import ModelError
from gaard.models import gguf_file, hub
from gaard.models.claims import check_claims, check_index
from gaard.models.fetching import fetch
from gaard.models.terminal import console, hidden_bars


def load_model_and_tokenizer(
    name: str | os.PathLike[str], *, dtype: torch.dtype = torch.float32, quiet: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer, ready to sample from in a batch.

    Args:
        name: `pocket`, `calculator`, an alias (see `ALIASES`), a folder that `save_pretrained` wrote, of a model or
            of an adapter (LoRA), a ``.gguf`` file, or a hub id. `pocket`, `calculator` or an alias wins over a folder
            of the same name; write ``./name`` for the folder.
        dtype: floating dtype of the parameters.
        quiet: show no progress.

    Returns:
        The model, in evaluation mode, with its generation config as it came, and where an adapter was named, with that
        on and to be trained, and all else frozen; and the tokenizer, which pads on the left
        and has a pad token (the end-of-text token where it had none: gaard masks padding and never reads its content).

    Raises:
        ModelError: there is no such model, it cannot be had from here, or its files are damaged or incomplete.
    """
    path = fetch(name, quiet=quiet)
    with hidden_bars():
        model, tokenizer = load_adapter(path, dtype, quiet) if hub.is_adapter(path) else _load(path, dtype, quiet)
    _prepare(tokenizer, model.get_input_embeddings().num_embeddings, path)
    return model, tokenizer


def _prepare(tokenizer: PreTrainedTokenizerBase, embedded: int, path: Path) -> None:
    """Left padding, and a pad token whose id the model can embed: masked or not, it is looked up."""
    check_vocabulary(tokenizer, embedded, f"the tokenizer in {path}")
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= embedded:
        if tokenizer.eos_token_id is None or tokenizer.eos_token_id >= embedded:
            raise ModelError(f"the tokenizer in {path} has no pad or end-of-text token to use; set its eos_token.")
        tokenizer.pad_token = tokenizer.eos_token


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, embedded: int, name: str) -> None:
    """Check that a tokenizer belongs to a model.

    Special tokens declared past the embedding are let through: published models have such, and text rarely holds them.

    Args:
        tokenizer: The tokenizer.
        embedded: Tokens that the model embeds.
        name: What names the tokenizer in a message.

    Raises:
        ModelError: If its vocabulary is larger than what the model embeds.
    """
    if tokenizer.vocab_size > embedded:
        raise ModelError(
            f"{name} has {tokenizer.vocab_size} tokens, but the model embeds {embedded}: they do not belong together. "
            "Copy both from one place, or call resize_token_embeddings and save the model again."
        )


def _load(path: Path, dtype: torch.dtype, quiet: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A whole model, of a folder or of a GGUF file."""
    if path.is_dir():
        return _load_folder(path, dtype)
    with console(quiet).status(f"unpacking {path.name}"):
        return gguf_file.load_gguf(path, dtype)


def load_adapter(
    folder: Path, dtype: torch.dtype, quiet: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model that an adapter's configuration names, with the adapter on it.

    Args:
        folder: What ``save_pretrained`` wrote of a model with a PEFT adapter.
        dtype: floating dtype of the parameters.
        quiet: show no progress.

    Returns:
        The model, whose adapter is to be trained; and the folder's tokenizer, or else the model's.

    Raises:
        ModelError: PEFT is not installed, the model cannot be had, or the adapter does not fit it.
    """
    if importlib.util.find_spec("peft") is None:
        raise ModelError(f"{folder} is an adapter, which needs PEFT: pip install 'gaard[peft]'")
    try:
        base = json.loads((folder / hub.ADAPTER_CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
        if not base:
            raise ModelError(f"{folder / hub.ADAPTER_CONFIG} names no model: give one as base_model_name_or_path")
        model, tokenizer = _load(fetch(base, quiet=quiet), dtype, quiet)
        with torch.random.fork_rng(devices=[]):  # adapters are drawn at random before they are read
            report = model.load_adapter(str(folder), is_trainable=True)
        if report.missing_keys:
            raise ModelError(f"its weights lack {', '.join(sorted(report.missing_keys)[:3])}")
        if hub.has_tokenizer(folder):
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except ModelError as error:
        raise ModelError(
            f"{folder} is an adapter of {base!r} (base_model_name_or_path in its {hub.ADAPTER_CONFIG}), and with that "
            f"it cannot be loaded: {error}"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot load the adapter in {folder}: {hub.one_line(error)}") from error
    model.config.name_or_path = str(folder)  # what was named, and where the critic lies
    return model.eval(), tokenizer


def _load_folder(folder: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    check_index(folder)
    check_claims(folder)
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot load the model in {folder}: {hub.one_line(error)}") from error
    if report["missing_keys"]:  # transformers fills these with random numbers and a warning
        missing = sorted(report["missing_keys"])
        raise ModelError(
            f"the weights in {folder} lack {len(missing)} parameters of {type(model).__name__} "
            f"({', '.join(missing[:3])}, ...): they belong to another kind of model, or a file of them is missing. "
            "Copy the whole folder again."
        )
    return model, tokenizer
