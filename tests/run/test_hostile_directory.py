"""A run directory that is damaged, full of links, or on a full disk: what resume writes, where, and what it says."""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from ftcli.errors import CheckpointError
from ftcli.storage import plain_file
from ftcli.storage.manifest import verify

GOLDEN = Path(__file__).parents[1] / "golden/0.1"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run of an earlier version that was killed, with the paths of this machine."""
    root = tmp_path_factory.mktemp("golden")
    shutil.copytree(GOLDEN / "sources", root / "sources")
    shutil.copytree(GOLDEN / "runs/killed-full", root / "killed", symlinks=True)
    for file in (root / "killed").iterdir():
        if file.suffix in (".json", ".yaml", ".txt"):
            file.write_text(file.read_text().replace("@ROOT@", str(root)))
    return root / "killed"


@pytest.fixture
def run(source, tmp_path):
    shutil.copytree(source, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """The bytes of all checkpoints of the run, continued undisturbed."""
    from ftcli.cli.app import app

    copy = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(source, copy, symlinks=True)
    with pytest.raises(SystemExit) as ended:
        app(["resume", str(copy), "--quiet"])
    assert not ended.value.code
    return weights(copy)


def weights(run: Path) -> dict[str, str]:
    """Returns checkpoint file -> sha256, without the manifests and clocks."""
    return {str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest() for p in run.glob("checkpoints/step-*/*.safetensors")}  # fmt: skip


def text_of(done) -> str:
    return " ".join((done.out + done.err).replace("│", " ").split())


def outside(tmp_path: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(tmp_path)): p.read_bytes() for p in (tmp_path / "outside").rglob("*") if p.is_file()
    }


WAYS = ["file", "folder", "dangling", "fifo"]
PLACES = ["checkpoints", "predictions", "tensorboard", "profile", "train.log", "metrics.jsonl", ".lock", "pieces.json", "result.json",
          "predictions/validation.jsonl", "checkpoints/step-000009", "checkpoints/step-000004/state.json", "checkpoints/best"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "made"),
    # Two ways a place, in turn: a link that leads somewhere, and one that does not or a pipe.
    [(name, WAYS[kind + number % 2]) for number, name in enumerate(PLACES) for kind in (0, 2)],
)
def test_a_way_out_of_the_directory_is_refused(run, ftcli, tmp_path, name, made):
    place, target = run / name, tmp_path / "outside/kept"
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.parent.mkdir(exist_ok=True)
    (target / "inner" if made == "folder" else target.parent).mkdir(parents=True)
    if made == "file":
        target.write_text("kept\n")
    os.mkfifo(place) if made == "fifo" else place.symlink_to(target)
    before = outside(tmp_path)
    done = ftcli("resume", str(run))
    assert done.code == 2 and "Traceback" not in text_of(done), text_of(done)
    assert str(place) in text_of(done)
    assert outside(tmp_path) == before and target.exists() == (made in ("file", "folder"))


@pytest.mark.parametrize("made", ["file", "folder", "dangling"])
def test_a_link_named_as_what_a_kill_leaves_is_swept_and_not_followed(run, ftcli, tmp_path, made):
    place, target = run / "checkpoints/.trash-step-000001", tmp_path / "outside/kept"
    (target / "inner" if made == "folder" else target.parent).mkdir(parents=True)
    if made == "file":
        target.write_text("kept\n")
    place.symlink_to(target)
    before = outside(tmp_path)
    assert ftcli("resume", str(run)).code == 0 and not place.is_symlink()
    assert outside(tmp_path) == before and target.exists() == (made != "dangling")
    assert made != "folder" or (target / "inner").is_dir()


def test_a_copy_with_hard_links_is_continued_without_touching_the_other(run, ftcli, tmp_path):
    shutil.copytree(run, tmp_path / "copy", symlinks=True, copy_function=os.link)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert ftcli("resume", str(tmp_path / "copy")).code == 0
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize("name", ["train.log", "metrics.jsonl"])
@pytest.mark.parametrize("fails", ["open", "write"])
def test_a_log_that_cannot_be_written_is_said_once_and_ends_no_run(
    run, ftcli, whole, monkeypatch, name, fails
):
    real_open, real_write = os.open, os.write

    def opened(path, *rest, **more):
        if fails == "open" and str(path) == str(run / name):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real_open(path, *rest, **more)

    def written(descriptor, content):
        if fails == "write" and Path(f"/proc/self/fd/{descriptor}").readlink() == run / name:
            real_write(descriptor, content[:3])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_write(descriptor, content)

    before = (run / name).read_bytes()
    monkeypatch.setattr(plain_file.os, "open", opened)
    monkeypatch.setattr(plain_file.os, "write", written)
    done = ftcli("resume", str(run))
    monkeypatch.undo()
    assert done.code == 0 and "Traceback" not in text_of(done), text_of(done)
    assert (
        text_of(done).count("the run goes on without it") + text_of(done).count("the training goes on") == 1
    )
    assert weights(run) == whole
    assert before.startswith((run / name).read_bytes()), "no part of a line is left"


def test_tensorboard_on_a_full_disk_stops_alone(tmp_path, monkeypatch, capfd):
    from ftcli.config.registry import lookup
    from ftcli.config.schema import LoggerConfig

    log = lookup("logger", "tensorboard").build(LoggerConfig(), metrics_path=tmp_path / "metrics.jsonl",
                                                 tensorboard_dir=tmp_path / "tb", resume_step=None, resume_events=None)  # fmt: skip
    log.log({"event": "train", "step": 1, "loss": 1.0})
    log.flush()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(log._writer.file_writer.event_writer._async_writer._writer, "write", full)
    for step in range(2, 30):
        log.log({"event": "train", "step": step, "loss": 1.0})
        log.flush()
    log.close()
    assert len(log.messages) == 1 and "TensorBoard gets no more events" in log.messages[0]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 29
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("damage", ["gone", "empty", "zeros", "no-utf-8", "text", "half", "one-line"])
def test_a_damaged_metrics_file_changes_no_byte_elsewhere_and_is_said(run, ftcli, whole, damage):
    path = run / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    content = {"gone": b"", "empty": b"", "zeros": bytes(300), "no-utf-8": b"\xff\xfe\n" * 3, "text": b"never json\n" * 50,
               "half": b"".join(lines)[:200], "one-line": b"".join([lines[0], b"{\n", *lines[2:]])}[damage]  # fmt: skip
    path.write_bytes(content)
    if damage == "gone":
        path.unlink()
    state = json.loads((run / "checkpoints/last/state.json").read_text())
    done = ftcli("resume", str(run))
    assert done.code == 0 and f"{path} is damaged: " in text_of(done), text_of(done)
    assert weights(run) == whole
    events = [json.loads(line) for line in path.read_text().splitlines()]
    lost = [event["events"] for event in events if event["event"] == "lost"]
    kept = state["train"]["events"] - sum(lost)
    assert len(lost) == 1 and kept == {"half": 1, "one-line": len(lines[: state["train"]["events"]]) - 1}.get(
        damage, 0
    )
    done = ftcli("resume", str(run), "trainer.epochs=3")
    assert done.code == 0 and "is damaged" not in text_of(done)


def test_what_killed_commands_left_is_swept_whoever_has_their_process_id(run, ftcli):
    (run / "predictions").mkdir(exist_ok=True)
    left = [run / f".stage-result.json-{os.getppid()}", run / f"predictions/.stage-test.jsonl-{os.getppid()}"]
    for path in left:
        path.write_text("half")
    (run / f"checkpoints/.stage-step-000009-{os.getppid()}").mkdir()
    assert ftcli("resume", str(run)).code == 0
    assert not list(run.rglob(".stage-*")) and not list(run.rglob(".trash-*"))


def test_a_lock_of_a_dead_process_is_taken_over_and_one_on_a_full_disk_holds(run, monkeypatch):
    from ftcli.errors import RunDirError
    from ftcli.run.run_dir import RunDir

    (run / ".lock").write_text(f"process {os.getppid()} on another-host")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ftcli.run.lock.os.pwrite", full)
    with RunDir(run).locked():
        assert RunDir(run).is_locked()
        with pytest.raises(RunDirError, match="is being written by"), RunDir(run).locked():
            pass
    assert not RunDir(run).is_locked()


@pytest.mark.parametrize(
    "change",
    [{"train": []}, {"train": {"step": -1}}, {"train": {"step": "3"}}, {"train": {}}, {"train": {"unknown": 1}}, {"best_step": "x"},
     {"train": {"events": 2**60}}, {"train": {"phase": 99}}, {"scaler": 3}, {"train": {"window": {"rows": None}}}],
    ids=str,
)  # fmt: skip
def test_a_checkpoint_made_by_hand_is_no_traceback(run, ftcli, change):
    """The manifest agrees with the bytes: somebody wrote both."""
    from ftcli.storage.manifest import MANIFEST, seal

    folder = run / "checkpoints/step-000003"
    state = json.loads((folder / "state.json").read_text())
    inner = change.get("train")
    both = {**state["train"], **inner} if isinstance(inner, dict) and inner else inner
    (folder / "state.json").write_text(
        json.dumps(state | change | ({} if inner is None else {"train": both}))
    )
    (folder / MANIFEST).unlink()
    seal(folder, {"step": 3})
    for command in ("verify", "evaluate", "resume"):
        done = ftcli(command, str(run), *(["--checkpoint", "step-000003"] if command == "evaluate" else []))
        assert done.code in (0, 2, 3) and "Traceback" not in text_of(done), text_of(done)
        assert (command, done.code) != ("resume", 0) or "starting again at step 0" in text_of(done), text_of(
            done
        )


def test_a_checkpoint_without_a_trained_tensor_scores_nothing(run, ftcli):
    """The manifest agrees with the bytes; the tensor that is gone would silently be the base model's."""
    from safetensors.torch import load_file, save_file

    from ftcli.storage.manifest import MANIFEST, seal

    folder = run / "checkpoints/step-000003"
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("classifier.weight"))
    save_file({other: tensor for other, tensor in tensors.items() if other != name}, folder / "model.safetensors")  # fmt: skip
    (folder / MANIFEST).unlink()
    seal(folder, {"step": 3})
    done = ftcli("evaluate", str(run), "--checkpoint", "step-000003")
    assert done.code == 2 and f"1 of the tensors that the run trains are not in it, such as {name}" in text_of(done)  # fmt: skip


