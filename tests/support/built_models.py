"""Models built from a folder as a run builds them, and edits of such a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ftcli.config.schema import ModelConfig
from ftcli.hub.resolve import resolve_model
from ftcli.model.config_file import load_config
from ftcli.model.pretrained import BuiltModel, build


def built(
    folder: Path, *, labels: int | list[str] = 2, seed: int = 0, pad_id: int | None = None, **options: Any
) -> BuiltModel:
    fields = {key: options.pop(key) for key in ("weights", "dropout", "dtype") if key in options}
    config = ModelConfig(path=str(folder), **fields)
    source = resolve_model(config, with_weights=not options.get("meta", False))
    hf_config = load_config(config, source)
    if pad_id is None:
        pad_id = hf_config.pad_token_id or 0
    names = labels if isinstance(labels, list) else [f"l{i}" for i in range(labels)]
    options = {"attention": "eager", **options}
    return build(
        config, source=source, hf_config=hf_config, labels=names, pad_id=pad_id, seed=seed, **options
    )


def tensors(result: BuiltModel) -> dict[str, torch.Tensor]:
    return dict(result.model.named_parameters())


def rewrite(folder: Path, change: Any) -> None:
    """Applies `change` to the dict of a folder's tensors, in place."""
    file = folder / "model.safetensors"
    held = {name: tensor.clone() for name, tensor in load_file(file).items()}
    change(held)
    save_file(held, file, metadata={"format": "pt"})


def edit_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
