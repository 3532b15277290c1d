"""Where a model can be cut: its lower modules caught at their boundary, or replaced by what was caught.

The model's own forward builds masks, positions and pooling as ever. Only `forward` of the frozen modules is
exchanged, inside a `with` block: each hands on the tensor that is given, so nothing below runs or is differentiated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ftcli.plan.anatomy import Anatomy
from ftcli.plan.units import base_prefix

EMBEDDINGS: dict[str, tuple[str, ...]] = {
    "bert": ("embeddings",),
    "roberta": ("embeddings",),
    "xlm-roberta": ("embeddings",),
    "distilbert": ("embeddings",),
    "deberta-v2": ("embeddings",),
    "electra": ("embeddings", "embeddings_project"),
    "gpt2": ("wte", "wpe"),
    "llama": ("embed_tokens",),
    "qwen2": ("embed_tokens",),
    "vit": ("embeddings",),
}
"""Architecture -> modules of its base model that run before the blocks and whose output only block 0 reads."""

AFTER_FIRST = {"deberta-v2": "encoder.conv"}
"""Architecture -> module that runs after block 0 and belongs to it."""


class Reached(Exception):
    """The deepest boundary was caught: what lies above need not run."""


@dataclass(slots=True)
class Frame:
    """The modules of a model that a boundary can lie between."""

    base: nn.Module
    embeddings: list[nn.Module]
    blocks: list[nn.Module]
    after_first: nn.Module | None
    output_type: Any = None
    """Class of the base model's output, known once it was caught."""
    in_tuple: bool = False
    """Whether blocks return (states, attention) and not the states alone; known once they were caught."""

    @property
    def whole(self) -> int:
        """The depth of the whole base model."""
        return len(self.blocks) + 1

    def name(self, depth: int) -> str:
        """Returns what lies below a boundary, in words."""
        return "the base model" if depth == self.whole else f"{depth} block{'s' if depth > 1 else ''}"

    def below(self, depth: int) -> list[nn.Module]:
        """Returns the modules below a boundary, outermost only."""
        if depth == self.whole:
            return [self.base]
        after = [self.after_first] if self.after_first is not None else []
        return [*self.embeddings, *self.blocks[:depth], *after]

    @contextmanager
    def catching(self, depths: Sequence[int], *, stop: bool) -> Iterator[dict[int, dict[str, torch.Tensor]]]:
        """Yields a dict that a forward inside fills: depth -> `states` (num_sequences, seq_len, hidden) and, of the whole base, `pooled`.

        Args:
            depths: boundaries to catch.
            stop: raise Reached at the deepest of them.
        """
        caught: dict[int, dict[str, torch.Tensor]] = {}

        def catch(depth: int, module: nn.Module) -> Any:
            own = module.forward

            def forward(*args: Any, **kwargs: Any) -> Any:
                output = own(*args, **kwargs)
                caught[depth] = self._parts(depth, module, output)
                if stop and module is last:
                    raise Reached
                return output

            return forward

        ends = self._ends(sorted(depths))
        last = ends[-1][1]
        with _exchanged([(module, catch(depth, module)) for depth, module in ends]):
            yield caught

    @contextmanager
    def replaying(self, depth: int, stored: str, states: torch.Tensor) -> Iterator[None]:
        """Lets a forward inside begin at a boundary.

        Args:
            depth: the boundary.
            stored: `pooled`: states are (num_sequences, hidden), the pooler's output; else they are
                (num_sequences, seq_len, hidden).
            states: what the modules below would have given.
        """
        if depth == self.whole:
            output = self._base_output(stored, states)
            with _exchanged([(self.base, lambda *args, **kwargs: output)]):
                yield
            return
        handed = (states, None) if self.in_tuple else states
        # Added to the first embedding in GPT-2, whose positions are looked up by themselves.
        nothing = states.new_zeros((1, 1, 1))
        changes: list[tuple[nn.Module, Any]] = [(self.embeddings[0], lambda *args, **kwargs: states)]
        second = states if len(self.embeddings) > 1 and isinstance(self.embeddings[1], nn.Linear) else nothing
        changes += [(module, lambda *args, **kwargs: second) for module in self.embeddings[1:]]
        changes += [(module, lambda *args, **kwargs: handed) for module in self.blocks[:depth]]
        if self.after_first is not None:
            changes.append((self.after_first, lambda *args, **kwargs: states))
        with _exchanged(changes):
            yield

    def _ends(self, depths: Sequence[int]) -> list[tuple[int, nn.Module]]:
        """Returns each depth with the module whose output is its boundary."""
        ends: list[tuple[int, nn.Module]] = []
        for depth in depths:
            if depth == 1 and self.after_first is not None:
                # Block 0 is caught too, to learn what it returns; what follows it then takes its place.
                ends += [(1, self.blocks[0]), (1, self.after_first)]
            else:
                ends.append((depth, self.base if depth == self.whole else self.blocks[depth - 1]))
        return ends

    def _parts(self, depth: int, module: nn.Module, output: Any) -> dict[str, torch.Tensor]:
        if depth == self.whole:
            self.output_type = type(output)
            found = {"states": output.last_hidden_state, "pooled": getattr(output, "pooler_output", None)}
            return {name: tensor.detach() for name, tensor in found.items() if tensor is not None}
        if module is not self.after_first:
            self.in_tuple = isinstance(output, tuple)
        return {"states": (output[0] if isinstance(output, tuple) else output).detach()}

    def _base_output(self, stored: str, states: torch.Tensor) -> Any:
        """Returns the base model's output; what the head was seen not to read is NaN."""
        unread = states.new_full((1,), float("nan"))
        fields = self.output_type.__dataclass_fields__
        if stored == "pooled":
            hidden = unread.expand(len(states), 1, states.shape[-1])
            return self.output_type(last_hidden_state=hidden, pooler_output=states)
        pooler = {"pooler_output": unread.expand(len(states), states.shape[-1])}
        return self.output_type(last_hidden_state=states, **(pooler if "pooler_output" in fields else {}))


def open_frame(model: nn.Module, anatomy: Anatomy) -> Frame | None:
    """Returns the model's frame, or None for an architecture that was not tried."""
    names = EMBEDDINGS.get(anatomy.model_type)
    base = model.get_submodule(base_prefix(model))
    own = dict(base.named_modules())
    if names is None or names[0] not in own or not anatomy.blocks:
        return None
    after = AFTER_FIRST.get(anatomy.model_type)
    blocks = [model.get_submodule(unit.name) for unit in anatomy.blocks]
    return Frame(base, [own[n] for n in names if n in own], blocks, own.get(after) if after else None)


@contextmanager
def _exchanged(changes: Sequence[tuple[nn.Module, Any]]) -> Iterator[None]:
    """Gives modules another `forward` for the length of the block."""
    # Written past nn.Module.__setattr__, which would take microseconds each in every step.
    for module, forward in changes:
        module.__dict__["forward"] = forward
    try:
        yield
    finally:
        for module, _ in changes:
            module.__dict__.pop("forward", None)
