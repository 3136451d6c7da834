"""Hashes of files and of weights."""

import hashlib
from pathlib import Path

import torch

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
