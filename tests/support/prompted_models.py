"""Small models of every architecture that takes soft prompts, and the methods on them."""

import torch
import transformers

from ftcli.batching.head import head_of
from ftcli.config.registry import lookup

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 40,
    "max_position_embeddings": 24, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2,
    "cls_token_id": 1,
}  # fmt: skip
GROUPED = {**SIZES, "num_key_value_heads": 1, "head_dim": 8}
"""Fewer heads of keys and values than of queries."""
_OLD = {name: SIZES[name] for name in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")}
OWN = {
    "albert": {**SIZES, "embedding_size": 12},
    "bloom": {**_OLD, "hidden_size": 16, "n_layer": 2, "n_head": 2},
    "distilbert": {**_OLD, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 24},
    "electra": {**SIZES, "embedding_size": 12},
    "gpt2": {**_OLD, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24},
    "gpt_neo": {**_OLD, "hidden_size": 16, "num_layers": 2, "num_heads": 2, "attention_types": [[["global"], 2]]},
    "opt": {**_OLD, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 24,
            "word_embed_proj_dim": 12, "max_position_embeddings": 24},
} | dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), GROUPED)  # fmt: skip
COUNT = 3


def make(kind, head="SequenceClassification", attention="eager"):
    config = transformers.AutoConfig.for_model(kind, **OWN.get(kind, SIZES), num_labels=2)
    torch.manual_seed(0)
    build = getattr(transformers, f"AutoModelFor{head}").from_config
    model = build(config, attn_implementation=attention).eval()
    for parameter in model.parameters():  # large enough that every token counts
        torch.nn.init.normal_(parameter, std=0.3)
    return model


HEADS = [
    head
    for task in ("sequence-classification", "token-classification", "extractive-qa", "multiple-choice")
    for head in lookup("task", task).build.heads
]


def apply(method, model, seed=5, **fields):
    entry = lookup("peft", method)
    config = entry.config_class(num_virtual_tokens=COUNT, **fields)
    return entry.build(config, model, seed=seed, head=head_of(HEADS, model))
