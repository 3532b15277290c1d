"""Every key with hostile values, fuzzed words and hostile recipes: refused by name or composed, at once, and nothing read."""

import math
import time

import pytest
from fuzzed_words import fuzzed_words
from hostile_configs import hostile_configs
from hostile_schedules import CANARY_VARIABLE
from omegaconf import OmegaConf

from ftcli.config.bundled import conf_files
from ftcli.config.check import check
from ftcli.config.choice import plain_values
from ftcli.config.compose import load
from ftcli.config.fields import LARGEST_SEED, wrong_text
from ftcli.config.saved import render_config
from ftcli.config.schema import ROLES
from ftcli.config.strict_files import read_strictly
from ftcli.config.typed_tree import TypedTree
from ftcli.errors import FtcliError

CANARY = "canary-5f1c9b"
VALUES = (math.nan, math.inf, -math.inf, -1, 0, -0.5, 2**31, 2**63, 10**400, 1e308, "", "nan", "x" * 5000, "a\0b", "\x1b[2J", "a\udcff", "${seed}", [], [math.nan],
          [[1]], ["\0"], [2**31], {}, {"a": {"b": 1}}, True, None)  # fmt: skip


def unusable(value) -> bool:
    """Returns whether a value of a configuration could not be used or written."""
    if isinstance(value, dict | list):
        return any(map(unusable, value.values() if isinstance(value, dict) else value))
    if isinstance(value, str):
        return bool(wrong_text(value)) or "${" in value
    return isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= LARGEST_SEED)


@pytest.fixture(autouse=True)
def canary(monkeypatch, tmp_path):
    monkeypatch.setenv(CANARY_VARIABLE, CANARY)
    monkeypatch.chdir(tmp_path)


def composed_or_refused(words: list[str]) -> str:
    """Returns all that is shown; anything but an FtcliError fails the test, and so does waiting."""
    began = time.perf_counter()
    try:
        composed = load(words)
        check(composed)
        shown = render_config(composed)
    except FtcliError as error:
        assert all(p.message for p in error.problems)
        shown = "\n".join(f"{p.key} {p.message} {p.hint}" for p in error.problems)
    assert time.perf_counter() - began < 20
    return shown


@pytest.mark.parametrize("role", ROLES)
def test_every_key_of_every_choice_with_hostile_values(role):
    base = load([])
    seen = set()
    for choice, file in conf_files(role).items():
        uses = read_strictly(file).get("uses", choice)
        if uses in seen:
            continue
        seen.add(uses)
        words = [f"{role}={choice}"]
        chosen = load(words) if choice != base.config.choices[role] else base
        tree = TypedTree(chosen.config.choices, chosen.config.uses, {})
        for key in sorted(key for key in tree.known if key.startswith(f"{role}.")):
            before = OmegaConf.to_object(tree.values[role])
            for value in VALUES:
                count = len(tree.problems)
                tree.set(key, value, "shell")
                part = OmegaConf.to_object(tree.values[role])
                if len(tree.problems) > count:
                    assert part == before, (key, value)
                    continue
                assert not unusable(plain_values(part)), (key, value)
                part.problems()
                before = part


def test_fuzzed_words():
    """A third and more must compose: else the figure of words would try the parser alone."""
    composed = 0
    for name, words in fuzzed_words(40, seed=16):
        shown = composed_or_refused(["model.path=.", *words])
        assert CANARY not in shown, name
        composed += shown.startswith("recipe: ")
    assert composed >= 14


def test_hostile_recipes(tmp_path):
    for name, file in hostile_configs(tmp_path / "recipes", 38, seed=16):
        assert CANARY not in composed_or_refused([f"recipe={file}"]), name
