"""The one build sequence: a configuration -> inputs -> tables -> runtime -> model and plan -> steps -> trainer.

Each stage is built on first use and kept, so a command asks for the last stage it needs and no more: `explain` for
the plan (config.json only), `predict` for the model, `check-data` for tables and model, `train` for the trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, Unpack

from ftcli.config.hub_names import only_cached
from ftcli.run.build import build_evaluator, build_forward, build_trainer
from ftcli.run.encode import encode_parts, require_trainable_rows
from ftcli.run.inputs import RunInputs, load_inputs
from ftcli.run.meta import stub_inputs
from ftcli.run.model import ModelAndPlan, build_model, ready_head, scale_head
from ftcli.run.phase import build_lr_lambda
from ftcli.run.steps import StepCounts, count_steps
from ftcli.run.tables import windows_hint
from ftcli.runtime.decide import Runtime, decide_runtime
from ftcli.runtime.timers import OFF, Clock, Section

if TYPE_CHECKING:
    from ftcli.batching.token_table import TokenTable
    from ftcli.checkpoint.store import CheckpointStore
    from ftcli.config.schema import RunConfig
    from ftcli.run.data_checks.contract import Contract
    from ftcli.trainer.context import EventLog, Reporter
    from ftcli.trainer.evaluation import Evaluator
    from ftcli.trainer.micro_batching import MicroBatching
    from ftcli.trainer.signals import StopFlag
    from ftcli.trainer.trainer import Trainer


class TrainerOptions(TypedDict):
    """What a trainer needs beside the session's stages; `run.build.build_trainer` says what each is."""

    store: CheckpointStore | None
    events: EventLog
    reporter: Reporter
    stop: StopFlag
    micro_batching: NotRequired[MicroBatching | None]


Notes = Callable[[Iterable[str]], None]
"""Takes lines to print: what a stage decided for the user."""


def no_notes(lines: Iterable[str]) -> None:
    """Prints nothing."""


class RunSession:
    """The objects of one run, each built once and on demand.

    Args:
        config: the run's.
        notes: is given the decisions of each stage when it is built.
        labels: label names of a finished run; None learns them from the training rows.
        learned: what the task learned beside them in the run that is continued or scored.
        with_rows: False where rows come from elsewhere, as in `ftcli predict`.
        recorded: decisions of the run that is continued or scored; they win over what the hardware says now.
        meta: build the model on the meta device: no weights, no memory.
        stub: config.json is enough: no tokenizer and no rows either.
        allow_empty: accept a plan in which nothing trains.
        only_cached: names of the hub (`model.id`, `data.id`) that may be read from its local cache alone.
        clock: times the stages.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        notes: Notes = no_notes,
        labels: list[str] | None = None,
        learned: dict[str, float] | None = None,
        with_rows: bool = True,
        recorded: dict[str, Any] | None = None,
        meta: bool = False,
        stub: bool = False,
        allow_empty: bool = False,
        only_cached: frozenset[str] = frozenset(),
        clock: Clock = OFF,
    ) -> None:
        self.config, self.notes, self.clock = config, notes, clock
        self.labels, self.with_rows, self.recorded = labels, with_rows, recorded
        self.learned = learned
        self.meta, self.stub, self.allow_empty = meta, stub, allow_empty
        self.only_cached = only_cached

    @cached_property
    def inputs(self) -> RunInputs:
        """Model source, tokenizer, task and rows; nothing is tokenized and no weights are read."""
        if self.stub:
            return stub_inputs(self.config)
        with self.clock(Section.data), only_cached(self.only_cached):
            inputs = load_inputs(
                self.config, labels=self.labels, learned=self.learned, with_rows=self.with_rows
            )
            self.notes(inputs.decisions)
        return inputs

    @cached_property
    def tables(self) -> dict[str, TokenTable]:
        """Part -> its rows as token ids.

        Raises:
            DataError: no training rows, or too many rows longer than tokenizer.max_length.
        """
        inputs = self.inputs
        with self.clock(Section.data):
            tables, lines = encode_parts(inputs)
            self.notes([*lines, *windows_hint(tables["train"], self.config.trainer)])
        require_trainable_rows(tables)
        return tables

    @cached_property
    def runtime(self) -> Runtime:
        """Device, precision, attention kind and threads, for the longest row at hand."""
        runtime = decide_runtime(self.config, self._longest(), self.recorded)
        self.notes(runtime.decisions)
        return runtime

    @cached_property
    def built(self) -> ModelAndPlan:
        """The model with its adapters, and the plan of what trains in it.

        Rows are encoded before weights are read: a mistake in them is found first, and the longest decides attention.
        """
        inputs, attention = self.inputs, "eager" if self.meta else self.runtime.attention
        with self.clock(Section.model):
            built = build_model(inputs, attention=attention, meta=self.meta, allow_empty=self.allow_empty)
        if not self.meta:
            built.decisions += scale_head(inputs.task.label_scale, built)
            built.decisions += ready_head(inputs.task, built.model, self.runtime.precision)
            self.runtime.attention = built.attention  # recorded as it is, also where the class has no sdpa
        self.notes(built.decisions)
        return built

    @cached_property
    def step_counts(self) -> StepCounts:
        """Steps an epoch and in all. On the meta device rows are encoded only where a token budget, or a task that cuts them, needs it.

        Raises:
            ConfigError: a row that is longer than the token budget.
        """
        if not self.meta:
            return count_steps(self.config, len(self.tables["train"]), self.tables["train"])
        splits = self.inputs.splits
        assert splits is not None and splits.train is not None
        if self.config.trainer.token_budget is None and not self.inputs.task.cuts_rows:
            return count_steps(self.config, len(splits.train))
        tables, lines = encode_parts(self.inputs, ["train"], store=False)
        self.notes(lines)
        return count_steps(self.config, len(tables["train"]), tables["train"])

    @cached_property
    def evaluator(self) -> Evaluator:
        """What scores and predicts with the built model."""
        return build_evaluator(self.config, self.inputs, build_forward(self.inputs, self.runtime))

    def require_steps(self) -> StepCounts:
        """Returns the step counts, and makes sure that the phase a run starts with can begin.

        Raises:
            ConfigError: a row beyond the token budget, or a warmup that is longer than the phase.
        """
        first, counts = self.built.plan.phases[self.built.plan.start_phase], self.step_counts
        limit = first.trigger.limit(
            start=0, steps_per_epoch=counts.steps_per_epoch, total_steps=counts.total_steps
        )
        build_lr_lambda(first, first.curve_steps(limit), counts.steps_per_epoch)
        return counts

    def check_contract(self, *, on_device: bool = False) -> Contract:
        """Proves the data contract on the real rows and the built model.

        Args:
            on_device: move the model to the run's device first. A run does it on the CPU, where no kernel of lower
                precision blurs what is compared and the peak of the device's memory stays the training's own.
        """
        from ftcli.run.data_checks.contract import check_contract

        model = self.built.model
        return check_contract(self.inputs, self.tables, model.to(self.runtime.device) if on_device else model)

    def trainer(self, **options: Unpack[TrainerOptions]) -> Trainer:
        """Returns a trainer at step 0."""
        return build_trainer(self.config, self.inputs, self.runtime, self.built, self.step_counts, self.tables, clock=self.clock, **options)  # fmt: skip

    def _longest(self) -> int:
        """Returns the tokens of the longest row, or the most a row may have where none is encoded."""
        if self.stub or self.meta or self.labels is not None or not self.with_rows:
            return int(self.inputs.tokenizer.max_length)
        return max(table.longest for table in self.tables.values())
