"""The model hub, as a place for a trained model."""

import shlex
from pathlib import Path

from huggingface_hub import HfApi, RepoUrl

from gaard.disclosure import HIDDEN
from gaard.errors import HubError

LONGEST = 300  # characters of what the hub says


def make_repository(repo_id: str, private: bool | None = None, token: str | None = None) -> RepoUrl:
    """Make a repository, or find it there; asked before training, it tells early whether the hub lets one in.

    Args:
        repo_id: ``owner/name``, or a name in one's own account.
        private: Whether one that is made is private; None as the account has it.
        token: Of the hub; by default the one that ``hf auth login`` or ``HF_TOKEN`` gave.

    Returns:
        Its address, which holds its whole name.

    Raises:
        HubError: If the hub does not let one in.
    """
    try:
        return HfApi(token=token).create_repo(repo_id, private=private, exist_ok=True)
    except Exception as error:  # of the network, the hub or the name: each says what it is
        raise HubError(
            f"hub_model_id={repo_id!r}: the hub does not give it: {_said(error, token)}. Log in by `hf auth login`, or "
            "name a repository of yours, such as me/my-model"
        ) from error


def upload(folder: Path, repo_id: str, private: bool | None = None, token: str | None = None) -> str:
    """Upload a saved model.

    Args:
        folder: Of the model.
        repo_id: Of the repository, which is made if it is not there.
        private: As for :func:`make_repository`.
        token: As for :func:`make_repository`.

    Returns:
        The repository's address.

    Raises:
        HubError: If it fails; the folder stays as it is, and the message says how to upload it later.
    """
    try:
        # Under its whole name: one without an owner is made in one's own account, and looked for as it stands.
        address = make_repository(repo_id, private, token)
        HfApi(token=token).upload_folder(
            repo_id=address.repo_id, folder_path=folder, commit_message="Model trained by gaard"
        )
    except Exception as error:
        later = shlex.join(["hf", "upload", *(["--private"] if private else []), repo_id, str(folder)])
        raise HubError(
            f"the model was not uploaded to the hub: {_said(error, token)}. It is whole in {folder}. Later: {later}"
        ) from error
    return str(address)


def _said(error: Exception, token: str | None) -> str:
    """What an error says, in one line and without the token."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    text = text.replace(token, HIDDEN) if token else text
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
