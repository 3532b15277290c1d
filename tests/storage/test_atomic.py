"""The commit protocol: complete or absent, every bit of the manifest guarded, errors of the disk explained."""

import errno
import hashlib
import json
import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from children import in_child
from safetensors.torch import save_file

from ftcli.errors import CheckpointError, RunDirError
from ftcli.storage.atomic import commit, replace_link, write_atomic
from ftcli.storage.disk import explained
from ftcli.storage.manifest import MANIFEST, UnknownFormatError, verify
from ftcli.storage.temporary import sweep

# Python 3.12 and later warn of every fork beside torch's threads; those of the children end before they do.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def rewrite(folder: Path, **changes) -> None:
    """Writes a manifest whose own hash is right, as an attacker or another version would."""
    body = json.dumps({"format": 1, "files": {}} | changes)
    outer = {"sha256": hashlib.sha256(body.encode()).hexdigest(), "manifest": body}
    (folder / MANIFEST).write_text(json.dumps(outer))


@pytest.fixture
def folder(tmp_path):
    with commit(tmp_path / "final", about={"step": 7}) as stage:
        assert stage.parent == tmp_path and stage.name.startswith(".stage-final-")
        (stage / "a.bin").write_bytes(b"twelve bytes")
        (stage / "empty").write_bytes(b"")
    return tmp_path / "final"


def test_the_manifest_states_size_and_sha256(folder):
    manifest = verify(folder)
    assert manifest["about"] == {"step": 7}
    # printf 'twelve bytes' | sha256sum
    assert manifest["files"]["a.bin"] == {"size": 12, "sha256": hashlib.sha256(b"twelve bytes").hexdigest()}
    assert manifest["files"]["empty"]["size"] == 0
    assert [p.name for p in folder.parent.iterdir()] == ["final"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_mode_of_new_ones(tmp_path, mask, mode):
    """safetensors writes its own for the owner alone, whoever else may read the folder."""
    before = os.umask(mask)
    try:
        with commit(tmp_path / "done") as stage:
            save_file({"a": torch.zeros(2)}, stage / "a.safetensors")
            (stage / "b.json").write_text("{}")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "done").iterdir()} == {mode}


def test_right_after_a_commit_what_is_missing_or_cut_is_found_without_hashing(folder):
    name = next(iter(verify(folder)["files"]))
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(bytes(len(content)))
    assert name in verify(folder, hashes=False)["files"]
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match=name):
        verify(folder, hashes=False)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        verify(folder, hashes=False)


def test_what_exists_is_never_replaced(folder):
    with pytest.raises(CheckpointError, match="exists already"), commit(folder):
        pytest.fail("the block must not run")
    assert verify(folder)["about"] == {"step": 7}


def test_every_single_bit_of_the_manifest_is_guarded(tmp_path):
    folder = tmp_path / "final"
    with commit(folder):
        pass
    path = folder / MANIFEST
    intact = path.read_bytes()
    for bit in range(8 * len(intact)):
        damaged = bytearray(intact)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            verify(folder)
    path.write_bytes(intact)
    verify(folder)


@pytest.mark.parametrize("length", [0, 1, 40, 100])
def test_a_cut_manifest_is_refused(folder, length):
    (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes()[:length])
    with pytest.raises(CheckpointError, match="missing or damaged"):
        verify(folder)


@pytest.mark.parametrize("name", ["../outside", "..", ".", "", "sub/file", "/etc/hostname"])
def test_names_that_leave_the_folder_are_refused(folder, name):
    (folder.parent / "outside").write_text("x")
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text("x")
    rewrite(folder, files={name: {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}})
    with pytest.raises(CheckpointError, match="no plain file"):
        verify(folder)


def test_links_are_refused(folder):
    (folder / "a.bin").rename(folder.parent / "elsewhere")
    (folder / "a.bin").symlink_to("../elsewhere")
    with pytest.raises(CheckpointError, match="a.bin.*no plain file"):
        verify(folder)
    (folder / MANIFEST).rename(folder.parent / "manifest")
    (folder / MANIFEST).symlink_to("../manifest")
    with pytest.raises(CheckpointError, match="cannot be read: it is a link"):
        verify(folder)


@pytest.mark.parametrize("files", [[], None, {"a.bin": None}, {"a.bin": {}}, {"a.bin": {"size": 12}}])
def test_a_manifest_of_another_shape_is_refused(folder, files):
    rewrite(folder, files=files)
    with pytest.raises(CheckpointError, match="missing or damaged"):
        verify(folder)


