"""What is installed beside the core: which packages each extra brings, and who needs which extra."""

import importlib.util

from gaard.errors import GaardError

# Import names. The package of an extra such as peft is asked for where it is used.
TRAIN = (
    "accelerate",
    "docstring_parser",
    "filelock",
    "gguf",
    "httpx2",
    "huggingface_hub",
    "jinja2",
    "platformdirs",
    "polars",
    "psutil",
    "pydantic",
    "yaml",
    "regex",
    "rich",
    "scipy",
    "transformers",
    "vaderSentiment",
)
EXTRAS = {"train": TRAIN, "lab": (*TRAIN, "plotly", "pyarrow")}


class MissingExtra(GaardError, ImportError):
    """Something that needs packages which ``pip install gaard`` alone does not bring."""


def need(extra: str, what: str, *packages: str) -> None:
    """Refuse to go on without packages of an extra, before any of them is imported.

    Args:
        extra: One of ``EXTRAS``.
        what: That needs it, for the message.
        *packages: Those that are needed, by import name; none for all of the extra.

    Raises:
        MissingExtra: Naming a package that is not there, and the extra that brings it.
    """
    missing = [name for name in packages or EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"{what} needs {missing[0]}, which is not installed: pip install 'gaard[{extra}]'")
