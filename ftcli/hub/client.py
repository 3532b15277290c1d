"""Models from the Hugging Face hub and its local cache. A hub that cannot be reached is noticed within seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftcli.config.hub_names import is_only_cached, unasked
from ftcli.config.regular_file import expanded, is_folder
from ftcli.config.shell_word import shell_word
from ftcli.errors import ConfigError, OutOfReachError, Problem

_TIMEOUT_S = 8.0
_CONVERTER = "SFconvertbot"


def download(name: str, revision: str | None, patterns: list[str]) -> Path:
    """Returns the folder of a model's snapshot, from the hub or, where it does not answer, from its cache.

    The cache is the hub library's own, so HF_HOME, HF_HUB_OFFLINE and HF_ENDPOINT work as usual.

    Args:
        name: NAME or OWNER/NAME.
        revision: branch, tag or commit; None: main.
        patterns: names of the files to fetch; those in subfolders are never fetched.

    Raises:
        ConfigError: `name` cannot be a hub id.
        OutOfReachError: not there, not allowed, or out of reach and not in the cache.
    """
    from huggingface_hub import HfApi, errors

    if is_only_cached("model.id"):
        return _cached(name, revision, patterns)
    failures = (errors.HTTPError, errors.EntryNotFoundError, OSError, errors.XetDownloadError)
    unreachable: Exception | None = None
    try:
        with quiet_hub():
            try:
                # The download itself has no time limit: a server that never answers would block it for ever.
                HfApi().model_info(name, revision=revision, timeout=_TIMEOUT_S)
            except (errors.HTTPError, OSError) as error:
                unreachable = error
            return _snapshot(name, revision, patterns, only_cached=unreachable is not None)
    except errors.HFValidationError as error:
        problem = Problem(
            "model.id", f"{name!r} is not a hub id; expected NAME or OWNER/NAME", local_hint(name)
        )
        raise ConfigError(problem) from error
    except failures as error:
        raise OutOfReachError(_why_not(name, revision, unreachable or error)) from error


def _cached(name: str, revision: str | None, patterns: list[str]) -> Path:
    """Returns the snapshot in the local cache; no request is made."""
    from huggingface_hub import errors

    try:
        with quiet_hub():
            return _snapshot(name, revision, patterns, only_cached=True)
    except (errors.HFValidationError, errors.HTTPError, errors.EntryNotFoundError, OSError) as error:
        raise OutOfReachError(unasked("model.id", name, "model")) from error


def _snapshot(name: str, revision: str | None, patterns: list[str], *, only_cached: bool) -> Path:
    from huggingface_hub import snapshot_download

    found = snapshot_download(
        name,
        revision=revision,
        allow_patterns=patterns,
        ignore_patterns=["*/*"],  # copies of the model for other frameworks
        local_files_only=only_cached,
    )
    return Path(found)


def conversion(name: str) -> str | None:
    """Returns the revision in which the hub's own converter offers a model's weights as safetensors.

    For a repository with pickles only, the converter opens a pull request with the same weights; transformers looks
    for the same one. Pull requests of other authors are not used. None: there is none, or the hub does not answer.
    """
    from huggingface_hub import HfApi, errors

    if is_only_cached("model.id"):
        return None
    try:
        with quiet_hub():
            found = HfApi().get_repo_discussions(
                name, author=_CONVERTER, discussion_type="pull_request", discussion_status="open"
            )
            return next((one.git_reference for one in found if one.author == _CONVERTER), None)
    except (errors.HTTPError, OSError):
        return None


def _why_not(name: str, revision: str | None, error: Exception) -> Problem:
    from huggingface_hub import constants, errors

    if isinstance(error, errors.RevisionNotFoundError):
        return Problem("model.revision", f"the hub's {name} has no revision {revision or 'main'}")
    if isinstance(error, errors.GatedRepoError):
        message = f"{name} is gated: accept its terms on its page, with the account of your token"
        return Problem("model.id", message, "then run `hf auth login`")
    if isinstance(error, errors.RepositoryNotFoundError):
        return Problem("model.id", f"the hub has no model {name}, or it is private", local_hint(name))
    if constants.HF_HUB_OFFLINE:
        cache = constants.HF_HUB_CACHE
        message = (
            f"{name} is not complete in the hub's cache {cache}, and HF_HUB_OFFLINE=1 forbids a download"
        )
        return Problem("model.id", message, local_hint(name))
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    message = f"{name} cannot be fetched from the hub, and its cache does not have all of its files: {reason}"
    return Problem("model.id", message, local_hint(name))


def local_hint(name: str) -> str:
    """Returns what to type where `name` cannot be downloaded from the hub."""
    if is_folder(expanded(name)):
        return f"there is a folder of that name: set {shell_word('model.path', name)}"
    return (
        "without a network set model.path=DIR: a folder with config.json, model.safetensors, tokenizer; "
        "or type model=minilm, which comes as a package"
    )


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Silences the hub library's warnings inside the block, and its progress bars where output is no terminal."""
    from huggingface_hub.utils import disable_progress_bars, logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    if not sys.stderr.isatty() and "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextmanager
def without_network() -> Iterator[None]:
    """Keeps the hub library from any request inside the block: files of a folder may name models, kernels or backbones."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
