"""Bad input: one panel, exit 2, no traceback, nothing left where a run would be looked for."""

import errno
import os
from pathlib import Path

import pytest


def refused(done, *said: str) -> None:
    assert done.code == 2, done.out + done.err
    assert "Traceback" not in done.out + done.err and done.err.count("╭") == 1
    for text in said:
        assert text in " ".join(done.err.replace("│", " ").split()), done.err
    assert not Path("runs").exists()


def rows(
    tmp_path, train: str | bytes, validation: str = "text\tlabel\nthe film was good\ta\nthe film was bad\tb\n"
) -> str:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "train.tsv").write_bytes(train if isinstance(train, bytes) else train.encode())
    (folder / "validation.tsv").write_text(validation)
    return f"data.path={folder}"


def without(words: list[str], key: str) -> list[str]:
    return [word for word in words if not word.startswith(f"{key}=")]


def test_missing_files_and_folders(ftcli, tiny):
    refused(ftcli("train", *without(tiny, "data.path"), "data.path=nowhere"), "data.path", "nowhere")
    refused(ftcli("train", *without(tiny, "model.path"), "model.path=nowhere"), "model.path", "nowhere")
    refused(ftcli("train", *tiny, "data.files.train=none.tsv"), "data.files.train")


@pytest.mark.parametrize(("train", "said"), [
    ("text\tlable\nthe film\ta\n", ["label", "lable"]),
    ("text\tlabel\n", ["no rows"]),
    ("", ["empty"]),
    ("text\tlabel\nthe film was good\ta\nthe film was bad\ta\n", ["label", "'a'"]),
    (b"text\tlabel\nthe film\ta\nthe \xff meal\tb\n", [":3", "UTF-8"]),
    ("text\tlabel\nthe film\ta\nthe\tmeal\tb\n", [":3", "3 fields"]),
    ("text\tlabel\nthe film\ta\nthe meal\tc\n", ["'b'"]),
])  # fmt: skip
def test_broken_rows(ftcli, tiny, tmp_path, train, said):
    refused(ftcli("train", *without(tiny, "data.path"), rows(tmp_path, train)), *said)


def test_wrong_column_is_answered_with_the_nearest(ftcli, tiny):
    refused(ftcli("train", *tiny, "data.columns.text=txet"), "data.columns.text", "text")


def test_no_validation_part(ftcli, tiny, tmp_path):
    word = rows(tmp_path, "text\tlabel\nthe film was good\ta\nthe film was bad\tb\n")
    (tmp_path / "own" / "validation.tsv").unlink()
    refused(ftcli("train", *without(tiny, "data.path"), word), "data.validation_share")


def test_length_beyond_the_positions(ftcli, tiny):
    refused(
        ftcli("train", *without(tiny, "tokenizer.max_length"), "tokenizer.max_length=41"),
        "tokenizer.max_length",
        "40",
    )


def test_hub_out_of_reach(ftcli):
    refused(ftcli("train", "recipe=sst2-lora"), "model.id", "model.path=DIR")


def test_places_that_cannot_be_written(ftcli, tiny, tmp_path):
    (tmp_path / "file").write_text("x")
    refused(ftcli("train", *tiny, "--run-dir", str(tmp_path / "file")), "file")
    refused(ftcli("train", *tiny, "--run-dir", str(tmp_path / "file" / "deeper")), "not writable")
    refused(ftcli("train", *tiny, "--run-dir", str(tmp_path / "rows")), "holds no run")
    refused(ftcli("overfit-batch", *tiny, "-o", str(tmp_path / "file" / "p.png")), "not writable")


def test_values_out_of_range_come_together(ftcli, tiny):
    done = ftcli("train", *tiny, "model.dropout=1.5", "task.label_smoothing=1", "trainer.micro_batch_size=99", "optimizer.eps=0",
                 "trainer.monitor=acuracy", "task.metrics=[accuracy,f2]", "freezing=head-only", "peft=lora")  # fmt: skip
    refused(done, "model.dropout", "task.label_smoothing", "trainer.micro_batch_size", "optimizer.eps", "trainer.monitor",
            "did you mean accuracy?", "task.metrics", "freezing=none")  # fmt: skip


def test_patterns_without_a_hit(ftcli, tiny):
    refused(
        ftcli("train", *tiny, "freezing=patterns", "freezing.freeze=[LayerNorm]"),
        "freezing.freeze",
        ".*LayerNorm.*",
    )


def test_several_processes(ftcli, tiny, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(ftcli("train", *tiny), "one process for now")


def test_unknown_runs(ftcli):
    refused(ftcli("resume", "last"), "no run")
    refused(ftcli("evaluate", "20260101-nothing"), "no run")


def test_escape_sequences_never_reach_the_terminal(ftcli, tiny, tmp_path):
    train = "text\tlabel\nthe film was good\t[red]evil[/red]\nthe film was bad\t\x1b[31mred\n"
    done = ftcli("train", *without(tiny, "data.path"), rows(tmp_path, train, train), "--dry-run")
    assert done.code == 0 and "\x1b" not in done.out + done.err
    assert "[red]evil[/red]" in done.out and "\\x1b[31mred" in done.out


def test_a_file_that_may_not_be_read_is_one_panel(ftcli, tiny, monkeypatch):
    """Python raises from a mere look into such a folder; tests of root's may look everywhere."""

    def denied(folder):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"{folder}/dataset dict.json")

    monkeypatch.setattr("ftcli.data.text.is_saved", denied)
    done = ftcli("check-data", *tiny)
    refused(done, "dataset dict.json cannot be used: Permission denied", "ls -ld '")


@pytest.mark.parametrize("mode", [0, 0o444])
def test_folders_of_somebody_else(ftcli, tiny, tmp_path, mode):
    (tmp_path / "closed").mkdir(mode=0)
    if os.access(tmp_path / "closed", os.R_OK):
        pytest.skip("this user may look everywhere")
    assert ftcli("train", *tiny, "trainer.max_steps=1", "--run-dir", "made/own/one", "-q").code == 0
    for folder, commands in {
        tmp_path / "rows": (("check-data", *tiny),),
        tmp_path / "model": (("check-data", *tiny),),
        Path("made/own/one/checkpoints"): (
            ("evaluate", "made/own/one"),
            ("resume", "made/own/one", "trainer.max_steps=2"),
        ),
    }.items():
        before = folder.stat().st_mode
        folder.chmod(mode)
        try:
            for command in commands:
                refused(ftcli(*command), "Permission denied")
        finally:
            folder.chmod(before)
    Path("made/own/one").chmod(mode)
    try:
        done = ftcli("runs", "--runs-dir", "made")
    finally:
        Path("made/own/one").chmod(0o755)
    assert done.code == 0 and "Traceback" not in done.err


def test_no_room_for_temporary_files_is_the_machines_fault(ftcli, tiny, monkeypatch):
    """As `tempfile` says it on a full disk; libraries ask for the folder as they are imported."""

    def full(folder):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("ftcli.data.text.is_saved", full)
    done = ftcli("check-data", *tiny)
    assert done.code == 1 and "Traceback" not in done.err
    assert "No usable temporary directory" in done.err and "export TMPDIR=DIR" in done.err


def test_memory_that_is_too_little_for_a_panel_ends_in_a_line(ftcli, monkeypatch):
    def full(error):
        raise MemoryError

    monkeypatch.setattr("ftcli.console.console.error_panel", full)
    done = ftcli("nonsense")
    assert done.code == 2 and "Traceback" not in done.err
    assert done.err.startswith("nonsense 'there is no such command'")
