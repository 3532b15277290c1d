"""A plan on paper: from config.json alone, without weights, tokenizer or rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftcli.build import Ground, assumed_labels, build_task, room_for_rows
from ftcli.config import RunConfig
from ftcli.registry import lookup

if TYPE_CHECKING:
    import torch

PAPER_TOKENS = 512
"""Tokens a row has on paper, where neither tokenizer.max_length nor the model's positions say less."""


@dataclass(frozen=True, slots=True)
class PaperTokenizer:
    """What a plan on paper needs of a tokenizer: nothing of its vocabulary."""

    pad_id: int
    padding_side: str
    max_length: int


def paper_ground(config: RunConfig) -> Ground:
    """Returns the ground of a plan on paper: from config.json alone, without weights, tokenizer or rows."""
    from ftcli.model.architecture import padding_side
    from ftcli.model.pretrained import load_config
    from ftcli.source import resolve_model

    source = resolve_model(config.model, with_weights=False)
    hf_config = load_config(config.model, source)
    room, told = room_for_rows(config, hf_config)
    longest = min(n for n in (config.tokenizer.max_length, room, PAPER_TOKENS) if n)
    pad_id = getattr(hf_config, "pad_token_id", None)
    tokenizer = PaperTokenizer(pad_id or 0, padding_side(hf_config), longest)
    labels = assumed_labels(config)
    return Ground(config, source, hf_config, tokenizer, build_task(config, labels), None, labels, told)


def draw_bare(config: RunConfig) -> torch.nn.Module:
    """Builds the architecture on the meta device from config.json alone: no weights, tokenizer or rows."""
    from ftcli.model.pretrained import load_config
    from ftcli.source import resolve_model

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
