"""tokenizer=folder: whose tokenizer trained weights accept."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tokenizer_folders import source_of

from ftcli.errors import ConfigError, SourceError
from ftcli.model.architecture import max_positions
from ftcli.tokenizer import folder
from ftcli.tokenizer.folder import FolderTokenizerConfig
from ftcli.tokenizer.text import TextTokenizer


def from_folder(place: str | None, model: Path, model_config: Any, *, random: bool) -> TextTokenizer:
    return folder.build(
        FolderTokenizerConfig(path=place),
        model_source=source_of(model),
        random_weights=random,
        model_config=model_config,
        max_positions=max_positions(model_config),
        padding_side="right",
    )


def test_the_models_own_map_from_another_folder_is_accepted(tmp_path: Path, models: ModuleType) -> None:
    own, copy = models.write_wordpiece(tmp_path / "own"), models.write_wordpiece(tmp_path / "copy")
    config = models.tiny_config("bert")
    assert from_folder(str(copy), own, config, random=False).encode(["good"]).row(0).tolist() == [2, 5, 3]


def test_another_map_needs_random_weights(tmp_path: Path, models: ModuleType) -> None:
    own, other = models.write_wordpiece(tmp_path / "own"), models.write_wordpiece(tmp_path / "other")
    vocab = other / "vocab.txt"
    vocab.write_text(vocab.read_text().replace("good\nbad", "bad\ngood"))
    config = models.tiny_config("bert")
    with pytest.raises(ConfigError) as error:
        from_folder(str(other), own, config, random=False)
    assert error.value.problems[0].key == "tokenizer.path"
    assert "'good' the id 6; the model's own tokenizer 5 (2 tokens differ)" in error.value.problems[0].message
    assert from_folder(str(other), own, config, random=True).encode(["good"]).row(0).tolist() == [2, 6, 3]


def test_trained_weights_without_their_tokenizer_accept_none(tmp_path: Path, models: ModuleType) -> None:
    (tmp_path / "empty").mkdir()
    place = models.write_wordpiece(tmp_path / "t")
    with pytest.raises(ConfigError, match="cannot be compared"):
        from_folder(str(place), tmp_path / "empty", models.tiny_config("bert"), random=False)
    assert from_folder(str(place), tmp_path / "empty", models.tiny_config("bert"), random=True).pad_id == 0


def test_random_weights_need_room_for_every_id(tmp_path: Path, models: ModuleType) -> None:
    place = models.write_wordpiece(tmp_path)
    from_folder(str(place), place, models.tiny_config("bert", vocab_size=18), random=True)
    with pytest.raises(ConfigError, match="'##ly' has id 17; config.json has a vocab_size of 17"):
        from_folder(str(place), place, models.tiny_config("bert", vocab_size=17), random=True)


def test_a_folder_has_to_be_given_and_be_there(tmp_path: Path, models: ModuleType) -> None:
    config = models.tiny_config("bert")
    with pytest.raises(ConfigError, match=r"tokenizer\.path: is not set"):
        from_folder(None, tmp_path, config, random=True)
    with pytest.raises(SourceError, match="is not a folder"):
        from_folder(str(tmp_path / "no"), tmp_path, config, random=True)
    with pytest.raises(SourceError, match="has no tokenizer"):
        from_folder(str(tmp_path), tmp_path, config, random=True)
