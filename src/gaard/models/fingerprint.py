"""Hashes of files, of weights, and of what else a model's training depends on."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

BLOCK = 1 << 20  # bytes read at once


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def model_fingerprint(model: torch.nn.Module, frozen_only: bool = False) -> str:
    """A sha256 over a model's parameters: which weights a run started from.

    Args:
        model: any module; a parameter under two names (tied embeddings) counts once.
        frozen_only: Whether parameters that require a gradient are left out.

    Returns:
        The hash, in hex, of each parameter's name, dtype, shape and bytes, in order of name. Buffers, the
        configuration and the device do not enter.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if frozen_only and parameter.requires_grad:
            continue
        digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}\n".encode())
        flat = parameter.detach().cpu().contiguous().reshape(-1)  # a scalar has no byte view
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def model_setup(
    lm: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    end_tokens: Sequence[int],
    value_head: torch.nn.Module | None,
) -> dict[str, Any]:
    """What a model's training depends on beside its weights.

    Args:
        lm: The model, before training.
        tokenizer: Its tokenizer.
        end_tokens: Token ids that end a completion.
        value_head: The critic, before training; None without one.

    Returns:
        Hashes of the configuration, of PEFT's adapters, of the names of what trains, of the tokenizer and of the
        critic; the end tokens. JSON-serialisable.
    """
    adapters = {name: config.to_dict() for name, config in getattr(lm, "peft_config", {}).items()}
    trainable = sorted((name, tuple(p.shape)) for name, p in lm.named_parameters() if p.requires_grad)
    return {
        "config": _hash({k: v for k, v in lm.config.to_dict().items() if k not in NOT_CONFIGURATION}),
        "adapters": _hash(adapters) if adapters else None,
        "trainable": _hash(trainable),
        "tokenizer": _hash(_tokenizer(tokenizer)),
        "end_tokens": list(end_tokens),
        "value_head": None if value_head is None else model_fingerprint(value_head),
    }


# Of a configuration: where it came from, and by which version of transformers.
NOT_CONFIGURATION = frozenset({"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"})


def _tokenizer(tokenizer: PreTrainedTokenizerBase) -> Any:
    """The whole of a fast tokenizer but for how it pads and cuts, which changes as it is used; of others the words."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    whole = tokenizer.get_vocab() if backend is None else json.loads(backend.to_str())
    special = {"pad": tokenizer.pad_token_id, "eos": tokenizer.eos_token_id, "bos": tokenizer.bos_token_id}
    return {**{key: x for key, x in whole.items() if key not in ("padding", "truncation")}, "special": special}


def _hash(content: Any) -> str:
    """Of content as JSON; a set in the order of its entries' texts, what JSON has no word for as a text."""

    def plain(value: Any) -> Any:
        return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)

    return hashlib.sha256(json.dumps(content, sort_keys=True, default=plain).encode()).hexdigest()[:16]
