"""What prompt tuning, P-tuning and prefix tuning share: fields, the prompt's place, the names in plain peft.

The model keeps its class. peft's own prompt encoder becomes a submodule of the base, `prompt_embeddings`,
so that it stands in the anatomy's embeddings; hooks put what it gives before every row:

    ours                              in the model that peft.get_peft_model makes
    bert.prompt_embeddings.<rest>     prompt_encoder.default.<rest>
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ftcli.batching.head import of_head
from ftcli.config.schema import PeftConfig
from ftcli.errors import ConfigError, Problem
from ftcli.peft._targets import MAX_WIDTH
from ftcli.plan.adapters import PeftResult
from ftcli.plan.units import base_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn

    from ftcli.batching.head import Head

PLACE = "prompt_embeddings"
"""Name of the prompt encoder in the base model."""
PROMPTED = (
    "albert", "bert", "bloom", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "gpt2",
    "gpt_neo", "gpt_neox", "llama", "mistral", "modernbert", "mpnet", "opt", "qwen2", "qwen3", "roberta",
    "xlm-roberta",
)  # fmt: skip
"""`model_type`s on which a prompt before the rows gives plain peft's numbers, and padding changes none."""


@dataclass(kw_only=True, slots=True)
class SoftPromptConfig(PeftConfig):
    uncheckpointed: ClassVar[str] = (
        "the blocks train nothing and run in eval mode, where transformers keeps all activations"
    )

    num_virtual_tokens: int = 20
    """Length of the prompt, at least 1; it takes as many of the model's positions from the rows."""

    @property
    def num_positions(self) -> int:
        """Positions of the model that no row can have."""
        return self.num_virtual_tokens

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        return within(self, "num_virtual_tokens", 20)


def within(config: Any, name: str, example: int, most: int = MAX_WIDTH) -> list[Problem]:
    """Returns the problem of a number below 1 or above `most`; None is none."""
    value = getattr(config, name)
    if value is None or 1 <= value <= most:
        return []
    message = f"{value} is not a whole number from 1 to {most:,}"
    return [Problem(f"peft.{name}", message, f"peft.{name}={example}")]


def require_architecture(model: nn.Module, known: Sequence[str], method: str, why: str = "") -> None:
    """Raises ConfigError where the method is not known to work on the model's architecture."""
    kind = str(getattr(getattr(model, "config", None), "model_type", ""))
    if kind in known:
        return
    message = f"{method} is not for {kind or type(model).__name__} models" + (f": {why}" if why else "")
    hint = f"type peft=lora, or choose a model of {', '.join(known)}"
    raise ConfigError(Problem("peft", message, hint))


def describe(config_class: Any, model: Any, head: Head | None, **fields: Any) -> Any:
    """Returns peft's own config with all sizes stated, so that peft has nothing to guess.

    Args:
        config_class: of peft, such as PromptTuningConfig.
        model: a transformers model.
        head: of the model; without a task type in it, peft cannot build the prompt and no export is possible.
        fields: of the config.
    """
    return config_class(
        task_type=head and head.peft_task_type,
        num_transformer_submodules=1,
        num_layers=model.config.num_hidden_layers,
        **fields,
    )


@contextmanager
def drawing(model: nn.Module, seed: int) -> Iterator[None]:
    """New tensors on the model's device, drawn from `seed`; the global generator stays as it was."""
    import torch

    with torch.random.fork_rng(devices=[]), next(model.parameters()).device:
        # torch.manual_seed would also seed the GPUs, which fork_rng does not restore here.
        torch.random.default_generator.manual_seed(seed)
        yield


def result(model: nn.Module, encoder: nn.Module, described: Any, decisions: Sequence[str]) -> PeftResult:
    """Registers the encoder in the base and says what the trainer and an export need of it."""
    prefix = f"{base_prefix(model)}.{PLACE}"
    encoder.float()
    model.get_submodule(base_prefix(model)).add_module(PLACE, encoder)
    names = {f"{prefix}.{name}": f"prompt_encoder.default.{name}" for name, _ in encoder.named_parameters()}
    return PeftResult(
        model,
        frozenset(names),
        tuple(decisions),
        peft_config=described if described.task_type else None,
        peft_names=names,
    )


def counted(encoder: nn.Module, head: Head | None) -> str:
    """Returns the end of the line that says what trains."""
    count = sum(p.numel() for p in encoder.parameters())
    return f"{count:,} parameters of the prompt; the base is frozen, {of_head(head)}"


class Prompted:
    """Hooks that put a soft prompt before every row, in front of the model's own embeddings.

    peft concatenates `inputs_embeds`, so that GPT-2 and its like see no ids and score the last column,
    PAD or not. Here the ids are extended by a token that is not PAD, and the word embedding's output
    there is replaced by the prompt: positions and masks come out as in peft, and a classifier still finds
    the last real token. On rows without padding both give the same numbers.

    The prompt stands in the first columns, before padding on the left, as in peft. Outputs for its
    tokens are cut off.

    Args:
        model: a transformers model with a head; it gets the hooks.
        encoder: place numbers (1, num_virtual_tokens) int64 -> (1, num_virtual_tokens, dim).
        num_virtual_tokens: length of the prompt.
        head: of the model; says which outputs have a value for each token. None: none of them has.
    """

    def __init__(self, model: Any, encoder: nn.Module, num_virtual_tokens: int, head: Head | None) -> None:
        self.encoder, self.count = encoder, num_virtual_tokens
        self.placeholder = _placeholder(model.config)
        self.per_token = head.outputs if head is not None and head.per_token else ()
        self.open = False
        """Whether the model's forward is under way and its embeddings are still to come."""
        # Bound methods: a copy of the model takes its own encoder along.
        model.register_forward_pre_hook(self.extend, with_kwargs=True)
        model.get_input_embeddings().register_forward_hook(self.fill)
        model.register_forward_hook(self.cut, always_call=True)
        model.num_virtual_tokens = num_virtual_tokens

    def extend(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Widens ids, mask and token types, (..., seq_len) -> (..., num_virtual_tokens + seq_len)."""
        import torch

        assert not args and "input_ids" in kwargs, "tasks name their inputs"
        for name, value in (("input_ids", self.placeholder), ("attention_mask", 1), ("token_type_ids", 0)):
            tensor = kwargs.get(name)
            if tensor is not None:
                more = tensor.new_full((*tensor.shape[:-1], self.count), value)
                kwargs[name] = torch.cat([more, tensor], -1)
        self.open = True
        return args, kwargs

    def fill(self, module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor | None:
        """Replaces the placeholders' embeddings, (batch, num_virtual_tokens, dim) of the output."""
        import torch

        if not self.open:
            return None
        self.open = False
        prompt = self.encoder(torch.arange(self.count, device=output.device)[None]).to(output.dtype)
        return torch.cat([prompt.expand(len(output), -1, -1), output[:, self.count :]], 1)

    def cut(self, model: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Takes the prompt's own tokens out of outputs that have one value a token, in place."""
        if output is None:  # the forward failed
            self.open = False
            return
        assert not self.open, "the word embeddings were not called"
        for name in self.per_token:
            output[name] = output[name][:, self.count :]


def _placeholder(hf_config: Any) -> int:
    """Returns the lowest id that means nothing to an architecture; its embedding is never used."""
    special = {getattr(hf_config, f"{name}_token_id", None) for name in ("pad", "bos", "eos", "cls", "sep")}
    return next(i for i in range(len(special) + 1) if i not in special)
