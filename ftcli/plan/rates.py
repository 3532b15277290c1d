"""Learning rates by layer and weight decay of a phase -> the parameter groups of its optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ftcli.config.choice import Choice
from ftcli.config.schema import LayerwiseConfig, LayerwiseKind, OptimizerConfig, SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.anatomy import Anatomy, TensorInfo, Unit
from ftcli.plan.patterns import Hit, hit_of, match_patterns
from ftcli.plan.plan import Group
from ftcli.plan.selectors import select

NAMED = ("biases", "norms")
"""What `optimizer.no_decay` understands beside regexes."""
DECAYS = {LayerwiseKind.geometric: 0.8, LayerwiseKind.cosine: 0.1}
"""Where no decay is given: ELECTRA's for its small and base models (Clark et al., 2020, arXiv:2003.10555,
appendix B); for the cosine, the share that is left to the embeddings."""
KEY = "optimizer.layerwise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Optimizer of a phase, with its lr, weight decay and layer-wise rates, and its scheduler."""

    optimizer: Choice[OptimizerConfig]
    """`optimizer.config.lr` is the phase's own: the schedule's where it names one, scaled where asked for."""
    scheduler: Choice[SchedulerConfig]
    multipliers: Mapping[str, float] = field(default_factory=dict)
    """Tensor -> factor on its lr beside the layer-wise one, such as LoRA+'s of its B matrices."""


def layerwise_problems(layerwise: LayerwiseConfig, key: str = KEY) -> list[Problem]:
    """Returns values out of range, and fields that the kind would not use."""
    problems = []
    kind, decay = layerwise.kind, layerwise.decay
    if decay is not None and kind not in DECAYS:
        message = f"has no meaning with kind={kind.value}"
        problems.append(Problem(f"{key}.decay", message, f"{key}.kind=geometric, or {key}.decay=null"))
    elif decay is not None and not 0 < decay <= 1:
        problems.append(Problem(f"{key}.decay", f"{decay} is not in (0, 1]", f"{key}.decay=0.8"))
    if not (layerwise.head_multiplier > 0 and math.isfinite(layerwise.head_multiplier)):
        message = f"{layerwise.head_multiplier} is not a number above 0"
        problems.append(Problem(f"{key}.head_multiplier", message, f"{key}.head_multiplier=10"))
    if bool(layerwise.table) != (kind is LayerwiseKind.table):
        hint = f'{key}.kind=table \'{key}.table=["head: 10","layers[0:6]: 0.1"]\''
        empty = kind is LayerwiseKind.table
        message = "the table is empty" if empty else f"has no meaning with kind={kind.value}"
        problems.append(Problem(f"{key}.table", message, hint))
    return problems


def multipliers(anatomy: Anatomy, layerwise: LayerwiseConfig) -> tuple[dict[str, float], list[Problem]]:
    """Returns tensor name -> factor on the phase's lr (1 where none is given), and what is wrong with a table.

    With n blocks the embeddings have level 0, block i has i + 1, `final` that of the top block and the
    head n + 1. Geometric: `decay ** (n + 1 - level)`, the form of ULMFiT and ELECTRA with one factor
    from the head to the top block. Cosine: `decay + (1 - decay) * (1 - cos(pi * level / (n + 1))) / 2`.
    The head's factor is multiplied by `head_multiplier` besides. Encoder-decoder models count the
    encoder's blocks first.
    """
    if layerwise.kind is LayerwiseKind.table:
        return _table(anatomy, layerwise)
    top = len(anatomy.blocks) + 1
    found = {}
    for level, unit in _levels(anatomy):
        factor = _by_level(layerwise, level, top)
        for name in unit.tensors:
            found[name] = factor * (layerwise.head_multiplier if unit is anatomy.head else 1.0)
    return found, []


def groups_of(
    anatomy: Anatomy,
    training: Sequence[TensorInfo],
    rates: Mapping[str, tuple[int, Rates]],
    current: Rates,
    *,
    phased: bool,
) -> tuple[list[Group], list[Hit], list[Problem]]:
    """Returns the optimizer groups of a phase, the rows of the no-decay table, and problems.

    Args:
        anatomy: the model.
        training: tensors that train, in the model's order.
        rates: tensor name -> (phase whose rates it follows, those rates).
        current: the phase's own rates, whose `no_decay` holds for all groups.
        phased: the plan has several phases; names of groups then begin with that of the phase.
    """
    names = frozenset(tensor.name for tensor in training)
    hits, problems = _no_decay_hits(anatomy, names, current.optimizer.config.no_decay)
    without_decay = {name for hit in hits for name in hit.names}
    factors: dict[int, dict[str, float]] = {}
    for index, own in dict(rates.values()).items():
        factors[index], wrong = multipliers(anatomy, own.optimizer.config.layerwise)
        problems += [p for p in wrong if p not in problems]
    labels = _labels(anatomy)
    members: dict[tuple[str, float, float], list[TensorInfo]] = {}
    for tensor in training:
        index, own = rates[tensor.name]
        factor = factors[index].get(tensor.name, 1.0)
        key = _group_key(tensor, own, factor, labels[tensor.unit], decays=tensor.name not in without_decay)
        key = (f"phase{index}.{key[0]}", *key[1:]) if phased else key
        members.setdefault(key, []).append(tensor)
    groups = [
        Group(name, tuple(t.name for t in tensors), lr, weight_decay, sum(t.numel for t in tensors))
        for (name, lr, weight_decay), tensors in members.items()
    ]
    return sorted(groups, key=_order(labels)), hits, problems


