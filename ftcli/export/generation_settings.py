"""generation_config.json of an exported language model: the base model's own, with the tokens of the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.batching.protocols import text_encoder

if TYPE_CHECKING:
    from ftcli.inference.load import LoadedModel


def generation_settings(finished: LoadedModel) -> Any:
    """Returns transformers' GenerationConfig: what the base's folder has, else what its config.json says, and EOS and PAD of the tokenizer.

    Args:
        finished: the run, loaded.
    """
    from transformers import GenerationConfig

    inputs, folder = finished.inputs, Path(finished.inputs.source.folder)
    backend = text_encoder(inputs.tokenizer).backend
    try:
        settings = GenerationConfig.from_pretrained(folder, local_files_only=True)
        settings.validate(strict=True)
    # Without such a file, or with one whose values contradict each other, which transformers would not save.
    except (OSError, ValueError):
        settings = GenerationConfig.from_model_config(inputs.hf_config)
    if settings.eos_token_id is None:
        settings.eos_token_id = backend.eos_token_id
    if settings.bos_token_id is None:
        settings.bos_token_id = backend.bos_token_id
    settings.pad_token_id = inputs.tokenizer.pad_id
    return settings


def stops_of(settings: Any) -> list[int]:
    """Returns the ids that end a text."""
    ends = settings.eos_token_id
    return [] if ends is None else [int(i) for i in (ends if isinstance(ends, list) else [ends])]


def restore_for_use(model: Any, finished: LoadedModel) -> None:
    """Gives a language model, in place, what its training took away: the cache of keys and values, and settings of generation."""
    model.config.use_cache = getattr(finished.inputs.hf_config, "use_cache", True)
    model.generation_config = generation_settings(finished)
