"""A recipe's name names the folder of its runs: it is a safe file name, whatever its file is called."""

import os
import socket
from pathlib import Path

import pytest

from ftcli.config.compose import load, restore
from ftcli.config.recipes import recipes, run_name
from ftcli.config.saved import read_config, render_config
from ftcli.errors import ConfigError

RECIPE = "defaults:\n  - base\n  - _self_\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["...yaml", "..yaml", "....yaml", ".hidden.yaml", "a\nb.yaml", "a\x1b[31m.yaml", "a ?.yaml", "x" * 101 + ".yaml",
                                  "\u202ebad.yaml", " .yaml", "-.yaml", "a\\b.yaml"])  # fmt: skip
def test_unsafe_names_are_refused_in_every_folder(name):
    Path("recipes").mkdir()
    for place in (Path(name), Path("recipes") / name):
        place.write_text(RECIPE)
        with pytest.raises(ConfigError):
            load([f"recipe={place}"])
    with pytest.raises(ConfigError):
        load([f"recipe={Path(name).stem}"])


@pytest.mark.parametrize("name", ["mine", "mine-2.1", "my run (1)", "größe", "a=b,c"])
def test_usual_names_are_kept(name):
    Path(f"{name}.yaml").write_text(RECIPE)
    assert load([f"recipe={name}.yaml"]).config.recipe == name


@pytest.mark.parametrize("name", ["..", "../../x", "/etc/x", "a/b", "", ".", "a\0b", "~"])
def test_a_saved_name_goes_through_the_same_door(name):
    Path("config.yaml").write_text(render_config(load([])))
    saved = read_config(Path("config.yaml")) | {"recipe": name}
    with pytest.raises(ConfigError, match="cannot name the folder"):
        restore(saved, [])
    with pytest.raises(ConfigError):
        run_name(name)


def test_what_is_no_file_is_no_recipe():
    Path("recipes").mkdir()
    os.mkfifo("recipes/pipe.yaml")
    os.mkfifo("pipe.yaml")
    Path("folder.yaml").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("sock.yaml")
        assert "pipe" not in recipes()
        for word, said in (("pipe.yaml", "is a pipe"), ("folder.yaml", "is a folder"), ("sock.yaml", "is a socket"), ("/dev/zero", "is a device"),
                           ("mine.txt", "there is no recipe"), ("a" * 3000, "there is no recipe"), ("a" * 300 + ".yaml", "there is no recipe"),
                           ("~nobody-here/x.yaml", "there is no recipe"), ("/dev/null", "is a device")):  # fmt: skip
            with pytest.raises(ConfigError, match=said):
                load([f"recipe={word}"])
    Path("mine.yml").write_text(RECIPE)
    with pytest.raises(ConfigError) as refused:
        load(["recipe=mine.yml"])
    assert "ends in .yaml" in refused.value.problems[0].hint
