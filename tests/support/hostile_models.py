"""Model folders as an attacker or an accident may leave them: config, tokenizer and weights, spoiled one at a time."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tiny_exports

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
MARKER = "executed-by-a-hostile-model"
"""File that code in a folder writes to its current folder when it is run."""
Spoil = Callable[[Path, random.Random], None]

NUMBERS: dict[str, Any] = {
    "huge": 10**9, "beyond-int32": 2**31, "beyond-int64": 2**64, "beyond-float": 10**400, "zero": 0, "negative": -1, "very-negative": -(2**31),
    "nan": float("nan"), "infinite": float("inf"), "text": "12", "words": "many; rm -rf", "none": None, "list": [4, 4], "object": {"a": 1},
    "flag": True, "fraction": 7.5, "tiny-prime": 7,
}  # fmt: skip
"""What stands in the place of a number."""


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


def _read(place: Path, name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((place / name).read_text(encoding="utf-8"))
    return values


def _change(place: Path, name: str = "config.json", **values: Any) -> None:
    (place / name).write_text(json.dumps(_read(place, name) | values), encoding="utf-8")


def _number(kind: str) -> Spoil:
    """Returns a function that puts a value in the place of one number of config.json."""

    def spoil(place: Path, draw: random.Random) -> None:
        values = _read(place, "config.json")
        fields = [k for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)]
        _change(place, **{draw.choice(sorted(fields)): NUMBERS[kind]})

    return spoil


def _config(**values: Any) -> Spoil:
    return lambda place, draw: _change(place, **values)


def _text(name: str, content: str | bytes) -> Spoil:
    data = content.encode() if isinstance(content, str) else content
    return lambda place, draw: _write(place / name, data)


def _write(file: Path, data: bytes) -> None:
    file.write_bytes(data)


def _layers(place: Path, draw: random.Random) -> None:
    names = ("num_hidden_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers")
    _change(
        place, **{name: 10 ** draw.randint(4, 9) for name in names if name in _read(place, "config.json")}
    )


def _sizes(place: Path, draw: random.Random) -> None:
    names = (
        "vocab_size",
        "max_position_embeddings",
        "intermediate_size",
        "n_positions",
        "image_size",
        "type_vocab_size",
    )
    found = [name for name in names if _read(place, "config.json").get(name)]
    _change(place, **{draw.choice(found): 10 ** draw.randint(7, 9)})


def _code(place: Path, draw: random.Random) -> None:
    body = f"open({MARKER!r}, 'w').close()\nclass Evil: pass\n"
    for name in (
        "evil.py",
        "modeling_evil.py",
        "configuration_evil.py",
        "tokenization_evil.py",
        "__init__.py",
        "setup.py",
        "conftest.py",
    ):
        (place / name).write_text(body)
    auto = {
        "AutoConfig": "evil.Evil",
        "AutoModel": "evil.Evil",
        "AutoModelForSequenceClassification": "modeling_evil.Evil",
    }
    more: dict[str, Any] = {
        "auto_map": auto, "trust_remote_code": True, "custom_pipelines": {"text-classification": {"impl": "evil.Evil", "pt": ["Evil"]}},
        "_attn_implementation": "kernels-community/evil", "attn_implementation": "evil/kernel:run", "use_kernels": True,
        "kernel_config": {"kernel_mapping": {"RMSNorm": "evil/kernel:Evil"}},
    }  # fmt: skip
    _change(
        place,
        **(
            more
            if draw.random() < 0.5
            else {draw.choice(sorted(more)): None} | {"auto_map": auto, "model_type": "evil"}
        ),
    )
    if (place / "tokenizer_config.json").is_file():
        auto_tokenizer = {"AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"]}
        _change(
            place,
            "tokenizer_config.json",
            auto_map=auto_tokenizer,
            tokenizer_class="Evil",
            trust_remote_code=True,
        )


def _quantised(place: Path, draw: random.Random) -> None:
    methods = ("bitsandbytes", "gptq", "awq", "evil", "../evil", "compressed-tensors", 7, None)
    _change(place, quantization_config={"quant_method": draw.choice(methods), "load_in_4bit": True})


def _odd_field(place: Path, draw: random.Random) -> None:
    fields: dict[str, Any] = {
        "dtype": draw.choice(["os.system", "float4", 7, ["float32"], "__class__"]), "hidden_act": draw.choice(["evil", "os.system", 7, {}]),
        "architectures": draw.choice(["Evil", [7], {}, ["../Evil"]]), "id2label": draw.choice([{"a": "b"}, ["x"], "x", {"0": [1]}, {str(2**40): "x"}, {"-1": "x"}]),
        "label2id": draw.choice([{"a": "b"}, 7, {"x": 2**70}]), "num_labels": draw.choice([10**9, -1, "two", 0]),
        "problem_type": draw.choice(["evil", 7, []]), "pad_token_id": draw.choice([2**31, -5, "pad", 10**12, [1]]),
        "eos_token_id": draw.choice([2**40, [2**40, 1], "x", -3]), "pruned_heads": draw.choice([{"0": [0, 1]}, {"x": 1}, 7]),
        "rope_scaling": draw.choice([{"type": "evil", "factor": -1}, 7, {"rope_type": "yarn"}]), "rope_parameters": draw.choice([{"rope_type": "evil"}, 7, []]),
        "chunk_size_feed_forward": draw.choice([-1, 10**9, "x"]), "tie_word_embeddings": "x", "is_decoder": draw.choice([True, "x"]),
        "layer_norm_eps": draw.choice([float("nan"), -1, "x", 1e400]), "initializer_range": draw.choice([float("nan"), -1, 1e300, "x"]),
        "use_cache": "x", "return_dict": False, "output_attentions": True, "output_hidden_states": True, "torchscript": True,
        "is_encoder_decoder": True, "add_cross_attention": True, "layer_types": draw.choice([["evil"] * 2, [], 7]),
        "transformers_version": draw.choice([7, "999.0.0", "../x"]), "name_or_path": "../../etc", "_name_or_path": "http://127.0.0.1:9/x",
        "backbone": "evil/backbone", "use_pretrained_backbone": True, "backbone_config": {"model_type": "resnet"}, "sub_configs": {"a": 1},
        "text_config": draw.choice([{"model_type": "bert"}, 7, {"vocab_size": -1}]), "vision_config": {"model_type": "vit"}, "get_text_config": 7,
        "to_dict": "x", "__class__": "x", "base_model_prefix": "../x", "self": 7, "kwargs": {"a": 1}, "attribute_map": {"hidden_size": "hidden_size"},
        "\x1b[2J[red]": 7, "hidden_dropout_prob": draw.choice([2.0, -1.0, float("nan"), "x"]), "attention_probs_dropout_prob": 7, "classifier_dropout": "x",
    }  # fmt: skip
    name = draw.choice(sorted(fields))
    _change(place, **{name: fields[name]})


def _labels(place: Path, draw: random.Random) -> None:
    _change(place, id2label={str(i): f"label {i}" for i in range(200_000)})


def _deep(name: str, depth: int, opening: str = "[") -> Spoil:
    def spoil(place: Path, draw: random.Random) -> None:
        head = (
            (place / name).read_text(encoding="utf-8").rstrip()[:-1]
            if (place / name).is_file()
            else '{"a": 1'
        )
        close = "]" if opening == "[" else "}"
        inner = '{"a":' if opening == "{" else "["
        (place / name).write_text(f'{head}, "deep": {inner * depth}1{close * depth}}}', encoding="utf-8")

    return spoil


# --- weights


def _header(place: Path) -> tuple[dict[str, Any], bytes]:
    data = (place / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def _stored(place: Path, header: Any, body: bytes, size: int | None = None) -> None:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    stated = struct.pack("<Q", len(text) if size is None else size)
    (place / "model.safetensors").write_bytes(stated + text + body)


def _weights(kind: str) -> Spoil:
    def spoil(place: Path, draw: random.Random) -> None:
        header, body = _header(place)
        name = draw.choice(sorted(set(header) - {"__metadata__"}))
        one = header[name]
        whole = (place / "model.safetensors").read_bytes()
        cases: dict[str, Callable[[], Any]] = {
            "cut": lambda: (place / "model.safetensors").write_bytes(whole[: draw.randrange(len(whole))]),
            "empty": lambda: (place / "model.safetensors").write_bytes(b""),
            "garbage": lambda: (place / "model.safetensors").write_bytes(draw.randbytes(5000)),
            "header-size": lambda: _stored(place, header, body, draw.choice([2**63, 2**40, 0, 1, 10**9])),
            "header-text": lambda: _stored(place, draw.choice([b"null", b"[]", b"{", b"\xff\xfe", b"7", b'{"a": 7}']), body),
            "header-deep": lambda: _stored(place, b'{"a":' * 50_000 + b"1" + b"}" * 50_000, body),
            "type": lambda: _stored(place, header | {name: one | {"dtype": draw.choice(["F7", "EVIL", 7, "BOOL", "I64", "U8", "F64", "C64"])}}, body),
            "shape": lambda: _stored(place, header | {name: one | {"shape": draw.choice([[-1], [2**62, 4], [], [0], "x", [2**64], [1] * 5000])}}, body),
            "offsets": lambda: _stored(place, header | {name: one | {"data_offsets": draw.choice([[-1, 4], [0, 2**63], [4, 0], [0, 0], "x", [1.5, 2]])}}, body),
            "missing": lambda: _stored(place, {k: v for k, v in header.items() if k == "__metadata__"}, b""),
            "names": lambda: _stored(place, {f"../../{k}" if k != "__metadata__" else k: v for k, v in header.items()}, body),
            "metadata": lambda: _stored(place, header | {"__metadata__": draw.choice([7, {"format": "tf"}, {"format": 7}, {"format": "../x"}, []])}, body),
            "nan": lambda: _stored(place, header, b"\xff" * len(body)),
            "pickle": lambda: ((place / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n(S'touch " + MARKER.encode() + b"'\ntR."), (place / "model.safetensors").unlink()),
            "lfs": lambda: (place / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"),
            "folder": lambda: ((place / "model.safetensors").unlink(), (place / "model.safetensors").mkdir()),
            "device": lambda: ((place / "model.safetensors").unlink(), (place / "model.safetensors").symlink_to("/dev/zero")),
            "pipe": lambda: ((place / "model.safetensors").unlink(), os.mkfifo(place / "model.safetensors")),
            "adapter": lambda: (place / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "http://127.0.0.1:9/evil", "auto_mapping": {"parent_library": "evil"}})),
        }  # fmt: skip
        cases[kind]()

    return spoil


WEIGHTS = ("cut", "empty", "garbage", "header-size", "header-text", "header-deep", "type", "shape", "offsets", "missing", "names",
           "metadata", "nan", "pickle", "lfs", "folder", "device", "pipe", "adapter")  # fmt: skip


def _index(place: Path, draw: random.Random) -> None:
    (place / "model.safetensors").rename(place / "model-00001-of-00002.safetensors")
    outside = place.parent / "outside.safetensors"
    outside.write_bytes(b"x")
    (place / "linked.safetensors").symlink_to(outside)
    names = [
        "../outside.safetensors",
        "/etc/passwd",
        "linked.safetensors",
        "a\x00b.safetensors",
        "x.bin",
        7,
        None,
        ["x"],
        "",
        "." * 300 + ".safetensors",
    ]
    values = draw.choice(
        [{"weight_map": {"a": one}} for one in names]
        + [[], 7, {"weight_map": 7}, {"weight_map": []}, {"weight_map": {}}, {}]
    )
    (place / "model.safetensors.index.json").write_text(json.dumps(values))


# --- tokenizers


def _tokenizer(kind: str) -> Spoil:
    def spoil(place: Path, draw: random.Random) -> None:
        values = _read(place, "tokenizer.json")
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


def _tokenizer_config(place: Path, draw: random.Random) -> None:
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
    _change(place, "tokenizer_config.json", **{name: values[name]})


def _other_files(place: Path, draw: random.Random) -> None:
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


def _processor(place: Path, draw: random.Random) -> None:
    values: dict[str, Any] = {
        "size": draw.choice([10**9, -4, {"height": "a"}, [], {"shortest_edge": 1e400}, 0, {}, {"longest_edge": 7}]), "resample": draw.choice(["x", 99, -1, [], 2.5]),
        "image_mean": draw.choice([[float("nan")] * 3, "x", [], [[0.5]], [1, 2]]), "image_std": draw.choice([0, [0, 0, 0], "x", [10**400] * 3]),
        "rescale_factor": draw.choice([float("inf"), "x", None, 10**400, []]), "crop_size": draw.choice([10**9, "x", -1]), "do_resize": draw.choice(["x", 7]),
        "image_processor_type": draw.choice([7, "Evil", "../x", []]), "crop_pct": draw.choice([0, -1, 1e-300, "x"]), "do_center_crop": "x", "auto_map": {"AutoImageProcessor": "evil.Evil"},
    }  # fmt: skip
    name = draw.choice(sorted(values))
    _change(place, "preprocessor_config.json", **{name: values[name]})


CATEGORIES: dict[str, Spoil] = {
    **{f"config-{kind}": _number(kind) for kind in NUMBERS},
    "config-layers": _layers, "config-sizes": _sizes, "config-code": _code, "config-quantised": _quantised, "config-labels": _labels,
    **{f"config-field-{i}": _odd_field for i in range(12)},
    "config-deep-lists": _deep("config.json", 100_000), "config-deep-objects": _deep("config.json", 900, "{"),
    "config-empty": _text("config.json", ""), "config-list": _text("config.json", "[]"), "config-binary": _text("config.json", b"\xff\xfe\x00\x01"),
    "config-type-path": _config(model_type="../../etc/passwd"), "config-type-markup": _config(model_type="\x1b[2J[red]x"), "config-type-number": _config(model_type=7),
    "config-type-other": _config(model_type="clip"), "config-type-rare": _config(model_type="mamba"), "config-large": _text("config.json", '{"a": "' + "x" * 20_000_000 + '"}'),
    **{f"weights-{kind}": _weights(kind) for kind in WEIGHTS},
    "weights-index-1": _index, "weights-index-2": _index, "weights-index-3": _index,
    **{f"tokenizer-{kind}": _tokenizer(kind) for kind in TOKENIZERS},
    **{f"tokenizer-config-{i}": _tokenizer_config for i in range(8)},
    **{f"tokenizer-files-{i}": _other_files for i in range(4)},
    "tokenizer-deep": _deep("tokenizer.json", 100_000), "tokenizer-config-deep": _deep("tokenizer_config.json", 100_000), "tokenizer-text": _text("tokenizer.json", "{"),
    "processor-1": _processor, "processor-2": _processor, "processor-3": _processor, "processor-deep": _deep("preprocessor_config.json", 100_000),
}  # fmt: skip
"""Name -> what it does to a whole model's folder."""