def test_another_format_is_not_damage(folder):
    rewrite(folder, format=2, files="of a future shape")
    with pytest.raises(UnknownFormatError, match="has format 2; this version of ftcli reads 1"):
        verify(folder)


def test_too_little_space_is_refused_before_writing(tmp_path):
    with pytest.raises(RunDirError) as caught, commit(tmp_path / "final", num_bytes=10**18):
        pytest.fail("the block must not run")
    assert f"{10**18:,} bytes are needed" in str(caught.value) and "final" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", ["plain", "safetensors", "manifest"])
def test_a_write_that_fails_leaves_nothing_and_names_the_path(tmp_path, writer):
    def work() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            with commit(tmp_path / "final") as stage:
                if writer == "plain":
                    (stage / "a").write_bytes(bytes(200))
                elif writer == "safetensors":
                    save_file({"a": torch.zeros(100)}, stage / "a.safetensors")
        except RunDirError as error:
            return 0 if f"{tmp_path}/final" in str(error) and "does not fit" in str(error) else 1
        return 2

    assert in_child(work) == 0
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_is_not_the_disk_is_not_called_one(tmp_path):
    from safetensors import SafetensorError

    with pytest.raises(SafetensorError), explained(tmp_path / "x"):
        raise SafetensorError("header too large")
    with pytest.raises(RunDirError, match="cannot be written: Permission denied"), explained(tmp_path / "x"):
        raise OSError(errno.EACCES, "no")


def test_write_atomic_keeps_the_old_text_when_it_fails(tmp_path):
    path = tmp_path / "a.json"
    write_atomic(path, "old")

    def work() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            write_atomic(path, "x" * 1000)
        except RunDirError as error:
            return 0 if "1,000 bytes are needed" in str(error) else 1
        return 2

    assert in_child(work) == 0
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_write_atomic_escapes_what_utf8_cannot_hold(tmp_path):
    """A file name typed in Latin-1 reaches Python as a surrogate."""
    word = b"data.path=caf\xe9"
    write_atomic(tmp_path / "command.txt", os.fsdecode(word))
    assert (tmp_path / "command.txt").read_text(encoding="utf-8") == "data.path=caf\\udce9"


def test_links_are_relative_and_replaced(tmp_path):
    for target in ("one", "two"):
        (tmp_path / target).mkdir()
        replace_link(tmp_path / "last", target)
        assert (tmp_path / "last").readlink() == Path(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last", "one", "two"]


def test_sweep_spares_the_living(tmp_path):
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    living = os.getppid()
    for name in (
        f".stage-a-{dead}",
        f".stage-a-{os.getpid()}",
        f".stage-a-{living}",
        ".trash-step-000001",
        "step-000001",
        ".lock",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    (tmp_path / f".stage-last-{dead}").symlink_to("step-000001")
    (tmp_path / f".stage-config.yaml-{dead}").write_text("half")
    sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", f".stage-a-{living}", "step-000001"]
    assert (tmp_path / "step-000001" / "file").exists()
    sweep(tmp_path, alone=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "step-000001"]


def test_a_link_that_cannot_be_renamed_leaves_no_temporary_one(tmp_path, monkeypatch):
    def replace(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(RunDirError):
        replace_link(tmp_path / "last", "step-000002")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, 1),
        (errno.EDQUOT, 1),
        (errno.EFBIG, 1),
        (errno.EROFS, 1),
        (errno.EIO, 1),
        (errno.EACCES, 2),
        (errno.ENOTDIR, 2),
    ],
)
def test_a_disk_that_fails_is_not_the_users_mistake(tmp_path, number, code):
    with pytest.raises(RunDirError) as caught, explained(tmp_path / "x"):
        raise OSError(number, os.strerror(number))
    assert caught.value.exit_code == code


def test_a_full_disk_is_known_from_the_text_of_libraries_in_rust(tmp_path):
    """As tokenizers raises it; any other plain exception is none of ours."""
    with pytest.raises(RunDirError, match="does not fit on the disk") as caught, explained(tmp_path / "x"):
        raise Exception("File too large (os error 27)")
    assert caught.value.exit_code == 1
    for other in (Exception("a defect"), ValueError("os error 27 (os error 27)")):
        with pytest.raises(type(other), match="defect|os error"), explained(tmp_path / "x"):
            raise other
