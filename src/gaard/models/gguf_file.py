"""A GGUF file, read as an ordinary PyTorch model."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from gaard.errors import ModelError
from gaard.models.claims import check_built
from gaard.models.gguf_header import check_header
from gaard.models.hub import one_line


def load_gguf(path: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a GGUF file as a plain model, and the tokenizer that it carries.

    The weights are unpacked to ``dtype``. What transformers returns for a GGUF file counts as quantised and refuses
    ``save_pretrained`` even so; hence the values move into a model built from the configuration alone.

    Args:
        path: the file.
        dtype: floating dtype of the parameters.

    Returns:
        The model (in evaluation mode) and its tokenizer.

    Raises:
        ModelError: the file is no GGUF, is damaged, or holds an architecture that transformers cannot read.
    """
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic != b"GGUF":
        raise ModelError(f"{path} is not a GGUF file: it begins with {magic!r}, not b'GGUF'. Fetch or copy it again.")
    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        weights = check_header(path)
        config = AutoConfig.from_pretrained(**where, trust_remote_code=False)
        check_built(config, weights)
        options = {"config": config, "dtype": dtype, **_unpacked()}
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that transformers has no switch for
            loaded = AutoModelForCausalLM.from_pretrained(**where, trust_remote_code=False, **options)
            tokenizer = AutoTokenizer.from_pretrained(**where, trust_remote_code=False)
        model = _plain_copy(loaded, dtype)
    except Exception as error:  # the readers meet damage as whatever error the wrong bytes lead to
        raise ModelError(
            f"the GGUF file {path} ({path.stat().st_size:,} bytes) cannot be read as a causal language model: "
            f"{one_line(error)}. Copy it again if it may be cut short; otherwise transformers "
            f"{transformers.__version__} does not know its architecture, and a safetensors folder is needed."
        ) from error
    return model, tokenizer


def _unpacked() -> dict[str, object]:
    """Ask for plain weights: newer releases of transformers keep the blocks packed where a kernel can multiply them."""
    config_class = getattr(transformers, "GgufConfig", None)
    return {} if config_class is None else {"quantization_config": config_class(dequantize=True)}


def _plain_copy(loaded: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """The same weights in a model that was never quantised, so that it trains and saves like any other."""
    left_out = ("quantization_config", "_name_or_path", "_model_name_or_path")
    fields = {key: value for key, value in loaded.config.to_dict().items() if key not in left_out}
    with torch.random.fork_rng(devices=[]):  # the initial draws are thrown away; the caller's generator stays put
        model = AutoModelForCausalLM.from_config(type(loaded.config).from_dict(fields), dtype=dtype)
    model.load_state_dict(loaded.state_dict())  # strict: packed or missing tensors fail here
    model.tie_weights()
    model.generation_config = loaded.generation_config
    return model.eval()