def _group_key(
    tensor: TensorInfo, rates: Rates, factor: float, unit: str, *, decays: bool
) -> tuple[str, float, float]:
    """Returns (name, lr, weight decay) of the group a tensor belongs to."""
    config = rates.optimizer.config
    label = _label(config.layerwise, unit, factor)
    multiplier = rates.multipliers.get(tensor.name)
    if multiplier is not None:
        factor, label = factor * multiplier, [*label, f"times{multiplier:g}"]
    name = ".".join([*label, "decay" if decays else "no-decay"])
    return name, config.lr * factor, config.weight_decay if decays else 0.0


def _label(layerwise: LayerwiseConfig, unit: str, factor: float) -> list[str]:
    if layerwise.kind is LayerwiseKind.none:
        return [unit] if layerwise.head_multiplier != 1 and unit == "head" else []
    return [f"x{factor:g}"] if layerwise.kind is LayerwiseKind.table else [unit]


def _labels(anatomy: Anatomy) -> dict[str, str]:
    """Returns unit name -> the word a group is called by: `embeddings`, `layer3`, `final`, `head`."""
    return {unit.name: unit.name for unit in anatomy.units} | {
        block.name: f"layer{number}" for number, block in enumerate(anatomy.blocks)
    }


def _order(labels: Mapping[str, str]) -> Callable[[Group], tuple[int, int, bool, float]]:
    """Returns the key to sort by: older phases first, then bottom to top, decay before no-decay."""
    places = {label: place for place, label in enumerate(labels.values())}

    def key(group: Group) -> tuple[int, int, bool, float]:
        parts = group.name.split(".")
        phase = int(parts[0].removeprefix("phase")) if parts[0].startswith("phase") else 0
        place = next((places[part] for part in parts if part in places), -1)
        return phase, place, parts[-1] == "no-decay", group.lr

    return key


def _levels(anatomy: Anatomy) -> list[tuple[int, Unit]]:
    depth = len(anatomy.blocks)
    blocks = [(level, block) for level, block in enumerate(anatomy.blocks, start=1)]
    return [(0, anatomy.embeddings), *blocks, (depth, anatomy.final), (depth + 1, anatomy.head)]


def _by_level(layerwise: LayerwiseConfig, level: int, top: int) -> float:
    if layerwise.kind is LayerwiseKind.none:
        return 1.0
    decay = DECAYS[layerwise.kind] if layerwise.decay is None else layerwise.decay
    if layerwise.kind is LayerwiseKind.geometric:
        return math.pow(decay, top - level)
    return decay + (1 - decay) * 0.5 * (1 - math.cos(math.pi * level / top))


def _table(anatomy: Anatomy, layerwise: LayerwiseConfig) -> tuple[dict[str, float], list[Problem]]:
    key = f"{KEY}.table"
    found: dict[str, float] = {}
    problems: list[Problem] = []
    for entry in layerwise.table:
        what, _, number = entry.rpartition(":")
        try:
            factor = float(number)
        except ValueError:
            factor = math.nan
        if not what or not (factor > 0 and math.isfinite(factor)):
            message = f"{entry!r} is not GROUP: MULTIPLIER with a multiplier above 0"
            problems.append(Problem(key, message, "such as 'layers[0:6]: 0.1'; freezing stops a group"))
            continue
        chosen = select(anatomy, what.strip(), key=key, action="lr", taken=frozenset(found))
        problems += chosen.problems
        twice = sorted(chosen.names & found.keys())
        if twice:
            problems.append(Problem(key, f"{what.strip()!r} names {twice[0]}, which another entry names too"))
        found |= dict.fromkeys(chosen.names, factor)
    head = set(anatomy.head.tensors)
    both = found | {name: found.get(name, 1.0) * layerwise.head_multiplier for name in head}
    return both, problems


def _no_decay_hits(
    anatomy: Anatomy, training: frozenset[str], no_decay: Sequence[str]
) -> tuple[list[Hit], list[Problem]]:
    """Returns one hit an entry, in their order, restricted to what trains."""
    hits, problems = [], []
    for entry in no_decay:
        if entry in NAMED:
            names = {t.name for t in anatomy.tensors if (t.is_bias if entry == "biases" else t.is_norm)}
        else:
            found, wrong = match_patterns(anatomy, [entry], key="optimizer.no_decay", action="no decay")
            problems += wrong
            names = {name for hit in found for name in hit.names}
        hits.append(hit_of(anatomy, entry, "no decay", names & training))
    return hits, problems
