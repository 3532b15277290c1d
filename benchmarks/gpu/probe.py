"""Says what a machine has: versions, the device, and packages of pyproject.toml that are missing. The last line is JSON."""

from __future__ import annotations

import json
import platform
import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from machine import commit, cpu

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def missing() -> list[str]:
    """Returns the requirements that are not installed here, those for tests too; versions are not compared."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return [line for line in wanted if installed(re.split(r"[<>=~!\[; ]", line)[0]) is None]


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main() -> dict[str, object]:
    cuda = torch.cuda.is_available()
    names = ("torch", "transformers", "peft", "accelerate", "datasets", "numpy")
    return {
        "python": platform.python_version(),
        "versions": {name: installed(name) for name in names},
        "cuda": cuda,
        "device": torch.cuda.get_device_name() if cuda else cpu(),
        "bytes": torch.cuda.get_device_properties(0).total_memory if cuda else 0,
        "bf16": torch.cuda.is_bf16_supported(including_emulation=False) if cuda else False,
        "missing": missing(),
        "commit": commit().removeprefix(", commit "),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
