"""Words of other tools: what the panel says to type, and that those words compose."""

from __future__ import annotations

import itertools
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from foreign_cases import ANSWERED, CASES

from ftcli.config.choice import choices_of
from ftcli.config.compose import load
from ftcli.config.foreign.table import RULES
from ftcli.config.foreign.words import (
    answer_key,
    command_hint,
    field_hint,
    metric_hint,
    plain,
    typed_pairs,
)
from ftcli.config.overrides import join_flags
from ftcli.config.own_keys import base_keys
from ftcli.config.registry import names_of
from ftcli.config.schema import ROLES
from ftcli.config.validate import problems_of
from ftcli.errors import ConfigError, PlanError
from ftcli.plan.written import parse_schedule

KEYS = [name for names, _ in RULES for name in names.split()]


def hints_of(words: str) -> list[str]:
    """Returns the hints of the panel."""
    with pytest.raises(ConfigError) as error:
        load(words.split())
    return [problem.hint for problem in error.value.problems]


def words_of(hint: str) -> list[str]:
    """Returns the shell words that a hint says to type."""
    assert hint.startswith("type "), hint
    return shlex.split(re.sub(r" \([^()]*\)$", "", hint).removeprefix("type "))


def is_choice(word: str) -> bool:
    key, _, value = word.partition("=")
    return key in ROLES and value in choices_of(key)


def keys_of(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words}


@cache
def problems_besides_files(words: tuple[str, ...]) -> list[str]:
    """Returns what is wrong with words that compose, but for files and rows that are not there."""
    said = [problem.message for problem in problems_of(load(list(words)).config)]
    return [
        text
        for text in said
        if not text.startswith(("there is no file", "there is no folder", "no rows are named"))
    ]


@pytest.mark.parametrize(("typed", "expected"), CASES, ids=[typed for typed, _ in CASES])
def test_the_panel_shows_words_that_compose_beside_ours(typed, expected):
    words = words_of(hints_of(typed)[-1])
    assert words == expected.split()
    if beside := own_words_beside(typed, words):
        assert not problems_besides_files((*beside, *words))


def own_words_beside(typed: str, hinted: list[str]) -> list[str]:
    """Returns our own words among those typed that stay beside the hinted ones."""
    ours = [word for word in typed.split() if is_choice(word) or word.partition("=")[0] in base_keys()]
    return [word for word in ours if word.partition("=")[0] not in keys_of(hinted)]


@pytest.mark.parametrize(("typed", "expected"), ANSWERED.items(), ids=list(ANSWERED))
def test_what_does_not_exist_is_said(typed, expected):
    assert expected in hints_of(typed)[0]


SHAPES = (
    "None",
    "0",
    "-1",
    "0.1",
    "1.0",
    "500.0",
    "1e3",
    "True",
    "False",
    "[0,1,2]",
    "[query,value]",
    "text",
)
"""Values of other tools; most do not fit most settings."""


def hinted_words(hint: str) -> list[tuple[str, ...]]:
    """Returns the words that a hint says to type, after checking that its prose names none."""
    prose, *hinted = re.split(r"(?:^|\? or )type ", hint, maxsplit=1)
    assert not re.search(r"type '?[a-z_]+(\.[a-z_]+)+=", prose), hint
    if not hinted or hinted[0].startswith(("ftcli", "recipe=", "--", "phases")):
        assert not re.search(r"type '?[a-z_]+(\.[a-z_]+)+=", hint), hint
        return []
    words = tuple(words_of(f"type {hinted[0]}"))
    return [] if words[0].startswith("recipe=") else [words]


def in_few_loads(hinted: set[tuple[str, ...]]) -> list[list[tuple[str, ...]]]:
    """Returns the words in groups of the same choices and different keys: a configuration takes 20 ms to compose."""
    groups: list[list[tuple[str, ...]]] = []
    for words in sorted(hinted):
        choices = {word for word in words if is_choice(word)}
        for group in groups:
            same = choices == {word for word in group[0] if is_choice(word)}
            if same and not keys_of([w for one in group for w in one if not is_choice(w)]) & keys_of(words):
                group.append(words)
                break
        else:
            groups.append([words])
    return groups


def wrong_words(words: tuple[str, ...]) -> list[str]:
    """Returns what is wrong with words, besides files and what depends on the recipe's batch."""
    try:
        return [
            text for text in problems_besides_files(words) if "is more than trainer.batch_size" not in text
        ]
    except ConfigError as error:
        return [str(error)]


def test_whatever_the_value_the_words_of_its_hint_compose():
    firsts = [names.split()[0] for names, _ in RULES]
    keys = [*firsts, *(f"model.{name}" for name in firsts if "." not in name)]
    hinted = {tuple(words.split()) for typed, words in CASES if not own_words_beside(typed, words.split())}
    hinted = {words for words in hinted if not words[0].startswith(("--", "recipe="))}
    for key, value in itertools.product(keys, SHAPES):
        if key not in base_keys():
            answer = answer_key(key, value, {key: value}, base_keys())
            hinted |= set(hinted_words(answer.hint(base_keys(), {})))
    assert len(hinted) > 300
    doubtful = [group for group in in_few_loads(hinted) if wrong_words(tuple(dict.fromkeys(sum(group, ()))))]
    wrong = {words: wrong_words(words) for group in doubtful for words in group}
    assert not {words: said for words, said in wrong.items() if said}


