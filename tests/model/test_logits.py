"""Padding changes no logit: the proof over all architectures, and that decoders score the last real token."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tiny_models import ARCHITECTURES

from ftcli.config.schema import ModelConfig, Weights
from ftcli.hub.resolve import resolve_model
from ftcli.model.config_file import load_config
from ftcli.model.pretrained import build

DECODERS = ("gpt2", "opt", "llama", "qwen2")
PAD, EOS = 1, 2
TOLERANCE = 1e-5


def random_model(folder: Path, models: ModuleType, name: str, attention: str, pad_id: int = PAD) -> Any:
    models.write_config(folder, name)
    config = ModelConfig(path=str(folder), weights=Weights.random)
    source = resolve_model(config, with_weights=True)
    built = build(
        config,
        source=source,
        hf_config=load_config(config, source),
        labels=["a", "b", "c"],
        pad_id=pad_id,
        seed=7,
        attention=attention,
    )
    return built.model


def score(model: Any, rows: list[list[int]], pad_id: int, extra: int = 0) -> torch.Tensor:
    """Logits of a batch padded on the right to its longest row and `extra` more; (rows, labels)."""
    width = max(map(len, rows)) + extra
    ids = torch.tensor([row + [pad_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask).logits


# Ragged, each with one EOS at its end, as BART's tokenizer writes them.
ROWS = [[0, 9, 10, 11, 12, 13, 14, EOS], [0, 20, EOS], [0, 31, 32, 33, EOS]]
# The PAD id stands inside as a real token.
WITH_PAD_INSIDE = [[0, 9, PAD, 11, PAD, PAD, 14, EOS], [0, PAD, EOS], [0, 31, 32, PAD, 33, EOS]]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_padding_changes_no_logit(name: str, attention: str, tmp_path: Path, models: ModuleType) -> None:
    model = random_model(tmp_path, models, name, attention)
    for rows in (ROWS, WITH_PAD_INSIDE):
        plain = score(model, rows, PAD)
        assert plain.std() > 1e-3  # logits that say something
        assert (score(model, rows, PAD, extra=9) - plain).abs().max() < TOLERANCE
        alone = torch.cat([score(model, [row], PAD) for row in rows])
        assert (alone - plain).abs().max() < TOLERANCE


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "bart"])
def test_also_where_pad_is_the_end_token(
    name: str, attention: str, tmp_path: Path, models: ModuleType
) -> None:
    """GPT-2 has no PAD of its own: EOS serves, and ends rows as a real token too.

    BART is left out: it scores the last EOS, so PAD cannot be EOS; its own PAD is another token.
    """
    model = random_model(tmp_path, models, name, attention, pad_id=EOS)
    rows = [[9, 10, EOS, 12, 13, EOS], [20, 21], [EOS], [EOS, 30, EOS, EOS]]
    plain = score(model, rows, EOS)
    assert plain.isfinite().all()
    assert (score(model, rows, EOS, extra=5) - plain).abs().max() < TOLERANCE
    alone = torch.cat([score(model, [row], EOS) for row in rows])
    assert (alone - plain).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_scores_the_last_real_token(name: str, tmp_path: Path, models: ModuleType) -> None:
    """The logits are the head's on the hidden state of the last real token, computed by hand."""
    model = random_model(tmp_path, models, name, "eager")
    row = [9, 10, 11, 12, 13]
    ids = torch.tensor([row])
    with torch.no_grad():
        hidden = model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        expected = model.score(hidden[0, len(row) - 1])
    assert (score(model, [row], PAD, extra=6)[0] - expected).abs().max() < TOLERANCE
    # Earlier tokens reach it, later ones would not: a causal model scored anywhere else forgets the last one.
    changed = score(model, [[*row[:-1], 40]], PAD, extra=6)[0]
    assert (changed - expected).abs().max() > 1e-3


def test_bart_needs_the_same_number_of_end_tokens(tmp_path: Path, models: ModuleType) -> None:
    """One for a text, three for a pair; a row with one more would be an error, not a wrong score."""
    model = random_model(tmp_path, models, "bart", "eager")
    pairs = [[0, 9, EOS, EOS, 10, EOS], [0, 20, 21, 22, EOS, EOS, 23, EOS]]
    plain = score(model, pairs, PAD)
    assert (score(model, pairs, PAD, extra=4) - plain).abs().max() < TOLERANCE
    with pytest.raises(ValueError, match="same number of <eos>"):
        score(model, [[0, 9, EOS], [0, EOS, 10, EOS]], PAD)
