"""Device, precision and threads: decided by rule, printed, recorded."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import sys
import threading
from typing import TYPE_CHECKING, Any

from ftcli.config.schema import Device, Precision
from ftcli.errors import ConfigError, Problem

if TYPE_CHECKING:
    import torch


def decide_device(asked: Device) -> str:
    """Returns `cuda`, `mps` or `cpu`.

    Raises:
        ConfigError: the device asked for is not here.
    """
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked is Device.auto:
        return next(name for name, here in present.items() if here)
    if not present[asked.value]:
        raise ConfigError(
            Problem("trainer.device", f"there is no {asked.value} device here", "type trainer.device=auto")
        )
    return asked.value


def decide_precision(asked: Precision, device: str) -> tuple[str, str]:
    """Returns (precision, reason): a rule of the hardware, so that a run decides the same each time.

    Args:
        asked: trainer.precision.
        device: `cpu`, `cuda` or `mps`.
    """
    import torch

    if asked is not Precision.auto:
        slow = device == "cpu" and asked is not Precision.fp32 and not cpu_multiplies_bf16()
        return asked.value, "as set" + (
            "; this CPU has no native half-precision arithmetic, so it is slow" if slow else ""
        )
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return (
            ("bf16", "the GPU multiplies bf16 natively") if native else ("fp16", "the GPU has no native bf16")
        )
    if device == "cpu" and cpu_multiplies_bf16():
        return "bf16", "the CPU multiplies bf16 natively"
    return "fp32", f"no native bf16 on this {device}"


def cpu_multiplies_bf16() -> bool:
    """Returns whether the CPU has bf16 matrix instructions (AMX or AVX-512 BF16, or Arm's).

    Elsewhere torch emulates bf16, and a product takes about a hundred times as long as in fp32. torch
    is asked first: it also knows what the operating system lets through. Its names are private, so
    the flags of /proc/cpuinfo stand in for them.
    """
    import torch

    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    questions = [getattr(torch.cpu, name, None) for name in names]
    if platform.machine() in ("x86_64", "AMD64") and None not in questions:
        return any(ask() for ask in questions if ask is not None)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            words = set(file.read().split())
    except OSError:
        return False
    return bool(words & {"amx_bf16", "avx512_bf16", "bf16"})


def set_threads(number: int | None) -> int:
    """Sets CPU threads where a number is given; returns how many there are.

    Raises:
        ConfigError: so many threads cannot be started here.
    """
    import torch

    if number is not None and number != torch.get_num_threads():
        cores = os.cpu_count() or 1
        if number > cores and (started := _startable(number)) < number:
            message = f"{number:,} threads cannot be started here: after {started:,} the system gives no more"
            raise ConfigError(Problem("trainer.threads", message, f"type trainer.threads={cores}"))
        torch.set_num_threads(number)
    return torch.get_num_threads()


def _startable(number: int) -> int:
    """Returns how many of so many threads the system lets a process have; OpenMP would end the process where it has too few."""
    gate, started = threading.Event(), list[threading.Thread]()
    try:
        for _ in range(number):
            thread = threading.Thread(target=gate.wait, daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):  # of limits on processes or on memory
        pass
    finally:
        gate.set()
        for thread in started:
            thread.join()
    return len(started)


def autocast(device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Returns the autocast region of a precision; nothing at all for fp32."""
    import torch

    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def grad_scaler(device: str, precision: str) -> torch.amp.GradScaler:
    """Returns the dynamic loss scaler of fp16, disabled otherwise."""
    import torch

    return torch.amp.GradScaler(device, enabled=precision == "fp16")


def memory_used(device: str) -> int:
    """Returns the peak in bytes: of the process's resident memory on the CPU, of torch's allocator on CUDA."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    # ru_maxrss is in bytes on macOS, in KiB on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
