"""Writes the files of an export: weights, config.json, tokenizer or image processor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.hub.resolve import quiet_transformers

if TYPE_CHECKING:
    from torch import nn

    from ftcli.inference.load import LoadedModel

PROCESSOR = "preprocessor_config.json"


def write_plain(model: Any, folder: Path, dtype: str) -> None:
    """Writes config.json and model.safetensors; the model is cast in place."""
    with quiet_transformers():
        _cast(model, dtype).save_pretrained(folder)


def write_adapter(model: Any, folder: Path, dtype: str, *, base: str, revision: str | None) -> None:
    """Writes adapter_config.json, adapter_model.safetensors and the config.json that the base is built with.

    Args:
        model: of peft; cast in place.
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


def write_preprocessing(finished: LoadedModel, folder: Path) -> None:
    """Writes the run's tokenizer (length, PAD and padding side as in training), or the image processor."""
    inputs = finished.inputs
    if inputs.task.takes == "images":
        own = Path(inputs.source.folder) / PROCESSOR
        text = own.read_text(encoding="utf-8") if own.is_file() else json.dumps(_processor(inputs.tokenizer))
        (folder / PROCESSOR).write_text(text, encoding="utf-8")
        return
    backend = inputs.tokenizer.backend
    backend.backend_tokenizer.no_truncation()
    backend.backend_tokenizer.no_padding()
    # What was set after loading is written only from here; a text's own `</s>` stays text, as in training.
    backend.init_kwargs |= {"padding_side": inputs.tokenizer.padding_side, "split_special_tokens": True}
    for key in ("is_local", "local_files_only"):
        backend.init_kwargs.pop(key, None)
    with quiet_transformers():
        backend.save_pretrained(folder)


def auto_class_of(finished: LoadedModel) -> str:
    """Returns the transformers class that loads the run's model with its head."""
    import transformers

    model = finished.model
    for name in finished.inputs.task.auto_classes:
        mapping = getattr(transformers, name)._model_mapping
        if type(model.config) in mapping and issubclass(type(model), mapping[type(model.config)]):
            return name
    return str(finished.inputs.task.auto_classes[0])


def _cast(model: nn.Module, dtype: str) -> Any:
    import torch

    return model.to(getattr(torch, dtype))


def _processor(settled: Any) -> dict[str, Any]:
    """Returns the settled processor in transformers' words, where the model came without a file."""
    height, width = settled.size
    resize = settled.geometry.resize
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": resize is not None,
        "size": {"height": height, "width": width},
        "resample": settled.geometry.resample,
        "do_rescale": True,
        "rescale_factor": settled.scale,
        "do_normalize": True,
        "image_mean": list(settled.mean),
        "image_std": list(settled.std),
    }
