"""P-tuning (Liu et al., 2021, arXiv:2103.10385): a soft prompt that comes out of a small network."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from ftcli.config.registry import register
from ftcli.errors import Problem
from ftcli.peft._soft_prompt import (
    PROMPTED,
    Prompted,
    SoftPromptConfig,
    counted,
    describe,
    drawing,
    require_architecture,
    result,
    within,
)
from ftcli.plan.adapters import PeftResult

if TYPE_CHECKING:
    from torch import nn

    from ftcli.batching.head import Head
    from ftcli.batching.protocols import Tokenizer

MAX_LAYERS = 100
"""Of the LSTM."""


class Reparameterization(Enum):
    mlp = "mlp"
    lstm = "lstm"


@dataclass(kw_only=True, slots=True)
class PTuningConfig(SoftPromptConfig):
    encoder_reparameterization_type: Reparameterization = Reparameterization.mlp
    """mlp: three linear layers with ReLU; lstm: a bidirectional LSTM and two linear layers, as in the paper."""
    encoder_hidden_size: int | None = None
    """Width of the network. None: that of the word embeddings."""
    encoder_num_layers: int = 2
    """Layers of the LSTM; the MLP has its three."""
    encoder_dropout: float = 0.0
    """Dropout probability in [0, 1) between the LSTM's layers."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        problems = SoftPromptConfig.problems(self)
        problems += within(self, "encoder_hidden_size", 128)
        problems += within(self, "encoder_num_layers", 2, MAX_LAYERS)
        key, dropout = "peft.encoder_dropout", self.encoder_dropout
        lstm = "type peft.encoder_reparameterization_type=lstm"
        if not 0 <= dropout < 1:
            problems.append(Problem(key, f"{dropout} is not in [0, 1)", f"{key}=0.1"))
        if self.encoder_reparameterization_type is Reparameterization.mlp:
            if dropout:
                problems.append(Problem(key, "the MLP has no dropout", f"{lstm}, or {key}=0"))
            if self.encoder_num_layers != 2:
                layers = "peft.encoder_num_layers"
                problems.append(
                    Problem(layers, "the MLP always has its three layers", f"{lstm}, or {layers}=2")
                )
        elif dropout and self.encoder_num_layers == 1:
            message = "it stands between the LSTM's layers, and there is one"
            problems.append(Problem(key, message, "type peft.encoder_num_layers=2"))
        return problems


@register("peft", PTuningConfig)
def build(
    config: PTuningConfig,
    model: nn.Module,
    *,
    seed: int,
    tokenizer: Tokenizer | None = None,
    head: Head | None = None,
) -> PeftResult:
    """Puts a prompt before every row of `model`, in place; a network that trains computes it at each step.

    The whole prompt comes before the row, as in peft; the paper also spreads it over the row.

    Args:
        config: length of the prompt and shape of the network.
        model: a transformers model with a head.
        seed: of the network's weights; torch's global generator is left untouched.
        tokenizer: not used.
        head: of the model; None: its outputs have no place for each token, and peft has no class for it.

    Raises:
        ConfigError: an architecture that is not known to work.
    """
    import peft

    require_architecture(model, PROMPTED, "P-tuning")
    words: Any = model.get_input_embeddings()  # type: ignore[operator]
    width = words.weight.shape[1]
    described = describe(
        peft.PromptEncoderConfig,
        model,
        head,
        num_virtual_tokens=config.num_virtual_tokens,
        token_dim=width,
        num_attention_heads=model.config.num_attention_heads,  # type: ignore[union-attr]
        encoder_reparameterization_type=config.encoder_reparameterization_type.value.upper(),
        encoder_hidden_size=config.encoder_hidden_size or width,
        encoder_num_layers=config.encoder_num_layers,
        encoder_dropout=config.encoder_dropout,
    )
    with drawing(model, seed):
        encoder = peft.PromptEncoder(described)
    Prompted(model, encoder, config.num_virtual_tokens, head)
    kind = config.encoder_reparameterization_type.value.upper()
    line = f"P-tuning: {config.num_virtual_tokens} virtual tokens out of an {kind} of width {described.encoder_hidden_size}, {counted(encoder, head)}"
    return result(model, encoder, described, [line])
