"""Phases as written + a model -> the stages of a plan; every pattern's hits, every mistake with its line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ftcli.errors import Problem
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Hit, raise_problems
from ftcli.plan.plan import Transition, Trigger
from ftcli.plan.planner import Stage
from ftcli.plan.rates import Rates
from ftcli.plan.selectors import select
from ftcli.plan.written import Entry, PhaseSpec

PATIENCE = 3
"""Of a phase that says nothing of its end, where trainer.patience says nothing either."""


@dataclass(slots=True)
class Schedule:
    """What a freezing strategy of several phases gives: text that `written.parse_schedule` reads.

    Args:
        text: lr of the run -> YAML; kept in the run directory.
        origin: file name, or `generated`.
        epoch_transitions_only: early stopping ends no phase.
        start_phase: phase the run begins in.
        start_from: checkpoint folder whose weights the run begins with.
        notes: lines to print.
    """

    text: Callable[[float], str]
    origin: str
    epoch_transitions_only: bool = False
    start_phase: int = 0
    start_from: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Defaults:
    """What a phase takes from the run where it says nothing itself."""

    patience: int | None
    min_delta: float
    epochs: float
    """Of the run."""
    epoch_transitions_only: bool = False


@dataclass(slots=True)
class Staged:
    """Stages in order, with the lines to print."""

    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def stages_of(
    anatomy: Anatomy,
    specs: Sequence[PhaseSpec],
    rates: Sequence[Rates],
    defaults: Defaults,
    *,
    candidates: frozenset[str] | None = None,
) -> Staged:
    """Resolves every phase against the model.

    Args:
        anatomy: the model, adapters included.
        specs: the phases as written.
        rates: of each phase.
        defaults: of the run.
        candidates: adapters and head under PEFT; nothing else can train.

    Raises:
        PlanError: entries without a hit, tensors named again or frozen before they train, empty
            phases, and phases that nothing could end.
    """
    staged = Staged()
    problems: list[Problem] = []
    training: dict[str, int] = {}
    named: frozenset[str] = frozenset()
    for spec, own in zip(specs, rates, strict=True):
        hits: list[Hit] = []
        known = len(problems)
        staged.notes += spec.notes
        reader = _Entries(anatomy, named, hits, problems, staged.notes)
        chosen = reader.names(spec.params, "train") - reader.names(spec.except_, "except")
        named |= chosen
        thaw = chosen if candidates is None else chosen & candidates
        frozen = reader.names(spec.freeze, "freeze")
        frozen = frozen if candidates is None else frozen & candidates
        problems += _conflicts(spec, thaw, frozen, training)
        if chosen and not thaw and not frozen:
            line = f"phase {spec.index} is left out: under PEFT only adapters and head train"
            staged.notes.append(f"{spec.where}: {line}")
            continue
        # An entry that is wrong itself would only be told twice.
        broken = len(problems) > known
        if spec.params and not chosen and not broken:
            message = f"phase {spec.index} is empty: except leaves nothing of params"
            problems.append(Problem(spec.where, message))
        training |= dict.fromkeys(thaw, spec.index)
        for name in frozen:
            training.pop(name, None)
        if not training and not broken:
            problems.append(Problem(spec.where, f"nothing trains in phase {spec.index}"))
        trigger = _trigger(spec, defaults, problems, last=spec is specs[-1])
        staged.stages.append(_stage(spec, own, thaw, frozen, hits, trigger))
    raise_problems(problems)
    staged.notes += _said(specs, defaults)
    return staged


def _stage(
    spec: PhaseSpec,
    rates: Rates,
    thaw: frozenset[str],
    frozen: frozenset[str],
    hits: list[Hit],
    trigger: Trigger,
) -> Stage:
    return Stage(
        where=spec.where,
        thaw=thaw,
        freeze=frozen,
        rates=rates,
        hits=tuple(hits),
        keep_older=spec.older_groups == "keep",
        monitor=spec.monitor,
        mode=spec.mode or "auto",
        trigger=trigger,
        transition=Transition(
            restore_best=spec.restore_best,
            # Scores of another figure cannot be compared.
            keep_best=spec.best == "carry" and spec.monitor is None,
            keep_moments=spec.moments == "keep",
        ),
    )


@dataclass(slots=True)
class _Entries:
    """Resolves the entries of one phase."""

    anatomy: Anatomy
    named: frozenset[str]
    hits: list[Hit]
    problems: list[Problem]
    notes: list[str]

    def names(self, entries: Sequence[Entry], action: str) -> frozenset[str]:
        found: dict[str, str] = {}
        for entry in entries:
            taken = self.named | found.keys()
            chosen = select(self.anatomy, entry.text, key=entry.where, action=action, taken=taken)
            self.problems += chosen.problems
            self.hits += chosen.hits
            self.notes += [f"{entry.where}: {note}" for note in chosen.notes]
            twice = sorted(chosen.names & found.keys())
            if twice and action == "train":
                message = f"{entry.text!r} names {twice[0]}, which {found[twice[0]]!r} names too"
                self.problems.append(Problem(entry.where, message, "name each tensor once"))
            found |= dict.fromkeys(chosen.names, entry.text)
        return frozenset(found)


def _conflicts(
    spec: PhaseSpec, thaw: frozenset[str], frozen: frozenset[str], training: dict[str, int]
) -> list[Problem]:
    problems = []
    again = sorted(thaw & training.keys())
    if again:
        message = f"phase {spec.index} names {again[0]}, which trains since phase {training[again[0]]}"
        more = f" ({len(again)} tensors in all)" if len(again) > 1 else ""
        hint = (
            "phases are cumulative: name only what is new, such as rest, or leave it out with except: [...]"
        )
        problems.append(Problem(spec.where, message + more, hint))
    idle = sorted(frozen - training.keys())
    if idle:
        problems.append(Problem(spec.where, f"phase {spec.index} freezes {idle[0]}, which does not train"))
    both = sorted(frozen & thaw)
    if both:
        problems.append(Problem(spec.where, f"phase {spec.index} trains and freezes {both[0]}"))
    return problems


def _trigger(spec: PhaseSpec, defaults: Defaults, problems: list[Problem], *, last: bool) -> Trigger:
    counts = (spec.max_transition_epoch, spec.max_epochs, spec.max_steps)
    patience = spec.patience if spec.patience is not None else defaults.patience
    slope = spec.plateau_slope
    if defaults.epoch_transitions_only:
        for key, value in (("patience", spec.patience), ("plateau_slope", slope)):
            if value is not None:
                message = "ends a phase by scores, but freezing.epoch_transitions_only=true"
                problems.append(Problem(spec.at(key), message, "write max_epochs, or take it out"))
        patience = slope = None
        if not last and all(count is None for count in counts):
            hint = "write max_transition_epoch or max_epochs"
            message = f"phase {spec.index} has no count to end it, and freezing.epoch_transitions_only=true"
            problems.append(Problem(spec.where, message, hint))
    elif all(rule is None for rule in (*counts, patience, slope)):
        patience = PATIENCE
    return Trigger(
        max_transition_epoch=spec.max_transition_epoch,
        max_epochs=spec.max_epochs,
        max_steps=spec.max_steps,
        patience=patience,
        min_delta=defaults.min_delta if spec.min_delta is None else spec.min_delta,
        plateau_slope=slope,
        plateau_window=spec.plateau_window,
    )


def _said(specs: Sequence[PhaseSpec], defaults: Defaults) -> list[str]:
    """Returns what a reader would not expect of the phases' ends."""
    notes = []
    last = 0
    for spec in specs:
        until = spec.max_transition_epoch
        if until is None:
            continue
        ends = spec is specs[-1]
        if last < defaults.epochs and (until > defaults.epochs if ends else until >= defaults.epochs):
            never = "" if ends else ": what comes after it may never begin"
            notes.append(
                f"{spec.where}: phase {spec.index} of {specs[-1].index} may last until epoch {until}, and the run ends "
                f"after trainer.epochs={defaults.epochs:g}{never}"
            )
        if until <= last:
            notes.append(
                f"{spec.where}: max_transition_epoch {until} is not above an earlier one: "
                f"phase {spec.index} lasts one epoch at most"
            )
        last = max(last, until)
    return notes
