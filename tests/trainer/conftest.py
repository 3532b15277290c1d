"""A tiny run in process: trainer, tables and everything around it, as `ftcli train` builds them."""

from __future__ import annotations

import pytest
from tiny_runs import build_words


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Returns a function: words -> (trainer, built); `folder` names the checkpoints' folder, `task` takes rows of another."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))

    def build_one(*words: str, folder: str = "checkpoints", rows: int = 50, **which):
        return build_words(tmp_path, tmp_path / folder, words, rows=rows, validation=16, **which)

    return build_one
