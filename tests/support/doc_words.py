"""What the arguments of a command on a page amount to: its overrides, its runs, its configuration."""

from __future__ import annotations

from typing import Any

WITH_VALUE = ("--run-dir", "--input", "-i", "--output", "-o", "--checkpoint", "--split", "--mistakes", "--errors", "--dtype", "--base",
              "--by", "--phases", "--write-clean", "--allow-change", "--chunk", "--batch-size")  # fmt: skip
"""Options that are followed by a value."""


class Refused(Exception):
    """A step that the tests cannot take."""


def load_words(words: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the values and choices that a command's overrides amount to; whether files are there is not looked at.

    Raises:
        Refused: an override is wrong.
    """
    from omegaconf import OmegaConf

    from ftcli.config.compose import load
    from ftcli.errors import ConfigError

    try:
        composed = load(overrides_in(words))
    except ConfigError as error:
        raise Refused(str(error)) from error
    values = OmegaConf.to_container(composed.values, resolve=True, enum_to_str=True)
    return values, composed.config.choices  # type: ignore[return-value]


def overrides_in(words: list[str]) -> list[str]:
    """Returns the overrides among a command's arguments."""
    found = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in WITH_VALUE:
            skip = True
        elif not word.startswith("-") or "." in word:
            found.append(word)
    return found


def places_of_runs(command: str, words: list[str]) -> list[int]:
    """Returns where runs stand among a command's arguments."""
    places = []
    skip = False
    for at, word in enumerate(words):
        if skip:
            skip = False
        elif word in WITH_VALUE:
            skip = True
        elif not word.startswith("-") and "=" not in word:
            places.append(at)
    return places[:1] if command in ("export", "resume") else places
