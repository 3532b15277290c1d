"""LoRA (Hu et al., 2021, arXiv:2106.09685) and its variants by the peft library, injected in place.

The model keeps its class and its names, but for `.base_layer` in the adapted modules. Which tensors
train is the plan's business: the adapters and the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from ftcli.batching.head import of_head
from ftcli.config.fields import LARGEST_INT
from ftcli.config.registry import register
from ftcli.errors import ConfigError, Problem
from ftcli.peft._inject import fan_in_fan_out, inject
from ftcli.peft._targets import (
    MAX_RANK,
    OUR_TARGETS,
    POSITIVE,
    PROBABILITY,
    RANK,
    TargetedConfig,
    Targets,
    find_targets,
    matching,
    out_of_range,
)
from ftcli.plan.adapters import PeftResult

if TYPE_CHECKING:
    from torch import nn

    from ftcli.batching.head import Head
    from ftcli.batching.protocols import Tokenizer


class Init(Enum):
    kaiming = "kaiming"
    gaussian = "gaussian"
    orthogonal = "orthogonal"
    pissa = "pissa"
    pissa_niter_4 = "pissa_niter_4"
    pissa_niter_16 = "pissa_niter_16"
    olora = "olora"


FROM_THE_WEIGHT = (Init.pissa, Init.pissa_niter_4, Init.pissa_niter_16, Init.olora)
"""These take the adapter out of the base weight, which keeps the rest."""


@dataclass(kw_only=True, slots=True)
class LoraConfig(TargetedConfig):
    r: int = 8
    """Rank of the adapters, from 1 to 16,384."""
    lora_alpha: int = 16
    """The adapters' output is scaled by lora_alpha / r."""
    lora_dropout: float = 0.05
    """Dropout probability in [0, 1) on the adapters' input."""
    use_rslora: bool = False
    """Scale by lora_alpha / sqrt(r) instead (Kalajdzievski, 2023, arXiv:2312.03732)."""
    use_dora: bool = False
    """Train the norm of each output's weights apart from their direction (Liu et al., 2024, arXiv:2402.09353)."""
    init_lora_weights: Init = Init.kaiming
    """Of A, B being 0; `orthogonal`: of both; `pissa`: the weight's principal singular values and vectors
    (Meng et al., 2024, arXiv:2404.02948), by a fast approximation with `pissa_niter_4` or `_16`; `olora`: its
    QR factors (Büyükakyüz, 2024, arXiv:2406.01775)."""
    lora_plus_ratio: float | None = None
    """LoRA+: the lr of B is this many times that of A (Hayou et al., 2024, arXiv:2402.12354). None: the same."""
    rank_pattern: list[str] = field(default_factory=list)
    """`MODULE: RANK` entries, such as `value: 16`, for targets of another rank than r; MODULE is a name as
    in target_modules, or a regex that matches whole names."""
    alpha_pattern: list[str] = field(default_factory=list)
    """`MODULE: ALPHA` entries, likewise."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        limits = {"r": (RANK, "8"), "lora_alpha": (POSITIVE, "16"), "lora_dropout": (PROBABILITY, "0.05"),
                  "lora_plus_ratio": (POSITIVE, "16")}  # fmt: skip
        problems = [*out_of_range(self, limits), *self.target_problems()]
        if self.init_lora_weights is Init.orthogonal and self.r % 2:
            problems.append(Problem("peft.r", f"{self.r} is odd: orthogonal factors need pairs", "peft.r=8"))
        if self.use_dora and self.init_lora_weights in FROM_THE_WEIGHT:
            message = f"{self.init_lora_weights.value} changes the weight whose norm use_dora trains"
            problems.append(Problem("peft.init_lora_weights", message, "peft.init_lora_weights=kaiming"))
        for name in ("rank_pattern", "alpha_pattern"):
            problems += [p for entry in getattr(self, name) for p in _entry(entry, f"peft.{name}")[2]]
        return problems


@register("peft", LoraConfig)
def build(
    config: LoraConfig,
    model: nn.Module,
    *,
    seed: int,
    tokenizer: Tokenizer | None = None,
    head: Head | None = None,
) -> PeftResult:
    """Adds float32 adapters to `model` in place; on a meta device they are meta too.

    Args:
        config: rank, scale, dropout, initialisation and targets.
        model: a transformers model with a head. The head is never adapted, it trains as a whole.
        seed: of the adapters' random halves; torch's global generator is left untouched.

    Raises:
        ConfigError: a target that is no Linear or Conv1D of the base model, a pattern that names no
            target, or an architecture without a default.
    """
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as THEIRS

    targets = find_targets(config, model, (THEIRS, OUR_TARGETS))
    described = _describe(config, model, targets)
    added = inject(described, model, seed=seed)
    ranks = "/".join(str(r) for r in sorted({config.r, *described.rank_pattern.values()}))
    line = (
        f"lora: r={ranks} on {len(targets.names)} modules ({targets.leaves}, {targets.source}), "
        f"{added.numel:,} adapter parameters; the base is frozen, {of_head(head)}"
    )
    ratio = config.lora_plus_ratio
    changed: frozenset[str] = frozenset()
    if config.init_lora_weights in FROM_THE_WEIGHT:
        # A checkpoint holds them: another machine's factorisation need not give the same bytes.
        changed = frozenset(f"{name}.base_layer.weight" for name in targets.names)
    return PeftResult(
        model,
        added.names,
        (line, *_said(config)),
        peft_config=described,
        changed=changed,
        lr_multipliers={name: ratio for name in added.names if ratio and ".lora_B." in name},
    )


def _said(config: LoraConfig) -> list[str]:
    lines = []
    if config.use_rslora:
        lines.append("lora: scaled by lora_alpha / sqrt(r)")
    if config.use_dora:
        lines.append("lora: DoRA, the norm of each output's weights trains apart from their direction")
    if config.init_lora_weights in FROM_THE_WEIGHT:
        how = config.init_lora_weights.value
        lines.append(
            f"lora: {how} takes the adapters out of the base weights, which checkpoints therefore hold"
        )
    if config.lora_plus_ratio is not None:
        lines.append(f"lora: the lr of B is {config.lora_plus_ratio:g} times that of A")
    return lines


def _describe(config: LoraConfig, model: nn.Module, targets: Targets) -> Any:
    """Returns peft's own config of what is injected."""
    import peft

    init: bool | str = True if config.init_lora_weights is Init.kaiming else config.init_lora_weights.value
    if next(model.parameters()).is_meta:
        init = True  # there is nothing to take factors of; shapes and names are the same
    ranks, wrong = _pattern(config.rank_pattern, targets.names, "peft.rank_pattern")
    alphas, also = _pattern(config.alpha_pattern, targets.names, "peft.alpha_pattern")
    problems = [*wrong, *also, *_ranks_that_fit(config, model, targets.names, ranks)]
    if problems:
        raise ConfigError(*problems)
    return peft.LoraConfig(
        r=config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        use_rslora=config.use_rslora,
        use_dora=config.use_dora,
        init_lora_weights=init,  # type: ignore[arg-type]
        # peft reads these keys as regexes.
        rank_pattern={name.replace(".", r"\."): r for name, r in ranks.items()},
        alpha_pattern={name.replace(".", r"\."): alpha for name, alpha in alphas.items()},
        target_modules=list(targets.names),
        task_type=peft.TaskType.SEQ_CLS,
        # Conv1D stores its weight as (in, out); without this peft warns and corrects itself.
        fan_in_fan_out=fan_in_fan_out(model, targets.names),
    )


