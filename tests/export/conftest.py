"""Runs, trained once a session, and exports of them in this process."""

from __future__ import annotations

import json
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
    """Lets the reloading script run here: a process of its own takes seconds to begin."""
    from ftcli.export import parity as proof
    from ftcli.export import reload
    from ftcli.hub.resolve import quiet_transformers

    reports: list[dict] = []

    def here(folder, finished, inputs, ways):
        import tempfile

        with tempfile.TemporaryDirectory() as room:
            file = Path(room) / "inputs.safetensors"
            inputs.save(file)
            entry = json.loads(json.dumps(proof.entry_of(folder, finished, inputs, ways, file)))
            with quiet_transformers():  # its log would go to a stream that an earlier test has closed
                outputs, report = reload.run(entry)
        reports.append(report)
        return {name: tensor.numpy() for name, tensor in outputs.items()}, report

    monkeypatch.setattr(proof, "in_fresh_process", here)
    return reports
