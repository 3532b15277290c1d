"""Model folders as an attacker or an accident may leave them: config, tokenizer and weights, spoiled one at a time."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import tiny_exports
from spoiled_configs import NUMBERS, code, config_with, labels, layers, number_of, odd_field, quantised, sizes
from spoiled_files import Spoil, nested, text_of
from spoiled_tokenizers import TOKENIZERS, other_files, processor, tokenizer, tokenizer_config
from spoiled_weights import WEIGHTS, shard_index, weights

ARCHITECTURES = (
    "bert",
    "roberta",
    "distilbert",
    "deberta-v2",
    "albert",
    "gpt2",
    "llama",
    "opt",
    "bart",
    "vit",
)


def hostile_models(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Path]]:
    """Writes hostile model folders one at a time, the same for the same seed; each is removed when the next is asked for.

    Args:
        folder: new or empty; the whole models that are spoiled are kept in it too.
        count: how many; some 300 have every category on most architectures.
        seed: chooses architecture and values.

    Yields:
        Its name, `NUMBER-CATEGORY-ARCHITECTURE`, and the folder.
    """
    draw = random.Random(seed)
    for number in range(count):
        category = list(CATEGORIES)[number % len(CATEGORIES)]
        of_texts = category.startswith("tokenizer")
        architecture = draw.choice(ARCHITECTURES[:-1] if of_texts else ARCHITECTURES)
        if category.startswith("processor"):
            architecture = "vit"
        name = f"{number:03}-{category}-{architecture}"
        place = folder / name
        shutil.copytree(tiny_exports.write_weights(folder / "whole" / architecture, architecture), place)
        CATEGORIES[category](place, draw)
        yield name, place
        shutil.rmtree(place)


CATEGORIES: dict[str, Spoil] = {
    **{f"config-{kind}": number_of(kind) for kind in NUMBERS},
    "config-layers": layers, "config-sizes": sizes, "config-code": code, "config-quantised": quantised, "config-labels": labels,
    **{f"config-field-{i}": odd_field for i in range(12)},
    "config-deep-lists": nested("config.json", 100_000), "config-deep-objects": nested("config.json", 900, "{"),
    "config-empty": text_of("config.json", ""), "config-list": text_of("config.json", "[]"), "config-binary": text_of("config.json", b"\xff\xfe\x00\x01"),
    "config-type-path": config_with(model_type="../../etc/passwd"), "config-type-markup": config_with(model_type="\x1b[2J[red]x"), "config-type-number": config_with(model_type=7),
    "config-type-other": config_with(model_type="clip"), "config-type-rare": config_with(model_type="mamba"), "config-large": text_of("config.json", '{"a": "' + "x" * 20_000_000 + '"}'),
    **{f"weights-{kind}": weights(kind) for kind in WEIGHTS},
    "weights-index-1": shard_index, "weights-index-2": shard_index, "weights-index-3": shard_index,
    **{f"tokenizer-{kind}": tokenizer(kind) for kind in TOKENIZERS},
    **{f"tokenizer-config-{i}": tokenizer_config for i in range(8)},
    **{f"tokenizer-files-{i}": other_files for i in range(4)},
    "tokenizer-deep": nested("tokenizer.json", 100_000), "tokenizer-config-deep": nested("tokenizer_config.json", 100_000), "tokenizer-text": text_of("tokenizer.json", "{"),
    "processor-1": processor, "processor-2": processor, "processor-3": processor, "processor-deep": nested("preprocessor_config.json", 100_000),
}  # fmt: skip
"""Name -> what it does to a whole model's folder."""
