"""The one reader of a run's files: what it takes, what it refuses, and the words with which it does."""

import json
import os
import socket

import pytest

from ftcli.errors import RunDirError
from ftcli.storage.run_files import AGAIN, FILES, read_record, read_text
from ftcli.storage.shapes import NATURAL, Given, Maybe, misfit

ENVIRONMENT = {
    "decisions": {"attention": "sdpa", "precision": "bf16", "threads": 2, "device": "cpu"},
    "cpu": None,
}


def refused(path) -> str:
    """Returns the message with which a file is refused; its key is the path and its hint is not empty."""
    with pytest.raises(RunDirError) as error:
        read_record(path)
    (problem,) = error.value.problems
    assert problem.key == str(path) and problem.hint
    assert (
        problem.message.startswith("cannot be read: it ")
        or "decisions" in problem.message
        or "byte" in problem.message
    )
    assert FILES[path.name].holds in problem.message
    return problem.message


def test_what_was_written_is_returned(tmp_path):
    path = tmp_path / "environment.json"
    path.write_text(json.dumps(ENVIRONMENT))
    assert read_record(path) == ENVIRONMENT
    (tmp_path / "command.txt").write_text("ftcli train é\n", encoding="utf-8")
    assert read_text(tmp_path / "command.txt") == "ftcli train é\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"), (b" \n", "it is empty"), (bytes(4096), "it is all zero bytes"),
        (json.dumps(ENVIRONMENT).encode()[:-9], "cut off"), (b"\xff\xfe{", "byte 0 is not UTF-8"),
        (b"[" * 100_000, "nested too deep"), (b"[]", "not an object"), (b"3", "not an object"), (b'"text"', "not an object"),
        (b"null", "not an object"), (b"{}", "decisions is missing"), (b"1" * 5000, "cut off"),
        (b'{"decisions": []}', "decisions is not an object"),
        (b'{"decisions": {"attention": "sdpa", "precision": "int8", "threads": 1}}', "decisions.precision is not one of fp32, bf16, fp16"),
        (b'{"decisions": {"attention": "sdpa", "precision": "fp32", "threads": true}}', "threads is not a whole number from 1 to 4,096"),
        (b'{"decisions": {"attention": "sdpa", "precision": "fp32", "threads": 1e400}}', "threads is not a whole"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_refused(tmp_path, content, said):
    (tmp_path / "environment.json").write_bytes(content)
    assert said in refused(tmp_path / "environment.json")


def test_what_is_no_plain_file_is_refused_and_never_waited_for(tmp_path):
    path = tmp_path / "environment.json"
    assert "it is missing" in refused(path)
    path.mkdir()
    assert "it is a folder" in refused(path)
    path.rmdir()
    os.mkfifo(path)
    assert "it is a FIFO" in refused(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))
        assert "it is a socket" in refused(path)
    path.unlink()
    (tmp_path / "other").write_text(json.dumps(ENVIRONMENT))
    for target in (tmp_path / "other", tmp_path / "nowhere", "/dev/zero", path):
        path.symlink_to(target)
        assert f"it is a link to {target}" in refused(path)
        path.unlink()


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "environment.json"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert "it has 1,099,511,627,776 bytes, and at most 1,048,576 are read" in refused(path)


def test_the_hint_names_the_folder_as_it_is_typed(tmp_path):
    folder = tmp_path / "my run"
    folder.mkdir()
    with pytest.raises(RunDirError) as error:
        read_record(folder / "result.json")
    quoted = f"'{folder}'"
    assert error.value.problems[0].hint.endswith(f"rm '{folder}/result.json' && ftcli resume {quoted}")
    assert "{folder}/command.txt" in AGAIN


@pytest.mark.parametrize(
    ("value", "shape", "expected"),
    [
        ({"a": 1}, {"a": NATURAL}, None), ({"a": 1, "b": 2}, {"a": int}, None), ({"a": None}, {"a": Maybe(int)}, None),
        ({}, {"a": Given(int)}, None), ({"a": "x"}, {"a": Given(int)}, "a is not a whole number"),
        ({"a": True}, {"a": int}, "a is not a whole number"), ({"a": 1}, {"a": bool}, "a is not true or false"),
        ({"a": 1}, {"a": float}, None), ({"a": -1}, {"a": NATURAL}, "a is not a whole number from 0 to 9,007,199,254,740,991"),
        ({"a": [{"b": 1}, {}]}, {"a": [{"b": int}]}, "a[1].b is missing"), ({"a": {"x": 1}}, {"a": {str: str}}, "a.x is not text"),
        ({1: 2}, {str: None}, "1 is not a key that is text"), ({"a": {}}, {"a": [int]}, "a is not a list"),
    ],
)  # fmt: skip
def test_a_shape_says_where_a_value_misses_it(value, shape, expected):
    assert misfit(value, shape) == expected
