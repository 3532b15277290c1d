"""Phases as written + a model -> the stages of a plan; every pattern's hits, every mistake with its line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftcli.errors import Problem
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Hit, raise_problems
from ftcli.plan.phase_spec import Entry, PhaseSpec
from ftcli.plan.plan import Transition, Trigger
from ftcli.plan.planner import Stage
from ftcli.plan.rates import Rates
from ftcli.plan.selectors import select

PATIENCE = 3
"""Evaluations without improvement, of a phase without any rule for its end where trainer.patience is null too."""


MAX_PROBLEMS = 20
"""After so many no further phase is looked at."""


@dataclass(slots=True)
class Schedule:
    """What a freezing strategy of several phases gives: text that `written.parse_schedule` reads.

    Attributes:
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

    stages: list[Stage]
    notes: list[str]


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
    resolver = _Resolver(anatomy, candidates)
    stages = []
    for spec, own in zip(specs, rates, strict=True):
        if len(resolver.problems) > MAX_PROBLEMS:
            break  # each costs a search for the nearest names
        tensors = resolver.resolve(spec)
        if tensors is not None:
            trigger = _trigger(spec, defaults, resolver.problems, last=spec is specs[-1])
            stages.append(_stage(spec, own, tensors, trigger))
    raise_problems(resolver.problems)
    return Staged(stages, [*resolver.notes, *_notes_on_ends(specs, defaults)])


def _stage(spec: PhaseSpec, rates: Rates, tensors: _Tensors, trigger: Trigger) -> Stage:
    return Stage(
        where=spec.where,
        unfrozen=tensors.unfrozen,
        frozen=tensors.frozen,
        rates=rates,
        hits=tensors.hits,
        keep_older=spec.older_groups == "keep",
        monitor=spec.monitor,
        mode=spec.mode or "auto",
        trigger=trigger,
        transition=Transition(
            restore_best=spec.restore_best,
            # Scores of another metric cannot be compared.
            keep_best=spec.best == "carry" and spec.monitor is None,
            keep_moments=spec.moments == "keep",
        ),
    )


@dataclass(frozen=True, slots=True)
class _Tensors:
    """What a phase unfreezes and freezes, by name."""

    unfrozen: frozenset[str]
    frozen: frozenset[str]
    hits: tuple[Hit, ...]


class _Resolver:
    """Resolves the entries of one phase after the other; knows what trains so far."""

    def __init__(self, anatomy: Anatomy, candidates: frozenset[str] | None) -> None:
        self.anatomy = anatomy
        self.candidates = frozenset(anatomy.names) if candidates is None else candidates
        self.training: dict[str, int] = {}
        """Tensor that trains -> phase that named it."""
        self.named: frozenset[str] = frozenset()
        """What any phase so far named; `rest` leaves it out."""
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def resolve(self, spec: PhaseSpec) -> _Tensors | None:
        """Returns the tensors of the next phase; None: it is left out, as PEFT lets none of them train."""
        self.notes += spec.notes
        problems_before = len(self.problems)
        entries = _Entries(self.anatomy, self.named, [], self.problems, self.notes)
        chosen = entries.names(spec.params, "train") - entries.names(spec.except_, "except")
        self.named |= chosen
        unfrozen = chosen & self.candidates
        frozen = entries.names(spec.freeze, "freeze") & self.candidates
        self.problems += _conflicts(spec, unfrozen, frozen, self.training)
        if chosen and not unfrozen and not frozen:
            line = f"phase {spec.index} is left out: under PEFT only adapters and head train"
            self.notes.append(f"{spec.where}: {line}")
            return None
        self.training |= dict.fromkeys(unfrozen, spec.index)
        for name in frozen:
            self.training.pop(name, None)
        if len(self.problems) == problems_before:  # an entry with a problem of its own is reported once
            self.problems += self._empty(spec, chosen)
        return _Tensors(unfrozen, frozen, tuple(entries.hits))

    def _empty(self, spec: PhaseSpec, chosen: frozenset[str]) -> list[Problem]:
        problems = []
        if spec.params and not chosen:
            message = f"phase {spec.index} is empty: except leaves nothing of params"
            problems.append(Problem(spec.where, message))
        if not self.training:
            problems.append(Problem(spec.where, f"nothing trains in phase {spec.index}"))
        return problems


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
    spec: PhaseSpec, unfrozen: frozenset[str], frozen: frozenset[str], training: dict[str, int]
) -> list[Problem]:
    problems = []
    again = sorted(unfrozen & training.keys())
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
    both = sorted(frozen & unfrozen)
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


def _notes_on_ends(specs: Sequence[PhaseSpec], defaults: Defaults) -> list[str]:
    """Returns lines on phases that end later, or earlier, than a reader of the file would expect."""
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
