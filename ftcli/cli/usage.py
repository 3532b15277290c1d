"""What the parser of the command line refuses, as one of our panels: the word, what is wrong, the words to type."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from ftcli.errors import FtcliError, Problem, did_you_mean, nearest, typed_words

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""The parser's own class, which Typer exports under no name."""
MAX_SHOWN = 200
"""Characters of a word that a problem shows."""


class CommandLineError(FtcliError):
    """A command, a flag or an argument that there is not."""

    title = "command line"


def unknown_command(name: str, known: list[str]) -> CommandLineError:
    """Returns the error for a command that there is not."""
    return CommandLineError(Problem(name[:MAX_SHOWN], "there is no such command", did_you_mean(name, known)))


def as_ours(error: Any) -> CommandLineError:
    """Returns an error of the parser as ours.

    Args:
        error: a `UsageError`.
    """
    context = error.ctx
    command = context.command if context is not None else None
    name = " ".join(
        ["ftcli", *([context.info_name] if context is not None and context.parent is not None else [])]
    )
    help_hint = f"type {name} --help"
    flag = getattr(error, "option_name", None)
    if flag is not None and "No such" in error.message:
        flags = [one for param in getattr(command, "params", []) for one in param.opts if one.startswith("-")]
        near = nearest(flag, flags, 1)
        return CommandLineError(
            Problem(
                flag[:MAX_SHOWN],
                f"{name} has no such flag",
                f"did you mean {near[0]}?" if near else help_hint,
            )
        )
    key = str(getattr(getattr(error, "param", None), "human_readable_name", "") or flag or name)
    message = " ".join(str(error.format_message()).split())
    return CommandLineError(Problem(key[:MAX_SHOWN], message[:1000], help_hint))


def require_folder() -> None:
    """Raises CommandLineError if the folder that the command runs in is gone: no path could be read from it."""
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd is the same
    except OSError as error:
        message = "the folder that this shell is in does not exist any more"
        raise CommandLineError(Problem("current folder", message, typed_words("cd", Path.home()))) from error
