"""How many optimizer steps a run takes, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.config.schema import RunConfig
from ftcli.console.units import counted

if TYPE_CHECKING:
    from ftcli.batching.token_table import TokenTable
    from ftcli.plan.plan import Plan, Trigger


@dataclass(slots=True)
class StepCounts:
    """How many steps a run takes and why."""

    rows: int
    batch_size: int
    token_budget: int | None
    """Most padded tokens of a batch; None: each has `batch_size` rows."""
    micro_batch_size: int | None
    """None: the whole batch, or what `auto` finds on the device."""
    steps_per_epoch: int
    total_steps: int
    curve_steps: int

    @property
    def mean_rows(self) -> float:
        """Rows a step, the mean over every epoch."""
        return self.rows / max(self.steps_per_epoch, 1)

    def lines(self) -> list[str]:
        curve = (
            "" if self.curve_steps == self.total_steps else f"; the lr curve is {self.curve_steps} steps long"
        )
        return [
            f"{counted(self.rows, 'row')} / {self._batch()} = {counted(self.steps_per_epoch, 'step')} an epoch"
            f"{'' if self.token_budget is None else f' of {self.mean_rows:.1f} rows on average'}; "
            f"{counted(self.total_steps, 'step')} in all{curve}"
        ]

    def record(self) -> dict[str, Any]:
        """Returns what data.json keeps of the batches."""
        size = (
            {"batch_size": self.batch_size}
            if self.token_budget is None
            else {"token_budget": self.token_budget}
        )
        return size | {"steps_per_epoch": self.steps_per_epoch, "rows_per_step": self.mean_rows}

    def _batch(self) -> str:
        micro = self.micro_batch_size
        if self.token_budget is not None:
            split = f" (micro-batches of at most {micro} rows)" if micro else ""
            return f"batches of at most {self.token_budget} padded tokens, whatever trainer.batch_size says{split}"
        pieces = math.ceil(self.batch_size / (micro or self.batch_size))
        split = f" ({pieces} micro-batches of {micro})" if pieces > 1 else ""
        return f"batch of {self.batch_size}{split}"


def out_of_reach(plan: Plan, counts: StepCounts, eval_every_n_steps: int | None) -> list[str]:
    """Returns lines on phases that can never begin, or only if scores end an earlier one, in a run of this length.

    Args:
        plan: of the run.
        counts: of its steps.
        eval_every_n_steps: between evaluations; None: one an epoch.
    """
    start, exact, lines = 0, True, []
    every = eval_every_n_steps or counts.steps_per_epoch
    for phase in plan.phases[plan.start_phase :]:
        if start >= counts.total_steps:
            when = "never begins" if exact else "begins only if scores end an earlier phase"
            why = f"the phases before it last to the end of the run, step {counts.total_steps}"
            hint = "; type more trainer.epochs, or let them end earlier" if exact else ""
            lines.append(f"phase {phase.index} {when}: {why}{hint}")
        limit = phase.trigger.limit(
            start=start, steps_per_epoch=counts.steps_per_epoch, total_steps=counts.total_steps
        )
        evaluations = (start + limit) // every - start // every
        exact = exact and not _ends_by_scores(phase.trigger, evaluations)
        start += limit
    return lines


def _ends_by_scores(trigger: Trigger, evaluations: int) -> bool:
    """Returns whether scores can end a phase of so many evaluations."""
    patient = trigger.patience is not None and evaluations >= trigger.patience
    sloped = trigger.plateau_slope is not None and evaluations >= trigger.plateau_window
    return patient or sloped


def count_steps(config: RunConfig, num_rows: int, table: TokenTable | None = None) -> StepCounts:
    """Counts the run's steps; every epoch has as many.

    Args:
        config: the run's.
        num_rows: training rows.
        table: the rows; a token budget cuts batches by their lengths.

    Raises:
        ConfigError: a row that is longer than the token budget.
    """
    from ftcli.batching.epochs import plan_epochs
    from ftcli.trainer.position import total_steps

    trainer = config.trainer
    if trainer.token_budget is None:
        per_epoch = math.ceil(num_rows / trainer.batch_size)
    else:
        assert table is not None, "a token budget needs the rows' lengths"
        per_epoch = plan_epochs(table, trainer).steps_per_epoch
    total = total_steps(trainer, per_epoch)
    curve = config.scheduler.total_steps or total
    micro = trainer.stated_micro_batch
    return StepCounts(num_rows, trainer.batch_size, trainer.token_budget, micro, per_epoch, total, curve)
