"""Tiny decoders with weights and a byte-level tokenizer, and texts for them."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tiny_models import WORDS

_WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
_LLAMA = {"model_type": "llama", **_WIDTH, "num_key_value_heads": 2, "max_position_embeddings": 64}
DECODERS = {
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "llama": {**_LLAMA, "tie_word_embeddings": False},
    "llama-tied": {**_LLAMA, "tie_word_embeddings": True},
    "gemma2": {
        "model_type": "gemma2", **_WIDTH, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 64,
        "final_logit_softcapping": 3.0, "sliding_window": 32,
    },
}  # fmt: skip
"""Name -> fields of config.json; Gemma 2 bounds its logits after the output projection."""
SIZE = 320
"""Tokens of the vocabulary; some words of the texts are several tokens."""
END, START = "<|endoftext|>", "<|start|>"


def texts(count: int, *, seed: int = 7, most: int = 30) -> list[str]:
    """Returns texts of 1 to `most` words, some with characters of several bytes."""
    draw = random.Random(seed)
    found = [" ".join(draw.choices(WORDS, k=draw.randint(1, most))) for _ in range(count)]
    return [text + draw.choice(["", " é", " 𝄞.", "!"]) for text in found]


def write_tokenizer(
    folder: Path, *, writes_start: bool = False, size: int = SIZE, specials: bool = True
) -> None:
    """Writes a byte-level BPE whose only other tokens are END (EOS, and so PAD) and START (BOS).

    Args:
        folder: where its files go.
        writes_start: a template writes BOS before every text, as Llama's does.
        size: of the vocabulary.
        specials: False: neither BOS nor EOS is declared.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END, START],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    if writes_start:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{START} $A", pair=f"{START} $A $B", special_tokens=[(START, backend.token_to_id(START))]
        )
    named = {"eos_token": END, "bos_token": START} if specials else {"unk_token": "!"}
    PreTrainedTokenizerFast(tokenizer_object=backend, **named).save_pretrained(folder)


def write_model(folder: Path, name: str = "gpt2", *, weights: bool = True, **tokenizer: bool | int) -> Path:
    """Writes a decoder with its tokenizer; `weights`: drawn wide, so that its logits are far from equal."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    folder.mkdir(parents=True, exist_ok=True)
    fields = {
        "vocab_size": tokenizer.get("size", SIZE),
        "initializer_range": 0.2,
        "bos_token_id": 1,
        "eos_token_id": 0,
        **DECODERS[name],
    }
    (folder / "config.json").write_text(json.dumps(fields))
    write_tokenizer(folder, **tokenizer)
    if weights:
        logging.disable_progress_bar()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    return folder


def write_rows(folder: Path, *, train: int = 40, validation: int = 12, most: int = 30) -> Path:
    """Writes train.jsonl and validation.jsonl with a column `text` and no labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count, seed in (("train", train, 7), ("validation", validation, 8)):
        lines = [json.dumps({"text": text}) for text in texts(count, seed=seed, most=most)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def words(place: Path, name: str = "gpt2", *own: str, weights: bool = True) -> list[str]:
    """Returns the words of a run of three steps on rows of which some are longer than a block."""
    model = write_model(place / name, name, weights=weights)
    rows = write_rows(place / "texts")
    return changed(["task=causal-lm", "model=local", f"model.path={model}", f"model.weights={'pretrained' if weights else 'random'}",
            "data=text", f"data.path={rows}", "tokenizer.max_length=24", "trainer.batch_size=8", "trainer.eval_batch_size=3",
            "trainer.max_steps=3", "trainer.precision=fp32", "trainer.threads=1", "model.dropout=0", "optimizer.lr=1e-2",
            "logger=jsonl", "data.accept=[overlap,near-overlap]"], *own)  # fmt: skip


def built(place: Path, name: str, *own: str, weights: bool = True):
    """Returns task, model, training table and tokenizer, as a run builds them."""
    from ftcli.config.compose import load
    from ftcli.run.session import RunSession

    session = RunSession(load(words(place, name, *own, weights=weights)).config)
    tables, made = session.tables, session.built
    return session.inputs.task, made.model, tables["train"], session.inputs.tokenizer


def batch_of(task, table, tokenizer, rows, side: str = "right"):
    """Returns the batch of some rows."""
    return task.collate(table, rows, pad_id=tokenizer.pad_id, padding_side=side)


def changed(words: list[str], *own: str) -> list[str]:
    """Returns words of which the later ones stand for earlier ones of the same key."""
    return list({word.partition("=")[0]: word for word in [*words, *own]}.values())
