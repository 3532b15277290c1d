"""Any sequence of saves, re-saves, rotations and kills: best and last are those of what was committed."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import torch
from children import in_child
from hypothesis import given, settings
from hypothesis import strategies as st

from ftcli.checkpoint.store import CheckpointStore

POINTS = ("staged-file", "before-manifest", "after-manifest", "before-rename", "after-rename", "before-link",
          "between-links", "after-link", "before-delete", "in-delete")  # fmt: skip
COMMITTED = POINTS[POINTS.index("after-rename") :]


# Python 3.12 and later warn of every fork beside torch's threads; the children here start none.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def link(path: Path) -> str:
    return str(path.readlink())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(folder: Path, keep: int, step: int, best_step: int | None) -> None:
    store = CheckpointStore(folder, keep=keep)
    tensors = {"model": {"w": torch.full((8,), float(step))}, "optimizer": {}}
    store.save(step, tensors=tensors, state={"best_step": best_step, "step": step}, best=best_step == step)


def write_and_die(folder: Path, keep: int, step: int, best_step: int | None, point: str) -> bool:
    """Saves in a forked process that dies at the point; returns whether it came by it."""

    def work() -> int:
        os.environ["FTCLI_CRASH_AT"] = f"{point}:1"
        write(folder, keep, step, best_step)
        return 0

    code = in_child(work)
    assert code in (0, -signal.SIGKILL)
    return code != 0


def check(
    folder: Path, keep: int, committed: dict[int, float], last: int | None, best_step: int | None
) -> None:
    store = CheckpointStore(folder, keep=keep)
    found = store.latest()
    assert store.messages == []
    assert (found and found.step) == last
    if last is None:
        assert names(folder) == []
        return
    assert torch.equal(found.load("model")["w"], torch.full((8,), float(last)))
    assert link(folder / "last") == found.name
    if best_step is None:
        assert not (folder / "best").is_symlink()
    else:
        best = store.find("best")
        assert best.step == best_step == max(committed, key=lambda step: (committed[step], -step))
        assert link(folder / "best") == best.name
    assert not [name for name in names(folder) if name.startswith(".")]


@settings(max_examples=25, deadline=None)
@given(
    keep=st.integers(1, 3),
    # (metric, whether this step is saved again afterwards, where its save is killed)
    steps=st.lists(
        st.tuples(st.integers(0, 5), st.booleans(), st.sampled_from([None, None, *POINTS])),
        min_size=1,
        max_size=8,
    ),
)
def test_best_is_the_argmax_and_last_the_newest(keep, steps):
    """The trainer's rule: a step is the best when its metric is above all before; ties keep the first."""
    folder = Path(tempfile.mkdtemp()) / "checkpoints"
    folder.mkdir()
    committed: dict[int, float] = {}
    last: int | None = None
    best_step: int | None = None
    try:
        for step, (metric, again, point) in enumerate(steps, start=1):
            is_best = best_step is None or metric > committed[best_step]
            best_now = step if is_best else best_step
            killed = point is not None and write_and_die(folder, keep, step, best_now, point)
            if point is None:
                write(folder, keep, step, best_now)
            if not killed or point in COMMITTED:
                committed[step], last, best_step = metric, step, best_now
            check(folder, keep, committed, last, best_step)
            if again and last == step:
                write(folder, keep, step, best_step)
                check(folder, keep, committed, last, best_step)
        if last is not None:
            write(folder, keep, last + 1, best_step)
            kept = [name for name in names(folder) if name not in ("best", "last")]
            assert len(kept) <= keep + 1
    finally:
        shutil.rmtree(folder.parent)


@pytest.mark.parametrize("point", POINTS)
def test_a_save_passes_every_named_point(tmp_path, point):
    """Else the sequences above would kill nobody."""
    for step in (1, 2):
        write(tmp_path, 1, step, None)
    assert write_and_die(tmp_path, 1, 3, 3, point)


@pytest.mark.parametrize("point", COMMITTED)
def test_a_new_best_survives_a_kill_before_its_link(tmp_path, point):
    write(tmp_path, 1, 1, 1)
    assert write_and_die(tmp_path, 1, 2, 2, point)
    readonly = CheckpointStore(tmp_path, keep=1, readonly=True)
    assert readonly.find("best").step == readonly.find("last").step == 2
    check(tmp_path, 1, {1: 0.0, 2: 1.0}, 2, 2)
