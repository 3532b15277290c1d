"""One trained run, made once for a file of tests, and the model that it loads as."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tiny_models


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Returns a finished run of a tiny classifier that reads the column `text`."""
    from ftcli.cli.app import main

    folder = tmp_path_factory.mktemp("trained")
    model, rows = tiny_models.write_model(folder / "model", "bert"), tiny_models.write_rows(folder / "rows")
    words = ["model=local", f"model.path={model}", "model.weights=random", "tokenizer.max_length=24", "data=text",
             f"data.path={rows}", "trainer.batch_size=8", "trainer.precision=fp32", "trainer.epochs=1", "optimizer.lr=3e-3"]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTCLI_CACHE", str(folder / "cache"))
        patch.setattr(sys, "argv", ["ftcli", "train", *words, "--quiet", "--run-dir", str(folder / "run")])
        try:
            main()
        except SystemExit as stopped:
            assert not stopped.code
    return folder / "run"


@pytest.fixture(scope="module")
def loaded(trained):
    """Returns the run's best checkpoint, ready to predict."""
    from ftcli.inference.load import load_run
    from ftcli.run.run_dir import RunDir

    return load_run(RunDir(trained), "best", [], with_rows=False)
