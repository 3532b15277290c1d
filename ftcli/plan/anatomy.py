"""What a model is made of: its tensors, and the units they train or freeze in, bottom to top.

`read_anatomy` needs no weights: a model built under `torch.device("meta")` is enough.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftcli.plan.units import EMBEDDINGS, EXCEPTIONS, FINAL, HEAD, UnitFinder, base_prefix, find_blocks

if TYPE_CHECKING:
    from torch import nn

_NORM_CLASS = re.compile(r".*norm(\d+d)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a model."""

    name: str
    """Its first name in `named_parameters()`."""
    aliases: tuple[str, ...]
    """Its other names, of tied weights."""
    shape: tuple[int, ...]
    numel: int
    dtype: str
    """Such as `float32`."""
    unit: str
    is_bias: bool
    is_norm: bool


@dataclass(frozen=True, slots=True)
class Unit:
    """`embeddings`, a block such as `bert.encoder.layer.0`, `final` (after the blocks) or `head`."""

    name: str
    tensors: tuple[str, ...]
    modules: tuple[str, ...]
    """Largest modules that lie wholly in this unit."""
    numel: int


@dataclass(frozen=True, slots=True)
class Anatomy:
    """All tensors, each once, and the units bottom to top; every tensor is in one unit."""

    model_type: str
    tensors: tuple[TensorInfo, ...]
    units: tuple[Unit, ...]
    """`embeddings`, the blocks, `final`, `head`; any but a block may be empty."""
    adapters: frozenset[str] = frozenset()
    """Names of the tensors that a PEFT method trains."""

    @property
    def embeddings(self) -> Unit:
        """Word, position and type embeddings, and the norm that closes them."""
        return self.units[0]

    @property
    def blocks(self) -> tuple[Unit, ...]:
        """The transformer blocks, bottom to top."""
        return self.units[1:-2]

    @property
    def final(self) -> Unit:
        """What follows the blocks in the base model: pooler, last norms."""
        return self.units[-2]

    @property
    def head(self) -> Unit:
        """The task head, outside the base model."""
        return self.units[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors, in the model's order."""
        return tuple(t.name for t in self.tensors)

    @property
    def tied(self) -> tuple[tuple[str, ...], ...]:
        """Names of each tensor that has more than one, the one used everywhere first."""
        return tuple((t.name, *t.aliases) for t in self.tensors if t.aliases)

    @property
    def num_parameters(self) -> int:
        """Parameters of all tensors."""
        return sum(t.numel for t in self.tensors)

    def numel(self, names: Collection[str]) -> int:
        """Returns the number of parameters in the named tensors."""
        return sum(t.numel for t in self.tensors if t.name in names)


def read_anatomy(model: nn.Module, adapters: frozenset[str] = frozenset()) -> Anatomy:
    """Reads a transformers model with a head, on any device, `meta` included.

    Encoder-decoder models give the encoder's blocks, then the decoder's, with T5's final norm of the
    encoder in the encoder's last block; ALBERT's shared layer group is one block.

    Args:
        model: its tensors' values are not read.
        adapters: names of the tensors that a PEFT method trains.

    Raises:
        PlanError: the model has no `base_model_prefix` module, so that the head cannot be separated
            from the base.
    """
    prefix = base_prefix(model)
    blocks = find_blocks(model, prefix)
    model_type = str(getattr(getattr(model, "config", None), "model_type", ""))
    place = UnitFinder(prefix, blocks, EXCEPTIONS.get(model_type, ()))
    names: dict[int, list[str]] = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    tensors = tuple(
        _tensor_info(model, names[id(parameter)], parameter, place(name))
        for name, parameter in model.named_parameters()
    )
    modules = _modules_by_unit(model, prefix, tensors)
    order = [EMBEDDINGS, *blocks, FINAL, HEAD]
    units = tuple(_unit(name, tensors, modules[name]) for name in order)
    return Anatomy(model_type, tensors, units, adapters)


def frozen_modules(model: nn.Module, trainable: Collection[str]) -> list[str]:
    """Returns the largest modules to run in eval mode: those whose units train nothing.

    A unit that trains anything keeps train mode throughout, so that LoRA and bias-only training keep
    the dropout of the blocks they train. Dropouts of the base model between the units (GPT-2's
    `transformer.drop`) follow the embeddings. A BatchNorm whose own tensors do not train is named
    in any unit: its running statistics stay frozen with it.

    Args:
        model: the model that `trainable` names tensors of.
        trainable: names of the tensors that train.
    """
    anatomy = read_anatomy(model)
    training = {t.unit for t in anatomy.tensors if t.name in set(trainable)}
    unit_of = {t.name: t.unit for t in anatomy.tensors}
    found = _walk(model, base_prefix(model), unit_of, stop=lambda units: not units & training)
    frozen = [name for name, units in found if not units & training]
    return [*frozen, *_frozen_batch_norms(model, frozenset(trainable))]


def _frozen_batch_norms(model: nn.Module, trainable: frozenset[str]) -> list[str]:
    from torch.nn.modules.batchnorm import _BatchNorm

    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        and not any(f"{name}.{own}" in trainable for own, _ in module.named_parameters())
    ]


def is_norm(module: nn.Module) -> bool:
    """Returns whether a module normalises: LayerNorm, RMSNorm, BatchNorm and the like, by its class name."""
    return _NORM_CLASS.fullmatch(type(module).__name__) is not None


def _tensor_info(model: nn.Module, names: list[str], parameter: nn.Parameter, unit: str) -> TensorInfo:
    module_name, _, leaf = names[0].rpartition(".")
    holder = model.get_submodule(module_name)
    return TensorInfo(
        name=names[0],
        aliases=tuple(names[1:]),
        shape=tuple(parameter.shape),
        numel=parameter.numel(),
        dtype=str(parameter.dtype).removeprefix("torch."),
        unit=unit,
        is_bias=leaf == "bias" or leaf.endswith("_bias"),
        is_norm=is_norm(holder),
    )


def _unit(name: str, tensors: tuple[TensorInfo, ...], modules: list[str]) -> Unit:
    own = [t for t in tensors if t.unit == name]
    return Unit(name, tuple(t.name for t in own), tuple(modules), sum(t.numel for t in own))


def _modules_by_unit(model: nn.Module, prefix: str, tensors: tuple[TensorInfo, ...]) -> dict[str, list[str]]:
    modules: dict[str, list[str]] = defaultdict(list)
    unit_of = {t.name: t.unit for t in tensors}
    for name, units in _walk(model, prefix, unit_of, stop=lambda units: len(units) == 1):
        modules[next(iter(units))].append(name)
    return modules


def _walk(
    model: nn.Module, prefix: str, unit_of: dict[str, str], stop: Callable[[set[str]], bool]
) -> list[tuple[str, set[str]]]:
    """Returns, outermost first, the modules at which `stop(units inside)` holds, or that have one unit."""
    units_by_id = {id(p): unit_of[name] for name, p in model.named_parameters()}

    def visit(name: str, module: nn.Module) -> Iterator[tuple[str, set[str]]]:
        units = {units_by_id[id(p)] for p in module.parameters()}
        if not units:
            if "Dropout" in type(module).__name__:
                yield name, {EMBEDDINGS if name.startswith(prefix + ".") else HEAD}
        elif len(units) == 1 or stop(units):
            yield name, units
        else:
            for child_name, child in module.named_children():
                yield from visit(f"{name}.{child_name}" if name else child_name, child)

    return list(visit("", model))
