"""One measured step of a plan: the real trainer on random rows."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from ftcli.config.schema import RunConfig, Weights
from ftcli.errors import ConfigError, Problem
from ftcli.run import build
from ftcli.run.meta import stub_inputs
from ftcli.runtime import garbage_collection as collector
from ftcli.runtime.decide import decide_runtime

if TYPE_CHECKING:
    from ftcli.batching.token_table import TokenTable


def measured_step(config: RunConfig, hf_config: Any, tokens: int, phase: int) -> dict[str, Any]:
    """Trains three steps in a phase of the plan on full-length rows and returns the last one's figures.

    Weights are drawn at random: a step's time and memory do not depend on their values.

    Args:
        config: the run's.
        hf_config: of the model.
        tokens: of every row.
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
    from ftcli.trainer.oom import find_micro_batch_size
    from ftcli.trainer.signals import StopFlag

    if not {"classes", "values"} & set(build.build_task(config).kinds):
        message = f"task={config.choices['task']} has rows of a shape that cannot be drawn at random yet"
        raise ConfigError(Problem("--probe", message, "leave it out; ftcli overfit-batch times real rows"))
    rows = rows_of_length(config.trainer, tokens)
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, weights=Weights.random),
        trainer=dataclasses.replace(config.trainer, batch_size=rows, token_budget=None),
    )
    table = _random_rows(config, hf_config, rows, tokens)
    inputs = stub_inputs(config)
    runtime = decide_runtime(config, tokens)
    built = build.build_model(inputs, attention=runtime.attention)
    step_counts = build.count_steps(config, rows)
    trainer = build.build_trainer(config, inputs, runtime, built, step_counts, {"train": table, "validation": table},
                                  store=None, events=silent(), reporter=silent(), stop=StopFlag())  # fmt: skip
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


def _random_rows(config: RunConfig, hf_config: Any, rows: int, tokens: int) -> TokenTable:
    """Returns labelled rows of random tokens, or random images where the task takes them."""
    import numpy as np

    from ftcli.batching.image_table import ImageTable
    from ftcli.batching.token_table import TokenTable

    draw = np.random.default_rng(config.seed)
    labels = np.arange(rows, dtype=np.int64) % (config.task.num_labels or 2)
    if config.tokenizer.takes == "texts":
        ids = draw.integers(5, int(hf_config.vocab_size), rows * tokens).astype(np.int32)
        return TokenTable(ids, np.arange(rows + 1, dtype=np.int64) * tokens, labels=labels)
    height, width = np.broadcast_to(getattr(hf_config, "image_size", None) or 224, 2)
    channels = int(getattr(hf_config, "num_channels", 3))
    pixels = draw.integers(0, 256, (rows, height, width, channels)).astype(np.uint8)
    half = (0.5,) * channels
    table = ImageTable.of(pixels, patches=tokens, scale=1 / 255, mean=half, std=half)
    table.labels = labels
    return table
