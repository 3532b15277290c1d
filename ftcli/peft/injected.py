"""Methods that are one of the peft library's config classes plus fields, injected in place.

Each has a config class here and a YAML that `uses: injected.<entry>`; field names are peft's. The head is
never adapted, it trains as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from ftcli.batching.head import of_head
from ftcli.config.registry import register
from ftcli.errors import ConfigError, Problem
from ftcli.peft._inject import fan_in_fan_out, inject
from ftcli.peft._targets import (
    ALL_LINEAR,
    COUNT,
    KEY,
    NOT_NEGATIVE,
    OUR_TARGETS,
    POSITIVE,
    PROBABILITY,
    RANK,
    Limit,
    TargetedConfig,
    Targets,
    base_modules,
    find_targets,
    in_layers,
    matching,
    out_of_range,
)
from ftcli.plan.adapters import PeftResult
from ftcli.plan.anatomy import is_norm

if TYPE_CHECKING:
    from torch import nn

    from ftcli.batching.head import Head
    from ftcli.batching.protocols import Tokenizer

OUR_IA3: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "albert": (("key", "value", "ffn_output"), ("ffn_output",)),
    "camembert": (("key", "value", "output.dense"), ("output.dense",)),
    "convnext": (("pwconv1", "pwconv2"), ("pwconv2",)),
    "distilbert": (("k_lin", "v_lin", "lin2"), ("lin2",)),
    "electra": (("key", "value", "output.dense"), ("output.dense",)),
    "modernbert": (("Wqkv", "mlp.Wo"), ("mlp.Wo",)),
    "mpnet": (("k", "v", "output.dense"), ("output.dense",)),
    "vit": (("k_proj", "v_proj", "fc2", "key", "value", "output.dense"), ("fc2", "output.dense")),
    "xlm-roberta": (("key", "value", "output.dense"), ("output.dense",)),
    "xlm-roberta-xl": (("key", "value", "output.dense"), ("output.dense",)),
}
"""Keys, values and the second feed-forward layer, as in IA3's paper, where peft has no default:
model_type -> (targets, those of them that are scaled at their input)."""


@dataclass(kw_only=True, slots=True)
class InjectedConfig(TargetedConfig):
    library: ClassVar[str]
    """peft's config class."""
    defaults: ClassVar[str]
    """peft's table of default targets."""
    conv1d: ClassVar[bool] = False
    """Adapts the Conv1D modules of GPT-2 too."""
    limits: ClassVar[Mapping[str, tuple[Limit, str]]] = {}

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        return [*out_of_range(self, self.limits), *self.target_problems()]

    def arguments(self) -> dict[str, Any]:
        """Returns the fields that are peft's own."""
        own = {f.name for f in fields(self)} - {"target_modules", "layers"}
        return {name: getattr(self, name) for name in own}


@dataclass(kw_only=True, slots=True)
class Ia3Config(InjectedConfig):
    library = "IA3Config"
    defaults = "IA3"
    conv1d = True
    feedforward_modules: list[str] | None = None
    """Targets scaled at their input rather than their output. None: the architecture's default."""


@dataclass(kw_only=True, slots=True)
class VeraConfig(InjectedConfig):
    library = "VeraConfig"
    defaults = "VERA"
    conv1d = True
    limits = {"r": (RANK, "256"), "vera_dropout": (PROBABILITY, "0.0"), "d_initial": (POSITIVE, "0.1"),
              "projection_prng_key": (NOT_NEGATIVE, "0")}  # fmt: skip
    r: int = 256
    """Rank of the frozen random projections that all targets share, from 1 to 16,384."""
    d_initial: float = 0.1
    """What the trained scales of the rank begin with, above 0."""
    vera_dropout: float = 0.0
    """Dropout probability in [0, 1) on the adapters' input."""
    projection_prng_key: int = 0
    """Seed of the projections, which a checkpoint holds besides."""


