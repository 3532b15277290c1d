"""A plan on paper: from config.json alone, without weights, tokenizer or rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftcli.config.registry import lookup
from ftcli.config.schema import RunConfig
from ftcli.run.build import RunInputs, assumed_labels, build_task, room_for_rows

if TYPE_CHECKING:
    import torch

STUB_MAX_LENGTH = 512
"""Tokens a row has on paper, where neither tokenizer.max_length nor the model's positions say less."""


@dataclass(frozen=True, slots=True)
class StubTokenizer:
    """What a plan on paper needs of a tokenizer: nothing of its vocabulary."""

    pad_id: int
    padding_side: str
    max_length: int


def stub_inputs(config: RunConfig) -> RunInputs:
    """Returns the inputs of a plan on paper: from config.json alone, without weights, tokenizer or rows."""
    from ftcli.hub.resolve import resolve_model
    from ftcli.model.architecture import padding_side
    from ftcli.model.pretrained import load_config

    source = resolve_model(config.model, with_weights=False)
    hf_config = load_config(config.model, source)
    room, told = room_for_rows(config, hf_config)
    longest = min(n for n in (config.tokenizer.max_length, room, STUB_MAX_LENGTH) if n)
    pad_id = getattr(hf_config, "pad_token_id", None)
    tokenizer = StubTokenizer(pad_id or 0, padding_side(hf_config), longest)
    labels = assumed_labels(config)
    return RunInputs(config, source, hf_config, tokenizer, build_task(config, labels), None, labels, told)


def build_meta_model(config: RunConfig) -> torch.nn.Module:
    """Builds the architecture on the meta device from config.json alone: no weights, tokenizer or rows."""
    from ftcli.hub.resolve import resolve_model
    from ftcli.model.pretrained import load_config

    source = resolve_model(config.model, with_weights=False)
    hf_config = load_config(config.model, source)
    task = build_task(config)
    built = lookup("model", config.uses["model"]).build(
        config.model,
        source=source,
        hf_config=hf_config,
        auto_classes=(*task.auto_classes, "AutoModelForImageClassification"),
        problem_type=task.problem_type,
        labels=assumed_labels(config),
        pad_id=getattr(hf_config, "pad_token_id", None) or 0,
        seed=config.seed,
        attention="eager",
        meta=True,
    )
    return built.model