def test_verify_reads_nothing_but_the_files_of_the_run(run, ftcli, tmp_path):
    """Names in hashes.json, links beside the files of a checkpoint, and events that stand for billions."""
    (run / "pieces.json").unlink(missing_ok=True)
    (run / "pieces.json").symlink_to("/dev/zero")
    for folder in run.glob("checkpoints/step-*"):
        (folder / "more").symlink_to("/dev/zero")
        os.mkfifo(folder / "pipe")
    (run / "metrics.jsonl").write_text('{"event": "lost", "events": 1000000000000}\n' * 3)
    hashes = json.loads((run / "hashes.json").read_text()) if (run / "hashes.json").exists() else {}
    for name in ("../../secret", "/etc/passwd", "a\0b", "x" * 5000, ".."):
        (run / "hashes.json").write_text(json.dumps({**hashes, name: ["00"]}))
        done = ftcli("verify", str(run))
        assert done.code == 3 and "Traceback" not in text_of(done), text_of(done)


def test_logs_without_end_and_levels_without_end(run, ftcli, tmp_path):
    """A sparse file of a terabyte, and values so deep that no copy of them can be made."""
    deep = "[" * 480 + "]" * 480
    (run / "metrics.jsonl").write_text(f'{{"event": "eval", "step": 1, "best": true, "x": {deep}}}\n')
    done = ftcli("runs", "--runs-dir", str(run))
    assert done.code == 0, text_of(done)
    os.truncate(run / "metrics.jsonl", 10**12)
    done = ftcli("runs", "--runs-dir", str(run))
    assert done.code == 0, text_of(done)
    (run / "result.json").write_text(f'{{"metrics": {{}}, "test": {deep}}}')
    done = ftcli("runs", "--runs-dir", str(run))
    assert done.code == 0 and "nested too deep" in text_of(done)
    for folder in run.glob("checkpoints/step-*"):
        (folder / "manifest.json").write_bytes(b"")
        os.truncate(folder / "manifest.json", 10**11)
        with pytest.raises(CheckpointError, match="at most 16,777,216 are read"):
            verify(folder)


def _sealed(run: Path, name: str, change) -> None:
    """Rewrites a JSON file of a run, whose hash then is not known."""
    values = json.loads((run / name).read_text())
    change(values)
    (run / name).write_text(json.dumps(values))
    (run / "hashes.json").unlink(missing_ok=True)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("labels", [[], ["a", "b", "c"]])
def test_labels_that_are_not_the_checkpoints_are_no_traceback(run, ftcli, labels):
    """data.json of another run: the head has another shape."""
    _sealed(run, "data.json", lambda values: values.update(labels=labels))
    done = ftcli("predict", str(run), "--input", str(run / "none.jsonl"))
    assert done.code == 2 and "Traceback" not in done.err
    assert "of its tensors do not fit the model" in text_of(done), text_of(done)


def test_a_precision_that_is_not_the_checkpoints_is_no_traceback(run, ftcli):
    _sealed(run, "environment.json", lambda values: values["decisions"].update(precision="fp16"))
    done = ftcli("resume", str(run), "--quiet")
    assert done.code == 2 and "Traceback" not in done.err
    assert "holds no loss scale of this precision" in text_of(done)
