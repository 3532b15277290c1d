"""Which names of the hub may be sent to it: those that the user typed, not those that a run directory of somebody else's holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ftcli.config.shell_word import shell_word
from ftcli.errors import Problem, typed_words

_only_cached: ContextVar[frozenset[str]] = ContextVar("only_cached", default=frozenset())


@contextmanager
def only_cached(keys: frozenset[str]) -> Iterator[None]:
    """Inside the block, names under these keys (`model.id`, `data.id`) are read from the hub's local cache alone.

    A run directory that somebody else made names what it likes; a request would tell the hub, or whoever HF_ENDPOINT is, that name.
    """
    token = _only_cached.set(keys)
    try:
        yield
    finally:
        _only_cached.reset(token)


def is_only_cached(key: str) -> bool:
    """Says whether names under this key must not be sent to the hub."""
    return key in _only_cached.get()


def unasked(key: str, name: str, kind: str) -> Problem:
    """Returns what to say of a name that is not in the local cache and that the user did not type.

    Args:
        key: `model.id` or `data.id`.
        name: on the hub.
        kind: the option of `hf download`: `model` or `dataset`.
    """
    message = f"{name} is named by the run directory and is not whole in the hub's local cache; such names are never looked up unasked"
    fetch = "hf download " + ("" if kind == "model" else f"--repo-type {kind} ") + typed_words(name)
    return Problem(
        key, message, f"if you trust it, add {shell_word(key, name)} to the command, or type: {fetch}"
    )
