"""RunInputs -> the model with its adapters, and the plan of what trains in it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.config.registry import lookup
from ftcli.config.schema import RunConfig, Weights
from ftcli.errors import ConfigError, Problem
from ftcli.peft._compatibility import consult
from ftcli.run.inputs import RunInputs
from ftcli.runtime.memory import available_memory

if TYPE_CHECKING:
    import torch

    from ftcli.batching.label_scale import LabelScale
    from ftcli.batching.token_table import TokenTable
    from ftcli.plan.adapters import PeftResult
    from ftcli.plan.anatomy import Anatomy
    from ftcli.plan.plan import Plan
    from ftcli.task.base import Task
    from ftcli.trainer.forward import Forward


@dataclass(slots=True)
class ModelAndPlan:
    """A model and the plan of what trains in it."""

    model: torch.nn.Module
    fresh: frozenset[str]
    peft: PeftResult
    anatomy: Anatomy
    plan: Plan
    decisions: list[str]
    attention: str
    """`eager` or `sdpa`, as the model has it."""
    schedule: str | None = None
    """The schedule the plan came from, as YAML."""
    start_from: str | None = None
    """Checkpoint folder of another run whose weights this run begins with."""
    random: bool = False
    """Whether all weights were drawn at random."""

    @property
    def drawn(self) -> frozenset[str]:
        """Names of the tensors that no file gave."""
        return frozenset(self.anatomy.names) if self.random else self.fresh


def build_base_model(
    inputs: RunInputs, *, attention: str, meta: bool = False, require_head: bool = False
) -> Any:
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
        vocabulary=inputs.task.has_vocabulary_head,
        labels=inputs.labels,
        pad_id=inputs.tokenizer.pad_id,
        seed=config.seed,
        attention=attention,
        meta=meta,
        require_head=require_head,
        free_memory=available_memory(),
    )


def build_model(
    inputs: RunInputs, *, attention: str = "eager", meta: bool = False, allow_empty: bool = False
) -> ModelAndPlan:
    """Builds model, adapters and plan; on the meta device neither weights nor memory are used."""
    from ftcli.plan.anatomy import read_anatomy
    from ftcli.plan.from_config import plan_run

    config = inputs.config
    built = build_base_model(inputs, attention=attention, meta=meta)
    head = inputs.task.head_of(built.model)
    peft = lookup("peft", config.uses["peft"]).build(
        config.peft,
        built.model,
        seed=config.seed,
        tokenizer=inputs.tokenizer,
        head=head,
    )
    untried = consult(config.choices["peft"], str(inputs.hf_config.model_type), config.choices["task"])
    anatomy = read_anatomy(peft.model, peft.adapter_names)
    candidates = None
    if peft.adapter_names:
        own_head = frozenset() if head.vocabulary else frozenset(anatomy.head.tensors)
        candidates = peft.adapter_names | own_head
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
    _require_gradient_checkpointing(config, peft.model)
    decisions = [*built.decisions, *peft.decisions, *untried]
    return ModelAndPlan(
        peft.model,
        frozenset(built.fresh),
        peft,
        anatomy,
        planned.plan,
        decisions,
        built.attention,
        planned.schedule,
        planned.start_from,
        config.model.weights is Weights.random,
    )


def ready_head(task: Task, model: torch.nn.Module, precision: str) -> list[str]:
    """Lets the task look at a built model, and decides how its head computes; returns lines on it.

    A head whose loss is computed from the states before it is run by the task, in fp32; any other is widened here.

    Args:
        task: of the run.
        model: with its adapters, in place.
        precision: `fp32`, `bf16` or `fp16`: of the run's autocast region.
    """
    from ftcli.model.precise_head import run_head_in_fp32

    lines = task.prepare(model)
    if not task.runs_head(model):
        run_head_in_fp32(model, precision)
    return lines


def scale_head(scale: LabelScale, built: ModelAndPlan) -> list[str]:
    """Brings a head from files, which gives numbers in the user's unit, to the unit of standardised labels; says so.

    Args:
        scale: of the training labels.
        built: the model; a newly initialized head stays as it was drawn.

    Returns:
        Lines on what was done, and on what an export will not be able to do.

    Raises:
        ConfigError: a head from files, and no bias to do it with.
    """
    from ftcli.model.output_scale import can_hold_mean, no_place, unfold

    head = set(built.anatomy.head.tensors)
    if scale.is_identity or not head:
        return []
    if built.drawn & head:
        if can_hold_mean(built.model):
            return []
        return [
            f"this run cannot be exported: {no_place(built.model)}; predict and evaluate give the labels' own unit all the same. "
            f"For a folder of plain transformers type task.standardize=false and subtract {scale.mean:.6g} from the column, or choose a model such as GPT-2 or BERT"
        ]
    unfold(built.model, scale.mean, scale.std)
    return [
        "the head from the files gives numbers in the labels' unit: it is converted to that of standardised labels"
    ]


def unscale_head(scale: LabelScale, model: torch.nn.Module) -> None:
    """Brings the head of a trained model, in place, to the labels' own unit, for libraries that know of no other.

    Raises:
        ConfigError: there is no bias to do it with.
    """
    from ftcli.model.output_scale import fold

    fold(model, scale.mean, scale.std)


def _require_adapters(config: RunConfig, adapters: frozenset[str], plan: Plan) -> None:
    """Raises ConfigError where the plan trains none of the adapters that were added."""
    if adapters and not any(adapters & set(phase.trainable) for phase in plan.phases):
        peft, freezing = config.choices["peft"], config.choices["freezing"]
        message = f"freezing={freezing} leaves nothing of peft={peft} to train"
        hint = "type freezing=none (the base is frozen anyway) or peft=none"
        raise ConfigError(Problem("freezing", message, hint))


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


def _require_gradient_checkpointing(config: RunConfig, model: torch.nn.Module) -> None:
    """Raises ConfigError where gradient checkpointing is asked of a model that does not have it."""
    if config.trainer.gradient_checkpointing and not getattr(model, "supports_gradient_checkpointing", False):
        message, hint = (
            f"{type(model).__name__} does not support it",
            "type trainer.gradient_checkpointing=false",
        )
        raise ConfigError(Problem("trainer.gradient_checkpointing", message, hint))


def enable_gradient_checkpointing(config: RunConfig, model: torch.nn.Module) -> None:
    """Turns gradient checkpointing on where asked, without making frozen embeddings require grad."""
    if not config.trainer.gradient_checkpointing:
        return
    with warnings.catch_warnings():
        # Renamed within transformers 5; the old name serves both versions.
        warnings.simplefilter("ignore", FutureWarning)
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[operator]
    if hasattr(model, "_require_grads_hook"):
        model.disable_input_require_grads()  # type: ignore[operator]


def narrow_top_block(
    forward: Forward, built: ModelAndPlan, table: TokenTable, note: Callable[[str], None]
) -> None:
    """Lets the top block train on the first token alone where the head reads no other, and says so."""
    from ftcli.model.top_block import narrow
    from ftcli.run.data_checks.masks import sample

    blocks = built.anatomy.blocks
    if not blocks or not any(set(phase.trainable) & set(blocks[-1].tensors) for phase in built.plan.phases):
        return
    batch = forward.collate(table, sample(table))
    if narrow(built.model, blocks[-1].name, forward.task, batch):
        note("the top block computes the first token alone in training: the head reads no other")
