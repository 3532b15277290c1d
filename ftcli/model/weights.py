"""Safetensors files -> a model with known fresh parameters.

The files are opened here and handed to transformers as a state dict, so that nothing else in the folder (an
adapter, a pickle, a Python file) can take part, and so that every tensor that is missing, misfit or left over
is accounted for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.errors import Problem, SourceError
from ftcli.hub.resolve import Source, quiet_transformers
from ftcli.model.shared import current

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

# Poolers stand inside the base model but belong to the sentence head: checkpoints of masked language models
# lack them.
_POOLER = re.compile(r"(^|\.)pooler\.")
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model and what its files did not hold."""

    model: PreTrainedModel
    fresh: tuple[str, ...]
    """Parameters that no file holds in their shape, in model order."""
    refitted: tuple[str, ...] = ()
    """Those of `fresh` that the files hold in another shape."""
    dropped: tuple[str, ...] = ()
    """Tensors of the files that the model has no place for."""


def load(
    model_class: type[PreTrainedModel], hf_config: PreTrainedConfig, source: Source, options: dict[str, Any]
) -> Loaded:
    """Builds `model_class` with the tensors of `source.weight_files`.

    Args:
        options: `dtype`, `attn_implementation`, and `device_map="meta"` for shapes without memory.

    Raises:
        SourceError: a tensor of the base model is missing or has another shape, or a file cannot be read.
    """
    tensors = _tensors(source, options)
    with quiet_transformers():
        loaded: Any = model_class.from_pretrained(
            None,
            config=hf_config,
            state_dict=tensors,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            **options,
        )
    model, info = loaded
    misfits = {name: (tuple(stored), tuple(built)) for name, stored, built in info["mismatched_keys"]}
    _refuse_broken_base(model, source, set(info["missing_keys"]), misfits)
    absent = set(info["missing_keys"]) | misfits.keys()
    fresh = tuple(name for name, _ in model.named_parameters() if name in absent)
    refitted = tuple(name for name in fresh if name in misfits)
    return Loaded(model, fresh, refitted, tuple(sorted(info["unexpected_keys"])))


def _tensors(source: Source, options: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Returns the files' tensors, out of memory where several runs stand on one base."""
    held = current()
    if options.get("device_map") == "meta" or held is None:
        return _read(source, meta=options.get("device_map") == "meta")
    return held.read(source.weight_files, options["dtype"], lambda: _read(source, meta=False))


def _read(source: Source, meta: bool) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = {}
    for file in source.weight_files:
        try:
            tensors.update(_shapes(str(file)) if meta else load_file(file))
        except (SafetensorError, OSError) as error:
            problem = Problem(source.key, f"{file} cannot be read: {error}", "copy it again")
            raise SourceError(problem) from error
    return tensors


def _shapes(file: str) -> dict[str, torch.Tensor]:
    """Returns the file's tensors without their values, on meta."""
    import torch
    from safetensors import safe_open

    with safe_open(file, framework="pt") as stored:
        names = list(stored.keys())
        return {name: torch.empty(stored.get_slice(name).get_shape(), device="meta") for name in names}


def is_head(model: PreTrainedModel, name: str) -> bool:
    """Says whether a parameter belongs to the head: outside the base model, or in its pooler."""
    return not name.startswith(f"{model.base_model_prefix}.") or _POOLER.search(name) is not None


def _refuse_broken_base(
    model: PreTrainedModel, source: Source, missing: set[str], misfits: dict[str, tuple[Any, Any]]
) -> None:
    hint = "these files are not of this config.json; for an untrained model set model.weights=random"
    lost = sorted(name for name in missing if not is_head(model, name))
    if lost:
        message = f"{source.origin} lacks {len(lost)} tensors of the base model: {shorten(lost)}"
        raise SourceError(Problem(source.key, message, hint))
    odd = sorted(name for name in misfits if not is_head(model, name))
    if odd:
        stored, built = misfits[odd[0]]
        message = f"{source.origin} has {odd[0]} in shape {stored}; config.json makes it {built}"
        raise SourceError(Problem(source.key, message, hint))


def shorten(names: list[str] | tuple[str, ...]) -> str:
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
