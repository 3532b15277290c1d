"""Bundled files are found in a checkout and in an installed wheel."""

import importlib.util
import shutil
from pathlib import Path

import pytest

import ftcli
from ftcli.config.bundled import bundled


def copied_module(package: Path):
    """Loads a copy of config/bundled.py, as if ftcli were installed at `package`."""
    place = package / "config"
    place.mkdir(parents=True)
    shutil.copy(Path(ftcli.__file__).parent / "config" / "bundled.py", place)
    spec = importlib.util.spec_from_file_location("copied_bundled", place / "bundled.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_checkout_has_conf_and_recipes():
    assert (bundled("conf") / "base.yaml").is_file()
    assert (bundled("recipes") / "quickstart.yaml").is_file()


def test_an_installed_wheel_uses_its_own_files_first(tmp_path):
    installed = copied_module(tmp_path / "site-packages" / "ftcli")
    beside = tmp_path / "site-packages" / "conf"
    beside.mkdir()
    assert installed.bundled("conf") == beside
    inside = tmp_path / "site-packages" / "ftcli" / "_bundled" / "conf"
    inside.mkdir(parents=True)
    assert installed.bundled("conf") == inside


def test_an_installation_without_its_files_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="without its recipes folder"):
        copied_module(tmp_path / "ftcli").bundled("recipes")
