"""The model hub: which commit it serves, and the files of a repository.

Where the hub gives nothing, the functions here raise a ConnectionError that says why, and the next place is tried.
"""

from __future__ import annotations

import queue
import threading
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

_HUB_SECONDS = 5.0  # what a machine without network may lose before the next place is tried
# Safetensors alone among the weight formats: the others unpickle code.
_HUB_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
_HUB_EXPORTS = ["*/*"]  # below the root, repositories keep copies for other runtimes
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # as PEFT calls them
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json", "*.model")


def missing_part(folder: Path) -> str:
    """What a folder lacks of a model, or an empty string if it is whole.

    The tokenizer's files are looked for because transformers makes an empty tokenizer where there are none.
    """
    if is_adapter(folder):
        return "" if (folder / ADAPTER_WEIGHTS).is_file() else f"it has no {ADAPTER_WEIGHTS}"
    if not (folder / "config.json").is_file():
        return "it has no config.json"
    if not any(folder.glob("*.safetensors")):
        return "it has no *.safetensors weights"
    if not has_tokenizer(folder):
        return "it has no tokenizer files (tokenizer.json or another kind)"
    return ""


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter (LoRA and its like), without the model that it belongs to."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has the files of a tokenizer."""
    return any(any(folder.glob(pattern)) for pattern in _TOKENIZER_FILES)


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
