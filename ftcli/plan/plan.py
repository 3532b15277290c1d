"""The Plan: which tensors train, in which groups, how hard and for how long.

A plain run is a plan of one phase. Plans are plain values: printed, written to plan.json, compared.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ftcli.errors import Problem
from ftcli.plan.anatomy import Anatomy, TensorInfo
from ftcli.plan.patterns import Hit, Selection, hit_of, match_patterns, raise_problems

WORDS = ("biases", "norms")
"""What `optimizer.no_decay` understands beside regexes."""


@dataclass(frozen=True, slots=True)
class Group:
    """One parameter group of the optimizer."""

    name: str
    params: tuple[str, ...]
    lr: float
    weight_decay: float
    num_parameters: int


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training in which the same tensors train; names are in the model's order."""

    index: int
    trainable: tuple[str, ...]
    groups: tuple[Group, ...]
    hits: tuple[Hit, ...]
    scheduler: str
    warmup: str
    end: str
    num_trainable_parameters: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All phases, and the totals that a reader wants first."""

    phases: tuple[Phase, ...]
    num_tensors: int
    num_parameters: int
    tied: tuple[tuple[str, ...], ...]
    """Names of each tensor that has several, the one used everywhere first."""
    frozen_units: tuple[str, ...]
    """Units in which nothing trains in any phase, bottom to top."""
    decisions: tuple[str, ...] = ()
    """What was decided for the user, one line each."""

    @property
    def num_trainable_tensors(self) -> int:
        """Tensors that train in some phase."""
        return len({name for phase in self.phases for name in phase.trainable})

    @property
    def num_trainable_parameters(self) -> int:
        """Parameters of the phase that trains most."""
        return max((phase.num_trainable_parameters for phase in self.phases), default=0)

    @property
    def trainable_share(self) -> float:
        """`num_trainable_parameters / num_parameters`, in [0, 1]."""
        return self.num_trainable_parameters / self.num_parameters if self.num_parameters else 0.0

    def to_json(self) -> dict[str, Any]:
        """Returns plain dicts, lists, strings and numbers."""
        totals = {
            "num_trainable_tensors": self.num_trainable_tensors,
            "num_trainable_parameters": self.num_trainable_parameters,
            "trainable_share": self.trainable_share,
        }
        plain: dict[str, Any] = json.loads(json.dumps(totals | asdict(self)))
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """Reads what `to_json` gave; the derived totals are computed anew."""
        return cls(
            phases=tuple(_phase_from_json(phase) for phase in data["phases"]),
            num_tensors=data["num_tensors"],
            num_parameters=data["num_parameters"],
            tied=tuple(tuple(names) for names in data["tied"]),
            frozen_units=tuple(data["frozen_units"]),
            decisions=tuple(data["decisions"]),
        )


def _phase_from_json(data: dict[str, Any]) -> Phase:
    groups = tuple(Group(**{**g, "params": tuple(g["params"])}) for g in data["groups"])
    hits = tuple(Hit(**{**h, "names": tuple(h["names"])}) for h in data["hits"])
    return Phase(**{**data, "trainable": tuple(data["trainable"]), "groups": groups, "hits": hits})


def one_phase(
    anatomy: Anatomy,
    selection: Selection,
    *,
    lr: float,
    weight_decay: float,
    no_decay: Sequence[str],
    scheduler: str,
    warmup: str,
    candidates: frozenset[str] | None = None,
    allow_empty: bool = False,
    end: str = "end of run",
) -> Plan:
    """Returns the plan of a run in which the same tensors train from start to end.

    Args:
        anatomy: the model, adapters included.
        selection: what the freezing strategy lets train.
        lr: peak learning rate of all groups.
        weight_decay: of the group `decay`; the group `no-decay` gets 0. LoRA matrices are weights and
            decay.
        no_decay: `biases`, `norms` (by module type) or full-match regexes of names.
        scheduler: name of the scheduler, for the record.
        warmup: as typed, for the record.
        candidates: adapters and head under PEFT; nothing else can train. None: no restriction.
        allow_empty: accept that nothing trains.
        end: when the phase ends, in words.

    Raises:
        PlanError: nothing trains, a regex without a hit, or half-precision tensors that would train.
    """
    allowed = selection.trainable if candidates is None else selection.trainable & candidates
    training = [t for t in anatomy.tensors if t.name in allowed]
    no_decay_hits, problems = _no_decay_hits(anatomy, allowed, no_decay)
    if not training and not allow_empty:
        problems.append(_nothing_trains(selection, candidates))
    problems += _half_precision(training)
    raise_problems(problems)
    spared = {name for hit in no_decay_hits for name in hit.names}
    groups = (
        _group("decay", [t for t in training if t.name not in spared], lr, weight_decay),
        _group("no-decay", [t for t in training if t.name in spared], lr, 0.0),
    )
    phase = Phase(
        index=0,
        trainable=tuple(t.name for t in training),
        groups=tuple(group for group in groups if group.params),
        hits=(*selection.hits, *no_decay_hits),
        scheduler=scheduler,
        warmup=warmup,
        end=end,
        num_trainable_parameters=sum(t.numel for t in training),
    )
    busy = {t.unit for t in training}
    return Plan(
        phases=(phase,),
        num_tensors=len(anatomy.tensors),
        num_parameters=anatomy.num_parameters,
        tied=anatomy.tied,
        frozen_units=tuple(u.name for u in anatomy.units if u.tensors and u.name not in busy),
        decisions=_decisions(anatomy, selection, candidates),
    )


def _group(name: str, tensors: Sequence[TensorInfo], lr: float, weight_decay: float) -> Group:
    return Group(name, tuple(t.name for t in tensors), lr, weight_decay, sum(t.numel for t in tensors))


def _no_decay_hits(
    anatomy: Anatomy, training: frozenset[str], no_decay: Sequence[str]
) -> tuple[list[Hit], list[Problem]]:
    """Returns one hit an entry, in their order, restricted to what trains."""
    hits, problems = [], []
    for entry in no_decay:
        if entry in WORDS:
            names = {t.name for t in anatomy.tensors if (t.is_bias if entry == "biases" else t.is_norm)}
        else:
            found, wrong = match_patterns(anatomy, [entry], key="optimizer.no_decay", action="no decay")
            problems += wrong
            names = {name for hit in found for name in hit.names}
        hits.append(hit_of(anatomy, entry, "no decay", names & training))
    return hits, problems


def _nothing_trains(selection: Selection, candidates: frozenset[str] | None) -> Problem:
    if candidates is not None and selection.trainable:
        message = f"nothing trains: {selection.summary}, but under PEFT only adapters and head can train"
        return Problem("freezing", message, "freezing=none, or peft=none")
    return Problem("freezing", f"nothing trains: {selection.summary}", "freezing=none trains everything")


def _half_precision(training: Sequence[TensorInfo]) -> list[Problem]:
    half = [t for t in training if t.dtype in ("float16", "bfloat16")]
    if not half:
        return []
    message = (
        f"half-precision weights train badly: {len(half)} of the {len(training)} tensors that would train "
        f"are stored in {half[0].dtype}, such as {half[0].name}"
    )
    hint = "model.dtype=float32 (trainer.precision=bf16 or fp16 still computes in half precision)"
    return [Problem("model.dtype", message, hint)]


def _decisions(anatomy: Anatomy, selection: Selection, candidates: frozenset[str] | None) -> tuple[str, ...]:
    if candidates is None:
        return ()
    adapters = candidates - set(anatomy.head.tensors)
    stopped = adapters - selection.trainable
    if not stopped:
        return ()
    return (f"freezing stops {len(stopped)} of the {len(adapters)} adapter tensors from training",)
