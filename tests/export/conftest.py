"""Runs, trained once a session, and exports of them in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_exports


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture
def train(ftcli, place, monkeypatch):
    """Returns a function: task, architecture and words -> folder of a finished run, trained once a session."""
    monkeypatch.setenv("FTCLI_CACHE", str(place / "cache"))

    def run(task: str, architecture: str, *words: str) -> Path:
        name = "-".join([task, architecture, *words]).translate(str.maketrans("=.[]/", "_____"))
        folder = place / "runs" / name
        if not (folder / "result.json").is_file():
            chosen = tiny_exports.words(place, task, architecture, *words)
            done = ftcli("train", *chosen, "--run-dir", str(folder), "-q")
            assert done.code == 0, done.err + done.out
        return folder

    return run


@pytest.fixture
def in_this_process(monkeypatch):
    """Lets the reloading script run here; the value is the list of its reports."""
    return tiny_exports.reload_in_process(monkeypatch)
