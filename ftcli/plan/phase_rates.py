"""Phases of a schedule -> optimizer, scheduler and their values of each, typed and validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ftcli.config.choice import Choice, typed_choice
from ftcli.config.fields import ANY_NUMBER
from ftcli.config.foreign.words import metric_hint
from ftcli.config.schema import (
    LayerwiseConfig,
    LayerwiseKind,
    OptimizerConfig,
    RoleConfig,
    RunConfig,
    SchedulerConfig,
)
from ftcli.errors import ConfigError, PlanError, Problem, did_you_mean
from ftcli.plan.phase_spec import ChoiceSpec, PhaseSpec
from ftcli.plan.rates import Rates, layerwise_problems
from ftcli.plan.written import as_yaml


def phase_rates(config: RunConfig, run: Rates, specs: Sequence[PhaseSpec]) -> list[Rates]:
    """Returns the rates of each phase; an optimizer or scheduler holds until the next is named.

    Args:
        config: the run's; its fields are kept where a phase names the optimizer or scheduler of the run.
        run: rates of the run, which a phase has where it says nothing.
        specs: the phases as written.

    Raises:
        PlanError: every unknown choice or field, every value of another type or out of range.
    """
    found: list[Rates] = []
    problems: list[Problem] = []
    current = run
    for spec in specs:
        try:
            current = _with_choices(config, run, current, spec)
        except ConfigError as error:
            problems += error.problems
        problems += _monitor_problems(config, spec)
        own, wrong = _with_values(current, spec)
        problems += wrong
        found.append(own)
    if problems:
        raise PlanError(*problems)
    return found


def _with_choices(config: RunConfig, run: Rates, current: Rates, spec: PhaseSpec) -> Rates:
    if spec.optimizer is not None:
        chosen: Choice[OptimizerConfig] = _typed("optimizer", spec.optimizer, config, config.optimizer)
        own = run.optimizer.config
        # lr and layer-wise rates are the phase's or the run's; what decays is the optimizer's own.
        changed = replace(chosen.config, lr=own.lr, layerwise=own.layerwise)
        current = replace(current, optimizer=replace(chosen, config=changed))
    if spec.scheduler is not None:
        scheduler: Choice[SchedulerConfig] = _typed("scheduler", spec.scheduler, config, config.scheduler)
        current = replace(current, scheduler=scheduler)
    return current


def _typed(role: str, spec: ChoiceSpec, config: RunConfig, own: RoleConfig) -> Choice[Any]:
    base = own if config.choices[role] == spec.name else None
    return typed_choice(role, spec.name, spec.values, spec.where, base)


def _with_values(current: Rates, spec: PhaseSpec) -> tuple[Rates, list[Problem]]:
    """Sets the lr, weight decay, layer-wise rates and warmup that a phase writes."""
    optimizer, scheduler = current.optimizer, current.scheduler
    problems: list[Problem] = []
    changes: dict[str, Any] = {}
    if spec.lr is not None:
        changes["lr"] = spec.lr
    if spec.weight_decay is not None:
        changes["weight_decay"] = spec.weight_decay
    if spec.layerwise is not None:
        changes["layerwise"], problems = parse_layerwise(spec.layerwise, spec.at("layerwise"))
    optimizer = replace(optimizer, config=replace(optimizer.config, **changes))
    if spec.warmup is not None:
        scheduler = replace(scheduler, config=replace(scheduler.config, warmup=spec.warmup))
    if not problems:
        wrong = [*optimizer.config.problems(), *scheduler.config.problems()]
        problems = [Problem(f"{spec.where}: {p.key}", p.message, p.hint) for p in wrong]
    return replace(current, optimizer=optimizer, scheduler=scheduler), problems


def _monitor_problems(config: RunConfig, spec: PhaseSpec) -> list[Problem]:
    monitors = ["loss", *config.task.metrics]
    if spec.monitor is None or spec.monitor in monitors:
        return []
    hint = metric_hint(spec.monitor, monitors)
    return [Problem(spec.at("monitor"), f"{spec.monitor!r} is not scored", hint)]


def parse_layerwise(values: Mapping[str, Any], key: str) -> tuple[LayerwiseConfig, list[Problem]]:
    """Types the `layerwise` mapping of a phase; `key` stands in front of problems."""
    known = ("kind", "decay", "head_multiplier", "table")
    problems = [
        Problem(key, f"there is no field {name!r}", did_you_mean(name, known))
        for name in values
        if name not in known
    ]
    kinds = [kind.value for kind in LayerwiseKind]
    kind = values.get("kind", "none")
    if kind not in kinds:
        problems.append(Problem(f"{key}.kind", f"there is no kind {kind!r}", did_you_mean(str(kind), kinds)))
    table = values.get("table", [])
    table = [f"{k}: {v}" for k, v in table.items()] if isinstance(table, dict) else table
    decay, head = values.get("decay"), values.get("head_multiplier", 1.0)
    wrong = [n for n in (decay, head) if n is not None and not _is_number(n)]
    problems += [Problem(key, f"{str(number)[:80]!r} is not a number that can be used") for number in wrong]
    if not isinstance(table, list) or not all(isinstance(entry, str) for entry in table):
        problems.append(Problem(f"{key}.table", f"{table!r} is not a list of GROUP: MULTIPLIER entries"))
    if problems:
        return LayerwiseConfig(), problems
    typed = LayerwiseConfig(
        kind=LayerwiseKind(kind),
        decay=None if decay is None else float(decay),
        head_multiplier=float(head or 0),
        table=table,
    )
    return typed, as_yaml(layerwise_problems(typed, key))


def _is_number(value: Any) -> bool:
    fine = isinstance(value, int | float) and not isinstance(value, bool)
    return fine and not ANY_NUMBER.wrong(value)
