"""Safetensors files -> a model, and which of its parameters are newly initialized.

The files are opened here and passed to transformers as a state dict. So nothing else in the folder (an adapter, a
pickle, a Python file) can take part, and every tensor that is missing, of another shape or left over is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.errors import Problem, SourceError, is_out_of_memory
from ftcli.hub.client import without_network
from ftcli.hub.resolve import Source, quiet_transformers
from ftcli.model.config_file import first_line
from ftcli.model.head import is_head
from ftcli.model.shared import current

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

MAX_SHOWN_NAMES = 4


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model, and how its tensors differ from those of its files."""

    model: PreTrainedModel
    fresh: tuple[str, ...]
    """Newly initialized parameters: no file has them in their shape. In model order."""
    refitted: tuple[str, ...] = ()
    """Those of `fresh` that the files have in another shape."""
    dropped: tuple[str, ...] = ()
    """Tensors of the files that the model has no parameter or buffer for."""


def load(
    model_class: type[PreTrainedModel], hf_config: PreTrainedConfig, source: Source, options: dict[str, Any]
) -> Loaded:
    """Builds `model_class` with the tensors of `source.weight_files`.

    Args:
        model_class: class of transformers, with the task's head.
        hf_config: with labels, PAD id and dropout set.
        source: the files.
        options: `dtype`, `attn_implementation`, and `device_map="meta"` for shapes without memory.

    Raises:
        SourceError: a tensor of the base model is missing or has another shape, or a file cannot be read.
    """
    tensors = _tensors(source, options)
    try:
        with quiet_transformers(), without_network():
            loaded: Any = model_class.from_pretrained(
                None,
                config=hf_config,
                state_dict=tensors,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                trust_remote_code=False,
                **options,
            )
    # Whatever a tensor of another type or an odd name leads to in transformers; nothing narrower exists.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        message = f"{source.origin} makes no {model_class.__name__}: {first_line(error)}"
        raise SourceError(Problem(source.key, message, "download or copy it again")) from error
    model, info = loaded
    misfits = {name: (tuple(stored), tuple(built)) for name, stored, built in info["mismatched_keys"]}
    _refuse_broken_base(model, source, set(info["missing_keys"]), misfits)
    absent = set(info["missing_keys"]) | misfits.keys()
    fresh = tuple(name for name, _ in model.named_parameters() if name in absent)
    refitted = tuple(name for name in fresh if name in misfits)
    return Loaded(model, fresh, refitted, tuple(sorted(info["unexpected_keys"])))


def _tensors(source: Source, options: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Returns the files' tensors; inside `shared_weights` they are read from the disk once for several runs."""
    shared = current()
    if options.get("device_map") == "meta" or shared is None:
        return _read(source, meta=options.get("device_map") == "meta")
    return shared.read(source.weight_files, options["dtype"], lambda: _read(source, meta=False))


def _read(source: Source, meta: bool) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = {}
    for file in source.weight_files:
        try:
            tensors.update(_shapes(str(file)) if meta else load_file(file))
        except (SafetensorError, OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            if is_out_of_memory(error):
                raise
            problem = Problem(source.key, f"{file} cannot be read: {error}", "copy it again")
            raise SourceError(problem) from error
    return tensors


def _shapes(file: str) -> dict[str, torch.Tensor]:
    """Returns the file's tensors without their values, on the meta device."""
    import torch
    from safetensors import safe_open

    with safe_open(file, framework="pt") as stored:
        names = list(stored.keys())
        return {name: torch.empty(stored.get_slice(name).get_shape(), device="meta") for name in names}


def _refuse_broken_base(
    model: PreTrainedModel, source: Source, missing: set[str], misfits: dict[str, tuple[Any, Any]]
) -> None:
    """Raises SourceError where the base model lacks a tensor: only a head may be newly initialized."""
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
    """Returns the first names, and how many more there are, for a line of console output."""
    more = f" and {len(names) - MAX_SHOWN_NAMES} more" if len(names) > MAX_SHOWN_NAMES else ""
    return ", ".join(names[:MAX_SHOWN_NAMES]) + more