@dataclass(kw_only=True, slots=True)
class OftConfig(InjectedConfig):
    library = "OFTConfig"
    defaults = "OFT"
    limits = {"oft_block_size": (COUNT, "32"), "module_dropout": (PROBABILITY, "0.0")}
    oft_block_size: int = 32
    """Size of the orthogonal blocks; divides the input width of every target."""
    module_dropout: float = 0.0
    """Probability in [0, 1) that a block is replaced by the identity in training."""
    block_share: bool = False
    """One block for a whole module."""
    use_cayley_neumann: bool = True
    """Approximate the Cayley transform by a Neumann series: faster, orthogonal but for its rest."""

    def arguments(self) -> dict[str, Any]:
        # peft takes either the size of the blocks or their number, r.
        return InjectedConfig.arguments(self) | {"r": 0}


@dataclass(kw_only=True, slots=True)
class BoftConfig(InjectedConfig):
    library = "BOFTConfig"
    defaults = "BOFT"
    limits = {"boft_block_size": (COUNT, "4"), "boft_dropout": (PROBABILITY, "0.0")}
    boft_block_size: int = 4
    """Size of the orthogonal blocks; divides the input width of every target."""
    boft_dropout: float = 0.0
    """Probability in [0, 1) that a block is replaced by the identity in training."""


@dataclass(kw_only=True, slots=True)
class LohaConfig(InjectedConfig):
    library = "LoHaConfig"
    defaults = "LOHA"
    limits = {"r": (RANK, "8"), "alpha": (COUNT, "8"), "rank_dropout": (PROBABILITY, "0.0"),
              "module_dropout": (PROBABILITY, "0.0")}  # fmt: skip
    r: int = 8
    """Rank of each of the two factors, from 1 to 16,384."""
    alpha: int = 8
    """The adapters' output is scaled by alpha / r."""
    rank_dropout: float = 0.0
    """Probability in [0, 1) that an output of the adapter is dropped in training."""
    module_dropout: float = 0.0
    """Probability in [0, 1) that an adapter is left out of a training step."""


@dataclass(kw_only=True, slots=True)
class LokrConfig(LohaConfig):
    library = "LoKrConfig"
    defaults = "LOKR"
    decompose_both: bool = False
    """Write the left factor of the Kronecker product as a low-rank product too."""
    decompose_factor: int = -1
    """Size of the left factor. -1: as square as the module's widths allow."""

    def problems(self) -> list[Problem]:
        wrong = self.decompose_factor == 0 or self.decompose_factor < -1
        message = f"{self.decompose_factor} is neither -1 nor at least 1"
        more = [Problem("peft.decompose_factor", message, "peft.decompose_factor=-1")] if wrong else []
        return [*LohaConfig.problems(self), *more]


@dataclass(kw_only=True, slots=True)
class MissConfig(InjectedConfig):
    library = "MissConfig"
    defaults = "MISS"
    limits = {"r": (RANK, "64"), "miss_dropout": (PROBABILITY, "0.0")}
    r: int = 64
    """Rows of the shard that is repeated over the input width, from 1 to 16,384."""
    miss_dropout: float = 0.0
    """Dropout probability in [0, 1) on the adapters' input."""


@dataclass(kw_only=True, slots=True)
class LnTuningConfig(InjectedConfig):
    library = "LNTuningConfig"

    def problems(self) -> list[Problem]:
        if self.target_modules == [ALL_LINEAR]:
            message = f"{ALL_LINEAR} names no norms, and this method tunes nothing else"
            return [Problem(KEY, message, f"{KEY}=null tunes every norm of the base model")]
        return InjectedConfig.problems(self)


