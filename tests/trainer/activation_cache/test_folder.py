"""The folder of kept activations with several processes at it: what goes, what must not, what a full disk does."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ftcli.batching.token_table import TokenTable
from ftcli.console.units import size_text
from ftcli.errors import RunDirError
from ftcli.trainer.activation_cache.folder import FILE, StatesFolder
from ftcli.trainer.activation_cache.states import Shape

LOWEST = ("freezing=bottom-layers", "freezing.num_layers=1")
SHAPE = Shape("all", 8, torch.float32)
SIZE = 10 * 8 * 4

READER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_folder import SHAPE, table
from ftcli.trainer.activation_cache.folder import StatesFolder
folder = StatesFolder(path=Path(sys.argv[1]), limit_bytes=10**9, note=print)
states = folder.read(sys.argv[2], SHAPE, table())
print("held" if states is not None else "none", flush=True)
sys.stdin.readline()
print(float(states.flat.sum()), flush=True)
"""
WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_folder import SHAPE, SIZE, table
from ftcli.errors import FtcliError
from ftcli.trainer.activation_cache.folder import StatesFolder
folder = StatesFolder(path=Path(sys.argv[1]), limit_bytes=5 * (SIZE + 400), note=lambda line: None)
sys.stdin.readline()
for number in range(40):
    folder.open(SIZE)
    key = f"{number % 13:02d}"
    states = folder.read(key, SHAPE, table())
    if states is None:
        try:
            with folder.staged(key, SHAPE, table()) as states:
                states.flat.fill_(number % 13)
        except FtcliError as error:
            assert "exists already" in str(error) or "not empty" in str(error), error
            continue
    assert float(states.flat.sum()) == 80.0 * (number % 13), key
