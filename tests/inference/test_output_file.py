"""No output goes through a link, over a pipe, into a run or over the rows that are read."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from ftcli.errors import ConfigError
from ftcli.inference.output_file import opened, refuse_existing


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
