"""RunConfig + a model's anatomy -> the Plan: one phase, or those of a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ftcli.config.choice import configured, plain_values
from ftcli.config.schema import RunConfig
from ftcli.errors import ConfigError, PlanError, Problem, did_you_mean
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Selection
from ftcli.plan.phased import Defaults, Schedule, stages_of
from ftcli.plan.plan import Plan, Trigger
from ftcli.plan.planner import make_plan, one_phase
from ftcli.plan.rates import Layerwise, Rates, layerwise_of, layerwise_problems
from ftcli.plan.written import ChoiceSpec, PhaseSpec, as_yaml, parse_schedule


@dataclass(slots=True)
class Planned:
    """The plan, and the schedule it came from as text, None for a plan of one phase."""

    plan: Plan
    schedule: str | None = None
    start_from: str | None = None
    """Checkpoint folder whose weights the run begins with."""


def plan_run(
    config: RunConfig,
    anatomy: Anatomy,
    chosen: Selection | Schedule,
    *,
    candidates: frozenset[str] | None,
    allow_empty: bool = False,
    lr_multipliers: Mapping[str, float] | None = None,
) -> Planned:
    """Returns the plan of a run.

    Args:
        config: the run's.
        anatomy: the model, adapters included.
        chosen: what the freezing strategy gave.
        candidates: adapters and head under PEFT; nothing else can train. None: no restriction.
        allow_empty: accept that nothing trains.
        lr_multipliers: tensor -> factor on its lr, which the PEFT method asks for.

    Raises:
        PlanError: everything that is wrong with the schedule, each with its line.
    """
    rates = replace(run_rates(config), multipliers=lr_multipliers or {})
    trainer = config.trainer
    if isinstance(chosen, Selection):
        trigger = Trigger(patience=trainer.patience, min_delta=trainer.min_delta)
        plan = one_phase(
            anatomy, chosen, lr=rates.lr, weight_decay=rates.weight_decay, no_decay=rates.no_decay, layerwise=rates.layerwise, multipliers=rates.multipliers,
            optimizer=rates.optimizer, optimizer_values=rates.optimizer_values, scheduler=rates.scheduler,
            scheduler_values=rates.scheduler_values, candidates=candidates, allow_empty=allow_empty, trigger=trigger,
        )  # fmt: skip
        return Planned(replace(plan, decisions=(*plan.decisions, *_published(config, rates))))
    text = chosen.text(rates.lr)
    specs = parse_schedule(text, chosen.origin)
    defaults = Defaults(trainer.patience, trainer.min_delta, trainer.epochs, chosen.epoch_transitions_only)
    staged = stages_of(anatomy, specs, _phase_rates(config, rates, specs), defaults, candidates=candidates)
    if not staged.stages:
        message = "nothing trains: under PEFT only adapters and head can train, and no phase names them"
        raise PlanError(Problem("freezing", message, "peft=none, or a phase with params: [head]"))
    if chosen.start_phase >= len(staged.stages):
        message = f"there is no phase {chosen.start_phase}: the last one is {len(staged.stages) - 1}"
        raise ConfigError(Problem("freezing.start_phase", message))
    decisions = [*chosen.notes, *staged.notes, *_published(config, rates)]
    plan = make_plan(anatomy, staged.stages, decisions=decisions, start_phase=chosen.start_phase)
    return Planned(plan, text, chosen.start_from)


def run_rates(config: RunConfig) -> Rates:
    """Returns what every phase begins with: the run's own optimizer, scheduler and layer-wise rates."""
    return Rates(
        lr=scaled_lr(config),
        weight_decay=config.optimizer.weight_decay,
        no_decay=tuple(config.optimizer.no_decay),
        layerwise=layerwise_of(config.optimizer.layerwise),
        optimizer=config.choices["optimizer"],
        optimizer_values=plain_values(config.optimizer),
        scheduler=config.choices["scheduler"],
        scheduler_values=plain_values(config.scheduler),
    )


def scaled_lr(config: RunConfig) -> float:
    """Returns `optimizer.lr`, or the published lr times batch / published batch (Goyal et al., 2017,
    arXiv:1706.02677, section 2.1) where `optimizer.scale_lr` asks for it."""
    published = config.model.published
    if not config.optimizer.scale_lr:
        return config.optimizer.lr
    if published.lr is None or published.batch_size is None:
        message = f"model={config.choices['model']} states no published lr and batch size"
        hint = "type optimizer.lr=..., or model.published.lr=2e-5 model.published.batch_size=32"
        raise ConfigError(Problem("optimizer.scale_lr", message, hint))
    return published.lr * config.trainer.batch_size / published.batch_size


