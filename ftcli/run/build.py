"""RunConfig -> objects; the one place that states build order.

    source -> tokenizer -> rows -> labels -> token tables -> model -> peft -> plan -> optimizer -> trainer

Every decision taken for the user is a line in `decisions`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.config.registry import lookup
from ftcli.config.schema import PrefixCaching, RunConfig, Weights
from ftcli.console.units import counted
from ftcli.errors import ConfigError, Problem
from ftcli.metric import split_name
from ftcli.peft._compatibility import consult
from ftcli.runtime.timers import OFF

if TYPE_CHECKING:
    import torch

    from ftcli.batching.rows import DatasetSplits
    from ftcli.batching.token_table import TokenTable
    from ftcli.plan.adapters import PeftResult
    from ftcli.plan.anatomy import Anatomy
    from ftcli.plan.plan import Plan
    from ftcli.runtime.decide import Runtime
    from ftcli.runtime.timers import Clock
    from ftcli.trainer.activation_cache.cache import ActivationCache
    from ftcli.trainer.activation_cache.schedule import Prefix
    from ftcli.trainer.evaluation import Evaluator
    from ftcli.trainer.micro_batching import MicroBatching

SHORTEST_ROW = 4
"""Positions that a soft prompt must leave to the rows; the tokenizer role takes no shorter max_length."""


@dataclass(slots=True)
class RunInputs:
    """What every command stands on: where the model comes from, the tokenizer, the task, the rows."""

    config: RunConfig
    source: Any
    hf_config: Any
    tokenizer: Any
    task: Any
    splits: DatasetSplits | None
    labels: list[str]
    decisions: list[str]


@dataclass(slots=True)
class ModelAndPlan:
    """A model and the plan of what trains in it."""

    model: torch.nn.Module
    fresh: frozenset[str]
    peft: PeftResult
    anatomy: Anatomy
    plan: Plan
    decisions: list[str]
    schedule: str | None = None
    """The schedule the plan came from, as YAML."""
    start_from: str | None = None
    """Checkpoint folder of another run whose weights this run begins with."""


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


def load_inputs(
    config: RunConfig, *, labels: list[str] | None = None, with_rows: bool = True, weights: bool = True
) -> RunInputs:
    """Finds model, tokenizer and rows; reads no weights and tokenises nothing.

    Args:
        labels: names from a finished run; None learns them from the training rows.
        with_rows: False where rows come from elsewhere.
        weights: False where config.json is enough.
    """
    from ftcli.hub.resolve import resolve_model
    from ftcli.model.architecture import padding_side
    from ftcli.model.pretrained import load_config

    source = resolve_model(config.model, with_weights=weights and config.model.weights is Weights.pretrained)
    hf_config = load_config(config.model, source)
    task = build_task(config, labels)
    room, told = room_for_rows(config, hf_config)
    tokenizer = lookup("tokenizer", config.uses["tokenizer"]).build(
        config.tokenizer,
        model_source=source,
        random_weights=config.model.weights is Weights.random,
        model_config=hf_config,
        max_positions=room,
        padding_side=padding_side(hf_config),
    )
    decisions = [*getattr(source, "decisions", []), *told, *tokenizer.decisions]
    splits = None
    if with_rows:
        held_out = config.data.validation_share is not None and config.data.files.validation is None
        splits = lookup("data", config.uses["data"]).build(
            config.data, seed=rows_seed(config), needs_train=labels is None or held_out, fields=task.fields()
        )
        decisions += splits.decisions
    if labels is None:
        labels = assumed_labels(config) if splits is None else task.learn_labels(splits)
    return RunInputs(config, source, hf_config, tokenizer, task, splits, labels, decisions)


def room_for_rows(config: RunConfig, hf_config: Any) -> tuple[int | None, list[str]]:
    """Returns the positions that are left to rows, None where no length is too long, and a line on those taken.

    Raises:
        ConfigError: the PEFT method takes so many that tokenizer.max_length, or any row, has no room.
    """
    from ftcli.model.architecture import max_positions

    positions, taken = max_positions(hf_config), config.peft.num_positions
    if positions is None or not taken:
        return positions, []
    room, length = positions - taken, config.tokenizer.max_length
    text = f"peft={config.choices['peft']} takes {taken} of the model's {positions} positions"
    if room < SHORTEST_ROW:
        hint = f"type peft.num_virtual_tokens={max(1, min(20, positions // 4))}"
        raise ConfigError(Problem("peft.num_virtual_tokens", text, hint))
    if length is not None and room < length:
        message = f"is {length}; {text}"
        raise ConfigError(
            Problem("tokenizer.max_length", message, f"type tokenizer.max_length={room} or less")
        )
    return room, [f"{text}; rows have the other {room}"]


def build_task(config: RunConfig, labels: list[str] | None = None) -> Any:
    task_class = lookup("task", config.uses["task"]).build
    return task_class(config.task, columns=config.data.columns, label_names=labels or config.data.label_names)


def rows_seed(config: RunConfig) -> int:
    """Returns the seed that draws the rows of a limit."""
    return config.seed if config.data.seed is None else config.data.seed


def assumed_labels(config: RunConfig) -> list[str]:
    """Returns names of the head's outputs where there are no rows to learn them from."""
    one = lookup("task", config.uses["task"]).build.one_output  # type: ignore[attr-defined]
    return config.data.label_names or [str(i) for i in range(1 if one else config.task.num_labels or 2)]


