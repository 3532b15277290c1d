"""More padding changes no logit, and a batch scores each row as it would alone."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models as models
import torch

from ftcli.config.compose import load
from ftcli.run.inputs import load_inputs
from ftcli.run.model import build_model

TEXTS = [
    "the film was good",
    "the meal was not very good and the view was bad",
    "lovely",
    "the service was dull again",
]


@pytest.fixture(scope="module", params=models.ARCHITECTURES)
def scored(request, tmp_path_factory):
    """(model, tokenizer, task) of an architecture with random weights, in eval mode."""
    folder = models.write_model(tmp_path_factory.mktemp(request.param), request.param)
    words = [
        "model=local",
        f"model.path={folder}",
        "model.weights=random",
        "tokenizer.max_length=36",
        "seed=11",
    ]
    config = load(words).config
    inputs = load_inputs(config, labels=["bad", "good"], with_rows=False)
    return build_model(inputs, attention="eager").model.eval(), inputs


def logits(scored, texts: list[str], pad_to: int | None = None) -> torch.Tensor:
    model, inputs = scored
    table = inputs.tokenizer.encode(texts, None)
    batch = inputs.task.collate(table, np.arange(len(texts)), pad_id=inputs.tokenizer.pad_id,
                                padding_side=inputs.tokenizer.padding_side, pad_to_multiple=pad_to)  # fmt: skip
    with torch.no_grad():
        return inputs.task.compute_loss(model, batch, train=False).logits


def test_more_padding_changes_no_logit(scored):
    narrow, wide = logits(scored, TEXTS), logits(scored, TEXTS, pad_to=36)
    assert (narrow - wide).abs().max() <= 1e-5


def test_a_batch_scores_each_row_as_alone(scored):
    together = logits(scored, TEXTS)
    alone = torch.cat([logits(scored, [text]) for text in TEXTS])
    assert (together - alone).abs().max() <= 1e-5
    assert (together[0] - together[1]).abs().max() > 1e-4, "the rows differ"


def test_an_empty_text_has_finite_logits(scored):
    assert logits(scored, ["", "the film was good"]).isfinite().all()
