"""A head of transformers: which class has it, how a batch goes into its forward, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Head:
    """A class of transformers that a task can train, and what other libraries need to know of it.

    A task states its heads (`Task.heads`); model building takes the first that knows the architecture, and soft
    prompts, export and model card read the rest. So none of them knows a task or a class of models by name.
    """

    auto_class: str
    """Name in transformers, such as `AutoModelForSequenceClassification`."""
    outputs: tuple[str, ...] = ("logits",)
    """Fields of the model's output that hold the scores; several of them are stacked in a last dimension."""
    per_token: bool = False
    """Whether the outputs are (batch, seq_len, ...), a score for each token, not (batch, ...)."""
    one_row: bool = False
    """Whether forward reads all sequences of a batch as the choices of one row: (1, num_sequences, seq_len)."""
    vocabulary: bool = False
    """Whether the outputs are those of the vocabulary: they have no labels, the files bring the head along, and a PEFT
    method freezes it with the base."""
    peft_task_type: str | None = None
    """Name in peft.TaskType. None: peft has no class for the head, so it exports no soft prompt for it."""
    peft_drops_inputs: bool = False
    """Whether peft's class for that type does not pass token_type_ids on to the model."""

    def adapter_task_type(self, *, prompt: bool) -> str | None:
        """Returns the task type that an exported adapter_config.json names.

        Without a task type peft passes all inputs on. A soft prompt needs the class all the same: only the class
        knows at which places of the outputs the prompt stands.
        """
        return self.peft_task_type if prompt or not self.peft_drops_inputs else None


def of_head(head: Head | None) -> str:
    """Returns the end of a PEFT method's line: whether the head trains beside the adapters.

    Args:
        head: of the model; None: a new one.
    """
    frozen = head is not None and head.vocabulary
    return "the output projection with it" if frozen else "the head trains"


def head_of(heads: Sequence[Head], model: Any) -> Head:
    """Returns the head that a model of transformers was built with; the first one for a class of no mapping.

    Args:
        heads: those of a task, in its order of preference.
        model: the model, with its config.
    """
    import transformers

    for head in heads:
        mapping = getattr(transformers, head.auto_class)._model_mapping
        if type(model.config) not in mapping:
            continue
        known = mapping[type(model.config)]
        if isinstance(model, tuple(known) if isinstance(known, list) else known):
            return head
    return heads[0]


def is_causal(config: Any) -> bool:
    """Whether the architecture is a decoder: one that continues texts and fills no gaps."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    kind = type(config)
    own = kind in AutoModelForCausalLM._model_mapping and kind not in AutoModelForMaskedLM._model_mapping
    return bool(getattr(config, "is_decoder", False)) or own
