"""Writes a GPT-2 with random weights, a tokenizer and rows of SST-2's form. Argument and last line are JSON.

`to`: the folder; `rows`: how many to train on; `tiny`: two layers of width 32; `data`: a folder with sst2/train.tsv and
sst2/dev.tsv, or null for made-up rows. A byte-level BPE is trained on the rows, so that no file of a vocabulary is needed; the
embedding has GPT-2's 50,257 rows all the same.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast
from transformers.utils import logging

WORDS = 4000
DEV = 872


def made_up(count: int, draw: random.Random) -> list[tuple[str, int]]:
    """Returns rows whose lengths are spread as SST-2's phrases: many short ones, few of 30 words and more."""
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(WORDS)]
    rows = []
    for number in range(count):
        length = min(50, 1 + int(draw.expovariate(1 / 9)))
        rows.append(
            (
                " ".join(
                    [*draw.choices(words[:2000] if number % 2 else words[2000:], k=length), str(number)]
                ),
                number % 2,
            )
        )
    return rows


def real(folder: Path, name: str, count: int) -> list[tuple[str, int]]:
    lines = (folder / "sst2" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1 : count + 1]
    return [(text, int(label)) for text, label in (line.rsplit("\t", 1) for line in lines)]


def main(what: dict[str, Any]) -> dict[str, Any]:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    to, count, draw = Path(what["to"]), what["rows"], random.Random(1)
    dev = 32 if what["tiny"] else DEV
    parts = {"train": count, "validation": dev}
    if what["data"]:
        rows = {
            "train": real(Path(what["data"]), "train", count),
            "validation": real(Path(what["data"]), "dev", dev),
        }
    else:
        drawn = made_up(count + dev, draw)
        rows = {"train": drawn[:count], "validation": drawn[count:]}
    folder = to / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        lines = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in rows[part])]
        (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = to / "model"
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    trainer = trainers.BpeTrainer(vocab_size=400 if what["tiny"] else 20000, special_tokens=["<|endoftext|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)  # fmt: skip
    backend.train_from_iterator((text for text, _ in rows["train"]), trainer)
    end = "<|endoftext|>"
    PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=end, eos_token=end, unk_token=end, pad_token=end
    ).save_pretrained(model)
    shape = (
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "vocab_size": 400}
        if what["tiny"]
        else {}
    )
    torch.manual_seed(1)
    config = GPT2Config(num_labels=2, pad_token_id=0, bos_token_id=0, eos_token_id=0, **shape)
    GPT2ForSequenceClassification(config).save_pretrained(model)
    return {"model": str(model), "rows": str(folder), "real": bool(what["data"]), "count": count}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
