"""What the machine can do at most, in a process of its own: a script of the benchmarks.

Its argument is JSON with `device`; its last line is JSON: `bf16` (whether bf16 is native), `compiler` (a C++ compiler's
path or null), `threads`, `conditions`, and `peak`, the best floating-point operations a second of a square torch.matmul by
precision.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import Any

import torch
from machine import conditions

from ftcli.config.schema import Precision
from ftcli.runtime.device import decide_precision

SIZES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
SECONDS = 1.0
"""Of each size and precision."""


def matmul_peak(device: str, dtype: torch.dtype) -> float:
    """Returns the best operations a second: 2 n^3 of a product of two n x n matrices."""
    best = 0.0
    for size in SIZES[device]:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        until = time.perf_counter() + SECONDS
        while time.perf_counter() < until:
            if device == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            a @ b
            if device == "cuda":
                torch.cuda.synchronize()
            best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def main(spec: dict[str, Any]) -> dict[str, Any]:
    device = spec["device"]
    native = decide_precision(Precision.auto, device)[0] == "bf16"
    peak = {"fp32": matmul_peak(device, torch.float32)}
    if native:
        peak["bf16"] = matmul_peak(device, torch.bfloat16)
    names = (os.environ.get("CXX"), "g++", "clang++", "c++")
    compiler = next((found for name in names if name and (found := shutil.which(name))), None)
    return {
        "bf16": native,
        "compiler": compiler,
        "threads": torch.get_num_threads(),
        "peak": peak,
        "conditions": conditions(device),
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
