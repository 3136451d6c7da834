"""A model in a folder and a file of settings, as a user of the command line has them."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from commands import SETTINGS
from tiny import WORDS, tiny_config, word_tokenizer


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A tiny model and its tokenizer in a folder, as a user would have them."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(tiny_config("gpt2")).save_pretrained(folder)
    word_tokenizer(WORDS).save_pretrained(folder)
    return folder


@pytest.fixture
def config(model, tmp_path):
    """Writes a YAML file of those settings with some changed, JSON being YAML too."""

    def write(**changes):
        path = tmp_path / "run.yaml"
        settings = {"model": str(model), "output_dir": str(tmp_path / "run")} | SETTINGS | changes
        path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in settings.items()))
        return str(path)

    return write
