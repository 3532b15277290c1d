"""The ways in which an exported folder is run, and how far from the run each may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.export.reload import PADDED, UNPADDED

if TYPE_CHECKING:
    from ftcli.batching.head import Head
    from ftcli.export.inputs import Inputs
    from ftcli.inference.load import LoadedModel

CLOSE, HALF = 1e-5, 2e-2
"""Largest difference of a model of two layers, times max(1, largest |logit| of the place): of another order of operations, and of 16 bits."""
PREDICTED = 8e-2
"""Largest difference of a model of two layers between what `ftcli predict` gives with a base in bf16 and the folder in the dtype of its weights.

Measured on BERT, GPT-2 and Llama of width 192 with random weights of standard deviation 0.1, three logits, two seeds each: at most 4.8e-2 with
2 layers, 8.2e-2 with 6, 9.0e-2 with 12 and 1.4e-1 with 24; allowed, by the square root of depth, are 8.0e-2, 1.4e-1, 2.0e-1 and 2.8e-1.
"""
ENOUGH = 64
"""Sequences, at least, of the passes beside the first one, which takes all."""


@dataclass(slots=True)
class ExportedFolder:
    """A folder to be tried, and how plain libraries load it."""

    path: Path
    head: Head
    dtype: str
    base: str | None = None
    """Where the base model of an adapter is read."""
    exact: bool = True
    """Whether the same operations are done in the same order: not where adapters were merged."""
    last_column: bool = False
    """Whether plain peft reads the answer off the last column, so that padding must stay away."""

    @property
    def auto_class(self) -> str:
        """Name of the transformers class that loads it."""
        return self.head.auto_class


@dataclass(slots=True)
class Pass:
    """One way to run the folder, and how far it may be from the run."""

    attention: str
    shape: str
    tolerance: float
    every: int = 1
    """One of how many sequences of each batch is run."""
    predicted: str = ""
    """The precision in which `ftcli predict` runs the model, where its predictions are what is compared."""
    worst: float = 0.0
    """Largest |difference| / max(1, largest |logit| of the place)."""
    compared: int = 0
    """Numbers compared."""

    @property
    def key(self) -> str:
        """Its name among the outputs of `reload.py`."""
        return f"{self.attention}/{self.shape}"

    @property
    def name(self) -> str:
        """How messages and the model card name the pass."""
        how = "in the run's batches" if self.shape == PADDED else "one row at a time, unpadded"
        what = f", against ftcli predict in {self.predicted}" if self.predicted else ""
        return f"{self.attention} attention, {how}{what}"


def stride_of(inputs: Inputs) -> int:
    """Returns one of how many sequences is enough for the passes beside the first: they look for another order of operations."""
    return max(1, len(inputs.names) // ENOUGH)


def passes_of(folder: ExportedFolder, finished: LoadedModel, every: int) -> list[Pass]:
    """Returns the recorded way first, of all sequences, then one row at a time, then the other attention kind.

    Args:
        folder: to be tried.
        finished: the run, loaded.
        every: one of how many sequences of each batch the others take.
    """
    own = str(finished.model.config._attn_implementation)  # type: ignore[union-attr]
    held = finished.composed.config.model.dtype.value
    half = folder.dtype != "float32" or held != "float32"
    other = (HALF if half else CLOSE) * depth_factor(finished.model.config)
    same = 0.0 if folder.exact and folder.dtype == held else other
    if folder.last_column:
        return [Pass(own, UNPADDED, other)]
    ways = [Pass(own, PADDED, same), Pass(own, UNPADDED, other, every)]
    if getattr(finished.model, "_supports_sdpa", False):
        ways.append(Pass("sdpa" if own == "eager" else "eager", PADDED, other, every))
    return ways


def pass_as_predicted(first: Pass, finished: LoadedModel, every: int) -> Pass:
    """Returns the first pass once more, whose outputs are compared with what `ftcli predict` gives.

    Args:
        first: the run's own way.
        finished: the run, loaded.
        every: one of how many sequences of each batch is compared.
    """
    far = PREDICTED * depth_factor(finished.model.config)
    return Pass(first.attention, first.shape, far, every, finished.runtime.precision)


def depth_factor(config: Any) -> float:
    """Returns how much larger than of two layers the differences of a model may be.

    Rounding errors of layers add up as a random walk does, with the square root of their number. Measured on BERT and GPT-2 of width 384 with
    weights of standard deviation 0.1: 3.0e-6 with 2 layers, 6.8e-6 with 12 and 1.1e-5 with 24 (square roots: 7.3e-6 and 1.0e-5).
    """
    depths = (
        getattr(config, name, 0) for name in ("num_hidden_layers", "decoder_layers", "num_decoder_layers")
    )
    layers = sum(depth for depth in depths if isinstance(depth, int))
    return math.sqrt(max(2, layers) / 2)
