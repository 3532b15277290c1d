"""Meta models of every architecture, for tests of this role."""

from __future__ import annotations

import functools

import pytest
import tiny_models as models


@pytest.fixture(scope="session")
def meta_model(tmp_path_factory):
    """Returns a function: architecture -> classifier on the meta device."""
    from ftcli import paper
    from ftcli.compose import load

    @functools.cache
    def config(architecture: str):
        folder = models.write_model(tmp_path_factory.mktemp("models") / architecture, architecture)
        return load(["model=local", f"model.path={folder}", "model.weights=random"]).config

    return lambda architecture: paper.draw_bare(config(architecture))
