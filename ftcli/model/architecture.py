"""What an architecture's config says about lengths, padding and dropout.

Everything here reads the Hugging Face config alone, so that it holds before a model is built.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftcli.errors import ConfigError, Problem

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Their position ids start at pad_token_id + 1 (`create_position_ids_from_input_ids` in transformers), and the
# table has max_position_embeddings rows. BART's and OPT's offset of 2 is added to their table instead.
_POSITIONS_START_AFTER_PAD = {
    "camembert", "data2vec-text", "esm", "ibert", "lilt", "longformer", "luke", "markuplm", "mpnet",
    "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
# Distances between tokens, no table of absolute positions.
_RELATIVE_ONLY = {"bloom", "funnel", "mpt", "mt5", "t5", "umt5", "xlnet"}
_RELATIVE_UNLESS_BIASED = {"deberta", "deberta-v2"}

# hidden_dropout_prob, attention_dropout, resid_pdrop, summary_first_dropout, dropout_rate, ...; not
# layerdrop, which drops whole layers.
_DROPOUT_FIELD = re.compile(r"(.*_)?(dropout|pdrop)(_prob|_rate|_p)?")


def positions_start_after_pad(hf_config: PreTrainedConfig) -> bool:
    """Says whether the PAD id decides where positions start, as in RoBERTa."""
    return hf_config.model_type in _POSITIONS_START_AFTER_PAD


def max_positions(hf_config: PreTrainedConfig) -> int | None:
    """Returns the most tokens, special ones included, a row may have; None where no length is too long.

    Of an image model it is the patches of an image of its own size.

    For rotary positions (Llama, Qwen2) it is the length the model was made for; nothing breaks beyond it, but
    nothing was trained there either.
    """
    kind = hf_config.model_type
    text_config = hf_config.get_text_config()
    size = getattr(text_config, "max_position_embeddings", None)
    if not hasattr(text_config, "vocab_size"):
        return _num_patches(hf_config)
    if kind in _RELATIVE_ONLY or not isinstance(size, int) or size <= 0:
        return None
    if kind in _RELATIVE_UNLESS_BIASED and not getattr(hf_config, "position_biased_input", True):
        return None
    if positions_start_after_pad(hf_config):
        pad_id = hf_config.pad_token_id
        return size - (1 if pad_id is None else pad_id) - 1
    return size


def _num_patches(hf_config: PreTrainedConfig) -> int | None:
    size, patch = getattr(hf_config, "image_size", None), getattr(hf_config, "patch_size", None)
    if not size or not patch:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    down, across = (patch, patch) if isinstance(patch, int) else patch
    return max(1, (height // down) * (width // across))


def padding_side(hf_config: PreTrainedConfig) -> str:
    """Returns the side padding belongs on for sequence classification.

    Right for encoders, whose positions count from the left, and for decoders too: transformers' decoder
    classifiers score the rightmost token that is not PAD, so the last real token wherever padding stands, and
    right padding keeps each real token on its own position without position ids. XLNet scores the last place
    of the row as it is, so its padding goes left.
    """
    return "left" if hf_config.model_type == "xlnet" else "right"


def set_dropout(hf_config: PreTrainedConfig, probability: float) -> list[str]:
    """Sets every dropout probability the architecture has, in place.

    Returns:
        The names of the fields that were set.

    Raises:
        ConfigError: `probability` is outside [0, 1), or the architecture has no dropout.
    """
    if not 0.0 <= probability < 1.0:
        raise ConfigError(Problem("model.dropout", f"is {probability}; expected a probability in [0, 1)"))
    names = [
        n
        for n, value in hf_config.to_dict().items()
        if _DROPOUT_FIELD.fullmatch(n) and _is_probability(value)
    ]
    if not names:
        message = f"the architecture {hf_config.model_type} has no dropout"
        raise ConfigError(Problem("model.dropout", message, "leave model.dropout out"))
    for name in names:
        setattr(hf_config, name, probability)
    return names


def _is_probability(value: object) -> bool:
    # None stands for "as hidden_dropout_prob", for example in BERT's classifier_dropout.
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
