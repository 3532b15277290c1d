"""A model's task head: which class of transformers has it, and which parameters belong to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ftcli.errors import ConfigError, Problem

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

# A pooler is part of the base model by name, but it is trained with a sentence head: checkpoints of masked
# language models lack it.
_POOLER = re.compile(r"(^|\.)pooler\.")


def class_with_head(hf_config: PreTrainedConfig, auto_classes: Sequence[str]) -> type[PreTrainedModel]:
    """Returns the model class of the first auto class that knows the architecture.

    Args:
        hf_config: of the model.
        auto_classes: names in transformers, such as `AutoModelForSequenceClassification`.

    Raises:
        ConfigError: none of them knows the architecture.
    """
    import transformers

    for auto_class in auto_classes:
        mapping = getattr(transformers, auto_class)._model_mapping
        if type(hf_config) in mapping:
            found = mapping[type(hf_config)]
            return found[0] if isinstance(found, list | tuple) else found
    task = " or ".join(name.removeprefix("AutoModelFor") for name in auto_classes)
    message = f"the architecture {hf_config.model_type} is a model without the task head {task}"
    raise ConfigError(Problem("model", message, "choose another: `ftcli list model`"))


def is_head(model: PreTrainedModel, name: str) -> bool:
    """Says whether a parameter belongs to the head: outside the base model, or in its pooler."""
    return not name.startswith(f"{model.base_model_prefix}.") or _POOLER.search(name) is not None


def order_rows(model: PreTrainedModel, places: Sequence[int], options: dict[str, Any]) -> None:
    """Puts the head's rows in the order of the labels, where a checkpoint has the same labels in another one.

    Args:
        model: with the head of the files.
        places: of each label among those of the files.
        options: `dtype` and `attn_implementation`.
    """
    import copy

    import torch

    wider = copy.deepcopy(model.config)
    wider.id2label = {i: str(i) for i in range(len(places) + 1)}
    wider.label2id = {str(i): i for i in range(len(places) + 1)}
    with torch.device("meta"):
        shapes = {
            name: tensor.shape
            for name, tensor in type(model)._from_config(wider, **options).named_parameters()
        }
    order = torch.tensor(places)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            # The rows of labels are those that one more label makes more of.
            if shapes[name] != tensor.shape and not tensor.is_meta:
                tensor.copy_(tensor[order].clone())
