"""Device, precision, attention kind and threads of a run: a rule of config and hardware, never a timing."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

from ftcli.config.schema import Attention, RunConfig
from ftcli.console.units import counted

EAGER_UP_TO = 96
"""Tokens of the longest row up to which the CPU takes plain attention: SDPA's backward is slower there."""

MOST_THREADS = 4
"""Threads a core that a recorded run may have: with many more, each step waits for the scheduler of the system."""


@dataclass(slots=True)
class Runtime:
    """What the hardware decided; recorded with the run and used again by a resume."""

    device: str
    """`cpu`, `cuda` or `mps`."""
    precision: str
    """`fp32`, `bf16` or `fp16`."""
    attention: str
    """`eager` or `sdpa`: transformers' attn_implementation."""
    threads: int
    """torch's intra-op threads on the CPU."""
    fast_paths: bool = False
    """Dropout masks of random words and sparse gradients of embeddings, on the CPU."""
    first_token: bool = False
    """The top block trains on the first token alone where the head reads no other."""
    decisions: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Returns what environment.json keeps, for a resume to decide the same."""
        values = asdict(self)
        values.pop("decisions")
        return values


def decide_runtime(config: RunConfig, longest: int, recorded: dict[str, Any] | None = None) -> Runtime:
    """Decides device, precision, attention kind and threads; also sets torch's number of threads.

    Args:
        config: the run's.
        longest: tokens of the longest row.
        recorded: decisions of the run that is continued; they win, so that bytes stay the same.

    Raises:
        ConfigError: the device asked for is not here.
    """
    from ftcli.runtime.device import decide_device, decide_precision, set_threads

    recorded = recorded or {}
    device = decide_device(config.trainer.device)
    precision, why = decide_precision(config.trainer.precision, device)
    precision = recorded.get("precision", precision)
    number, lines = _threads(config, recorded)
    threads = set_threads(number)
    if recorded.get("attention"):
        attention, reason = recorded["attention"], "as recorded"
    elif config.model.attention is not Attention.auto:
        attention, reason = config.model.attention.value, "as set"
    elif device == "cpu" and longest <= EAGER_UP_TO:
        attention, reason = "eager", f"rows of at most {longest} tokens on the CPU"
    else:
        attention, reason = "sdpa", f"rows of up to {longest} tokens on {device}"
    decisions = [
        *lines,
        f"device {device}, {counted(threads, 'thread')}; precision {precision}: {'as recorded' if 'precision' in recorded else why}",
        f"attention {attention}: {reason}",
    ]
    # A run from before there was a fast path goes on without it.
    wanted = recorded.get("fast_paths", False) if recorded else config.trainer.fast_paths
    fast_paths = wanted and device == "cpu"
    first_token = fast_paths and (not recorded or recorded.get("first_token", False))
    if fast_paths:
        decisions.append("fast paths where they apply: dropout's masks, gradients of large embeddings")
    return Runtime(device, precision, attention, threads, fast_paths, first_token, decisions)


def _threads(config: RunConfig, recorded: dict[str, Any]) -> tuple[int | None, list[str]]:
    """Returns the number of threads to set, None for torch's own, and a line where it cannot be the recorded one."""
    number, cores = recorded.get("threads"), os.cpu_count() or 1
    if number is None:
        return config.trainer.threads, []
    if number <= MOST_THREADS * cores:
        return int(number), []
    line = f"the run had {number:,} threads, too many for {counted(cores, 'core')}: it has {cores} here, and its last digits may differ"
    return cores, [line]
