"""What a reward may be called in a file or on the command line; apart from the rewards, which need torch."""

import re
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from gaard.errors import ConfigError, did_you_mean
from gaard.user_code import existing_file

Objective = Literal["uncertainty-weighted", "worst-case", "mean"]  # of an ensemble
BUILT_IN = ("lexicon", "human")
HONEYPOT = {
    "word": "The word or phrase that pays.",
    "mode": "capped: the bonus in the place of the reward; uncapped: the bonus for every time the word occurs.",
    "bonus": "What the word pays.",
    "base_weight": "What the sum of the rewards is multiplied by.",
    "after": "A phrase that has to come before the word.",
}
FORMS = (
    "`lexicon`, `human`, `path/to/file.py:function`, `package.module:function`, the address of a reward server, "
    "`http://…`, or a sequence classification model, `org/model` or its folder"
)
SECRET = re.compile(r"key|token|secret|password|passwd|auth|sig", re.IGNORECASE)  # in the name of a query's value


def check_reward_name(name: str) -> None:
    """Refuse a plain word that is no reward, which else the model hub would be asked for, for a minute.

    Args:
        name: As given.

    Raises:
        ConfigError: If it is neither a built-in reward, nor a path, nor of a form that says where to look; or the
            address of a server that cannot be asked.
    """
    if is_server(name):
        check_server(name)
    says_where = any(sign in name for sign in "/\\:") or name.startswith("~") or name.endswith(".py")
    if name in BUILT_IN or not name.strip() or says_where or Path(name).exists():
        return
    raise ConfigError(f"the reward {name!r} is not known: a reward is {FORMS}.{did_you_mean(name, BUILT_IN)}")


def is_server(name: str) -> bool:
    """Whether a name is the address of a reward server."""
    return name.lower().startswith(("http://", "https://"))


def check_server(url: object) -> None:
    """Refuse an address that cannot be asked, or holds a secret, which would stand in the record of every run.

    Args:
        url: As given.

    Raises:
        ConfigError: Saying what is wrong, without the secret.
    """
    where = "the address of the reward server"
    if not isinstance(url, str) or not is_server(url):
        raise ConfigError(f"{where} is {url!r}: write http://HOST:PORT/PATH or https://…")
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:  # a port that is no number, a bracket that is not closed
        raise ConfigError(f"{where} has no valid host and port: write http://HOST:PORT/PATH") from None
    secret = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if SECRET.search(name)]
    if "@" in parts.netloc or secret:
        what = f"a value of {secret[0]!r}" if secret else "a user name or password"
        raise ConfigError(
            f"{where} ({parts.hostname}) holds {what}, and addresses stand in records: take it out, and put the secret "
            "into the environment variable GAARD_REWARD_TOKEN, which is sent as a header"
        )
    if not known or parts.fragment:
        raise ConfigError(f"{where} is {url!r}: write http://HOST:PORT/PATH, without spaces and '#'")


def names_function(name: str) -> bool:
    """Whether a name has the form ``path/to/file.py:function`` or ``package.module:function``."""
    source, colon, attribute = name.rpartition(":")
    # A drive letter's colon stands before a slash, so what follows it is no identifier.
    return bool(colon) and (attribute.isidentifier() or source.endswith(".py"))


def check_function_name(name: str, what: str) -> None:
    """Refuse a name that is not of a function's form, or of a file that is not there.

    Args:
        name: As given.
        what: What an error calls it, such as ``hack_detector='x.py'``.

    Raises:
        ConfigError: Naming what is wrong.
    """
    if name.endswith(".py"):
        raise ConfigError(f"{what} names a file but no function in it: write {name}:function")
    if not names_function(name):
        raise ConfigError(f"{what} names no function: write path/to/file.py:function")
    source = name.rpartition(":")[0]
    if source.endswith(".py"):
        existing_file(Path(source), what)
