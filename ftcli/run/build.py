"""Metrics, evaluator, activation cache and trainer, out of what the earlier stages of a run built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ftcli.config.registry import lookup, split_name
from ftcli.config.schema import PrefixCaching, RunConfig
from ftcli.run.inputs import RunInputs
from ftcli.run.model import ModelAndPlan, enable_gradient_checkpointing, narrow_top_block, saved_names
from ftcli.run.steps import StepCounts
from ftcli.runtime.timers import OFF

if TYPE_CHECKING:
    from ftcli.batching.token_table import TokenTable
    from ftcli.checkpoint.store import CheckpointStore
    from ftcli.metric import Metric
    from ftcli.runtime.decide import Runtime
    from ftcli.runtime.timers import Clock
    from ftcli.trainer.activation_cache.cache import ActivationCache
    from ftcli.trainer.activation_cache.schedule import FrozenPrefix
    from ftcli.trainer.context import EventLog, Reporter
    from ftcli.trainer.evaluation import Evaluator
    from ftcli.trainer.forward import Forward
    from ftcli.trainer.micro_batching import MicroBatching
    from ftcli.trainer.signals import StopFlag
    from ftcli.trainer.trainer import Trainer


def build_metrics(config: RunConfig, labels: list[str]) -> dict[str, Metric]:
    """Returns name as typed -> metric.

    Raises:
        ConfigError: a parameter behind an @ that the metric does not take.
    """
    found: dict[str, Metric] = {}
    for name in config.task.metrics:
        base, parameter = split_name(name)
        found[name] = lookup("metric", base).build(parameter, labels)
    return found


def build_forward(inputs: RunInputs, runtime: Runtime) -> Forward:
    """Returns what collates rows and runs their loss, on the run's device and in its precision."""
    from ftcli.trainer.forward import Forward

    return Forward(
        task=inputs.task,
        pad_id=inputs.tokenizer.pad_id,
        padding_side=inputs.tokenizer.padding_side,
        device=runtime.device,
        precision=runtime.precision,
    )


def build_evaluator(
    config: RunConfig, inputs: RunInputs, forward: Forward, check: Callable[[], None] = lambda: None
) -> Evaluator:
    """Returns what scores and predicts.

    Args:
        config: the run's.
        inputs: its labels name what metrics report.
        forward: collates rows and runs their loss.
        check: called between batches; raises to interrupt.
    """
    from ftcli.trainer.evaluation import Evaluator

    return Evaluator(
        forward=forward,
        metrics=build_metrics(config, inputs.labels),
        batch_size=config.trainer.eval_batch_size,
        check=check,
    )


def find_prefixes(
    config: RunConfig, built: ModelAndPlan, step_counts: StepCounts
) -> tuple[FrozenPrefix, ...]:
    """Returns the frozen lower part of each phase; empty where none is to be cached."""
    from ftcli.trainer.activation_cache.schedule import plan_frozen_prefixes

    if config.trainer.prefix_cache is PrefixCaching.off:
        return ()
    found = plan_frozen_prefixes(
        built.plan,
        built.anatomy,
        steps_per_epoch=step_counts.steps_per_epoch,
        total_steps=step_counts.total_steps,
    )
    return found if any(prefix.depth and prefix.pays for prefix in found) else ()


def build_activation_cache(
    config: RunConfig,
    forward: Forward,
    built: ModelAndPlan,
    step_counts: StepCounts,
    tables: dict[str, TokenTable],
    *,
    note: Callable[[str], None],
    check: Callable[[], None],
) -> ActivationCache | None:
    """Returns what caches the activations of frozen lower layers, or None where no phase has any to cache.

    Args:
        config: the run's.
        forward: runs the rows that fill the cache.
        built: the model and its plan.
        step_counts: say how often a phase reads what one pass writes.
        tables: `train` and `validation`, the rows whose activations are cached.
        note: prints a line.
        check: called between blocks of rows; raises to interrupt.
    """
    from ftcli.batching.cache import cache_folder
    from ftcli.trainer.activation_cache.cache import GIB, ActivationCache
    from ftcli.trainer.activation_cache.cut_point import open_frame

    prefixes = find_prefixes(config, built, step_counts)
    if not prefixes:
        if config.trainer.prefix_cache is PrefixCaching.disk:
            note("frozen prefix: nothing is kept: no frozen lower part is read for two epochs or more")
        return None
    return ActivationCache(
        model=built.model,
        forward=forward,
        plan=built.plan,
        prefixes=prefixes,
        frame=open_frame(built.model, built.anatomy),
        tables=[tables[name] for name in ("train", "validation")],
        folder=cache_folder() / "prefix",
        limit_bytes=int(config.trainer.prefix_cache_gib * GIB),
        always_files=config.trainer.prefix_cache is PrefixCaching.disk,
        note=note,
        check=check,
    )


def build_trainer(
    config: RunConfig,
    inputs: RunInputs,
    runtime: Runtime,
    built: ModelAndPlan,
    step_counts: StepCounts,
    tables: dict[str, TokenTable],
    *,
    store: CheckpointStore | None,
    events: EventLog,
    reporter: Reporter,
    stop: StopFlag,
    micro_batching: MicroBatching | None = None,
    clock: Clock = OFF,
) -> Trainer:
    """Joins the objects into a trainer at step 0.

    Args:
        config: the run's.
        inputs: model source, tokenizer, task and rows.
        runtime: device and precision.
        built: the model, moved to the device, and its plan.
        step_counts: of the run.
        tables: `train` and `validation`.
        store: where checkpoints go; None: nothing is saved.
        events: metrics.jsonl.
        reporter: where lines for the user go.
        stop: set by signals.
        micro_batching: how batches are split; None: as configured, with no record of it.
        clock: times the sections of the loop.
    """
    from ftcli.run.phase import build_entry
    from ftcli.trainer.context import TrainerContext
    from ftcli.trainer.micro_batching import micro_batching_of
    from ftcli.trainer.trainer import Trainer

    forward = build_forward(inputs, runtime)
    _place_model(config, forward, runtime, built, tables, reporter.note)
    cache = build_activation_cache(
        config, forward, built, step_counts, tables, note=reporter.note, check=stop.check
    )
    if cache is not None:
        forward = replace(forward, cached_activations=cache.reading)
    context = TrainerContext(
        model=built.model,
        forward=forward,
        plan=built.plan,
        enter=build_entry(config, built.model, runtime.device, step_counts.steps_per_epoch),
        train=tables["train"],
        validation=tables["validation"],
        evaluator=build_evaluator(config, inputs, forward, stop.check),
        store=store,
        events=events,
        reporter=reporter,
        saved_names=saved_names(built, config),
        fast_paths=runtime.fast_paths,
        seed=config.seed,
        micro_batching=micro_batching or micro_batching_of(config.trainer),
        regularisers=built.peft.regularisers,
        after_step=built.peft.after_step,
        activation_cache=cache,
        clock=clock,
    )
    return Trainer(config.trainer, context, stop)


def _place_model(
    config: RunConfig,
    forward: Forward,
    runtime: Runtime,
    built: ModelAndPlan,
    tables: dict[str, TokenTable],
    note: Callable[[str], None],
) -> None:
    """Moves the model to the device and changes how it computes there, never what."""
    from ftcli.model.dropout import use_bits

    enable_gradient_checkpointing(config, built.model)
    built.model.to(runtime.device)
    if runtime.fast_paths:
        use_bits(built.model)
    if runtime.first_token:
        narrow_top_block(forward, built, tables["train"], note)
