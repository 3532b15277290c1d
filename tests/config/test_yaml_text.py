"""The YAML reader's bounds: what a hostile text would cost is refused while it is read."""

import os
import time

import pytest

from ftcli.config.compose import load
from ftcli.config.saved import read_config
from ftcli.config.yaml_text import MAX_BYTES, parse_yaml, read_yaml
from ftcli.errors import ConfigError, PlanError, RunDirError
from ftcli.plan.written import parse_schedule

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, one in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "aliases": (BOMB, "aliases stand for more than"),
    "merges": ("a: &a {x: 1}\n" + "".join(f"b{i}: &b{i} {{<<: [{', '.join(['*a'] * 3000)}]}}\n" for i in range(30)), "more than"),
    "depth": ("x: " + "[" * 100_000, "nested deeper"),
    "mappings": ("".join(f"{' ' * i}a:\n" for i in range(500)), "nested deeper"),
    "flow mappings": ("{a: " * 5000, "nested deeper"),
    "values": ("x: [" + "1," * 200_000 + "]", "more than 50000 values"),
    "size": ("x: " + "a" * (MAX_BYTES + 1), "at most 1048576"),
    "a cycle": ("x: &x [*x]\n", "inside of what it names"),
    "a merge cycle": ("x: &x\n  <<: *x\n", "inside of what it names"),
    "a number": ("x: " + "9" * 5000, "digits"),
    "python": ("x: !!python/object/apply:os.system [ls]", "constructor"),
    "a set": ("x: !!set {a}", "constructor"),
    "duplicates": ("a: 1\na: 2", "duplicate key"),
    "a tab": ("a:\n\t- b", "cannot start any token"),
    "a control character": ("a: \x1b", "special characters"),
    "an unknown alias": ("a: *b", "undefined alias"),
    "a mapping as key": ("{a: 1}: 2", "unhashable"),
    "two documents": ("a: 1\n---\nb: 2\n", "another document"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_refused_at_once(name):
    text, said = HOSTILE[name]
    began = time.perf_counter()
    with pytest.raises(ConfigError, match=said):
        parse_yaml(text, "x.yaml")
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("name", ["aliases", "depth", "a cycle", "a number", "python"])
def test_every_door_has_the_bounds(name, tmp_path):
    text, _ = HOSTILE[name]
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="YAML"):
        load([f"recipe={file}"])
    file = file.rename(tmp_path / "config.yaml")
    with pytest.raises(RunDirError):
        read_config(file)
    with pytest.raises(PlanError):
        parse_schedule(text, "s.yaml")


def test_values_are_those_of_yaml():
    text = "a: 1e-5\nb: 2020-01-01\nc: 'no'\nd: &d [1, 2]\ne: *d\nf: {<<: {g: 1}, h: 2}\ni: 12\nj: .inf\nk: ~\nl: true\n"
    assert parse_yaml(text, "") == {"a": 1e-5, "b": "2020-01-01", "c": "no", "d": [1, 2], "e": [1, 2], "f": {"g": 1, "h": 2}, "i": 12,
                                    "j": float("inf"), "k": None, "l": True}  # fmt: skip


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    for path, said in ((tmp_path, "is a folder"), (tmp_path / "pipe.yaml", "is a pipe"), (tmp_path / "none", "No such file"),
                       (tmp_path / ("a" * 300), "too long"), (tmp_path / "latin.yaml", "not UTF-8 text: line 1")):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            read_yaml(path)
