"""RunConfig + a model's anatomy -> the Plan: one phase, or those of a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ftcli.config.choice import Choice
from ftcli.config.schema import RunConfig
from ftcli.errors import ConfigError, PlanError, Problem
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Selection
from ftcli.plan.phase_rates import phase_rates
from ftcli.plan.phased import Defaults, Schedule, stages_of
from ftcli.plan.plan import Plan, Trigger
from ftcli.plan.planner import make_plan, one_phase
from ftcli.plan.rates import Rates
from ftcli.plan.written import parse_schedule


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
        ConfigError: `optimizer.scale_lr` without published numbers, or a start phase that does not exist.
        PlanError: everything that is wrong with the schedule, each with its line.
    """
    rates = run_rates(config, lr_multipliers or {})
    if isinstance(chosen, Schedule):
        return _plan_schedule(config, anatomy, chosen, rates, candidates)
    trigger = Trigger(patience=config.trainer.patience, min_delta=config.trainer.min_delta)
    plan = one_phase(anatomy, chosen, rates, candidates=candidates, allow_empty=allow_empty, trigger=trigger)
    return Planned(replace(plan, decisions=(*plan.decisions, *_published(config, rates))))


def _plan_schedule(
    config: RunConfig,
    anatomy: Anatomy,
    schedule: Schedule,
    rates: Rates,
    candidates: frozenset[str] | None,
) -> Planned:
    trainer = config.trainer
    text = schedule.text(rates.optimizer.config.lr)
    specs = parse_schedule(text, schedule.origin)
    defaults = Defaults(trainer.patience, trainer.min_delta, trainer.epochs, schedule.epoch_transitions_only)
    staged = stages_of(anatomy, specs, phase_rates(config, rates, specs), defaults, candidates=candidates)
    if not staged.stages:
        message = "nothing trains: under PEFT only adapters and head can train, and no phase names them"
        raise PlanError(Problem("freezing", message, "peft=none, or a phase with params: [head]"))
    if schedule.start_phase >= len(staged.stages):
        message = f"there is no phase {schedule.start_phase}: the last one is {len(staged.stages) - 1}"
        raise ConfigError(Problem("freezing.start_phase", message))
    decisions = [*schedule.notes, *staged.notes, *_published(config, rates)]
    plan = make_plan(anatomy, staged.stages, decisions=decisions, start_phase=schedule.start_phase)
    return Planned(plan, text, schedule.start_from)


def run_rates(config: RunConfig, lr_multipliers: Mapping[str, float] | None = None) -> Rates:
    """Returns what every phase begins with: the run's own optimizer, its lr scaled where asked for, and scheduler.

    Args:
        config: the run's.
        lr_multipliers: tensor -> factor on its lr, which the PEFT method asks for.

    Raises:
        ConfigError: `optimizer.scale_lr` without published numbers.
    """
    names, uses = config.choices, config.uses
    optimizer = replace(config.optimizer, lr=scaled_lr(config))
    return Rates(
        optimizer=Choice(names["optimizer"], uses["optimizer"], optimizer),
        scheduler=Choice(names["scheduler"], uses["scheduler"], config.scheduler),
        multipliers=lr_multipliers or {},
    )


def scaled_lr(config: RunConfig) -> float:
    """Returns `optimizer.lr`, or with `optimizer.scale_lr` the published lr times batch / published batch.

    The linear scaling rule is that of Goyal et al., 2017, arXiv:1706.02677, section 2.1.

    Raises:
        ConfigError: `optimizer.scale_lr`, and the model states no published lr and batch size.
    """
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
    optimizer = rates.optimizer
    if config.optimizer.scale_lr:
        lines.append(
            f"lr {optimizer.config.lr:g}: published {published.lr:g} for batches of {published.batch_size}, "
            f"scaled to {config.trainer.batch_size}"
        )
    if published.optimizer not in (None, optimizer.name):
        model = config.choices["model"]
        lines.append(f"optimizer {optimizer.name}: model={model} was fine-tuned with {published.optimizer}")
    return lines
