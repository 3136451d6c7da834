"""Settings that hold for every test."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test but the marked ones may reach for a network

import pytest
import torch
from accelerate.state import AcceleratorState


@pytest.fixture(autouse=True)
def _fresh_accelerator():
    """Each test chooses its own device and precision."""
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def generator() -> torch.Generator:
    """A generator of its own for each test."""
    return torch.Generator().manual_seed(0)
