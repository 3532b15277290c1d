"""Running out of memory: how it is noticed, what is released after it, and what the error tells the user to change.

Halving what did not fit, and trying again, is Toma and BlackHC's `toma` (2020) and accelerate's
`find_executable_batch_size`; unlike them the batch stays what it is, and only its micro-batches become smaller.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ftcli.errors import NO_MEMORY_KINDS, NoRoomError, Problem, is_out_of_memory


def release(device: str) -> None:
    """Releases what a failed try held, to the device too: the next try needs blocks of other sizes.

    Args:
        device: `cpu`, `cuda` or `mps`.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def raise_on_oom(what: str, hint: str) -> Iterator[None]:
    """Turns a lack of memory into an error that names what did not fit; for work that smaller micro-batches do not help.

    Args:
        what: such as `an evaluation`.
        hint: what to type instead.

    Raises:
        NoRoomError: memory ran out inside.
    """
    try:
        yield
    except NO_MEMORY_KINDS as error:
        if not is_out_of_memory(error):
            raise
        raise NoRoomError(Problem(what, "does not fit in memory", hint)) from error


def single_row_out_of_memory(
    step: int, tokens: int, *, device: str, precision: str, gradient_checkpointing: bool
) -> NoRoomError:
    """Returns the error of a step of which not even one row fits.

    Args:
        step: 0-based.
        tokens: of the longest row.
        device: where memory ran out.
        precision: `fp32`, `bf16` or `fp16`.
        gradient_checkpointing: whether it is on already.
    """
    ways = ["a smaller tokenizer.max_length", "peft=lora"]
    if not gradient_checkpointing:
        ways.insert(0, "trainer.gradient_checkpointing=true")
    if precision == "fp32":
        ways.append("trainer.precision=bf16")
    message = f"a single row of {tokens} tokens does not fit in memory on {device}"
    return NoRoomError(Problem(f"step {step + 1}", message, f"type {', or '.join(ways)}"))


def step_already_applied(step: int) -> NoRoomError:
    """Returns the error of a step, 0-based, that cannot be redone: its update was made when memory ran out."""
    hint = (
        "ftcli resume goes on from the last checkpoint; a smaller trainer.micro_batch_size leaves more room"
    )
    return NoRoomError(Problem(f"step {step + 1}", "memory ran out after its update was made", hint))
