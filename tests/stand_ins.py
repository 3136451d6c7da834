"""Batches for the tests of other trainers, and modules that stand in for trainers that are not installed here."""

import sys
import types

import torch

GROUPS = 4  # prompts
SIZE = 8  # completions of each
LOOPHOLE = 11  # the completion that is paid far too much


def rewards(loophole: float | None = None) -> torch.Tensor:
    """[32], of which one stands out if it is told what it is paid; otherwise none does."""
    paid = torch.rand(GROUPS * SIZE, generator=torch.Generator().manual_seed(0))
    if loophole is not None:
        paid[LOOPHOLE] = loophole
    return paid


def tokens(paid: torch.Tensor, length: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Rewards of tokens and their mask, [B, T] each: 1 to T tokens, paid 0.1 at the first and the rest at the last."""
    mask = (torch.arange(length) <= torch.arange(len(paid))[:, None] % length).float()
    pay = torch.zeros(len(paid), length)
    pay[:, 0] = 0.1
    last = mask.sum(dim=1).long() - 1
    pay[torch.arange(len(paid)), last] += paid - 0.1
    return pay, mask


def stand_in(monkeypatch, name: str, **contents: object) -> types.ModuleType:
    """A module by this name, and packages above it, until the test ends."""
    above, _, last = name.rpartition(".")
    module = types.ModuleType(name)
    module.__path__ = []
    vars(module).update(contents)
    if above:
        package = sys.modules.get(above) or stand_in(monkeypatch, above)
        monkeypatch.setattr(package, last, module, raising=False)
    monkeypatch.setitem(sys.modules, name, module)
    return module
