"""What an architecture's config says about lengths, padding and dropout, and how a run changes it.

Everything here reads the Hugging Face config alone, so it works before a model is built.
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
DROPOUT_FIELD = re.compile(r"(.*_)?(dropout|pdrop)(_prob|_rate|_p)?")


def positions_start_after_pad(hf_config: PreTrainedConfig) -> bool:
    """Says whether the PAD id decides where positions start, as in RoBERTa."""
    return hf_config.model_type in _POSITIONS_START_AFTER_PAD


def max_positions(hf_config: PreTrainedConfig) -> int | None:
    """Returns the most tokens a row may have, special tokens included; None where there is no limit.

    For an image model it is the number of patches of an image of its configured size. For rotary positions (Llama,
    Qwen2) it is the length the model was trained for: a longer row runs, but at positions that were never trained.
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
    classifiers score the rightmost token that is not PAD, so the last real token on whichever side padding is, and
    right padding keeps each real token at its own position without position ids. XLNet scores the last position
    of the row whatever is there, so its padding goes left.
    """
    return "left" if hf_config.model_type == "xlnet" else "right"


def set_pad_id(hf_config: PreTrainedConfig, pad_id: int, *, trained: bool) -> list[str]:
    """Writes the PAD id into the config, in place; an image model reads no tokens and has none.

    RoBERTa-like models read their position table from pad_id + 1 on, so the table's size has to follow.

    Args:
        hf_config: of the model.
        pad_id: of the tokenizer.
        trained: whether weights are loaded: trained positions cannot move.

    Returns:
        A line where the position table was resized.

    Raises:
        ConfigError: outside the vocabulary, or trained positions would be shifted.
    """
    text_config = hf_config.get_text_config()
    if not hasattr(text_config, "vocab_size"):
        return []
    if not 0 <= pad_id < text_config.vocab_size:
        message = f"the PAD id {pad_id} is outside the model's vocabulary of {text_config.vocab_size}"
        raise ConfigError(Problem("tokenizer", message))
    lines = []
    if positions_start_after_pad(hf_config) and pad_id != hf_config.pad_token_id:
        if trained:
            raise ConfigError(_shifted_positions(hf_config, pad_id))
        rows = (max_positions(hf_config) or 0) + pad_id + 1
        hf_config.max_position_embeddings = rows
        lines.append(f"{rows} rows of positions, as they start after the PAD id {pad_id}")
    hf_config.pad_token_id = pad_id
    text_config.pad_token_id = pad_id
    return lines


def _shifted_positions(hf_config: PreTrainedConfig, pad_id: int) -> Problem:
    message = (
        f"the tokenizer's PAD id is {pad_id} and the model's {hf_config.pad_token_id}; "
        f"{hf_config.model_type} counts positions from it, so the trained ones would be shifted"
    )
    return Problem("tokenizer", message, "use the model's own tokenizer: tokenizer=auto")


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
        n for n, value in hf_config.to_dict().items() if DROPOUT_FIELD.fullmatch(n) and _is_probability(value)
    ]
    if not names:
        message = f"the architecture {hf_config.model_type} has no dropout"
        raise ConfigError(Problem("model.dropout", message, "leave model.dropout out"))
    for name in names:
        setattr(hf_config, name, probability)
    return names


def _is_probability(value: object) -> bool:
    # None means "as hidden_dropout_prob", for example in BERT's classifier_dropout.
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
