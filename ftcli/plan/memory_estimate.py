"""Bytes a training step needs: weights, gradients and optimizer counted, activations estimated."""

from __future__ import annotations

from typing import Any

from ftcli.plan.anatomy import Anatomy
from ftcli.plan.plan import Phase

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""A value of each dtype takes."""


def bytes_needed(
    anatomy: Anatomy,
    phase: Phase,
    hf_config: Any,
    *,
    rows: int,
    tokens: int,
    precision: str,
    checkpointing: bool,
) -> dict[str, int]:
    """Returns bytes of weights, gradients, optimizer state and activations in a phase.

    Activations follow Korthikanti et al., 2022 (arXiv:2205.05198, section 4): `s b h (34 + 5 a s / h)`
    bytes a layer in half precision, with s tokens, b rows, h the hidden size and a heads; twice that in
    fp32, and `2 s b h` for a checkpointed layer. Layers below the lowest trained one keep nothing.

    Args:
        anatomy: the model.
        phase: decides gradients, optimizer state and the layers that keep activations.
        hf_config: the architecture's sizes.
        rows: of a micro-batch.
        tokens: of a row.
        precision: fp32, bf16 or fp16.
        checkpointing: activations are recomputed.
    """
    layers = _layers_in_backward(anatomy, phase, hf_config)
    layer = _activation_bytes(hf_config, rows, tokens, checkpointing=checkpointing)
    element = 2 if precision == "fp32" else 1
    return {
        "weights": sum(t.numel * BYTES.get(t.dtype, 4) for t in anatomy.tensors),
        "gradients": phase.num_trainable_parameters * 4,
        "optimizer": optimizer_bytes(phase),
        "activations": int(layer * element * layers),
    }


def _activation_bytes(hf_config: Any, rows: int, tokens: int, *, checkpointing: bool) -> float:
    """Returns bytes of one layer's activations in half precision."""
    hidden = int(getattr(hf_config, "hidden_size", 0) or getattr(hf_config, "n_embd", 0) or 0)
    heads = int(getattr(hf_config, "num_attention_heads", 0) or 1)
    return tokens * rows * hidden * (2 if checkpointing else 34 + 5 * heads * tokens / max(hidden, 1))


def _layers_in_backward(anatomy: Anatomy, phase: Phase, hf_config: Any) -> int:
    """Returns how many layers keep activations: those from the lowest trained one up."""
    trained = {t.unit for t in anatomy.tensors if t.name in set(phase.trainable)}
    units = [anatomy.embeddings, *anatomy.blocks]
    lowest = next((i for i, unit in enumerate(units) if unit.name in trained), len(units))
    layers = len(anatomy.blocks) - max(lowest - 1, 0)
    if layers and anatomy.model_type == "albert":  # one block, used many times
        return int(getattr(hf_config, "num_hidden_layers", 0) or len(anatomy.blocks))
    return layers


def optimizer_bytes(phase: Phase, *, unknown: int = 2) -> int:
    """Returns bytes of the optimizer's state in a phase, fp32.

    Args:
        phase: says what trains, and by which optimizer.
        unknown: values a parameter where the optimizer does not say how many it keeps.
    """
    slots = phase.optimizer.config.state_slots
    return phase.num_trainable_parameters * 4 * (unknown if slots is None else slots)
