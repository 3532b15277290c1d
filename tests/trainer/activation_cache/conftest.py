"""Tiny trainers with and without kept activations, of any task and architecture."""

from __future__ import annotations

import pytest
import tiny_models
from tiny_runs import build_words


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Returns a function: words -> trainer; `folder` names the checkpoints' folder, `schedule` is a schedule's text."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(tiny_models.ARCHITECTURES, "xlm-roberta", tiny_models.ARCHITECTURES["roberta"])

    def build_one(*words: str, folder="checkpoints", schedule=None, rows=45, **which):
        if schedule is not None:
            (tmp_path / "schedule.yaml").write_text(schedule)
            words += "freezing=schedule", f"freezing.file={tmp_path / 'schedule.yaml'}"
        if not any(word.startswith("trainer.micro_batch_size=") for word in words):
            words += ("trainer.micro_batch_size=3",)
        trainer, _ = build_words(tmp_path, tmp_path / folder, words, rows=rows, validation=19, **which)
        # What is said while building is not about the cache.
        trainer.context.events.notes.clear()
        return trainer

    return build_one
