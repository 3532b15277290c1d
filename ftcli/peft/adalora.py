"""AdaLoRA (Zhang et al., 2023, arXiv:2303.10512): ranks move to the modules that need them.

An update is P E Q with E diagonal. While it trains, each triplet (a column of P, an entry of E, a row of Q)
has an importance; a falling budget keeps the most important triplets of the whole model and zeroes the
entries of E of the others. The layers are the peft library's. The allocator is written here, after the
paper's section 3 and peft's RankAllocator, because its state has to live in the model to be saved, and
because in a plan of phases some adapters may not train.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.batching.head import of_head
from ftcli.config.registry import register
from ftcli.errors import ConfigError, Problem
from ftcli.peft._inject import fan_in_fan_out, inject
from ftcli.peft._targets import (
    COUNT,
    NOT_NEGATIVE,
    OUR_TARGETS,
    POSITIVE,
    PROBABILITY,
    RANK,
    TargetedConfig,
    Targets,
    find_targets,
    out_of_range,
)
from ftcli.plan.adapters import PeftResult
from ftcli.plan.duration import parse_duration

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ftcli.batching.head import Head
    from ftcli.batching.protocols import Tokenizer

PARTS = ("A", "E", "B")
"""Q, E and P of the paper, by the names of peft's parameters."""