def build_base_model(inputs: RunInputs, *, attention: str, meta: bool = False, require_head: bool = False) -> Any:
    """Returns the model as the model role builds it: the base with a head for the task, no adapters.

    Args:
        meta: without weights and memory.
        require_head: refuse a source without a trained head.
    """
    config = inputs.config
    return lookup("model", config.uses["model"]).build(
        config.model,
        source=inputs.source,
        hf_config=inputs.hf_config,
        auto_classes=inputs.task.auto_classes,
        problem_type=inputs.task.problem_type,
        labels=inputs.labels,
        pad_id=inputs.tokenizer.pad_id,
        seed=config.seed,
        attention=attention,
        meta=meta,
        require_head=require_head,
    )


def build_model(
    inputs: RunInputs, *, attention: str = "eager", meta: bool = False, allow_empty: bool = False
) -> ModelAndPlan:
    """Builds model, adapters and plan; on the meta device neither weights nor memory are used."""
    from ftcli.plan.anatomy import read_anatomy
    from ftcli.plan.from_config import plan_run

    config = inputs.config
    built = build_base_model(inputs, attention=attention, meta=meta)
    peft = lookup("peft", config.uses["peft"]).build(
        config.peft, built.model, seed=config.seed, tokenizer=inputs.tokenizer
    )
    untried = consult(config.choices["peft"], str(inputs.hf_config.model_type), config.choices["task"])
    anatomy = read_anatomy(peft.model, peft.adapter_names)
    candidates = None
    if peft.adapter_names:
        candidates = peft.adapter_names | frozenset(anatomy.head.tensors)
    chosen = lookup("freezing", config.uses["freezing"]).build(config.freezing, anatomy)
    planned = plan_run(
        config,
        anatomy,
        chosen,
        candidates=candidates,
        allow_empty=allow_empty,
        lr_multipliers=peft.lr_multipliers,
    )
    if not allow_empty:
        _require_adapters(config, peft.adapter_names, planned.plan)
    decisions = [*built.decisions, *peft.decisions, *untried]
    return ModelAndPlan(
        peft.model,
        frozenset(built.fresh),
        peft,
        anatomy,
        planned.plan,
        decisions,
        planned.schedule,
        planned.start_from,
    )


def _require_adapters(config: RunConfig, adapters: frozenset[str], plan: Plan) -> None:
    """Raises ConfigError where the plan trains none of the adapters that were added."""
    if adapters and not any(adapters & set(phase.trainable) for phase in plan.phases):
        peft, freezing = config.choices["peft"], config.choices["freezing"]
        message = f"freezing={freezing} leaves nothing of peft={peft} to train"
        hint = "type freezing=none (the base is frozen anyway) or peft=none"
        raise ConfigError(Problem("freezing", message, hint))


def count_steps(config: RunConfig, num_rows: int, table: TokenTable | None = None) -> StepCounts:
    """Returns the run's step_counts, which holds for every epoch.

    Args:
        config: the run's.
        num_rows: training rows.
        table: the rows; a token budget cuts batches by their lengths.

    Raises:
        ConfigError: a row that is longer than the token budget.
    """
    from ftcli.batching.epochs import plan_epochs
    from ftcli.trainer.trainer import total_steps

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


def build_metrics(config: RunConfig, labels: list[str]) -> dict[str, Any]:
    """Returns name as typed -> metric.

    Raises:
        ConfigError: a parameter behind an @ that the metric does not take.
    """
    found = {}
    for name in config.task.metrics:
        base, parameter = split_name(name)
        found[name] = lookup("metric", base).build(parameter, labels)
    return found


def build_evaluator(
    config: RunConfig, inputs: RunInputs, runtime: Runtime, check: Callable[[], None] = lambda: None
) -> Evaluator:
    from ftcli.trainer.evaluation import Evaluator

    return Evaluator(
        task=inputs.task,
        metrics=build_metrics(config, inputs.labels),
        pad_id=inputs.tokenizer.pad_id,
        padding_side=inputs.tokenizer.padding_side,
        batch_size=config.trainer.eval_batch_size,
        device=runtime.device,
        precision=runtime.precision,
        check=check,
    )


def saved_names(built: ModelAndPlan, config: RunConfig) -> frozenset[str]:
    """Returns the tensors a checkpoint must hold: all whose bytes are not the source's."""
    own = dict(built.model.named_parameters())
    trained = {name for phase in built.plan.phases for name in phase.trainable}
    if config.model.weights is Weights.random:
        trained |= set(own)
    state = set(built.model.state_dict().keys())
    buffers = {name for name, _ in built.model.named_buffers() if name in state}
    method = built.peft.adapter_names | built.peft.changed
    return frozenset((trained | built.fresh | method | buffers) & (set(own) | buffers))