def _published(config: RunConfig, rates: Rates) -> list[str]:
    """Returns lines on the published recipe: a scaled lr, and another optimizer than the model's own."""
    published, lines = config.model.published, []
    if config.optimizer.scale_lr:
        lines.append(
            f"lr {rates.lr:g}: published {published.lr:g} for batches of {published.batch_size}, scaled to "
            f"{config.trainer.batch_size}"
        )
    if published.optimizer not in (None, rates.optimizer):
        lines.append(
            f"optimizer {rates.optimizer}: model={config.choices['model']} was fine-tuned with {published.optimizer}"
        )
    return lines


def _phase_rates(config: RunConfig, base: Rates, specs: Sequence[PhaseSpec]) -> list[Rates]:
    """Resolves each phase's numbers and choices; an optimizer or scheduler holds until the next is named."""
    found, problems = [], list[Problem]()
    current = base
    monitors = ["loss", *config.task.metrics]
    for spec in specs:
        try:
            current = _with_choices(config, base, current, spec)
        except ConfigError as error:
            problems += error.problems
        if spec.monitor is not None and spec.monitor not in monitors:
            hint = did_you_mean(spec.monitor, monitors)
            problems.append(Problem(spec.at("monitor"), f"{spec.monitor!r} is not scored", hint))
        layerwise = current.layerwise
        if spec.layerwise is not None:
            layerwise, wrong = _own_layerwise(spec)
            problems += wrong
        scheduler_values = dict(current.scheduler_values)
        if spec.warmup is not None:
            scheduler_values["warmup"] = spec.warmup
        weight_decay = current.weight_decay if spec.weight_decay is None else spec.weight_decay
        lr = base.lr if spec.lr is None else spec.lr
        rates = asdict(layerwise) | {"table": list(layerwise.table)}
        own = current.optimizer_values | {"lr": lr, "weight_decay": weight_decay, "layerwise": rates}
        found.append(
            replace(
                current,
                lr=lr,
                weight_decay=weight_decay,
                layerwise=layerwise,
                scheduler_values=scheduler_values,
                optimizer_values=own,
            )  # fmt: skip
        )
    if problems:
        raise PlanError(*problems)
    return found


def _with_choices(config: RunConfig, base: Rates, current: Rates, spec: PhaseSpec) -> Rates:
    if spec.optimizer is not None:
        own = _configured(config, "optimizer", spec.optimizer)
        no_decay, weight_decay = tuple(own.no_decay), own.weight_decay
        current = replace(current, optimizer=spec.optimizer.name, optimizer_values=plain_values(own),
                          no_decay=no_decay, weight_decay=weight_decay)  # fmt: skip
    if spec.scheduler is not None:
        own = _configured(config, "scheduler", spec.scheduler)
        current = replace(current, scheduler=spec.scheduler.name, scheduler_values=plain_values(own))
    return current


def _configured(config: RunConfig, role: str, spec: ChoiceSpec) -> Any:
    base = getattr(config, role) if config.choices[role] == spec.name else None
    return configured(role, spec.name, spec.values, spec.where, base)[1]


def _own_layerwise(spec: PhaseSpec) -> tuple[Layerwise, list[Problem]]:
    key = spec.at("layerwise")
    values = dict(spec.layerwise or {})
    known = ("kind", "decay", "head_multiplier", "table")
    problems = [
        Problem(key, f"there is no field {name!r}", did_you_mean(name, known))
        for name in values
        if name not in known
    ]
    kinds = ("none", "geometric", "cosine", "table")
    kind = values.get("kind", "none")
    if kind not in kinds:
        problems.append(Problem(f"{key}.kind", f"there is no kind {kind!r}", did_you_mean(str(kind), kinds)))
    table = values.get("table", [])
    table = [f"{k}: {v}" for k, v in table.items()] if isinstance(table, dict) else table
    numbers = [values.get("decay"), values.get("head_multiplier", 1.0)]
    wrong = [n for n in numbers if n is not None and (isinstance(n, bool) or not isinstance(n, int | float))]
    problems += [Problem(key, f"{number!r} is not a number") for number in wrong]
    if not isinstance(table, list) or not all(isinstance(entry, str) for entry in table):
        problems.append(Problem(f"{key}.table", f"{table!r} is not a list of GROUP: MULTIPLIER entries"))
    if problems:
        return Layerwise(), problems
    decay = None if numbers[0] is None else float(numbers[0])
    layerwise = Layerwise(kind=kind, decay=decay, head_multiplier=float(numbers[1] or 0), table=tuple(table))
    return layerwise, as_yaml(layerwise_problems(layerwise, key))