@dataclass(kw_only=True, slots=True)
class AdaloraConfig(TargetedConfig):
    init_r: int = 12
    """Rank every module begins with: at least `target_r`, at most the larger side of each target."""
    target_r: int = 8
    """Mean rank of a module at the end, at least 1."""
    lora_alpha: int = 16
    """The adapters' output is scaled by lora_alpha / init_r."""
    lora_dropout: float = 0.0
    """Dropout probability in [0, 1) on the adapters' input."""
    tinit: str = "0.1"
    """Steps before ranks are taken away: `100st`, or a share of the run's steps."""
    tfinal: str = "0.3"
    """Steps at the end in which the ranks stay as they are: `100st`, or a share of the run's steps."""
    deltaT: int = 10
    """Steps between two allocations, at least 1."""
    beta1: float = 0.85
    """Decay in (0, 1) of the mean sensitivity."""
    beta2: float = 0.85
    """Decay in (0, 1) of the mean uncertainty."""
    orth_reg_weight: float = 0.1
    """Weight of the penalty that keeps P and Q orthogonal; 0: none."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        within = (lambda v: 0 < v < 1, "between 0 and 1")
        problems = out_of_range(self, {
            "init_r": (RANK, "12"), "target_r": (RANK, "8"), "lora_alpha": (POSITIVE, "16"),
            "lora_dropout": (PROBABILITY, "0.0"), "deltaT": (COUNT, "10"), "beta1": (within, "0.85"),
            "beta2": (within, "0.85"), "orth_reg_weight": (NOT_NEGATIVE, "0.1"),
        })  # fmt: skip
        if self.target_r > self.init_r:
            message = f"{self.target_r} is above peft.init_r={self.init_r}: the budget only falls"
            problems.append(
                Problem("peft.target_r", message, f"peft.init_r={math.ceil(1.5 * self.target_r)}")
            )
        return [*problems, *self._schedule_problems(), *self.target_problems()]

    def _schedule_problems(self) -> list[Problem]:
        problems = []
        for key in ("tinit", "tfinal"):
            hint = f"peft.{key}=0.1 (a share of all steps) or peft.{key}=100st"
            try:
                if parse_duration(getattr(self, key), key=f"peft.{key}").unit == "ep":
                    problems.append(Problem(f"peft.{key}", f"{getattr(self, key)!r} counts epochs", hint))
            except ConfigError as error:
                problems += [Problem(problem.key, problem.message, hint) for problem in error.problems]
        first, last = (0, 1) if problems else self.schedule(10**9)
        if first >= last:
            message = f"tinit {self.tinit} and tfinal {self.tfinal} leave no steps between them"
            problems.append(Problem("peft.tfinal", message, "peft.tinit=0.1 peft.tfinal=0.3"))
        return problems

    def schedule(self, total_steps: int) -> tuple[int, int]:
        """Returns (last step with the whole budget, step from which the ranks stay)."""
        ends = []
        for key in ("tinit", "tfinal"):
            length = parse_duration(getattr(self, key), key=f"peft.{key}")
            ends.append(round(length.value * (total_steps if length.unit == "share" else 1)))
        return ends[0], total_steps - ends[1]


@register("peft", AdaloraConfig)
def build(
    config: AdaloraConfig,
    model: nn.Module,
    *,
    seed: int,
    tokenizer: Tokenizer | None = None,
    head: Head | None = None,
) -> PeftResult:
    """Adds float32 adapters and the allocator's state to `model` in place.

    Args:
        config: ranks, budget schedule and targets.
        model: a transformers model with a head. The head is never adapted, it trains as a whole.
        seed: of the adapters' random parts; torch's global generator is left untouched.

    Raises:
        ConfigError: a target that is no Linear or Conv1D of the base model, a rank that does not fit it, or an
            architecture without a default.
    """
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_ADALORA_TARGET_MODULES_MAPPING as THEIRS
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as LORAS

    targets = find_targets(config, model, (THEIRS, {**LORAS, **OUR_TARGETS}))
    described = _describe(config, model, targets)
    added = inject(described, model, seed=seed)
    allocator = Allocator(config, model, targets.names)
    line = (
        f"adalora: ranks {config.init_r} -> {config.target_r} in the mean on {len(targets.names)} modules "
        f"({targets.leaves}, {targets.source}), {added.numel:,} adapter parameters; the base is frozen, {of_head(head)}"
    )
    return PeftResult(
        model,
        added.names,
        (line,),
        peft_config=described,
        regularisers=(allocator.penalty,) if config.orth_reg_weight else (),
        after_step=(allocator.update,),
    )


def _describe(config: AdaloraConfig, model: nn.Module, targets: Targets) -> Any:
    """Returns peft's own config of what is injected.

    Raises:
        ConfigError: a rank beyond both sides of a target: neither factor can be orthogonal.
    """
    import peft

    for name in targets.names:
        low, high = sorted(model.get_submodule(name).weight.shape)  # type: ignore[arg-type]
        if config.init_r > high:
            message = f"{config.init_r} is more than either side of {name}, {low} x {high}: its factors cannot be orthogonal"
            hint = f"peft.init_r={low} peft.target_r={min(config.target_r, low)}"
            raise ConfigError(Problem("peft.init_r", message, hint))
    return peft.AdaLoraConfig(
        init_r=config.init_r,
        target_r=config.target_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        deltaT=config.deltaT,
        beta1=config.beta1,
        beta2=config.beta2,
        orth_reg_weight=config.orth_reg_weight,
        total_step=1,  # peft wants a number; the run's is known later and drives the allocator here
        target_modules=list(targets.names),
        task_type=peft.TaskType.SEQ_CLS,
        fan_in_fan_out=fan_in_fan_out(model, targets.names),
    )


class Allocator:
    """Importances and masks of all triplets; they are buffers of the adapted modules, so checkpoints hold them."""

    def __init__(self, config: AdaloraConfig, model: nn.Module, names: list[str]) -> None:
        import torch

        self.config, self.names = config, names
        for name in names:
            module = model.get_submodule(name)
            for part in PARTS:
                own = _parameter(module, part)
                module.register_buffer(f"sensitivity_{part}", torch.zeros_like(own))
                module.register_buffer(f"uncertainty_{part}", torch.zeros_like(own))
            # float, so that it can be copied, saved and compared like every other tensor
            module.register_buffer("rank_mask", torch.ones_like(_parameter(module, "E")))

    def penalty(self, model: nn.Module) -> torch.Tensor:
        """Returns the weighted mean of ||P'P - I|| and ||QQ' - I|| (Frobenius) over what trains: scalar."""
        import torch

        device = next(model.parameters()).device
        norms = []
        with torch.autocast(device.type, enabled=False):
            for name in self.names:
                module = model.get_submodule(name)
                for part in ("A", "B"):
                    matrix = _parameter(module, part)
                    if matrix.requires_grad:
                        gram = matrix @ matrix.T if part == "A" else matrix.T @ matrix
                        norms.append(torch.linalg.norm(gram - torch.eye(len(gram), device=device)))
            total = torch.stack(norms).mean() if norms else torch.zeros((), device=device)
        return self.config.orth_reg_weight * total

    def update(self, model: nn.Module, step: int, total_steps: int) -> None:
        """Updates the importances and, at the steps of the schedule, masks triplets down to the budget.

        Args:
            model: after the optimizer's step, its gradients still there.
            step: the one just applied, from 1.
            total_steps: of the run.

        Raises:
            ConfigError: tinit and tfinal leave no steps between them.
        """
        import torch

        first, last = self.config.schedule(total_steps)
        if first >= last:
            message = f"tinit {self.config.tinit} and tfinal {self.config.tfinal} leave no steps between them: the run has {total_steps}"
            raise ConfigError(Problem("peft.tfinal", message, "peft.tinit=0.1 peft.tfinal=0.3"))
        modules = [model.get_submodule(name) for name in self.names]
        with torch.no_grad():
            if step < last:
                self._measure(modules)
            # What has not trained yet has no scores: it keeps its rank, and the others share a budget of their own.
            modules = [module for module in modules if module.get_buffer("sensitivity_E").any()]
            if not modules:
                return
            initial, target = (rank * len(modules) for rank in (self.config.init_r, self.config.target_r))
            if first < step < last and step % self.config.deltaT == 0:
                left = 1 - (step - first) / (last - first)
                # The cubic schedule of the paper's equation 12.
                self._allocate(modules, initial - int((initial - target) * left**3 + target))
            elif step >= last:
                kept = sum(float(module.get_buffer("rank_mask").sum()) for module in modules)
                # Later than `last` only where fp16 threw that step away.
                if step == last or kept > target:
                    self._allocate(modules, initial - target)
                for module in modules:
                    _parameter(module, "E").mul_(module.rank_mask)

    def _measure(self, modules: list[nn.Module]) -> None:
        """Averages |weight x gradient| and its distance from that average: equations 8 to 10 of the paper."""
        beta1, beta2 = self.config.beta1, self.config.beta2
        for module in modules:
            for part in PARTS:
                own = _parameter(module, part)
                if own.grad is None:
                    continue  # does not train in this phase
                now = (own * own.grad).abs()
                mean = module.get_buffer(f"sensitivity_{part}")
                mean.copy_(beta1 * mean + (1 - beta1) * now)
                stray = module.get_buffer(f"uncertainty_{part}")
                stray.copy_(beta2 * stray + (1 - beta2) * (now - mean).abs())

    def _allocate(self, modules: list[nn.Module], surplus: int) -> None:
        """Masks the `surplus` triplets of the lowest scores: equations 7 and 11 of the paper."""
        import torch

        if surplus < 1:
            return
        scores = [_scores(module) for module in modules]
        threshold = torch.kthvalue(torch.cat(scores), surplus).values
        for module, score in zip(modules, scores, strict=True):
            mask = module.get_buffer("rank_mask")
            mask.copy_((score > threshold).view_as(mask))
            _parameter(module, "E").mul_(mask)


def _parameter(module: nn.Module, part: str) -> Any:
    return getattr(module, f"lora_{part}")["default"]


def _scores(module: nn.Module) -> torch.Tensor:
    """Returns each triplet's importance: that of E's entry and the means of P's column and Q's row, (init_r,)."""
    a, e, b = (
        module.get_buffer(f"sensitivity_{part}") * module.get_buffer(f"uncertainty_{part}") for part in PARTS
    )
    import torch

    sides = torch.cat([a.mean(dim=1, keepdim=True), b.mean(dim=0).view(-1, 1)], dim=1)
    return e.view(-1) + sides.sum(dim=1)
