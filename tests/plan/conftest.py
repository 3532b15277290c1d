"""Meta models of every architecture, for tests of plans."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parents[1] / "models.py")
assert _spec and _spec.loader
models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(models)

import pytest


@pytest.fixture(scope="session")
def meta_model(tmp_path_factory):
    """Returns a function: architecture -> classifier on the meta device."""
    from ftcli import build
    from ftcli.compose import load

    def make(architecture: str):
        folder = models.write_model(tmp_path_factory.mktemp("models") / architecture, architecture)
        return build.draw_bare(load(["model=local", f"model.path={folder}", "model.weights=random"]).config)

    return make
