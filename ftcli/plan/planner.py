"""Choices -> Plan: what trains in each phase, in which groups, and what was decided on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ftcli.errors import Problem
from ftcli.plan.anatomy import Anatomy, TensorInfo
from ftcli.plan.patterns import Hit, Selection, hit_of, raise_problems
from ftcli.plan.plan import Phase, Plan, Transition, Trigger
from ftcli.plan.rates import Rates, groups_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one phase changes; tensors that trained before go on training."""

    unfrozen: frozenset[str]
    """Names that begin to train."""
    rates: Rates
    frozen: frozenset[str] = frozenset()
    """Names that stop training."""
    hits: tuple[Hit, ...] = ()
    keep_older: bool = True
    """Older groups keep the lr and weight decay of their own phase."""
    monitor: str | None = None
    mode: str = "auto"
    trigger: Trigger = field(default_factory=Trigger)
    transition: Transition = field(default_factory=Transition)
    where: str = ""
    """`file:line` of the schedule it is written in."""


def make_plan(
    anatomy: Anatomy,
    stages: Sequence[Stage],
    *,
    decisions: Sequence[str] = (),
    allow_empty: bool = False,
    start_phase: int = 0,
) -> Plan:
    """Returns the plan that follows the stages in their order; what trains goes on training.

    Args:
        anatomy: the model, adapters included.
        stages: one a phase.
        decisions: lines to print with the plan.
        allow_empty: accept that nothing trains.
        start_phase: phase in which the run begins.

    Raises:
        PlanError: a no-decay regex or table entry without a hit, half-precision tensors that would
            train, or groups of nothing.
    """
    phases, problems = _phases(anatomy, stages)
    ever = {name for phase in phases for name in phase.trainable}
    training = [t for t in anatomy.tensors if t.name in ever]
    problems += _half_precision(training)
    if not training and not allow_empty:
        problems.append(Problem("freezing", "nothing trains", "freezing=none trains everything"))
    raise_problems(problems)
    busy = {t.unit for t in training}
    return Plan(
        phases=tuple(phases),
        num_tensors=len(anatomy.tensors),
        num_parameters=anatomy.num_parameters,
        tied=anatomy.tied,
        frozen_units=tuple(u.name for u in anatomy.units if u.tensors and u.name not in busy),
        start_phase=start_phase,
        decisions=tuple(decisions),
    )


def _phases(anatomy: Anatomy, stages: Sequence[Stage]) -> tuple[list[Phase], list[Problem]]:
    phases: list[Phase] = []
    problems: list[Problem] = []
    rates: dict[str, tuple[int, Rates]] = {}
    for index, stage in enumerate(stages):
        if not stage.keep_older:
            rates = dict.fromkeys(rates, (index, stage.rates))
        rates = {name: own for name, own in rates.items() if name not in stage.frozen}
        rates |= dict.fromkeys(stage.unfrozen, (index, stage.rates))
        phase, wrong = _phase(anatomy, index, stage, rates, phased=len(stages) > 1)
        phases.append(phase)
        problems += [p for p in wrong if p not in problems]
    return phases, problems


def one_phase(
    anatomy: Anatomy,
    selection: Selection,
    rates: Rates,
    *,
    candidates: frozenset[str] | None = None,
    allow_empty: bool = False,
    trigger: Trigger | None = None,
) -> Plan:
    """Returns the plan of a run in which the same tensors train from start to end.

    Args:
        anatomy: the model, adapters included.
        selection: what the freezing strategy lets train.
        rates: optimizer with lr and weight decay, scheduler. LoRA matrices are weights and decay.
        candidates: adapters and head under PEFT; nothing else can train. None: no restriction.
        allow_empty: accept that nothing trains.
        trigger: what ends the run early.

    Raises:
        PlanError: nothing trains, a regex without a hit, or half-precision tensors that would train.
    """
    allowed = selection.trainable if candidates is None else selection.trainable & candidates
    hits = selection.hits
    if candidates is not None:
        hits = tuple(_within(anatomy, hit, candidates) if hit.action == "train" else hit for hit in hits)
    stage = Stage(unfrozen=allowed, rates=rates, hits=hits, trigger=trigger or Trigger())
    if not allowed & set(anatomy.names) and not allow_empty:
        raise_problems([_nothing_trains(selection, candidates)])
    decisions = _stopped_adapters(anatomy, selection, candidates)
    return make_plan(anatomy, [stage], decisions=decisions, allow_empty=allow_empty)


def _within(anatomy: Anatomy, hit: Hit, candidates: frozenset[str]) -> Hit:
    """Returns what a hit means under PEFT, where only adapters and head can train."""
    everything = "adapters and head" if candidates & set(anatomy.head.tensors) else "adapters"
    pattern = everything if set(hit.names) == set(anatomy.names) else hit.pattern
    return hit_of(anatomy, pattern, hit.action, candidates & set(hit.names))


def _phase(
    anatomy: Anatomy, index: int, stage: Stage, rates: Mapping[str, tuple[int, Rates]], *, phased: bool
) -> tuple[Phase, list[Problem]]:
    training = [t for t in anatomy.tensors if t.name in rates]
    groups, hits, problems = groups_of(anatomy, training, rates, stage.rates, phased=phased)
    phase = Phase(
        index=index,
        trainable=tuple(t.name for t in training),
        groups=tuple(groups),
        hits=(*stage.hits, *hits),
        optimizer=stage.rates.optimizer,
        scheduler=stage.rates.scheduler,
        monitor=stage.monitor,
        mode=stage.mode,
        trigger=stage.trigger,
        transition=stage.transition,
        num_trainable_parameters=sum(t.numel for t in training),
        where=stage.where,
    )
    return phase, problems


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


def _stopped_adapters(
    anatomy: Anatomy, selection: Selection, candidates: frozenset[str] | None
) -> tuple[str, ...]:
    if candidates is None:
        return ()
    adapters = candidates - set(anatomy.head.tensors)
    stopped = adapters - selection.trainable
    if not stopped:
        return ()
    return (f"freezing stops {len(stopped)} of the {len(adapters)} adapter tensors from training",)