def _entry(entry: str, key: str) -> tuple[str, int, list[Problem]]:
    """Returns (module, number, problems) of one `MODULE: NUMBER`."""
    what, _, number = entry.rpartition(":")
    most = MAX_RANK if key == "peft.rank_pattern" else LARGEST_INT
    if what.strip() and number.strip().isdecimal() and 1 <= int(number) <= most:
        return what.strip(), int(number), []
    message = f"{entry!r} is not MODULE: NUMBER with a whole number from 1 to {most:,}"
    return "", 0, [Problem(key, message, f"type '{key}=[\"value: 16\"]'")]


def _pattern(entries: Sequence[str], names: Sequence[str], key: str) -> tuple[dict[str, int], list[Problem]]:
    """Returns target -> number; an entry without a target, and a target named twice, are problems."""
    found: dict[str, int] = {}
    problems = []
    for entry in entries:
        what, number, wrong = _entry(entry, key)
        problems += wrong
        hits = [] if wrong else matching(what, names)
        if not wrong and not hits:
            leaves = ", ".join(sorted({name.rpartition(".")[2] for name in names}))
            message = f"{what!r} is none of the targets ({leaves})"
            problems.append(Problem(key, message, "name a target, or a regex that matches its whole name"))
        if twice := [name for name in hits if name in found]:
            message = f"{what!r} names {twice[0]}, which another entry names too"
            problems.append(Problem(key, message, "name each target once"))
        found |= dict.fromkeys(hits, number)
    return found, problems


def _ranks_that_fit(
    config: LoraConfig, model: nn.Module, names: Sequence[str], ranks: dict[str, int]
) -> list[Problem]:
    """A factor of a weight has no more columns than the weight's smaller side."""
    init = config.init_lora_weights
    if init is Init.olora and fan_in_fan_out(model, list(names)):
        # peft 0.21 factors the weight as it is stored, and the halves come out exchanged.
        key, message = (
            "peft.init_lora_weights",
            "olora does not fit Conv1D modules, whose weights are transposed",
        )
        return [Problem(key, message, f"{key}=pissa")]
    for name in names:
        rank, side = ranks.get(name, config.r), min(model.get_submodule(name).weight.shape)  # type: ignore[arg-type]
        if init in FROM_THE_WEIGHT and rank > side:
            key = "peft.rank_pattern" if name in ranks else "peft.r"
            message = f"{init.value} takes at most {side} values out of {name}, {rank} are asked for"
            return [Problem(key, message, f"peft.r={side}")]
        if init is Init.orthogonal and rank % 2:
            return [Problem("peft.rank_pattern", f"{rank} is odd: orthogonal factors need pairs", "write 8")]
    return []
