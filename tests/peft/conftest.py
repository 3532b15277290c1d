"""Meta models of every architecture, for tests of this role."""

from __future__ import annotations

import functools

import pytest
import tiny_models as models


@pytest.fixture(scope="session")
def meta_model(tmp_path_factory):
    """Returns a function: architecture -> classifier on the meta device."""
    from ftcli.config.compose import load
    from ftcli.run import meta

    @functools.cache
    def config(architecture: str):
        folder = models.write_model(tmp_path_factory.mktemp("models") / architecture, architecture)
        return load(["model=local", f"model.path={folder}", "model.weights=random"]).config

    return lambda architecture: meta.build_meta_model(config(architecture))
