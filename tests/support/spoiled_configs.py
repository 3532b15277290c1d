"""config.json as an attacker or an accident may leave it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from spoiled_files import MARKER, Spoil, change, read

NUMBERS: dict[str, Any] = {
    "huge": 10**9, "beyond-int32": 2**31, "beyond-int64": 2**64, "beyond-float": 10**400, "zero": 0, "negative": -1, "very-negative": -(2**31),
    "nan": float("nan"), "infinite": float("inf"), "text": "12", "words": "many; rm -rf", "none": None, "list": [4, 4], "object": {"a": 1},
    "flag": True, "fraction": 7.5, "tiny-prime": 7,
}  # fmt: skip
"""What stands in the place of a number."""


def number_of(kind: str) -> Spoil:
    """Returns a function that puts a value in the place of one number of config.json."""

    def spoil(place: Path, draw: random.Random) -> None:
        values = read(place, "config.json")
        fields = [k for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)]
        change(place, **{draw.choice(sorted(fields)): NUMBERS[kind]})

    return spoil


def config_with(**values: Any) -> Spoil:
    return lambda place, draw: change(place, **values)


def layers(place: Path, draw: random.Random) -> None:
    names = ("num_hidden_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers")
    change(place, **{name: 10 ** draw.randint(4, 9) for name in names if name in read(place, "config.json")})


def sizes(place: Path, draw: random.Random) -> None:
    names = (
        "vocab_size",
        "max_position_embeddings",
        "intermediate_size",
        "n_positions",
        "image_size",
        "type_vocab_size",
    )
    found = [name for name in names if read(place, "config.json").get(name)]
    change(place, **{draw.choice(found): 10 ** draw.randint(7, 9)})


def code(place: Path, draw: random.Random) -> None:
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
    change(
        place,
        **(
            more
            if draw.random() < 0.5
            else {draw.choice(sorted(more)): None} | {"auto_map": auto, "model_type": "evil"}
        ),
    )
    if (place / "tokenizer_config.json").is_file():
        auto_tokenizer = {"AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"]}
        change(
            place,
            "tokenizer_config.json",
            auto_map=auto_tokenizer,
            tokenizer_class="Evil",
            trust_remote_code=True,
        )


def quantised(place: Path, draw: random.Random) -> None:
    methods = ("bitsandbytes", "gptq", "awq", "evil", "../evil", "compressed-tensors", 7, None)
    change(place, quantization_config={"quant_method": draw.choice(methods), "load_in_4bit": True})


def odd_field(place: Path, draw: random.Random) -> None:
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
    change(place, **{name: fields[name]})


def labels(place: Path, draw: random.Random) -> None:
    change(place, id2label={str(i): f"label {i}" for i in range(200_000)})