def checkpoint_bytes(built: ModelAndPlan, config: RunConfig) -> int:
    """Returns the least bytes of the first checkpoint: its tensors, and the optimizer state of the first phase."""
    from ftcli.plan.memory_estimate import optimizer_bytes
    from ftcli.trainer.state_dict import tensors_of

    tensors = tensors_of(built.model)
    weights = sum(tensors[name].nbytes for name in saved_names(built, config))
    return weights + optimizer_bytes(built.plan.phases[built.plan.start_phase], unknown=0)


def enable_gradient_checkpointing(config: RunConfig, model: torch.nn.Module) -> None:
    """Turns gradient checkpointing on where asked, without making frozen embeddings require grad."""
    if not config.trainer.gradient_checkpointing:
        return
    if not getattr(model, "supports_gradient_checkpointing", False):
        name = type(model).__name__
        raise ConfigError(
            Problem(
                "trainer.gradient_checkpointing",
                f"{name} does not support it",
                "type trainer.gradient_checkpointing=false",
            )
        )
    with warnings.catch_warnings():
        # Renamed within transformers 5; the old name serves both versions.
        warnings.simplefilter("ignore", FutureWarning)
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[operator]
    if hasattr(model, "_require_grads_hook"):
        model.disable_input_require_grads()  # type: ignore[operator]


def narrow_top_block(
    inputs: RunInputs, built: ModelAndPlan, table: TokenTable, note: Callable[[str], None]
) -> None:
    """Lets the top block train on the first token alone where the head reads no other, and says so."""
    from ftcli.model.top_block import narrow
    from ftcli.run.data_checks.masks import sample

    blocks = built.anatomy.blocks
    if not blocks or not any(
        set(phase.trainable) & set(blocks[-1].tensors) for phase in built.plan.phases
    ):
        return
    padding = {"pad_id": inputs.tokenizer.pad_id, "padding_side": inputs.tokenizer.padding_side}
    batch = inputs.task.collate(table, sample(table), **padding)
    if narrow(built.model, blocks[-1].name, inputs.task, batch):
        note("the top block computes the first token alone in training: the head reads no other")


def find_prefixes(config: RunConfig, built: ModelAndPlan, step_counts: StepCounts) -> tuple[Prefix, ...]:
    """Returns the frozen lower part of each phase; empty where none is to be kept."""
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
    inputs: RunInputs,
    runtime: Runtime,
    built: ModelAndPlan,
    step_counts: StepCounts,
    tables: dict[str, TokenTable],
    *,
    note: Callable[[str], None],
    check: Callable[[], None],
) -> ActivationCache | None:
    """Returns what keeps the activations of frozen lower layers, or None where no phase has any to keep."""
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
        task=inputs.task,
        plan=built.plan,
        prefixes=prefixes,
        frame=open_frame(built.model, built.anatomy),
        tables=[tables[name] for name in ("train", "validation")],
        folder=cache_folder() / "prefix",
        limit_bytes=int(config.trainer.prefix_cache_gib * GIB),
        always_files=config.trainer.prefix_cache is PrefixCaching.disk,
        pad_id=inputs.tokenizer.pad_id,
        padding_side=inputs.tokenizer.padding_side,
        device=runtime.device,
        precision=runtime.precision,
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
    store: Any,
    events: Any,
    reporter: Any,
    stop: Any,
    micro_batching: MicroBatching | None = None,
    clock: Clock = OFF,
) -> Any:
    """Joins the objects into a trainer that stands at step 0; `micro_batching` None keeps no record of splits."""
    from ftcli.model.dropout import use_bits
    from ftcli.run.phase import build_entry
    from ftcli.trainer.context import TrainerContext
    from ftcli.trainer.micro_batching import micro_batching_of
    from ftcli.trainer.trainer import Trainer

    enable_gradient_checkpointing(config, built.model)
    built.model.to(runtime.device)
    if runtime.fast_paths:
        use_bits(built.model)
    if runtime.first_token:
        narrow_top_block(inputs, built, tables["train"], reporter.note)
    evaluator = build_evaluator(config, inputs, runtime, stop.check)
    prefix = build_activation_cache(
        config, inputs, runtime, built, step_counts, tables, note=reporter.note, check=stop.check
    )
    if prefix is not None:
        evaluator.reading = prefix.reading
    parts = TrainerContext(
        model=built.model,
        task=inputs.task,
        plan=built.plan,
        enter=build_entry(config, built.model, runtime.device, step_counts.steps_per_epoch),
        train=tables["train"],
        validation=tables["validation"],
        evaluator=evaluator,
        store=store,
        events=events,
        reporter=reporter,
        saved_names=saved_names(built, config),
        pad_id=inputs.tokenizer.pad_id,
        padding_side=inputs.tokenizer.padding_side,
        device=runtime.device,
        precision=runtime.precision,
        fast_paths=runtime.fast_paths,
        seed=config.seed,
        micro_batching=micro_batching or micro_batching_of(config.trainer),
        regularisers=built.peft.regularisers,
        after_step=built.peft.after_step,
        prefix=prefix,
        clock=clock,
    )
    return Trainer(config.trainer, parts, stop)
