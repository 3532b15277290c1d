"""Trainers on a schedule of phases."""

from __future__ import annotations

import pytest


@pytest.fixture
def phased(make, tmp_path):
    """Returns a function: schedule text, words -> (trainer, built)."""

    def build_one(text: str, *words: str, **kwargs):
        file = tmp_path / "schedule.yaml"
        file.write_text(text)
        return make("freezing=schedule", f"freezing.file={file}", *words, **kwargs)

    return build_one
