"""Meta models of every architecture, for tests of this role."""

from __future__ import annotations

import pytest
import tiny_models as models


@pytest.fixture(scope="session")
def meta_model(tmp_path_factory):
    """Returns a function: architecture -> classifier on the meta device."""
    from ftcli import paper
    from ftcli.compose import load

    def make(architecture: str):
        folder = models.write_model(tmp_path_factory.mktemp("models") / architecture, architecture)
        return paper.draw_bare(load(["model=local", f"model.path={folder}", "model.weights=random"]).config)

    return make
