"""Words of other tools -> the words to type here, with their values converted.

An exact entry of the table is a better answer than the nearest string: `lr` looks like `logger`. Read only after a
word was not understood.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftcli.config.foreign.answer import Answer, Typed
from ftcli.config.foreign.choices import answer_choice, command_for, is_choice, is_data_file, metric_name
from ftcli.config.foreign.table import RULES
from ftcli.config.own_keys import base_keys
from ftcli.config.schema import ROLES
from ftcli.errors import did_you_mean

_WEIGHED = (
    "task.num_labels",
    "task.metrics",
    "trainer.monitor",
    "trainer.batch_size",
    "trainer.micro_batch_size",
)
"""Keys whose rules answer with another key on purpose, where the other words ask for it."""
_TABLE = {name: rule for names_of_one, rule in RULES for name in names_of_one.split()}


def plain(key: str) -> str:
    """Returns a key in lower case with underscores, without the dashes of a flag."""
    return key.strip().lstrip("-").lower().replace("-", "_")


def typed_pairs(texts: Iterable[str]) -> dict[str, str]:
    """Returns the keys, as `plain` makes them, and values of a command's words and flags.

    Another tool's dotted key, such as `training_args.eval_steps`, is found by its last part too.
    """
    parts = [text.partition("=") for text in texts]
    found = {plain(key): value for key, _, value in parts}
    for key, value in list(found.items()):
        group, _, last = key.rpartition(".")
        if group and key not in base_keys() and last not in (*ROLES, "recipe"):
            found.setdefault(last, value)
    return found


def answer_key(key: str, value: str, typed: Typed, known: Collection[str] = ()) -> Answer | None:
    """Returns what to type for an unknown key.

    A dotted key such as `trainer.learning_rate` or `optimization.max_epochs` is looked up whole, then by its last part.

    Args:
        key: as typed, a flag's dashes included.
        value: as typed, empty for a flag without one.
        typed: all words of the command, of `typed_pairs`.
        known: our keys under the choices of the run; none: only the table is asked, beside the keys of every run.

    Returns:
        None where only the nearest name can be offered.
    """
    name, own_too, known = plain(key), bool(known), known or base_keys()
    last = name.rpartition(".")[2]
    same = [own for own in known if plain(own) == name]
    if same:
        return Answer((f"{same[0]}={value or 'VALUE'}",))
    if "." in name and name in _TABLE:
        return _TABLE[name](value, typed)
    # The published recipe of a model is nothing to type.
    exact = [k for k in known if plain(k.rpartition(".")[2]) == last and not k.startswith("model.published.")]
    if rule := _TABLE.get(last):
        return _beside_own(rule(value, typed), sorted(exact), _of_role(name, known), known, typed)
    sure = own_too and "." not in name and len(exact) == 1
    return Answer((f"{exact[0]}={value or 'VALUE'}",)) if sure else None


def _of_role(name: str, known: Collection[str]) -> list[str]:
    """Returns our keys of the role that was typed whose last parts end alike, as dropout and lora_dropout do."""
    role, last = name.partition(".")[0], name.rpartition(".")[2]
    ends = [(own, plain(own.rpartition(".")[2])) for own in known if own.startswith(f"{role}.")]
    alike = [own for own, end in ends if end.endswith(f"_{last}") or last.endswith(f"_{end}")]
    return sorted(own for own in alike if not own.startswith("model.published."))


def _beside_own(
    answer: Answer, exact: list[str], of_role: list[str], known: Collection[str], typed: Typed
) -> Answer:
    """Returns the table's answer for a last part, together with keys of ours that it would hide.

    Args:
        answer: the table's.
        exact: our keys with this last part.
        of_role: see `_of_role`.
        known: see `answer_key`.
        typed: see `answer_key`.
    """
    answered = {word.partition("=")[0] for word in answer.words}
    if (
        of_role
        and answer.words
        and not any(key.startswith(f"{of_role[0].split('.')[0]}.") for key in answered)
    ):
        return Answer(note=f"did you mean {' or '.join(of_role[:3])}? or {answer.hint(known, typed)}")
    hidden = [own for own in exact if own not in {*answered, *_WEIGHED, *typed} and own not in answer.note]
    if not hidden:
        return answer
    return replace(answer, note="; ".join(filter(None, [answer.note, f"or did you mean {hidden[0]}?"])))


def answer_bare(text: str, typed: Typed) -> Answer | None:
    """Returns what to type for a word without `=`: a choice, a file, or another tool's switch such as `fp16`.

    Args:
        text: as typed.
        typed: all words of the command.
    """
    if Path(text).suffix in (".yaml", ".yml"):
        return Answer((f"recipe={text}",), "a recipe of ftcli; other tools' files are not read")
    if is_data_file(text):
        return answer_choice("data", text, typed)
    role = next((role for role in ROLES if is_choice(role, text)), None)
    return answer_choice(role, text, typed) if role else answer_key(text, "", typed)


def choice_hint(role: str, value: str, known: Collection[str], typed: Typed | None = None) -> str:
    """Returns the hint for a choice that a group does not have: another tool's name of one, else the nearest.

    Args:
        role: such as `task`.
        value: as typed.
        known: the group's choices.
        typed: all words of the command; None in a file.
    """
    answer = answer_choice(role, value, typed or {})
    return answer.hint(typed=typed) if answer else did_you_mean(value, known)


def field_hint(name: str, fields: Iterable[str], value: Any = "") -> str:
    """Returns the hint for an unknown field where one role's fields stand without its name, as in a schedule.

    Args:
        name: as written.
        fields: what there is.
        value: as YAML gives it; shown as our field takes it: `warmup_steps: 1` is `warmup: 1st`.
    """
    known = list(fields)
    answer = answer_key(name, _as_word(value) or "1", {})
    for word in answer.words if answer else ():
        key, _, ours = word.partition("=")
        if (field := key.rpartition(".")[2]) in known:
            return f"write {field}" + (f": {ours}" if _as_word(value) else "")
    return did_you_mean(name, known)


def _as_word(value: Any) -> str:
    """Returns a plain value as it is typed in the shell; empty for a mapping."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_as_word, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "" if isinstance(value, dict) else "null" if value is None else str(value)


def metric_hint(name: str, known: Collection[str], key: str = "") -> str:
    """Returns the hint for an unknown figure, such as `eval_f1_macro` or `roc_auc`.

    Args:
        name: as typed.
        known: our names.
        key: what stands in front of it, such as `trainer.monitor=`.
    """
    ours = metric_name(name)
    return f"type {key}{ours}" if ours is not None and ours in known else did_you_mean(name, known)


def command_hint(name: str) -> str:
    """Returns the hint for another tool's command, empty where only the nearest name can be offered."""
    ours = command_for(name)
    return f"type {ours}" if ours else ""
