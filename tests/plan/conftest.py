"""Meta models of every architecture, for tests of plans."""

from __future__ import annotations

import pytest
import tiny_models as models


@pytest.fixture(scope="session")
def meta_model(tmp_path_factory):
    """Returns a function: architecture -> classifier on the meta device."""
    from ftcli.config.compose import load
    from ftcli.run import meta

    def make(architecture: str):
        folder = models.write_model(tmp_path_factory.mktemp("models") / architecture, architecture)
        return meta.build_meta_model(
            load(["model=local", f"model.path={folder}", "model.weights=random"]).config
        )

    return make
