"""Damage to any byte of any file is found, said, and passed over; another version's work is not."""

import hashlib
import json
import random
import shutil
from pathlib import Path

import pytest
import torch

from ftcli.checkpoint.store import CheckpointStore
from ftcli.errors import CheckpointError, RunDirError
from ftcli.storage.manifest import UnknownFormatError


def link(path: Path) -> str:
    return str(path.readlink())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save(store, step, best_step=None, size=3000):
    tensors = {"model": {"w": torch.arange(size) + step * 1.0}, "optimizer": {"w/exp_avg": torch.ones(size)}}
    return store.save(
        step, tensors=tensors, state={"best_step": best_step, "step": step}, best=best_step == step
    )


@pytest.fixture
def store(tmp_path):
    """Two checkpoints; step 1 is the best, files are several pages long."""
    store = CheckpointStore(tmp_path / "checkpoints", keep=2)
    save(store, 1, best_step=1)
    save(store, 2, best_step=1)
    return store


def flip(data: bytearray, draw: random.Random) -> None:
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def truncate(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data)) :]


def zero_page(data: bytearray, draw: random.Random) -> None:
    start = 4096 * draw.randrange(-(-len(data) // 4096))
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))


@pytest.mark.parametrize(("damage", "times"), [(flip, 240), (truncate, 60), (zero_page, 60)])
def test_all_damage_is_found(store, damage, times):
    draw = random.Random(17)
    folder = store.folder / "step-000002"
    files = sorted(folder.iterdir())
    assert {f.name for f in files} == {
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    }
    for number in range(times):
        victim = files[number % len(files)]
        intact = victim.read_bytes()
        data = bytearray(intact)
        damage(data, draw)
        assert bytes(data) != intact
        victim.write_bytes(data)
        looking = CheckpointStore(store.folder, keep=2, readonly=True)
        assert looking.latest().step == 1
        assert len(looking.messages) == 1
        assert str(victim) in looking.messages[0] and "step-000001" in looking.messages[0]
        with pytest.raises(CheckpointError):
            looking.find("step-000002")
        victim.write_bytes(intact)
    assert store.latest().step == 2 and store.messages == []


@pytest.mark.parametrize(
    "name", ["manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"]
)
def test_a_missing_file_is_found(store, name):
    (store.folder / "step-000002" / name).unlink()
    assert store.latest().step == 1
    assert name in store.messages[0]


def test_damage_after_opening_is_found_at_loading(store):
    found = store.find("last")
    path = found.path / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="model.safetensors.*sha256"):
        found.load("model")
    assert set(found.load("optimizer")) == {"w/exp_avg"}


def test_loading_what_was_not_saved_names_what_is(store):
    with pytest.raises(CheckpointError, match="holds no ema.safetensors"):
        store.find("last").load("ema")
    with pytest.raises(CheckpointError, match=r"holds no \.\./step-000001/model.safetensors"):
        store.find("last").load("../step-000001/model")


def test_a_damaged_or_missing_best_lists_what_exists(store):
    (store.folder / "step-000001" / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match="state.json: has 2 bytes") as caught:
        store.find("best")
    assert (
        "step-000002" in caught.value.problems[0].hint and "step-000001" not in caught.value.problems[0].hint
    )
    shutil.rmtree(store.folder / "step-000001")
    with pytest.raises(CheckpointError, match="step 1 is missing") as caught:
        store.find("best")
    assert "step-000002" in caught.value.problems[0].hint


def test_no_best_before_the_first_evaluation(tmp_path):
    store = CheckpointStore(tmp_path / "c", keep=2)
    save(store, 5)
    assert not (store.folder / "best").is_symlink()
    with pytest.raises(CheckpointError, match="no evaluation has chosen one yet"):
        store.find("best")
    assert store.find("last").step == 5


def test_a_renamed_folder_is_not_another_step(store):
    (store.folder / "step-000002").rename(store.folder / "step-000900")
    assert store.latest().step == 1
    assert "step in its name" in store.messages[0]


def test_a_newer_format_is_refused_and_never_replaced_by_something_older(store):
    folder = store.folder / "step-000002"
    body = json.dumps({"format": 2, "files": {}})
    outer = {"sha256": hashlib.sha256(body.encode()).hexdigest(), "manifest": body}
    (folder / "manifest.json").write_text(json.dumps(outer))
    for ask in (store.latest, lambda: store.find("last"), lambda: store.find("best")):
        with pytest.raises(UnknownFormatError, match="format 2"):
            ask()
    assert folder.is_dir()


def test_folders_damaged_in_a_future_that_is_trained_again_go_away(store):
    (store.folder / "step-000002" / "state.json").write_text("{}")
    assert store.latest().step == 1
    save(store, 2, best_step=1)
    assert store.latest().name == "step-000002.2"
    (store.folder / "step-000002.2" / "state.json").write_text("{}")
    assert store.latest().step == 1 and link(store.folder / "last") == "step-000001"
    store.save(1, tensors={"model": {}}, state={}, best=True)
    assert names(store.folder) == ["best", "last", "step-000001.2"]
    assert store.latest().name == "step-000001.2"


def test_readonly_writes_nothing(store):
    (store.folder / "last").unlink()
    (store.folder / ".stage-step-000003-1").mkdir()
    before = names(store.folder)
    looking = CheckpointStore(store.folder, keep=2, readonly=True)
    assert looking.find("last").step == 2 and looking.find("best").step == 1
    assert names(store.folder) == before
    assert CheckpointStore(store.folder / "absent", keep=2, readonly=True).latest() is None
    assert not (store.folder / "absent").exists()


@pytest.mark.parametrize(
    "name", ["../checkpoints/step-000002", "step-2", "", ".", "step-000002/", "manifest.json"]
)
def test_only_names_of_checkpoints_are_found(store, name):
    with pytest.raises(CheckpointError, match="is not in"):
        store.find(name)


def test_a_best_that_is_saved_again_keeps_its_link(store):
    save(store, 3, best_step=3)
    save(store, 3, best_step=3)
    store.save(3, tensors={"model": {}}, state={"best_step": 3}, best=False)
    assert link(store.folder / "best") == link(store.folder / "last") == "step-000003.3"
    assert store.find("best").name == store.find("step-000003").name == "step-000003.3"


def test_an_older_sibling_serves_when_the_newer_is_damaged(store):
    shutil.copytree(store.folder / "step-000002", store.folder / "step-000002.2")
    (store.folder / "step-000002.2" / "state.json").write_text("{}")
    assert store.latest().name == "step-000002"


def test_stored_tensors_come_back_bit_by_bit(tmp_path):
    base = torch.randn(6, 4)
    values = {
        "turned": base.t(), "part": base[2:4], "same": base, "again": base, "bf16": torch.randn(3).bfloat16(),
        "scalar": torch.tensor(3.5), "empty": torch.empty(0, 4), "whole": torch.tensor([2**40]), "flag": torch.tensor([True]),
        "trained": torch.nn.Parameter(torch.randn(2)),
    }  # fmt: skip
    store = CheckpointStore(tmp_path / "c", keep=1)
    store.save(1, tensors={"model": values, "optimizer": {}}, state={}, best=False)
    loaded = store.find("last").load("model")
    assert loaded.keys() == values.keys()
    for name, value in values.items():
        assert loaded[name].dtype == value.dtype and torch.equal(loaded[name], value), name
    assert store.find("last").load("optimizer") == {}


def test_a_folder_that_cannot_be_made_is_one_panel(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunDirError, match="cannot be written"):
        CheckpointStore(tmp_path / "file" / "checkpoints", keep=1)
