"""No output goes through a link, over a pipe, into a run or over the rows that are read."""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from ftcli.errors import ConfigError, RunDirError
from ftcli.inference.output_file import opened, refuse_existing, require_picture


def refused(target, *, force=True) -> str:
    with pytest.raises(ConfigError) as caught:
        refuse_existing(target, "--output", force=force)
    (problem,) = caught.value.problems
    return f"{problem.message} -> {problem.hint}"


def test_links_are_refused_with_the_file_they_name(tmp_path):
    aim = tmp_path / "my rows.csv"
    (tmp_path / "dangling.csv").symlink_to(aim)
    assert f"--output {shlex.quote(str(aim))}" in refused(tmp_path / "dangling.csv")
    aim.write_text("text\n")
    (tmp_path / "link.csv").symlink_to(aim)
    assert "is a link to" in refused(tmp_path / "link.csv")
    assert aim.read_text() == "text\n"
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    assert "is a link" in refused(tmp_path / "loop.csv")


def test_a_pipe_a_device_and_a_folder_stay_what_they_are(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "--output - >" in refused(tmp_path / "pipe.jsonl") and (tmp_path / "pipe.jsonl").is_fifo()
    assert "pipe or a device" in refused("/dev/null")
    (tmp_path / "out.csv").mkdir()
    assert "is a folder" in refused(tmp_path / "out.csv")


def test_a_run_directory_takes_no_output(tmp_path):
    run = tmp_path / "run"
    (run / "predictions").mkdir(parents=True)
    for name in ("config.yaml", "command.txt", "predictions/validation.jsonl"):
        (run / name).write_text("")
    assert "lies in the run directory" in refused(run / "predictions/validation.jsonl")
    assert "lies in the run directory" in refused(run / "predictions/test.jsonl", force=False)
    (tmp_path / "by-link").symlink_to(run)
    assert "lies in the run directory" in refused(tmp_path / "by-link/out.csv")
    (tmp_path / "config.yaml").write_text("a file of another program")
    refuse_existing(tmp_path / "out.csv", "--output", force=False)


def test_names_that_no_file_system_takes(tmp_path):
    assert "cannot be written" in refused(tmp_path / "a\0b.csv")
    assert "name too long" in refused(tmp_path / ("x" * 300 + ".csv")).lower()


def test_an_error_leaves_the_former_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / ("n" * 250 + ".csv")
    path.write_text("former")
    with pytest.raises(ZeroDivisionError), opened(str(path)) as file:
        file.write("half")
        raise ZeroDivisionError
    assert path.read_text() == "former" and list(tmp_path.iterdir()) == [path]
    with opened(str(path)) as file:
        file.write("whole")
    assert path.read_text() == "whole"


def test_predict_refuses_its_own_input(ftcli, trained):
    Path("in.csv").write_text("text\nthe film was good\n")
    Path("hard.csv").hardlink_to("in.csv")
    for target in ("in.csv", "hard.csv", "./in.csv"):
        done = ftcli("predict", str(trained), "-i", "in.csv", "-o", target, "--force")
        assert done.code == 2 and "is the input file" in done.err
    assert Path("in.csv").read_text() == "text\nthe film was good\n"
    done = ftcli("predict", str(trained), "-i", "none.csv", "-o", "hard.csv", "--force")
    assert done.code == 2 and "there is no none.csv" in done.err and Path("hard.csv").exists()


def test_what_a_killed_command_left_is_swept_and_nothing_else(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead = tmp_path / f".output-{ended.pid}-0123abcd"
    kept = [
        tmp_path / name
        for name in (f".output-{os.getppid()}-0123abcd", f".output-{ended.pid}-mine", ".output-notes")
    ]
    held = tmp_path / f".output-{ended.pid}-ffffffff"
    for path in (dead, held, *kept):
        path.write_text("half")
    link = tmp_path / f".output-{ended.pid}-00000000"
    link.symlink_to(kept[2])
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # a process of another machine, whose number is free here
        with opened(str(tmp_path / "out.jsonl")):
            pass
    assert not dead.exists() and held.exists() and link.is_symlink() and all(path.exists() for path in kept)


def test_a_full_disk_is_not_the_users_mistake(tmp_path):
    for number, code in ((errno.ENOSPC, 1), (errno.EFBIG, 1), (errno.EROFS, 1), (errno.EACCES, 2)):
        with pytest.raises(RunDirError) as caught, opened(str(tmp_path / "out.csv")):
            raise OSError(number, os.strerror(number))
        assert caught.value.exit_code == code and list(tmp_path.iterdir()) == []


def test_pictures_go_where_pictures_may(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link.png").symlink_to(tmp_path / "file")
    for name in ("a.pdf", "a", "link.png", "file/a.png"):
        with pytest.raises((ConfigError, RunDirError)):
            require_picture(tmp_path / name)
    require_picture(tmp_path / "new folder/a.svg")
