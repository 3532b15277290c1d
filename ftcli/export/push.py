"""A folder -> a repository on the hub, by the hub's own library and the user's own login."""

from __future__ import annotations

from pathlib import Path

from ftcli.errors import ConfigError, Problem, SourceError, typed_words
from ftcli.hub.client import quiet_hub

PATIENCE_S = 8.0


def require_hub(name: str) -> None:
    """Raises at once where a push cannot work: before anything is written.

    Raises:
        ConfigError: `name` is no repository id, or nobody is logged in.
        SourceError: the hub is out of reach.
    """
    from huggingface_hub import HfApi, constants, errors, get_token

    if constants.HF_HUB_OFFLINE:
        message = "cannot push: HF_HUB_OFFLINE=1 forbids the network"
        raise SourceError(Problem("--push", message, "unset it, or export without --push and push later"))
    if get_token() is None:
        message = "cannot push: nobody is logged in to the hub here"
        raise ConfigError(Problem("--push", message, "run `hf auth login`, or export without --push"))
    try:
        with quiet_hub():
            HfApi().model_info(name, timeout=PATIENCE_S)
    except errors.RepositoryNotFoundError:
        return  # it will be made
    except errors.HFValidationError as error:
        message = f"{name!r} is no repository id"
        raise ConfigError(Problem("--push", message, "type --push OWNER/NAME")) from error
    except (errors.HTTPError, OSError) as error:
        raise SourceError(_out_of_reach(error)) from error


def push(folder: Path, name: str) -> str:
    """Makes the repository where there is none, private, and uploads the folder; returns its address.

    Raises:
        SourceError: the hub refused, or went out of reach; the folder stays where it is.
    """
    from huggingface_hub import HfApi, errors

    try:
        with quiet_hub():
            address = HfApi().create_repo(name, private=True, exist_ok=True)
            HfApi().upload_folder(
                folder_path=folder, repo_id=address.repo_id, commit_message="Exported by ftcli"
            )
    except (errors.HTTPError, OSError, ValueError) as error:
        problem = _out_of_reach(error)
        kept = (
            f"the folder is whole: push it later with `hf upload {typed_words(name)} {typed_words(folder)}`"
        )
        raise SourceError(Problem(problem.key, problem.message, kept)) from error
    return str(address)


def _out_of_reach(error: Exception) -> Problem:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return Problem("--push", f"the hub does not take it: {reason}", "check the network and the login, or export without --push")  # fmt: skip
