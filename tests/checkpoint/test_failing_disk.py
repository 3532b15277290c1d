"""Each call on the disk during a save fails in turn: the path is named, and a checkpoint before it loads."""

import errno
import itertools
import os
import pathlib
import shutil

import pytest
import torch

from ftcli.checkpoint.store import CheckpointStore
from ftcli.errors import FtcliError

CALLS = {
    "mkdir": (pathlib.Path, "mkdir"), "open": (os, "open"), "write": (pathlib.Path, "write_text"), "fsync": (os, "fsync"),
    "rename": (pathlib.Path, "rename"), "replace": (pathlib.Path, "replace"), "symlink": (pathlib.Path, "symlink_to"),
    "unlink": (pathlib.Path, "unlink"), "chmod": (pathlib.Path, "chmod"), "statvfs": (shutil, "disk_usage"),
}  # fmt: skip


def save(store: CheckpointStore, step: int) -> None:
    tensors = {"model": {"w": torch.full((64,), float(step))}, "optimizer": {"w/exp_avg": torch.ones(3)}}
    store.save(step, tensors=tensors, state={"best_step": None}, best=step == 1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", CALLS)
def test_a_failure_at_any_place_leaves_a_checkpoint_that_loads(tmp_path, monkeypatch, call, number):
    owner, name = CALLS[call]
    real, failed = getattr(owner, name), 0
    for place in itertools.count(1):
        store = CheckpointStore(tmp_path / f"{place}/checkpoints", keep=1)
        save(store, 1)
        seen = []

        def failing(*values, seen=seen, place=place, **named):
            seen.append(1)
            if len(seen) == place:
                raise OSError(number, os.strerror(number))
            return real(*values, **named)

        with monkeypatch.context() as patched:
            patched.setattr(owner, name, failing)
            try:
                save(store, 2)
            except FtcliError as error:
                failed += 1
                assert str(store.folder) in error.problems[0].key and error.problems[0].hint
                assert (
                    "bytes are needed" in error.problems[0].message
                    or number != errno.ENOSPC
                    or call not in ("mkdir", "write")
                )
        newest = CheckpointStore(store.folder, keep=1).latest()
        assert newest is not None and newest.step in (1, 2)
        assert torch.equal(newest.load("model")["w"], torch.full((64,), float(newest.step)))
        assert not [path for path in store.folder.iterdir() if path.name.startswith((".stage-", ".trash-"))]
        if len(seen) < place:
            break
    assert failed or call == "unlink"
