"""What a run records of where and how it was started: versions, hardware, the overrides, no secrets."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

SECRETS = ("token", "password", "passwd", "secret", "apikey", "credentials")
NO_SECRETS = ("trainer.token_budget",)
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "peft",
    "hydra-core",
    "omegaconf",
    "numpy",
    "safetensors",
)


def command_line(command: str, words: list[str]) -> str:
    """Returns the command to type again, secrets masked.

    Args:
        command: such as `train`.
        words: its arguments.
    """
    return shlex.join(["ftcli", command, *(mask_secret(word) for word in words)])


def mask_secret(word: str) -> str:
    """Hides the value of a key that names a secret, and secrets inside addresses.

    A key names a secret by its parts: `hub.hf_token` does, `tokenizer.max_length` does not, nor `trainer.token_budget`.
    """
    key, sign, _ = word.partition("=")
    parts = re.split(r"[^a-z0-9]+", key.lower())
    if (
        sign
        and key not in NO_SECRETS
        and (
            any(part.endswith(SECRETS) for part in parts)
            or re.search(r"(api|access|private)_?key", key.lower())
        )
    ):
        return f"{key}=***"
    word = re.sub(r"(\w+://)[^/\s]+@", r"\1***@", word)
    word = re.sub(
        r"(?i)([?&][^=&\s]*(?:token|secret|password|signature|key)[^=&\s]*=)[^&\s]+", r"\1***", word
    )
    return re.sub(r"\bhf_[A-Za-z0-9]{16,}", "hf_***", word)


def environment(decisions: dict[str, Any]) -> dict[str, Any]:
    """Returns versions, hardware and decisions; no environment variables, no secrets."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return {
        "decisions": decisions,
        "ftcli": _own_version(),
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": versions,
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "gpu": _gpu_name(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _own_version() -> str:
    from ftcli import __version__

    return __version__


def _git_commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _gpu_name() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
