"""Checkpoints: complete or absent, damage found, best and last right after a kill at every point."""

import os
import random
import signal

import pytest
import torch
from children import in_child

from ftcli.checkpoint.store import CheckpointStore
from ftcli.errors import CheckpointError, RunDirError
from ftcli.storage.atomic import commit
from ftcli.storage.manifest import verify

POINTS = ["staged-file", "before-manifest", "after-manifest", "before-rename", "after-rename", "before-link",
          "after-link", "before-delete", "in-delete"]  # fmt: skip

# Python 3.12 and later warn of every fork beside torch's threads; the children here start none.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def save(store: CheckpointStore, step: int, best_step: int) -> None:
    tensors = {"model": {"w": torch.full((64,), float(step))}, "optimizer": {"w/exp_avg": torch.ones(3)}}
    store.save(step, tensors=tensors, state={"best_step": best_step, "step": step}, best=best_step == step)


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints", keep=2)


def names(store: CheckpointStore) -> list[str]:
    return sorted(p.name for p in store.folder.iterdir() if not p.is_symlink())


def test_keeps_the_newest_and_the_best(store):
    for step in range(1, 7):
        save(store, step, best_step=min(step, 2))
    assert names(store) == ["step-000002", "step-000005", "step-000006"]
    assert store.find("best").step == 2 and store.find("last").step == 6
    assert (store.folder / "best").readlink().name == "step-000002"
    assert torch.equal(store.find("step-000005").load("model")["w"], torch.full((64,), 5.0))
    with pytest.raises(CheckpointError, match="step-000009"):
        store.find("step-000009")


def test_a_step_saved_again_replaces_the_first(store):
    save(store, 3, best_step=1)
    save(store, 3, best_step=3)
    assert names(store) == ["step-000003.2"]
    assert store.find("best").name == store.find("last").name == "step-000003.2"


def test_every_damage_is_found_and_the_previous_is_used(store):
    save(store, 1, best_step=1)
    draw = random.Random(3)
    kinds = {"flip": 0, "cut": 0, "zero": 0}
    for number in range(120):
        save(store, 2, best_step=1)
        newest = store.latest()
        assert newest.step == 2 and not store.messages
        files = sorted(p for p in newest.path.iterdir())
        victim = files[number % len(files)]
        data = bytearray(victim.read_bytes())
        kind = list(kinds)[number % 3]
        place = draw.randrange(len(data))
        if kind == "flip":
            data[place] ^= 1 << draw.randrange(8)
        elif kind == "cut":
            del data[place:]
        elif any(data[place : place + 64]):
            data[place : place + 64] = bytes(len(data[place : place + 64]))
        else:
            data[place] ^= 255
        victim.write_bytes(data)
        kinds[kind] += 1
        looking = CheckpointStore(store.folder, keep=2, readonly=True)
        assert looking.latest().step == 1, (victim.name, kind, place)
        assert newest.path.name in looking.messages[0] and "previous" in looking.messages[0]
        for path in files:
            path.unlink()
        newest.path.rmdir()
    assert min(kinds.values()) == 40


def test_no_intact_checkpoint_is_said(store):
    save(store, 1, best_step=1)
    (store.folder / "step-000001" / "state.json").write_text("{}")
    assert store.latest() is None and "step 0" in store.messages[-1]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("passing", [1, 2, 3])
def test_a_kill_at_any_point_leaves_a_valid_latest_and_the_right_best(tmp_path, point, passing):
    """The child saves steps 1-6, best at 1, 3 and 5, and dies at the n-th passing of a point."""
    folder = tmp_path / "checkpoints"

    def work() -> int:
        os.environ["FTCLI_CRASH_AT"] = f"{point}:{passing}"
        child = CheckpointStore(folder, keep=2)
        for step in range(1, 7):
            save(child, step, best_step=step if step % 2 else step - 1)
        return 0

    assert in_child(work) in (-signal.SIGKILL, 0)
    reopened = CheckpointStore(folder, keep=2)
    newest = reopened.latest()
    if newest is None:
        assert passing <= 3 and point in POINTS[:4]
        assert names(reopened) == []
        return
    assert not reopened.messages
    expected_best = newest.step if newest.step % 2 else newest.step - 1
    assert reopened.find("best").step == expected_best
    assert (folder / "last").resolve().name == newest.name
    assert not [n for n in names(reopened) if n.startswith(".")]
    save(reopened, newest.step + 1, best_step=expected_best)
    assert reopened.find("last").step == newest.step + 1


def test_a_failing_block_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), commit(tmp_path / "final") as stage:
        (stage / "a").write_text("x")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path):
    import resource

    folder = tmp_path / "checkpoints"
    save(CheckpointStore(folder, keep=1), 1, best_step=1)

    def work() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
        try:
            save(CheckpointStore(folder, keep=1), 2, best_step=2)
        except RunDirError as error:
            return 0 if "step-000002" in str(error) else 4
        return 6

    assert in_child(work) == 0
    assert CheckpointStore(folder, keep=1).latest().step == 1


def test_a_manifest_that_names_other_places_is_refused(store):
    import hashlib
    import json

    save(store, 1, best_step=1)
    folder = store.folder / "step-000001"
    body = json.dumps({"format": 1, "files": {"../secret": {"size": 1, "sha256": "0"}}})
    outer = {"sha256": hashlib.sha256(body.encode()).hexdigest(), "manifest": body}
    (folder / "manifest.json").write_text(json.dumps(outer))
    (store.folder / "secret").write_text("x")
    with pytest.raises(CheckpointError, match="no plain file"):
        verify(folder)


def test_a_manifest_that_agrees_with_a_file_without_tensors_is_no_traceback(store):
    from ftcli.storage.manifest import MANIFEST, seal

    save(store, 1, best_step=1)
    folder = store.folder / "step-000001"
    (folder / MANIFEST).unlink()
    (folder / "model.safetensors").write_bytes(b"no tensors")
    seal(folder, {"step": 1})
    with pytest.raises(CheckpointError, match="model.safetensors: cannot be read as tensors"):
        store.find("last").load("model")
