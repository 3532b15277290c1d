"""Shell words `key=value` -> overrides; what is none is a problem that says what to type.

Values are read with Hydra's grammar, its operators (`+`, `++`, `~`) and resolvers are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from ftcli.config.choice import choices_of
from ftcli.config.dotted import REFERENCE
from ftcli.config.fields import MAX_TEXT, wrong_text
from ftcli.config.foreign.answer import Typed
from ftcli.config.foreign.choices import answer_choice
from ftcli.config.foreign.words import answer_bare, answer_key, choice_hint, typed_pairs
from ftcli.config.own_keys import TOP_LEVEL, keys_under
from ftcli.config.recipes import recipes
from ftcli.config.schema import ROLES
from ftcli.errors import Problem, nearest

MAX_WORD = 20_000
"""Characters of a word: Hydra's grammar takes seconds for a longer list."""
MAX_NESTING = 8
"""Lists and mappings within each other in a value."""
FLAGS = (
    "--run-dir",
    "--resume",
    "--dry-run",
    "--profile",
    "--quiet",
    "--json",
    "--allow-change",
    "--checkpoint",
    "--input",
    "--output",
    "--force",
    "--help",
)
"""Flags of the commands that take overrides, for the hint on a misspelt one."""


@dataclass(frozen=True, slots=True)
class Override:
    """One shell word `key=value`, split but not yet interpreted."""

    text: str
    key: str
    value: str


def parse_overrides(texts: Iterable[str]) -> tuple[list[Override], list[Problem]]:
    """Splits shell words.

    Returns:
        The overrides, as typed, and what is wrong with the words that are none or contradict each other.
    """
    problems: list[Problem] = []
    found: list[Override] = []
    typed = typed_pairs(joined := join_flags(texts))
    for text in joined:
        one = _split(text, typed)
        if isinstance(one, Problem):
            problems.append(one)
        else:
            found.append(one)
    return found, problems + _contradictions(found)


def split_swaps(
    overrides: Iterable[Override], typed: Typed
) -> tuple[dict[str, str], list[Override], list[Problem]]:
    """Separates overrides that choose (`optimizer=sgd`) from those that set a value (`optimizer.lr=1e-3`).

    Args:
        overrides: those of the command.
        typed: all its words, of `typed_pairs`, for the hint on a choice of another tool.

    Returns:
        Role -> choice, the overrides that set a value, and a problem for each choice that does not exist.
    """
    swaps: dict[str, str] = {}
    settings: list[Override] = []
    problems: list[Problem] = []
    for one in overrides:
        if one.key not in ROLES:
            settings.append(one)
        elif one.value in (known := choices_of(one.key)):
            swaps[one.key] = one.value
        else:
            message = f"there is no {one.key} named {one.value!r}"
            problems.append(Problem(one.key, message, choice_hint(one.key, one.value, known, typed)))
    return swaps, settings, problems


def parse_value(override: Override) -> Any:
    """Reads a value with Hydra's grammar: numbers, booleans, null, [lists] and quoted strings.

    Raises:
        ValueError: the grammar does not accept it, or reads a sweep in it (`a,b`).
    """
    if (
        max(override.value.count(bracket) for bracket in "[{(") > MAX_NESTING * 4
        and _depth(override.value) > MAX_NESTING
    ):
        raise ValueError(f"nested deeper than {MAX_NESTING} levels")
    try:
        parsed = OverridesParser.create().parse_override(f"{override.key}={override.value}")
        if parsed.is_sweep_override():
            raise ValueError(f"a list is written [{override.value}]")
        value = parsed.value()
    except (HydraException, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from error
    return None if value == "" and override.value == "" else value


def _depth(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += (character in "[{(") - (character in "]})")
        deepest = max(deepest, depth)
    return deepest


def join_flags(texts: Iterable[str]) -> list[str]:
    """Joins `--optimizer.lr 1e-3`, a habit from other tools, so that it is answered as one mistake."""
    joined: list[str] = []
    for text in texts:
        before = joined[-1] if joined else ""
        if before.startswith("-") and "=" not in before and "=" not in text and not text.startswith("-"):
            joined[-1] += f"={text}"
        else:
            joined.append(text)
    return joined


def _split(text: str, typed: Typed) -> Override | Problem:
    """Splits one word at its first `=`; refuses Hydra's own operators and other tools' habits."""
    if len(text) > MAX_WORD:
        return Problem(
            text[:80] + "...", f"this word has {len(text)} characters", f"at most {MAX_WORD} are read"
        )
    if wrong := wrong_text(text[:MAX_TEXT]) or wrong_text(text[MAX_TEXT:][:MAX_TEXT]):
        return Problem(text.partition("=")[0][:80], "this word cannot be read", wrong)
    if "${" in text:
        return Problem(text.partition("=")[0], *REFERENCE)
    if text.startswith("-"):
        return _flag_problem(text, typed)
    key, sign, value = text.partition("=")
    key = key.strip()
    if text[0:1] in "+~" or key.endswith("+"):
        message = "words set existing keys; +, ++ and ~ are not used"
        return Problem(text, message, f"type {key.strip('+~')}=VALUE")
    if not sign:
        return Problem(text, "this word has no '='", _bare_hint(text, typed))
    if key.split(".")[0] == "hydra" or key.startswith("hydra/"):
        hint = "ftcli train --run-dir DIR sets the folder"
        return Problem(key, "Hydra's own settings cannot be changed", hint)
    return Override(text, key, value)


def _bare_hint(text: str, typed: Typed) -> str:
    if text in recipes():
        return f"type recipe={text}"
    answer = answer_bare(text, typed)
    return answer.hint(typed=typed) if answer else "type key=value, such as optimizer.lr=1e-4"


def _flag_problem(text: str, typed: Typed) -> Problem:
    """Answers a hyperparameter typed as a flag, by our name or another tool's, and a misspelt flag."""
    name, _, value = text.lstrip("-").partition("=")
    known = keys_under(typed)
    if name in ROLES and value not in choices_of(name):
        answer = answer_choice(name, value, typed)
    else:
        answer = answer_key(name, value, typed, known)
    last = name.rpartition(".")[2]
    # `--scheduler.patience 2` is our own key, whatever `patience` alone means elsewhere.
    ours = name.split(".")[0] in ROLES and answer and any(f".{last}=" in word for word in answer.words)
    if answer and not ours:
        known_as = bool(answer.words) and not answer.words[0].startswith("-")
        message = "hyperparameters are words, not flags" if known_as else "there is no such flag"
        return Problem(text, message, answer.hint(known, typed))
    if "." in name or name in ROLES or name in TOP_LEVEL:
        return Problem(text, "hyperparameters are words, not flags", f"type {name}={value or 'VALUE'}")
    near = nearest(text.partition("=")[0], FLAGS, 1)
    return Problem(text, "there is no such flag", f"did you mean {near[0]}?" if near else "see --help")


def _contradictions(overrides: Iterable[Override]) -> list[Problem]:
    problems = []
    seen: dict[str, str] = {}
    for one in overrides:
        if one.key in seen and seen[one.key] != one.value:
            message = f"given twice, as {seen[one.key][:80]!r} and {one.value[:80]!r}"
            problems.append(Problem(one.key, message, "keep one"))
        seen[one.key] = one.value
    return problems
