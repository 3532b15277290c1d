"""Sources: which of path, package and id wins, what is refused, and the fingerprint of what is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from model_folders import folder_with, problem
from safetensors.numpy import save_file

from ftcli.config.schema import ModelConfig, Weights
from ftcli.errors import ConfigError, SourceError
from ftcli.hub.resolve import resolve_model

# --- folders


def test_a_folder_gives_config_and_weights(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m")
    source = resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert source.config_file == folder / "config.json"
    assert source.weight_files == (folder / "model.safetensors",)
    assert source.decisions == ()


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_with(tmp_path / "m")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_model(ModelConfig(path="~/m"), with_weights=True).folder == tmp_path / "m"


def test_path_wins_over_package_and_id_and_says_so(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m")
    config = ModelConfig(path=str(folder), package="absent", id="owner/absent")
    source = resolve_model(config, with_weights=True)
    assert source.decisions == (
        f"model.path={folder} wins over model.package=absent and model.id=owner/absent",
    )


def test_nothing_named() -> None:
    with pytest.raises(ConfigError) as error:
        resolve_model(ModelConfig(), with_weights=True)
    assert problem(error)[2] == "set model.path=DIR or model.id=NAME"


def test_a_mistyped_path_names_its_neighbour(tmp_path: Path) -> None:
    folder_with(tmp_path / "my-model")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(tmp_path / "my-modle")), with_weights=True)
    assert problem(error)[0] == "model.path"
    assert problem(error)[2] == "did you mean my-model?"


def test_a_path_below_nothing_names_the_missing_parent(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(tmp_path / "no" / "m")), with_weights=True)
    assert problem(error)[2] == f"{tmp_path / 'no'} does not exist either"


def test_an_empty_path_is_not_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder_with(tmp_path / "m"))
    with pytest.raises(ConfigError):
        resolve_model(ModelConfig(path=""), with_weights=True)


def test_a_config_file_serves_random_weights_only(tmp_path: Path) -> None:
    file = folder_with(tmp_path / "m") / "config.json"
    random = resolve_model(ModelConfig(path=str(file), weights=Weights.random), with_weights=True)
    assert (random.config_file, random.weight_files) == (file, ())
    assert resolve_model(ModelConfig(path=str(file)), with_weights=False).config_file == file
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(file)), with_weights=True)
    assert "model.weights=random" in problem(error)[2]


def test_a_weight_file_is_not_a_path(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(folder / "model.safetensors")), with_weights=True)
    assert problem(error)[2] == f"set model.path={folder}"


def test_a_folder_of_models_names_the_one_below(tmp_path: Path) -> None:
    folder_with(tmp_path / "all" / "one")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(tmp_path / "all")), with_weights=True)
    assert problem(error)[2] == f"set model.path={tmp_path / 'all' / 'one'}"


def test_an_adapter_folder_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(tmp_path)), with_weights=True)
    assert "PEFT adapter" in problem(error)[2]


def test_random_weights_ask_for_no_weight_file(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m", weights=None)
    config = ModelConfig(path=str(folder), weights=Weights.random)
    assert resolve_model(config, with_weights=True).weight_files == ()


def test_config_is_enough_where_weights_are_not_needed(tmp_path: Path) -> None:
    bare = ModelConfig(path=str(folder_with(tmp_path / "bare", weights=None)))
    assert resolve_model(bare, with_weights=False).weight_files == ()
    whole = folder_with(tmp_path / "whole")
    listed = resolve_model(ModelConfig(path=str(whole)), with_weights=False).weight_files
    assert listed == (whole / "model.safetensors",)


# --- weights


def test_pickled_weights_are_refused_with_a_way_out(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m", weights=None)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    key, message, hint = problem(error)
    assert key == "model.path"
    assert "pytorch_model.bin" in message and "never loaded" in message
    assert "save_pretrained" in hint


def test_missing_weights_name_what_is_there(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m", weights="other.safetensors")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert "there is other.safetensors" in problem(error)[1]
    assert "model.weights=random" in problem(error)[2]


def shards(folder: Path, names: object) -> Path:
    folder_with(folder, weights=None)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return folder


def test_shards_come_from_the_index_in_order(tmp_path: Path) -> None:
    a, b = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    folder = shards(tmp_path / "m", {"x": b, "y": a, "z": b})
    for name in (a, b):
        save_file({name: np.zeros(1, dtype=np.float32)}, folder / name)
    source = resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert source.weight_files == (folder / a, folder / b)


@pytest.mark.parametrize(
    "name",
    ["../other.safetensors", "/etc/passwd", "sub/a.safetensors", "..\\a.safetensors", "evil.bin", 7],
)
def test_an_index_cannot_lead_elsewhere(tmp_path: Path, name: object) -> None:
    save_file({"w": np.zeros(1, dtype=np.float32)}, tmp_path / "other.safetensors")
    folder = shards(tmp_path / "m", {"w": name})
    with pytest.raises(SourceError, match="expected safetensors files in the same folder"):
        resolve_model(ModelConfig(path=str(folder)), with_weights=True)


@pytest.mark.parametrize("names", [None, [], "text", {"w": ["list"]}])
def test_a_broken_index_is_named(tmp_path: Path, names: object) -> None:
    with pytest.raises(SourceError, match="index"):
        resolve_model(ModelConfig(path=str(shards(tmp_path / "m", names))), with_weights=True)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = shards(tmp_path / "m", {"w": "model-00001-of-00001.safetensors"})
    with pytest.raises(SourceError, match="which is not there"):
        resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert resolve_model(ModelConfig(path=str(folder)), with_weights=False).weight_files == ()


def test_a_truncated_file_is_named_before_anything_is_built(tmp_path: Path) -> None:
    file = folder_with(tmp_path / "m") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(SourceError, match="not a readable safetensors file"):
        resolve_model(ModelConfig(path=str(file.parent)), with_weights=True)


def test_a_git_lfs_pointer_is_recognised(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m", weights=None)
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert "git lfs pull" in problem(error)[2]


# --- the fingerprint


def test_fingerprint_is_that_of_the_contents(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m")
    config, weights = (folder / "config.json").read_bytes(), (folder / "model.safetensors").read_bytes()
    lines = f"config.json {hashlib.sha256(config).hexdigest()}\n"
    lines += f"model.safetensors {hashlib.sha256(weights).hexdigest()}\n"
    source = resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert source.fingerprint() == hashlib.sha256(lines.encode()).hexdigest()


def test_fingerprint_follows_content_and_not_place(tmp_path: Path) -> None:
    def of(name: str, value: float) -> str:
        folder = folder_with(tmp_path / name, value=value)
        return resolve_model(ModelConfig(path=str(folder)), with_weights=True).fingerprint()

    assert of("a", 1.0) == of("b", 1.0)
    assert of("a", 1.0) != of("c", 2.0)
    before = of("d", 1.0)
    assert of("d", 3.0) != before  # the same file, written again
