"""Hundreds of random damages to a checkpoint of several pages: every one is found and said."""

import random

import pytest
import torch

from ftcli.checkpoint.store import CheckpointStore
from ftcli.errors import CheckpointError
from ftcli.storage.manifest import verify

PAGE = 4096
ROUNDS = 100
"""Damages of each kind, over all files."""


def write(store: CheckpointStore, step: int, best_step: int) -> None:
    draw = torch.Generator().manual_seed(step)
    model = {f"layer.{i}.weight": torch.rand(40, 64, generator=draw) for i in range(3)}
    optimizer = {f"{name}/exp_avg": torch.rand(40, 64, generator=draw) for name in model}
    state = {"best_step": best_step, "train": {"step": step}}
    store.save(step, tensors={"model": model, "optimizer": optimizer}, state=state, best=best_step == step)


def flip(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def zero_page(data: bytes, draw: random.Random) -> bytes:
    start = PAGE * draw.randrange(-(-len(data) // PAGE))
    return data[:start] + bytes(len(data[start : start + PAGE])) + data[start + PAGE :]


def swap_pages(data: bytes, draw: random.Random) -> bytes:
    """Same bytes, same size, other order; files of one or two pages get one byte more instead."""
    pages = [data[i : i + PAGE] for i in range(0, len(data), PAGE)]
    if len(pages) < 3:
        return data + b"\0"
    first, second = draw.sample(range(len(pages) - 1), 2)
    pages[first], pages[second] = pages[second], pages[first]
    return b"".join(pages)


def test_no_damage_passes(tmp_path):
    store = CheckpointStore(tmp_path / "checkpoints", keep=3)
    write(store, 1, best_step=1)
    write(store, 2, best_step=1)
    newest = store.folder / "step-000002"
    files = {path: path.read_bytes() for path in sorted(newest.iterdir())}
    assert {path.name for path in files} == {
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    }
    draw = random.Random(11)
    counts = dict.fromkeys((flip, cut, zero_page, swap_pages), 0)
    for _ in range(ROUNDS // len(files)):
        for path, data in files.items():
            for damage in counts:
                damaged = damage(data, draw)
                assert damaged != data
                path.write_bytes(damaged)
                looking = CheckpointStore(store.folder, keep=3, readonly=True)
                found = looking.latest()
                assert found is not None and found.step == 1, (path.name, damage.__name__)
                assert (
                    "step-000002" in looking.messages[0] and "the previous one is used" in looking.messages[0]
                )
                path.write_bytes(data)
                counts[damage] += 1
    assert verify(newest) and store.latest().step == 2
    assert min(counts.values()) >= ROUNDS, counts


@pytest.mark.parametrize("name", ["manifest.json", "model.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["gone", "folder", "link"])
def test_a_file_that_is_none_is_found(tmp_path, name, how):
    store = CheckpointStore(tmp_path / "checkpoints", keep=3)
    write(store, 1, best_step=1)
    write(store, 2, best_step=1)
    victim = store.folder / "step-000002" / name
    victim.rename(tmp_path / "elsewhere")
    if how == "folder":
        victim.mkdir()
    elif how == "link" and name != "manifest.json":  # the manifest is judged by its own hash alone
        victim.symlink_to(tmp_path / "elsewhere")
    assert store.latest().step == 1 and name in store.messages[0]


def test_a_damaged_best_is_an_error_that_names_it(tmp_path):
    """Best is asked for by name: nothing else may be scored in its place."""
    store = CheckpointStore(tmp_path / "checkpoints", keep=2)
    for step in (1, 2, 3):
        write(store, step, best_step=1)
    victim = store.folder / "step-000001" / "model.safetensors"
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"step-000001.*model\.safetensors"):
        store.find("best")
    assert store.find("last").step == 3


def test_looking_changes_nothing(tmp_path):
    """A reader beside a training process sweeps no stage and moves no link."""
    store = CheckpointStore(tmp_path / "checkpoints", keep=2)
    write(store, 1, best_step=1)
    write(store, 2, best_step=2)
    (store.folder / ".stage-step-000003-1").mkdir()
    for link in ("last", "best"):
        (store.folder / link).unlink()
        (store.folder / link).symlink_to("step-000001")
    looking = CheckpointStore(store.folder, keep=2, readonly=True)
    assert looking.find("last").step == looking.find("best").step == 2
    assert (store.folder / "last").readlink().name == "step-000001" and (
        store.folder / ".stage-step-000003-1"
    ).is_dir()
    opened = CheckpointStore(store.folder, keep=2)
    assert opened.latest().step == 2 and (store.folder / "best").readlink().name == "step-000002"
    assert not (store.folder / ".stage-step-000003-1").exists()