print("done")
"""


def table() -> TokenTable:
    """Three sequences of 10 tokens in all."""
    return TokenTable(ids=np.arange(10, dtype=np.int32), offsets=np.array([0, 3, 7, 10]))


def folder_of(path, limit: int = 10**9) -> tuple[StatesFolder, list[str]]:
    notes: list[str] = []
    return StatesFolder(path=path, limit_bytes=limit, note=notes.append), notes


def write(folder: StatesFolder, key: str, age: int = 0) -> None:
    """Writes an entry that was last read so many seconds ago, and lets it go."""
    folder.open(SIZE)
    with folder.staged(key, SHAPE, table()) as states:
        states.flat.fill_(1)
    os.utime(folder.path / key, (1e9 - age, 1e9 - age))


def names(folder: StatesFolder) -> list[str]:
    return sorted(entry.name for entry in folder.path.iterdir())


def whole(folder: StatesFolder, key: str) -> int:
    return sum(file.stat().st_size for file in (folder.path / key).iterdir())


def python(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_what_was_not_read_for_longest_goes_and_it_is_said(tmp_path):
    folder, notes = folder_of(tmp_path / "prefix")
    for key, age in (("a", 30), ("b", 20), ("c", 10)):
        write(folder, key, age)
    states = folder.read("a", SHAPE, table())
    assert states is not None and not notes
    del states
    folder.limit_bytes = 2 * whole(folder, "a") + SIZE
    folder.open(SIZE)
    assert names(folder) == ["a", "c"]
    assert len(notes) == 1 and "1 entry" in notes[0] and "not read for longest, removed" in notes[0]
    assert size_text(whole(folder, "a")) in notes[0] and "trainer.prefix_cache_gib" in notes[0]


def test_nothing_that_another_process_reads_is_removed(tmp_path):
    folder, notes = folder_of(tmp_path / "prefix")
    for key in "abc":
        write(folder, key)
    reader = python(READER, str(folder.path), "b", str(Path(__file__).parent))
    assert reader.stdout.readline() == "held\n"
    folder.limit_bytes = SIZE
    folder.open(SIZE)
    assert names(folder) == ["b"] and "2 entries" in notes[0]
    folder.open(SIZE)
    assert names(folder) == ["b"] and len(notes) == 1
    assert reader.communicate("\n")[0] == "80.0\n" and reader.returncode == 0
    folder.open(SIZE)
    assert names(folder) == []


def test_a_process_killed_while_it_removes_leaves_nothing_that_is_read(tmp_path, monkeypatch):
    folder, _ = folder_of(tmp_path / "prefix", limit=1)
    write(folder, "a")
    if not (child := os.fork()):
        monkeypatch.setenv("FTCLI_CRASH_AT", "evict:1")
        with contextlib.suppress(BaseException):
            folder.open(SIZE)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    folder.open(SIZE)
    assert names(folder) == []


def test_two_processes_write_read_and_remove_at_once(tmp_path):
    """Every byte that is read is the right one; at the end the folder is within the limit and has no leftovers."""
    writers = [python(WRITER, str(tmp_path / "prefix"), str(Path(__file__).parent)) for _ in range(2)]
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        assert writer.communicate()[0] == "done\n" and writer.returncode == 0
    folder, _ = folder_of(tmp_path / "prefix", 5 * (SIZE + 400))
    folder.open(0)
    assert 0 < sum(whole(folder, name) for name in names(folder)) <= folder.limit_bytes
    assert not [name for name in names(folder) if name.startswith(".")]


def test_damage_is_said_and_a_missing_file_too(tmp_path):
    folder, notes = folder_of(tmp_path / "prefix")
    write(folder, "a")
    (folder.path / "a" / FILE).write_bytes(b"\0" * SIZE)
    assert folder.read("a", SHAPE, table()) is None and "is damaged and is computed again" in notes[0]
    write(folder, "b")
    (folder.path / "b" / FILE).unlink()
    assert folder.read("b", SHAPE, table()) is None and len(notes) == 2
    assert names(folder) == [] and folder.read("c", SHAPE, table()) is None and len(notes) == 2


def full(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("memory", [True, False])
def test_a_full_disk_costs_one_line_and_not_the_run(make, monkeypatch, tmp_path, memory):
    """Memory takes what the disk does not; where it is short too, each step computes."""
    monkeypatch.setattr(os, "posix_fallocate", full)
    if not memory:
        monkeypatch.setattr("ftcli.trainer.activation_cache.cache.available_memory", lambda: 0)
    trainer = make(*LOWEST, "trainer.prefix_cache=disk")
    trainer.fit()
    assert trainer.state.step == 12
    lines = [note for note in trainer.context.events.notes if "No space left on device" in note]
    assert len(lines) == 1 and "does not fit on the disk" in lines[0]
    assert ("kept in memory" in lines[0]) == memory
    assert ("phase 0 computes its activations in each step" in lines[0]) == (not memory)
    assert (trainer.context.activation_cache.depth > 0) == memory
    assert not list((tmp_path / "cache" / "prefix").iterdir())


def test_a_disk_that_fills_up_while_the_manifest_is_written(make, monkeypatch, tmp_path):
    monkeypatch.setattr("ftcli.storage.manifest.fsync", full)
    trainer = make(*LOWEST, "trainer.prefix_cache=disk")
    trainer._enter_activation_cache()
    assert trainer.context.activation_cache.depth == 1
    assert sum("No space left" in note for note in trainer.context.events.notes) == 1
    assert not list((tmp_path / "cache" / "prefix").iterdir())


def test_room_on_the_disk_is_made_too(tmp_path, monkeypatch):
    folder, notes = folder_of(tmp_path / "prefix")
    write(folder, "a")
    usage = shutil.disk_usage(tmp_path)._replace(free=SIZE - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    folder.open(SIZE)
    assert names(folder) == [] and len(notes) == 1


def test_nothing_goes_for_what_will_never_fit(tmp_path):
    folder, notes = folder_of(tmp_path / "prefix")
    write(folder, "a")
    folder.make_room(2**60)
    assert names(folder) == ["a"] and not notes


def test_an_entry_that_took_the_place_of_an_unused_one_stays(tmp_path, monkeypatch):
    """Between looking at an entry and locking it another process removes it and writes it again."""
    folder, _ = folder_of(tmp_path / "prefix")
    write(folder, "a")
    real, moved = fcntl.flock, []

    def slow(descriptor, how):
        if how & fcntl.LOCK_EX and not moved:
            moved.append(shutil.move(folder.path / "a", tmp_path / "gone"))
            write(folder, "a")
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    folder.limit_bytes = 1
    folder.make_room(0)
    assert moved and names(folder) == ["a"]


def test_two_runs_of_one_key_at_once(make, tmp_path):
    """Both end well and read the same; neither gives up for what the other finished first."""
    waiting = tmp_path / "go"
    children = []
    for number in range(2):
        trainer = make(*LOWEST, "trainer.prefix_cache=disk", folder=f"run{number}")
        if not (child := os.fork()):
            while not waiting.exists():
                pass
            try:
                trainer._enter_activation_cache()
                ready = trainer.context.activation_cache.depth == 1
                quiet = not [n for n in trainer.context.events.notes if "in each step" in n or "memory" in n]
                os._exit(0 if ready and quiet else 3)
            finally:
                os._exit(4)
        children.append(child)
    waiting.touch()
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    kept = list((tmp_path / "cache" / "prefix").iterdir())
    assert len(kept) == 2 and not [entry for entry in kept if entry.name.startswith(".")]


def test_the_other_run_is_first_with_half_of_it(make, monkeypatch):
    """The rows of training are there when this run is done with them; those of validation are still to compute."""
    other = make(*LOWEST, "trainer.prefix_cache=disk", folder="other")
    trainer = make(*LOWEST, "trainer.prefix_cache=disk", folder="own")
    own, calls = StatesFolder.staged, []

    def staged(self, key, shape, table):
        calls.append(key)
        if len(calls) == 1:
            other._enter_activation_cache()
            held = other.context.activation_cache._entries
            shutil.rmtree(self.path / held[1, 1][0])
        return own(self, key, shape, table)

    monkeypatch.setattr(StatesFolder, "staged", staged)
    trainer._enter_activation_cache()
    assert trainer.context.activation_cache.depth == 1
    assert not [note for note in trainer.context.events.notes if "in each step" in note]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirError, match="cannot be written"):
        folder_of(tmp_path / "file" / "prefix")[0].open(1)
