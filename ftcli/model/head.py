"""A model's task head: which class of transformers has it, and which parameters belong to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