@register("peft", Ia3Config, entry="ia3")
@register("peft", VeraConfig, entry="vera")
@register("peft", OftConfig, entry="oft")
@register("peft", BoftConfig, entry="boft")
@register("peft", LohaConfig, entry="loha")
@register("peft", LokrConfig, entry="lokr")
@register("peft", MissConfig, entry="miss")
@register("peft", LnTuningConfig, entry="layernorm-tuning")
def build(
    config: InjectedConfig,
    model: nn.Module,
    *,
    seed: int,
    tokenizer: Tokenizer | None = None,
    head: Head | None = None,
) -> PeftResult:
    """Adds the method's layers to `model` in place; on a meta device they are meta too.

    Args:
        config: the method's fields and targets.
        model: a transformers model with a head.
        seed: of what the method draws; torch's global generator is left untouched.

    Raises:
        ConfigError: targets the model does not have or the method cannot adapt, sizes that do not divide,
            or an architecture without a default.
    """
    import peft

    targets = _norms(config, model) if isinstance(config, LnTuningConfig) else _linears(config, model)
    library = getattr(peft, config.library)
    values = config.arguments() | _for_model(config, model, targets)
    if "fan_in_fan_out" in {f.name for f in fields(library)}:
        values["fan_in_fan_out"] = fan_in_fan_out(model, targets.names)
    described = library(target_modules=list(targets.names), task_type=peft.TaskType.SEQ_CLS, **values)
    added = inject(described, model, seed=seed)
    name = str(described.peft_type.value).lower()
    line = (
        f"{name}: on {len(targets.names)} modules ({targets.leaves}, {targets.source}), "
        f"{added.numel:,} adapter parameters; the base is frozen, {of_head(head)}"
    )
    return PeftResult(model, added.names, (line,), peft_config=described)


def _linears(config: InjectedConfig, model: nn.Module) -> Targets:
    from peft.utils import constants

    theirs = getattr(constants, f"TRANSFORMERS_MODELS_TO_{config.defaults}_TARGET_MODULES_MAPPING")
    ours = {k: targets for k, (targets, _) in OUR_IA3.items()} if config.defaults == "IA3" else OUR_TARGETS
    return find_targets(config, model, (theirs, ours), conv1d=config.conv1d)


def _norms(config: LnTuningConfig, model: nn.Module) -> Targets:
    """Returns the norms to tune: every one of the base model, or those that are named."""
    norms = base_modules(model, is_norm)
    if config.target_modules is None:
        return in_layers(config, model, Targets(norms, "all norms of the base"))
    leaves = ", ".join(sorted({name.rpartition(".")[2] for name in norms}))
    problems = [
        Problem(KEY, f"{target!r} is no norm of the base model", f"norms that exist: {leaves}")
        for target in config.target_modules
        if not matching(target, norms)
    ]
    if problems:
        raise ConfigError(*problems)
    names = [name for name in norms if any(matching(t, [name]) for t in config.target_modules)]
    return in_layers(config, model, Targets(names, "as configured"))


def _for_model(config: InjectedConfig, model: nn.Module, targets: Targets) -> dict[str, Any]:
    """Returns the values that depend on the model, and refuses sizes that do not fit it."""
    if isinstance(config, Ia3Config):
        return {"feedforward_modules": _feedforward(config, model, targets.names)}
    for field in ("oft_block_size", "boft_block_size"):
        size = getattr(config, field, 1)
        widths = _input_widths(model, targets.names) if size > 1 else []
        odd = [width for width in widths if width % size]
        if odd:
            smaller = range(2, min(size, widths[0] + 1))
            fitting = [n for n in smaller if all(width % n == 0 for width in widths)]
            message = f"{size} does not divide the input width {odd[0]} of the targets ({targets.leaves})"
            hint = f"peft.{field}={fitting[-1]}" if fitting else "choose other peft.target_modules"
            raise ConfigError(Problem(f"peft.{field}", message, hint))
    return {}


def _input_widths(model: nn.Module, names: Sequence[str]) -> list[int]:
    modules: list[Any] = [model.get_submodule(name) for name in names]
    return sorted({int(module.in_features) for module in modules})


def _feedforward(config: Ia3Config, model: nn.Module, names: Sequence[str]) -> list[str]:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as THEIRS

    model_type = str(getattr(getattr(model, "config", None), "model_type", ""))
    if config.feedforward_modules is None:
        wanted: Sequence[str] = THEIRS.get(model_type, OUR_IA3.get(model_type, ((), ()))[1])
    else:
        wanted = config.feedforward_modules
        key = "peft.feedforward_modules"
        problems = [
            Problem(key, f"{target!r} is none of the targets", f"{key}=null takes the architecture's default")
            for target in wanted
            if not matching(target, names)
        ]
        if problems:
            raise ConfigError(*problems)
    return [name for name in names if any(matching(t, [name]) for t in wanted)]
