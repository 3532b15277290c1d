"""Floating-point operations that training asks of an encoder, for a useful token: what share of a machine's peak a rate is.

A matrix of P weights takes 2 P operations a token forward, 2 P for the gradient of its input and 2 P for that of its
weights: 6 P in all (Kaplan et al., 2020, arXiv:2001.08361, section 2.1; Chowdhery et al., 2022, arXiv:2204.02311,
appendix B). A layer of width d and inner width f has P = 4 d^2 + 2 d f. Attention has no weights; in a row of n tokens its
two products take 4 n d a layer forward and twice that backward, 12 n d (appendix B there: 12 H Q T). n is the mean over
tokens, sum(n^2) / sum(n). With L layers, a token takes

- full fine-tuning: L (6 P + 12 n d);
- LoRA of rank r on t square matrices a layer: L (4 P + 12 n d + 6 * 2 t d r), for frozen matrices have no gradient of their own;
- the top k layers: (L - k) (2 P + 4 n d) + k (6 P + 12 n d), for what is frozen below is forward alone.

Left out: embeddings, pooler and head (once a row or no products), norms, softmax, dropout and the optimizer, and
the few products that the lowest trained layer saves. The phases of a schedule count as if nothing were kept: where activations are,
the share says what a run without them would have needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """What the count depends on."""

    layers: int
    width: int
    inner: int
    length: float
    """Tokens of a row, the mean over tokens: sum(n^2) / sum(n)."""

    @classmethod
    def of(cls, model: Path, length: float) -> Encoder:
        """Reads a BERT's config.json."""
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        return cls(
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            inner=config["intermediate_size"],
            length=length,
        )

    @property
    def weights(self) -> int:
        """Weights of a layer's matrices."""
        return 4 * self.width**2 + 2 * self.width * self.inner

    @property
    def attention(self) -> float:
        """Operations of a layer's attention a token, forward."""
        return 4 * self.length * self.width

    def full(self) -> float:
        return self.top(self.layers)

    def lora(self, r: int, targets: int) -> float:
        adapters = 2 * targets * self.width * r
        return self.layers * (4 * self.weights + 3 * self.attention + 6 * adapters)

    def top(self, trained: int) -> float:
        """Of a step in which only the top layers train; 0: the head alone."""
        frozen = (self.layers - trained) * (2 * self.weights + self.attention)
        return frozen + trained * (6 * self.weights + 3 * self.attention)
