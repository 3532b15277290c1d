"""Files of tokenizers and image processors as an attacker or an accident may leave them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spoiled_files import Spoil, change, read


def tokenizer(kind: str) -> Spoil:
    def spoil(place: Path, draw: random.Random) -> None:
        values = read(place, "tokenizer.json")
        vocab = values["model"]["vocab"]
        first = next(iter(vocab))
        bomb = {
            "type": "Split",
            "pattern": {
                "Regex": draw.choice(
                    [
                        "(a*)*b",
                        "((.*)*)*!",
                        "(\\w+\\s?)+$",
                        "(?:(?:a|.)*)*#",
                        "(",
                        "\\p{Evil}",
                        "(?R)",
                        "a{999999}{999999}",
                    ]
                )
            },
            "behavior": "Isolated",
            "invert": False,
        }
        nested: Any = {"type": "Lowercase"}
        for _ in range(draw.choice([50, 500, 20_000])):
            nested = {"type": "Sequence", "normalizers": [nested]}
        cases: dict[str, Callable[[], Any]] = {
            "ids-int32": lambda: vocab.update({first: 2**31 + 1}),
            "ids-int64": lambda: vocab.update({first: 2**64}),
            "ids-negative": lambda: vocab.update({first: -1}),
            "ids-text": lambda: vocab.update({first: "x"}),
            "ids-equal": lambda: vocab.update(dict.fromkeys(list(vocab)[:5], 3)),
            "vocab-huge": lambda: vocab.update({f"w{i}": len(vocab) + i for i in range(300_000)}),
            "vocab-empty": lambda: values["model"].update(vocab={}),
            "vocab-long": lambda: vocab.update({"x" * 5_000_000: len(vocab)}),
            "vocab-control": lambda: vocab.update({"\x1b[2J[red]x[/red]\u202e": vocab.pop(first)}),
            "vocab-list": lambda: values["model"].update(vocab=list(vocab)),
            "regex": lambda: values.update(pre_tokenizer=bomb),
            "normalizer-regex": lambda: values.update(normalizer={"type": "Replace", "pattern": bomb["pattern"], "content": "x" * 1000}),
            "normalizer-grows": lambda: values.update(normalizer={"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}] * 12}),
            "normalizer-charsmap": lambda: values.update(normalizer={"type": "Precompiled", "precompiled_charsmap": draw.choice(["", "AAAA", "/////w==", "!!"])}),
            "post-ids": lambda: values.update(post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 2**31}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 9}}], "special_tokens": {"x": {"id": "x", "ids": [10**6] * 3, "tokens": ["x"] * 3}}}),
            "post-many": lambda: values.update(post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}] * 600 + [{"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"x": {"id": "x", "ids": [1], "tokens": ["x"]}}}),
            "post-none": lambda: values.update(post_processor={"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}),
            "added-many": lambda: values.update(added_tokens=[{"id": 40 + i, "content": f"<{i}>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for i in range(20_000)]),
            "added-empty": lambda: values.update(added_tokens=[{"id": 0, "content": "", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}]),
            "added-beyond": lambda: values["added_tokens"].append({"id": 2**31, "content": "<beyond>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}),
            "truncation": lambda: values.update(truncation={"direction": "Right", "max_length": draw.choice([0, 2**62]), "strategy": "LongestFirst", "stride": 2**40}),
            "padding": lambda: values.update(padding={"strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": 0, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}),
            "kind": lambda: values.update(model=draw.choice([{"type": "Evil"}, {}, 7, {"type": "Unigram", "vocab": [], "unk_id": 7}, {"type": "Unigram", "vocab": [["a", "nan"]]}, {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}, {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}, {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "x", "max_input_chars_per_word": -1, "continuing_subword_prefix": ""}])),
            "unk": lambda: values["model"].update(unk_token="not there"),
            "version": lambda: values.update(version=draw.choice([7, "9.9", None])),
            "null": lambda: values.update(pre_tokenizer=None, normalizer=None, post_processor=None, decoder=None, model=None),
            "unigram-scores": lambda: values.update(model={"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", 1e308], ["b", -1e308], ["", 0.0]]}),
            "bpe-dropout": lambda: values.update(model={"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]], "dropout": 0.5}),
        }  # fmt: skip
        if kind == "normalizer-deep":
            values["normalizer"] = "@"
            text = json.dumps(values).replace('"@"', _nested_text(draw.choice([50, 500, 20_000])))
        else:
            cases[kind]()
            text = json.dumps(values)
        (place / "tokenizer.json").write_text(text, encoding="utf-8")

    return spoil


def _nested_text(depth: int) -> str:
    return '{"type":"Sequence","normalizers":[' * depth + '{"type":"Lowercase"}' + "]}" * depth


TOKENIZERS = ("ids-int32", "ids-int64", "ids-negative", "ids-text", "ids-equal", "vocab-huge", "vocab-empty", "vocab-long", "vocab-control", "vocab-list",
              "regex", "normalizer-regex", "normalizer-grows", "normalizer-charsmap", "normalizer-deep", "post-ids", "post-many", "post-none", "added-many",
              "added-empty", "added-beyond", "truncation", "padding", "kind", "unk", "version", "null", "unigram-scores", "bpe-dropout")  # fmt: skip


def tokenizer_config(place: Path, draw: random.Random) -> None:
    values: dict[str, Any] = {
        "tokenizer_class": draw.choice(["Evil", 7, "PreTrainedTokenizer", "../x", "TikTokenTokenizer", "BertTokenizer", "T5Tokenizer", "LlamaTokenizer"]),
        "model_max_length": draw.choice([-1, 0, 2**70, "x", float("nan"), None]), "pad_token": draw.choice([7, "not there", {"content": 7}, {"__type": "AddedToken", "content": ""}, []]),
        "added_tokens_decoder": draw.choice([{"0": {"content": "x"}}, {"x": 7}, 7, {str(2**40): {"content": "y", "special": True}}, {"-1": {"content": "z"}}]),
        "extra_special_tokens": draw.choice([{"a": "x"}, ["<new>"] * 3, 7, {"__class__": "x"}]), "chat_template": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "split_special_tokens": "x", "padding_side": "up", "truncation_side": 7, "do_lower_case": "x", "vocab_file": "/etc/passwd", "tokenizer_file": "/etc/passwd",
        "name_or_path": "http://127.0.0.1:9/x", "sp_model_kwargs": {"model_file": "/etc/passwd"}, "from_slow": True, "backend": "evil", "use_fast": False, "fix_mistral_regex": True,
        "unk_token": draw.choice([None, 7, "not there"]), "eos_token": draw.choice([None, [1], "not there"]), "add_bos_token": "x", "legacy": "x", "clean_up_tokenization_spaces": 7,
    }  # fmt: skip
    name = draw.choice(sorted(values))
    change(place, "tokenizer_config.json", **{name: values[name]})


def other_files(place: Path, draw: random.Random) -> None:
    (place / "tokenizer.json").unlink()
    kinds: dict[str, bytes] = {
        "spiece.model": draw.choice([b"", b"\x00" * 100, draw.randbytes(300), b"\x0a" + b"\xff" * 50]), "tokenizer.model": draw.randbytes(300),
        "vocab.txt": draw.choice([b"", b"\xff\xfe\x00", b"a\n" * 5000, b"[UNK]\n" + b"x" * 3_000_000]), "sentencepiece.bpe.model": b"IQ== 0\nIg== 1\n", "vocab.tiktoken": b"IQ== 0\n",
    }  # fmt: skip
    name = draw.choice([*sorted(kinds), "vocab.json"])
    if name == "vocab.json":
        (place / name).write_bytes(
            draw.choice([b"[]", b"{", b'{"a": -1}', b'{"a": "x"}', b'{"a": 0, "b": 0}'])
        )
        (place / "merges.txt").write_bytes(draw.choice([b"", b"a", b"a b c\n", b"\xff", b"a b\n" * 1000]))
    else:
        (place / name).write_bytes(kinds[name])


def processor(place: Path, draw: random.Random) -> None:
    values: dict[str, Any] = {
        "size": draw.choice([10**9, -4, {"height": "a"}, [], {"shortest_edge": 1e400}, 0, {}, {"longest_edge": 7}]), "resample": draw.choice(["x", 99, -1, [], 2.5]),
        "image_mean": draw.choice([[float("nan")] * 3, "x", [], [[0.5]], [1, 2]]), "image_std": draw.choice([0, [0, 0, 0], "x", [10**400] * 3]),
        "rescale_factor": draw.choice([float("inf"), "x", None, 10**400, []]), "crop_size": draw.choice([10**9, "x", -1]), "do_resize": draw.choice(["x", 7]),
        "image_processor_type": draw.choice([7, "Evil", "../x", []]), "crop_pct": draw.choice([0, -1, 1e-300, "x"]), "do_center_crop": "x", "auto_map": {"AutoImageProcessor": "evil.Evil"},
    }  # fmt: skip
    name = draw.choice(sorted(values))
    change(place, "preprocessor_config.json", **{name: values[name]})
