"""The command line in process, and small folders to run it on."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import device_tier
import pytest
import tiny_models as models
from hypothesis import settings
from tiny_runs import build_words

LONGEST = ("test_commands.py", "test_speed.py", "test_kills.py", "test_refusals.py", "test_run.py", "test_train.py", "test_phases.py",
           "test_golden.py", "test_foreign_words.py", "test_push.py", "test_sequences.py", "test_architecture.py")  # fmt: skip
"""Files of more than ten seconds begin first, so that no worker is left with one while the others have nothing to do."""

ROOM_BYTES = 6 * 2**30
"""What temporary folders may take at most."""

# The same examples in every run of CI, so that it judges the change alone; new ones are drawn wherever else the tests run.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_addoption(parser):
    device_tier.add_option(parser)


def pytest_configure(config):
    device_tier.configure(config)
    _work_in_memory()


def _work_in_memory() -> None:
    """Temporary folders go to a file system in memory, where there is one with room: a run syncs some forty files, a disk takes 8 ms for each."""
    memory = Path("/dev/shm")
    if (
        "TMPDIR" in os.environ
        or not os.access(memory, os.W_OK)
        or shutil.disk_usage(memory).free < ROOM_BYTES
    ):
        return
    os.environ["TMPDIR"] = str(memory)
    tempfile.tempdir = None  # asked for already


def pytest_collection_modifyitems(config, items):
    items[:] = device_tier.choose(config, items)
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


FROZEN = []


def pytest_runtest_logfinish():
    """Once the libraries are in, no collection looks at their half a million objects again."""
    # Not gc.get_freeze_count(): it walks through all of them.
    if not FROZEN and {"torch", "transformers", "datasets", "peft"} <= sys.modules.keys():
        gc.collect()
        gc.freeze()
        FROZEN.append(True)


@functools.cache
def _build_commands_once():
    """Typer builds all commands again for each call, which takes longer than many of them."""
    import typer.main

    typer.main.get_command = functools.cache(typer.main.get_command)


@dataclass
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def ftcli(tmp_path, monkeypatch, capsys):
    """Returns a function: arguments -> exit code and what was printed, run in an empty folder."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Done:
        from ftcli.cli.app import main

        _build_commands_once()
        monkeypatch.setattr(sys, "argv", ["ftcli", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 1 if stopped.code else 0
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return run


@pytest.fixture
def tiny(tmp_path):
    """Returns words that train a tiny random BERT on tiny rows in about a second."""
    model, rows = models.write_model(tmp_path / "model", "bert"), models.write_rows(tmp_path / "rows")
    return ["model=local", f"model.path={model}", "model.weights=random", "tokenizer.max_length=24", "data=text", f"data.path={rows}",
            "trainer.batch_size=8", "trainer.precision=fp32", "trainer.epochs=2", "optimizer.lr=3e-3"]  # fmt: skip


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Returns a function: words -> (trainer, built); `folder` names the checkpoints' folder, `task` takes rows of another."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))

    def build_one(*words: str, folder: str = "checkpoints", rows: int = 50, **which):
        return build_words(tmp_path, tmp_path / folder, words, rows=rows, validation=16, **which)

    return build_one
