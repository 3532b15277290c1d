"""Writes weights and config.json of an export; tokenizer and image processor write their own files (`save`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.hub.resolve import quiet_transformers

if TYPE_CHECKING:
    from torch import nn


def write_plain(model: Any, folder: Path, dtype: str) -> None:
    """Writes config.json and model.safetensors.

    Args:
        model: of transformers; cast in place.
        folder: where the files go.
        dtype: of the weights written.
    """
    with quiet_transformers():
        _cast(model, dtype).save_pretrained(folder)


def write_adapter(model: Any, folder: Path, dtype: str, *, base: str, revision: str | None) -> None:
    """Writes adapter_config.json, adapter_model.safetensors and the config.json that the base is built with.

    Args:
        model: of peft; cast in place.
        folder: where the files go.
        dtype: of the weights written.
        base: what adapter_config.json calls the base model.
        revision: the base's commit on the hub.
    """
    import torch

    inner = model.get_base_model()
    described = model.peft_config["default"]
    described.base_model_name_or_path, described.revision = base, revision
    # peft lists its own guesses for the head beside ours, so some twice and some that are not there.
    names = {name for name, _ in inner.named_modules()}
    described.modules_to_save = sorted(set(described.modules_to_save or ()) & names) or None
    inner.config.architectures = [type(inner).__name__]
    inner.config.dtype = dtype
    # Ours takes the place of peft's card, which reads properties that transformers 5 has renamed and says so.
    model.create_or_update_model_card = lambda output_dir: None
    # A prompt's network is run to be saved: an LSTM rounds otherwise where gradients are followed.
    with quiet_transformers(), torch.no_grad():
        _cast(model, dtype).save_pretrained(folder, save_embedding_layers=False)
        inner.config.save_pretrained(folder)


def _cast(model: nn.Module, dtype: str) -> Any:
    import torch

    return model.to(getattr(torch, dtype))
