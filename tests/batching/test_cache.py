"""The cache never serves other rows' tokens, never a torn entry, and never stands in the way."""

import hashlib
import multiprocessing
import os
import stat
from dataclasses import replace

import numpy as np
import pytest

from ftcli.batching.cache import cache_folder, cached_table, table_key
from ftcli.batching.rows import Rows
from ftcli.batching.token_table import TokenTable
from ftcli.config.schema import ColumnsConfig, TaskConfig


class LengthTokenizer:
    fingerprint = "0" * 64
    max_length = 8


class LengthTask:
    """Encodes a text as its length, and counts how often it had to."""

    config = TaskConfig()
    table_class = TokenTable

    def __init__(self, columns=None):
        self.columns, self.calls = columns or ColumnsConfig(), 0
        self.declared_names = None

    def label_reading(self):
        return {"declared_names": self.declared_names}

    def encode(self, rows, tokenizer):
        self.calls += 1
        ids = np.array([len(text) for text in rows.columns["text"]], dtype=np.int32)
        return TokenTable(ids, np.arange(len(ids) + 1, dtype=np.int64))


LABELS = ["no", "yes"]


def make_rows(texts=("a", "bb")):
    sha = hashlib.sha256("".join(texts).encode()).hexdigest()
    return Rows("train", {"text": list(texts), "label": ["no"] * len(texts)}, "f.tsv", sha)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entries(folder):
    return sorted((folder / "tables").iterdir())


def test_folder_by_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("FTCLI_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "ftcli"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "ftcli"


def test_the_second_time_comes_from_the_cache(folder):
    task = LengthTask()
    first, lines = cached_table(make_rows(), LengthTokenizer(), task, LABELS)
    assert lines == []
    second, lines = cached_table(make_rows(), LengthTokenizer(), task, LABELS)
    assert lines == ["train: tokens from the cache"]
    assert task.calls == 1
    assert first.ids.tolist() == second.ids.tolist() == [1, 2]
    assert sorted(p.name for p in entries(folder)[0].iterdir()) == ["manifest.json", "table.safetensors"]
    assert len(entries(folder)) == 1


def test_whatever_changes_the_bytes_changes_the_key():
    def key(rows=None, columns=None, labels=LABELS, declared=None, **tokenizer):
        made, task = LengthTokenizer(), LengthTask(columns)
        task.declared_names = declared
        for name, value in tokenizer.items():
            setattr(made, name, value)
        return table_key(rows or make_rows(), made, task, labels)

    rows = make_rows()
    changed = [
        key(rows=make_rows(("a", "bc"))),
        key(rows=replace(rows, name="test")),
        key(rows=replace(rows, class_names=["yes", "no"])),
        key(columns=ColumnsConfig(text="other")),
        key(columns=ColumnsConfig(text_pair="other")),
        key(columns=ColumnsConfig(label="other")),
        key(labels=["yes", "no"]),
        key(declared=["yes", "no"]),
        key(fingerprint="1" * 64),
        key(max_length=9),
    ]
    assert key() == key()
    assert len({key(), *changed}) == len(changed) + 1


def flip(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("file", ["table.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_entry_is_rebuilt(folder, file, damage):
    task = LengthTask()
    cached_table(make_rows(), LengthTokenizer(), task, LABELS)
    victim = entries(folder)[0] / file
    data = victim.read_bytes()
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes({"flip": flip(data, len(data) - 8), "cut": data[:-5], "empty": b""}[damage])
    table, lines = cached_table(make_rows(), LengthTokenizer(), task, LABELS)
    assert lines == ["train: the cached tokens were damaged and are built again"]
    assert (table.ids.tolist(), task.calls) == ([1, 2], 2)
    assert cached_table(make_rows(), LengthTokenizer(), task, LABELS)[1] == ["train: tokens from the cache"]
    assert len(entries(folder)) == 1


def test_every_flipped_bit_of_a_table_is_seen(folder):
    task = LengthTask()
    cached_table(make_rows(), LengthTokenizer(), task, LABELS)
    victim = entries(folder)[0] / "table.safetensors"
    data = victim.read_bytes()
    for place in range(0, len(data), 7):
        victim.write_bytes(flip(data, place))
        _, lines = cached_table(make_rows(), LengthTokenizer(), task, LABELS)
        assert lines == ["train: the cached tokens were damaged and are built again"]


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "file"))
    table, lines = cached_table(make_rows(), LengthTokenizer(), LengthTask(), LABELS)
    assert table.ids.tolist() == [1, 2]
    assert len(lines) == 1 and lines[0].startswith("train: tokens are not cached, ")
    assert "FTCLI_CACHE=DIR" in lines[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(folder):
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "Permission denied" in cached_table(make_rows(), LengthTokenizer(), LengthTask(), LABELS)[1][0]


def test_rows_that_cannot_be_encoded_leave_nothing(folder):
    class Failing(LengthTask):
        def encode(self, rows, tokenizer):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cached_table(make_rows(), LengthTokenizer(), Failing(), LABELS)
    assert not folder.exists()


def _write_and_read(results):
    for number in range(20):
        texts = ["x" * (number + i) for i in range(50)]
        table, _ = cached_table(make_rows(texts), LengthTokenizer(), LengthTask(), LABELS)
        results.put(table.ids.tolist() == [number + i for i in range(50)])


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_processes_that_start_together_never_read_half_an_entry(folder):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    writers = [context.Process(target=_write_and_read, args=(results,)) for _ in range(3)]
    for writer in writers:
        writer.start()
    assert all(results.get(timeout=30) for _ in range(60))
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(entries(folder)) == 20
