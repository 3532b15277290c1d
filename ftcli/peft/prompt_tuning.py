"""Prompt tuning (Lester et al., 2021, arXiv:2104.08691): tokens before every row whose embeddings are learned."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from ftcli.batching.protocols import text_encoder
from ftcli.config.registry import register
from ftcli.errors import ConfigError, Problem
from ftcli.peft._soft_prompt import (
    PROMPTED,
    Prompted,
    SoftPromptConfig,
    counted,
    describe,
    drawing,
    require_architecture,
    result,
)
from ftcli.plan.adapters import PeftResult

if TYPE_CHECKING:
    from torch import nn

    from ftcli.batching.head import Head
    from ftcli.batching.protocols import Tokenizer

TEXT = "peft.prompt_tuning_init_text"
EXAMPLE = f"type '{TEXT}=\"Is this review positive or negative?\"'"


class PromptTuningInit(Enum):
    sample_vocab = "sample_vocab"
    random = "random"
    text = "text"


@dataclass(kw_only=True, slots=True)
class PromptTuningConfig(SoftPromptConfig):
    prompt_tuning_init: PromptTuningInit = PromptTuningInit.sample_vocab
    """sample_vocab: embeddings of tokens drawn from the vocabulary; text: of prompt_tuning_init_text;
    random: uniform in [-0.5, 0.5], the paper's weakest."""
    prompt_tuning_init_text: str | None = None
    """Text whose tokens' embeddings the prompt begins as, repeated or cut to its length."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        problems = SoftPromptConfig.problems(self)
        wanted = self.prompt_tuning_init is PromptTuningInit.text
        if wanted and not (self.prompt_tuning_init_text or "").strip():
            problems.append(Problem(TEXT, "prompt_tuning_init=text needs a text", EXAMPLE))
        if not wanted and self.prompt_tuning_init_text is not None:
            kind = self.prompt_tuning_init.value
            message = f"prompt_tuning_init={kind} reads no text"
            problems.append(Problem(TEXT, message, "type peft.prompt_tuning_init=text"))
        return problems


@register("peft", PromptTuningConfig)
def build(
    config: PromptTuningConfig,
    model: nn.Module,
    *,
    seed: int,
    tokenizer: Tokenizer | None = None,
    head: Head | None = None,
) -> PeftResult:
    """Puts a learned prompt before every row of `model`, in place.

    Departs from peft where values begin: `random` is the paper's uniform draw instead of a standard normal
    one, which is 20 to 50 times as large as trained embeddings; `text` takes no special tokens. peft's config
    says `RANDOM` for `text`, as a reload takes the trained tensors and has no tokenizer.

    Args:
        config: length and beginning of the prompt.
        model: a transformers model with a head.
        seed: of what is drawn; torch's global generator is left untouched.
        tokenizer: read for prompt_tuning_init=text.
        head: of the model; None: its outputs have no place for each token, and peft has no class for it.

    Raises:
        ConfigError: an architecture that is not known to work, or a text without tokens.
    """
    import peft
    import torch

    require_architecture(model, PROMPTED, "prompt tuning")
    words: Any = model.get_input_embeddings()  # type: ignore[operator]
    sampled = config.prompt_tuning_init is PromptTuningInit.sample_vocab
    described = describe(
        peft.PromptTuningConfig,
        model,
        head,
        num_virtual_tokens=config.num_virtual_tokens,
        token_dim=words.weight.shape[1],
        num_attention_heads=model.config.num_attention_heads,  # type: ignore[union-attr]
        prompt_tuning_init="SAMPLE_VOCAB" if sampled else "RANDOM",
    )
    with drawing(model, seed), torch.no_grad():
        encoder = peft.PromptEmbedding(described, words)
        if config.prompt_tuning_init is PromptTuningInit.random:
            encoder.embedding.weight.uniform_(-0.5, 0.5)
        elif not sampled and words.weight.device.type != "meta":
            # On the meta device, as for a plan without weights, there are neither values nor a tokenizer.
            assert tokenizer is not None
            encoder.embedding.weight.copy_(words.weight[_ids(config, tokenizer)])
    Prompted(model, encoder, config.num_virtual_tokens, head)
    kind = config.prompt_tuning_init.value
    line = f"prompt tuning: {config.num_virtual_tokens} virtual tokens ({kind}), {counted(encoder, head)}"
    return result(model, encoder, described, [line])


def _ids(config: PromptTuningConfig, tokenizer: Tokenizer) -> list[int]:
    """Returns as many token ids as the prompt is long, without special tokens."""
    text = config.prompt_tuning_init_text
    ids: list[int] = text_encoder(tokenizer).backend(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise ConfigError(Problem(TEXT, f"{text!r} has no tokens", EXAMPLE))
    count = config.num_virtual_tokens
    return (ids * -(-count // len(ids)))[:count]