def test_keys_of_a_plugin_are_named_beside_the_table():
    known = {*base_keys(), "optimizer.epsilon", "optimizer.my_eps", "logger.wandb_project"}
    assert answer_key("epsilon", "1", {}, known).hint(known, {"optimizer": "mine"}).endswith(
        "(or did you mean optimizer.epsilon?)")  # fmt: skip
    assert (
        answer_key("wandb_project", "mine", {}, known)
        .hint()
        .endswith("or did you mean logger.wandb_project?")
    )
    assert answer_key("scheduler.wd", "1", {}, {*known, "scheduler.my_wd"}).hint() == (
        "did you mean scheduler.my_wd? or type optimizer.weight_decay=1")  # fmt: skip


def test_every_rule_has_a_case():
    typed = {
        plain(key) for line in (*dict(CASES), *ANSWERED) for key in typed_pairs(join_flags(line.split()))
    }
    tails = typed | {key.rpartition(".")[2] for key in typed}
    untested = [names for names, _ in RULES if not tails & set(names.split())]
    assert not untested


def test_every_name_of_a_rule_is_answered():
    assert len(KEYS) == len(set(KEYS)) >= 200
    for name in KEYS:
        answer = answer_key(name, "", {name: ""})
        assert answer is not None and answer.hint(), name


def test_no_name_hides_one_of_ours():
    assert not base_keys() & set(KEYS)
    assert not set(ROLES) & set(KEYS)


def test_several_words_are_answered_at_once():
    hints = hints_of("--lr 1e-4 num_train_epochs=3 --fp16 task=ner")
    assert hints == ["type optimizer.lr=1e-4", "type trainer.precision=fp16", "type task=token-classification",
                     "type trainer.epochs=3"]  # fmt: skip


def test_our_own_key_as_a_flag_keeps_its_role():
    assert hints_of("--scheduler.patience 2") == ["type scheduler.patience=2"]
    assert hints_of("--optimizer.lr 1e-3") == ["type optimizer.lr=1e-3"]


def test_a_word_with_brackets_is_quoted_for_the_shell():
    assert hints_of("lora_target=query,value") == ["type peft=lora 'peft.target_modules=[query,value]'"]


@pytest.mark.parametrize(("name", "ours"), [("roc_auc", "auroc"), ("eval_f1_macro", "f1"), ("matthews_correlation", "mcc"),
                                            ("seqeval", "span-f1"), ("exact_match", "exact-match"), ("f1_micro", "f1@micro")])  # fmt: skip
def test_metrics_by_other_names(name, ours):
    assert metric_hint(name, [*names_of("metric"), "f1@micro"]) == f"type {ours}"


def test_a_monitor_by_its_name_in_the_trainer():
    problems = problems_of(load(["trainer.monitor=eval_loss"]).config)
    assert [p.hint for p in problems] == ["type trainer.monitor=loss"]


def test_fields_of_a_phase():
    assert field_hint("learning_rate", ["lr", "max_epochs"]) == "write lr"
    assert field_hint("patiense", ["patience", "lr"]) == "did you mean patience?"
    assert field_hint("warmup_steps", ["lr", "warmup"], 1) == "write warmup: 1st"
    assert field_hint("warmup_ratio", ["lr", "warmup"], 0.1) == "write warmup: 0.1"
    assert field_hint("learning_rate", ["lr", "warmup"], 1e-3) == "write lr: 0.001"


def hints_of_schedule(text: str) -> list[tuple[str, str]]:
    """Returns (place, hint) of each problem of a schedule."""
    with pytest.raises(PlanError) as error:
        parse_schedule(text, "mine.yaml")
    return [(problem.key, problem.hint) for problem in error.value.problems]


def test_a_length_of_another_tool_in_a_phase_is_converted():
    text = "0:\n  params: [head]\n  warmup_steps: 1\n  learning_rate: 1e-3"
    assert hints_of_schedule(text) == [
        ("mine.yaml:3", "write warmup: 1st"),
        ("mine.yaml:4", "write lr: 0.001"),
    ]


@pytest.mark.parametrize(("field", "meant"), [("lr: 1e-3", "lr"), ("learning_rate: 1e-3", "lr"), ("scale_lr: true", "lr"),
                                              ("layerwise: {kind: geometric}", "layerwise")])  # fmt: skip
def test_a_rate_below_the_optimizer_of_a_phase_is_refused(field, meant):
    text = f"0:\n  params: [head]\n  optimizer:\n    name: sgd\n    {field}"
    assert hints_of_schedule(text) == [("mine.yaml:5", f"write {meant} in the phase")]


def test_commands_by_other_names(ftcli):
    done = ftcli("finetune", "recipe=sst2-lora")
    assert done.code == 2 and "type ftcli train" in done.err
    assert command_hint("eval") == "type ftcli evaluate RUN"
    assert command_hint("nothing-like-it") == ""


PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"


def table_rows() -> list[tuple[str, str]]:
    """Returns (other tools' settings, ours) of each row of the tables on the page for newcomers."""
    rows = [line.strip("|").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [(" ".join(cells[:-1]), cells[-1]) for cells in rows]


@pytest.mark.parametrize(("theirs", "ours"), table_rows())
def test_the_page_for_newcomers_says_what_the_panel_says(theirs, ours):
    codes = " ".join(re.findall(r"`([^`]+)`", theirs)).replace(": ", "=")
    settings = [word.split("=", 1) for word in codes.split() if "(" not in word]
    typed = {plain(key): "".join(value).strip("\"'") for key, *value in settings}
    for key, value in typed.items():
        answer = answer_key(key, value, typed)
        for word in answer.words if answer else ():
            assert word.partition("=")[0] in ours, (key, word)
