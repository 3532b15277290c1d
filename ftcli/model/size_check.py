"""Refuses a model whose size is not that of its weight files or does not fit into memory, before it is built.

Its shapes are built on the meta device, which takes no memory and a tenth of a second.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ftcli.console.units import size_text
from ftcli.errors import Problem, SourceError, is_out_of_memory
from ftcli.hub.resolve import Source, quiet_transformers
from ftcli.hub.weight_files import num_stored
from ftcli.model.config_file import first_line
from ftcli.model.head import is_head

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

BUILD_S = 20.0
"""Seconds that the shapes of a model may take; those of 100 layers take one."""
SPARE = 1.5
"""How many times the parameters of its files a base model may have."""


def refuse_absurd_size(
    model_class: type[PreTrainedModel],
    hf_config: PreTrainedConfig,
    source: Source,
    *,
    dtype: Any,
    free: int | None,
) -> None:
    """Builds the model's shapes and compares their size with the weight files and the free memory.

    Args:
        model_class: class of transformers, with the task's head.
        hf_config: with labels, PAD id and dropout set.
        source: the files; without weight files only memory counts.
        dtype: of torch, of the parameters.
        free: bytes of memory that are free; None where none is used.

    Raises:
        SourceError: the shapes cannot be built, are not those of the files, or do not fit into memory.
    """
    model = _shapes(model_class, hf_config, source, dtype)
    if source.weight_files:
        base = sum(p.numel() for name, p in model.named_parameters() if not is_head(model, name))
        stored = num_stored(source.weight_files)
        if base > SPARE * stored:
            message = f"{source.config_file} describes {base:,} parameters; its weight files hold {stored:,}"
            raise SourceError(Problem(source.key, message, "use the config.json that came with the weights"))
    tensors = [*model.parameters(), *model.buffers()]
    needed = sum(t.numel() * t.element_size() for t in tensors)
    if free is not None and needed > free:
        message = f"the model needs {size_text(needed)} for its weights; {size_text(free)} of memory are free"
        raise SourceError(Problem(source.key, message, "choose a smaller model, or model.dtype=bfloat16"))


def _shapes(
    model_class: type[PreTrainedModel], hf_config: PreTrainedConfig, source: Source, dtype: Any
) -> PreTrainedModel:
    import torch

    try:
        with quiet_transformers(), time_limit(BUILD_S), torch.device("meta"):
            built: PreTrainedModel = model_class._from_config(
                hf_config, dtype=dtype, attn_implementation="eager"
            )
            return built
    # Modules of transformers raise whatever a wrong size leads to; nothing narrower exists.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        message = f"its config.json makes no {model_class.__name__}: {first_line(error)}"
        raise SourceError(Problem(source.key, message)) from error


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError inside the block after some seconds; no limit outside the main thread, where signals cannot be set."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"it takes longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
