"""Weight files as an attacker or an accident may leave them."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spoiled_files import MARKER, Spoil


def _header(place: Path) -> tuple[dict[str, Any], bytes]:
    data = (place / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def _stored(place: Path, header: Any, body: bytes, size: int | None = None) -> None:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    stated = struct.pack("<Q", len(text) if size is None else size)
    (place / "model.safetensors").write_bytes(stated + text + body)


def weights(kind: str) -> Spoil:
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


def shard_index(place: Path, draw: random.Random) -> None:
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
