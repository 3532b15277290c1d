"""Measures one training step of a plan: the real trainer on random rows."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from ftcli.config.schema import RunConfig, Weights
from ftcli.errors import ConfigError, Problem
from ftcli.run.inputs import build_task
from ftcli.run.session import RunSession
from ftcli.runtime import garbage_collection as collector


def measured_step(config: RunConfig, hf_config: Any, tokens: int, phase: int) -> dict[str, Any]:
    """Trains three steps in a phase of the plan on full-length rows and returns the last one's figures.

    The first steps also allocate the optimizer's state and warm up the hardware. Weights are drawn at random: a step's
    time and memory do not depend on their values.

    Args:
        config: the run's.
        hf_config: of the model.
        tokens: length of every row.
        phase: index of the phase.

    Returns:
        seconds, rows_per_s, tokens_per_s, peak_bytes (of the process on the CPU), device, precision.

    Raises:
        ConfigError: a task whose rows are no single sequence, or image, with one label.
    """
    import numpy as np

    from ftcli.batching.epochs import rows_of_length
    from ftcli.diagnostics.overfit import silent
    from ftcli.runtime.device import memory_used
    from ftcli.trainer.micro_batch_search import find_micro_batch_size
    from ftcli.trainer.signals import StopFlag

    rows = rows_of_length(config.trainer, tokens)
    table = build_task(config).random_table(hf_config, num_rows=rows, tokens=tokens, seed=config.seed)
    if table is None:
        message = f"task={config.choices['task']} has rows of a shape that cannot be drawn at random yet"
        raise ConfigError(Problem("--probe", message, "leave it out; ftcli overfit-batch times real rows"))
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, weights=Weights.random),
        trainer=dataclasses.replace(config.trainer, batch_size=rows, token_budget=None),
    )
    session = RunSession(config, stub=True)
    session.tables = {"train": table, "validation": table}
    runtime = session.runtime
    trainer = session.trainer(store=None, events=silent(), reporter=silent(), stop=StopFlag())
    trainer.enter_phase(phase)
    find_micro_batch_size(trainer)
    collector.restore()
    for _ in range(3):
        started = time.perf_counter()
        trainer.train_step(np.arange(rows))
        seconds = time.perf_counter() - started
    return {
        "phase": phase,
        "seconds": seconds,
        "rows_per_s": rows / seconds,
        "tokens_per_s": rows * tokens / seconds,
        "peak_bytes": memory_used(runtime.device),
        "device": runtime.device,
        "precision": runtime.precision,
    }
