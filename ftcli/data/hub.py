"""Data sets of the hub -> columns: data files only, a data set's own code is never run."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ftcli.config.hub_names import is_only_cached, unasked
from ftcli.config.regular_file import expanded, is_folder
from ftcli.config.shell_word import shell_word
from ftcli.data.arrow import content_of
from ftcli.data.content import Content
from ftcli.errors import ConfigError, OutOfReachError, Problem, SourceError

if TYPE_CHECKING:
    from datasets import DatasetDict

TIMEOUT_S = 5.0
"""Time to reach the hub at all. Its library alone would try for half a minute."""


def read_hub(name: str, subset: str | None) -> dict[str, Content]:
    """Returns split name -> columns; without a network, of the copy in the hub's local cache.

    Raises:
        SourceError: the data set is not there or the hub is out of reach; says what to set.
        ConfigError: `subset` is missing or unknown.
    """
    import datasets

    if is_folder(expanded(name)):
        # datasets would silently prefer the folder to the hub.
        raise ConfigError(
            Problem("data.id", f"{name} is a local folder", f"type {shell_word('data.path', name)}")
        )
    cached = is_only_cached("data.id")
    reason = "it may be read from the local cache alone" if cached else _why_unreachable()
    try:
        with _offline(bool(reason)), quiet():
            loaded = datasets.load_dataset(name, subset)
    except ValueError as error:
        if "onfig" not in str(error):
            raise SourceError(_problem(name, str(error))) from error
        message = " ".join(str(error).split())
        raise ConfigError(Problem("data.subset", message, "type data.subset=NAME")) from error
    except (OSError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        if cached:
            raise OutOfReachError(unasked("data.id", name, "dataset")) from error
        raise OutOfReachError(_problem(name, reason or str(error))) from error
    return contents_of(loaded, name)


def contents_of(loaded: DatasetDict, origin: str) -> dict[str, Content]:
    """Returns split name -> columns of a loaded data set, each with a digest of its content."""
    contents = {}
    for split, dataset in loaded.items():
        content = content_of(dataset.with_format("arrow")[:], f"{origin} ({split})")
        inner = {name: getattr(kind, "feature", kind) for name, kind in dataset.features.items()}
        named = {name: kind for name, kind in inner.items() if hasattr(kind, "names")}
        content.class_names = {name: list(kind.names) for name, kind in named.items()}
        plain = {name: values for name, values in content.columns.items() if isinstance(values, list)}
        content.sha256 = _digest(plain)
        contents[str(split)] = content
    return contents


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the library's own lines, warnings and bars off the console."""
    import datasets

    level, bars = datasets.logging.get_verbosity(), datasets.is_progress_bar_enabled()
    datasets.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        datasets.logging.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()


def _digest(columns: dict[str, list[Any]]) -> str:
    digest = hashlib.sha256()
    for name, values in columns.items():
        digest.update(repr((name, len(values))).encode())
        for value in values:
            digest.update(repr(value).encode())
    return digest.hexdigest()


def _why_unreachable() -> str:
    """Asks the hub for one answer, of any kind; returns why there was none, or ''."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT_S)
    except OfflineModeIsEnabled:
        return "HF_HUB_OFFLINE=1 forbids a download"
    except (HTTPError, OSError) as error:
        return str(error) or type(error).__name__
    return ""


@contextmanager
def _offline(offline: bool) -> Iterator[None]:
    """Keeps both libraries from trying the network again; they read these flags at each call."""
    import datasets.config
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if offline:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _problem(name: str, reason: str) -> Problem:
    why = reason.strip().splitlines()[0] if reason.strip() else "no reason given"
    message = f"{name} cannot be had from the hub or its local cache: {why}"
    return Problem("data.id", message, "set data.path=DIR, a folder with train and validation (or dev) files")
