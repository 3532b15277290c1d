"""Models whose outputs are the vocabulary's: the head comes from the files, and every token can be learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftcli.errors import Problem, SourceError
from ftcli.model.weights import Loaded, shorten

if TYPE_CHECKING:
    from ftcli.hub.resolve import Source


def vocabulary_head(loaded: Loaded, source: Source, seed: int, *, pretrained: bool) -> list[str]:
    """Makes sure that a language model can learn every token; returns lines on its head.

    Args:
        loaded: the model, changed in place.
        source: for messages.
        seed: of random weights.
        pretrained: the weights are those of files.

    Raises:
        SourceError: the files have no output projection.
    """
    if pretrained and loaded.fresh:
        message = f"{source.origin} lacks {shorten(loaded.fresh)}: it was not saved as a language model"
        hint = "choose a model saved with its language-model head, or set model.weights=random"
        raise SourceError(Problem(source.key, message, hint))
    _let_pad_learn(loaded.model, drawn=not pretrained)
    if not pretrained:
        return [f"all weights are random, drawn from seed {seed}"]
    return []


def _let_pad_learn(model: Any, *, drawn: bool) -> None:
    """Gives PAD's row of the word embeddings its gradient back, in place.

    `padding_idx` keeps the row from training, as transformers builds it. But PAD may be another token's id too, most often EOS, and the
    stop token of a text is learned. At padding itself no gradient arises: nothing attends to it. A row of random weights is 0 there, and with
    tied weights its logit would be 0 always.
    """
    import torch

    embeddings = model.get_input_embeddings()
    pad_id = getattr(embeddings, "padding_idx", None)
    if pad_id is None:
        return
    embeddings.padding_idx = None
    weight = embeddings.weight
    if drawn and not weight.is_meta and not bool(weight[pad_id].any()):
        draw = torch.Generator().manual_seed(pad_id)
        with torch.no_grad():
            row = torch.randn(weight.shape[1], generator=draw) * float(
                model.config.get_text_config().initializer_range
            )
            weight[pad_id] = row.to(weight.dtype)
