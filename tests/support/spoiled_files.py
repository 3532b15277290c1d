"""What every way to spoil a file of a model folder uses."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARKER = "executed-by-a-hostile-model"
"""File that code in a folder writes to its current folder when it is run."""
Spoil = Callable[[Path, random.Random], None]


def read(place: Path, name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((place / name).read_text(encoding="utf-8"))
    return values


def change(place: Path, name: str = "config.json", **values: Any) -> None:
    (place / name).write_text(json.dumps(read(place, name) | values), encoding="utf-8")


def _write(file: Path, data: bytes) -> None:
    file.write_bytes(data)


def text_of(name: str, content: str | bytes) -> Spoil:
    data = content.encode() if isinstance(content, str) else content
    return lambda place, draw: _write(place / name, data)


def nested(name: str, depth: int, opening: str = "[") -> Spoil:
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
