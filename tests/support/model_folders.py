"""Folders of a config.json and one small weight file, and the one problem of an error about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ftcli.errors import FtcliError


def folder_with(folder: Path, *, weights: str | None = "model.safetensors", value: float = 1.0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    if weights:
        save_file({"w": np.full((2, 3), value, dtype=np.float32)}, folder / weights)
    return folder


def problem(error: pytest.ExceptionInfo[FtcliError]) -> tuple[str, str, str]:
    (only,) = error.value.problems
    return only.key, only.message, only.hint
