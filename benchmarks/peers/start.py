"""Writes the model folder that every tool starts from, head included, and counts the rows' tokens.

A script: its argument is JSON with `model` (the pretrained folder), `to`, `seed`, `train` (the rows) and optionally
`dropout`; its last line is JSON. The head is drawn here, once, so that tools whose generators differ begin with the
same weights.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from rows import read
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging


def main(spec: dict[str, Any]) -> dict[str, Any]:
    logging.set_verbosity_error()
    torch.manual_seed(spec["seed"])
    config = AutoConfig.from_pretrained(spec["model"], num_labels=2)
    if "dropout" in spec:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = spec["dropout"]
    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    AutoModelForSequenceClassification.from_pretrained(spec["model"], config=config).save_pretrained(
        spec["to"]
    )
    tokenizer.save_pretrained(spec["to"])
    lengths = [len(ids) for ids, _ in read(spec["train"], tokenizer)]
    return {"tokens": sum(lengths), "squares": sum(length**2 for length in lengths)}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
