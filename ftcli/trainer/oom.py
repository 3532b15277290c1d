"""Fitting a step into memory: trying pieces before step one, and noticing that memory ran out.

Halving what did not fit, and trying again, is Toma and BlackHC's `toma` (2020) and accelerate's
`find_executable_batch_size`; unlike them the batch stays what it is, and only its pieces become smaller.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from ftcli.errors import NoRoomError, Problem
from ftcli.runtime.device import autocast
from ftcli.trainer.micro_batching import AUTO, Split

if TYPE_CHECKING:
    from ftcli.trainer.trainer import Trainer

SIGNS = (
    "DefaultCPUAllocator: can't allocate memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What a plain RuntimeError says where an allocation failed."""

STATE_SLOTS = 2
"""Values of an optimizer's state for each trained one while pieces are tried, before there is any: AdamW's."""


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an allocation on the device, or torch's on the CPU, failed."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def fits(work: Callable[[], object]) -> bool:
    """Does some work; returns whether memory was enough for it."""
    try:
        work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def running_statistics(model: torch.nn.Module) -> list[torch.Tensor]:
    """Returns the buffers that a forward in train mode changes: those of batch normalisation."""
    return [
        buffer
        for module in model.modules()
        if "running_mean" in module._buffers
        for buffer in module._buffers.values()
        if buffer is not None
    ]


def release(device: str) -> None:
    """Gives what a failed try held back: to the device too, for other sizes come next."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def raise_on_oom(what: str, hint: str) -> Iterator[None]:
    """Says what did not fit where smaller pieces do not help.

    Raises:
        NoRoomError: memory ran out inside.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise NoRoomError(Problem(what, "does not fit in memory", hint)) from error


def single_row_out_of_memory(trainer: Trainer, tokens: int) -> NoRoomError:
    """Returns the error of a step of which not even one row fits."""
    ways = ["a smaller tokenizer.max_length", "peft=lora"]
    if not trainer.config.gradient_checkpointing:
        ways.insert(0, "trainer.gradient_checkpointing=true")
    if trainer.context.precision == "fp32":
        ways.append("trainer.precision=bf16")
    message = f"a single row of {tokens} tokens does not fit in memory on {trainer.context.device}"
    return NoRoomError(Problem(f"step {trainer.state.step + 1}", message, f"type {', or '.join(ways)}"))


def step_already_applied(step: int) -> NoRoomError:
    """Returns the error of a step that cannot be redone, for its update was made when memory ran out."""
    hint = (
        "ftcli resume goes on from the last checkpoint; a smaller trainer.micro_batch_size leaves more room"
    )
    return NoRoomError(Problem(f"step {step + 1}", "memory ran out after its update was made", hint))


def smallest_split(device: str, num_rows: int, fitting: Callable[[int], bool]) -> int | None:
    """Returns in how many parts, a power of two, batches have to be split; None where no split fits.

    Args:
        device: only on `cuda` is anything tried: elsewhere memory is the machine's, and trying swaps.
        num_rows: of the largest batch.
        fitting: whether that many parts fit.
    """
    if device != "cuda":
        return 1
    parts = 1
    while not fitting(parts):
        if parts >= num_rows:
            return None
        parts *= 2
    return parts


def find_micro_batch_size(trainer: Trainer, device: str | None = None) -> None:
    """Finds how finely the batches have to be split, once, where trainer.micro_batch_size=auto asks for it.

    Nothing but the record of it is changed: weights, optimizer, counters and generators stay as they are.

    Args:
        trainer: before its first step.
        device: None: the trainer's.

    Raises:
        NoRoomError: a single row does not fit.
    """
    parts, pieces = trainer.context, trainer.context.micro_batching
    if pieces.decided:
        return
    batches = trainer.epochs.hardest()
    device = device or parts.device
    most = max(len(rows) for rows in batches)
    with _state_preserved(trainer):
        found = smallest_split(device, most, lambda split: _try_all(trainer, batches, split))
    if found is None:
        raise single_row_out_of_memory(trainer, int(parts.train.lengths.max()))
    pieces.add(Split(trainer.state.step, found, AUTO))
    if device != "cuda":
        parts.reporter.note(f"trainer.micro_batch_size=auto: the whole batch on {device}")
        return
    whole = "the whole batch fits" if found == 1 else f"batches are split in {found} to fit"
    size = max(pieces.size(len(rows), found) for rows in batches)
    parts.reporter.note(f"trainer.micro_batch_size=auto: {whole}, {size} rows a pass at most; recorded")


@contextmanager
def _state_preserved(trainer: Trainer) -> Iterator[None]:
    """Stands in the phase that trains most while its body runs, and puts everything back."""
    parts, state = trainer.context, trainer.state
    here, phases = state.phase, parts.plan.phases
    largest = max(phases[here:], key=lambda phase: phase.num_trainable_parameters).index
    # A later phase is entered only before there is any optimizer state, which entering drops.
    moved = largest != here and state.step == 0
    buffers = {name: buffer.clone() for name, buffer in parts.model.named_buffers()}
    cuda = list(range(torch.cuda.device_count())) if parts.device == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        try:
            if moved:
                trainer.enter_phase(largest)
            yield
        finally:
            trainer.optimizer.zero_grad(set_to_none=True)
            if moved:
                trainer.enter_phase(here)
            own = dict(parts.model.named_buffers())
            with torch.no_grad():
                for name, buffer in buffers.items():
                    own[name].copy_(buffer)
            release(parts.device)
            if parts.device == "cuda":
                torch.cuda.reset_peak_memory_stats()


def _try_all(trainer: Trainer, batches: list[np.ndarray], parts: int) -> bool:
    """Returns whether forward and backward of these batches fit, split in so many parts."""
    done = fits(lambda: _try_batches(trainer, batches, parts))
    trainer.optimizer.zero_grad(set_to_none=True)
    release(trainer.context.device)
    return done


def _try_batches(trainer: Trainer, batches: list[np.ndarray], parts: int) -> None:
    """Takes the first pieces of each batch through forward and backward, beside a full optimizer's state."""
    own = trainer.context
    values = 0 if trainer.optimizer.state else STATE_SLOTS * sum(p.numel() for p in trainer.trained)
    ballast = torch.empty(values, device=own.device)
    for rows in batches:
        size = own.micro_batching.size(len(rows), parts)
        # The second piece meets the gradients of the first: no later one needs more.
        for piece in (rows[:size], rows[size : 2 * size]):
            if len(piece):
                batch = own.task.collate(own.train, piece, pad_id=own.pad_id, padding_side=own.padding_side)
                batch = {name: tensor.to(own.device) for name, tensor in batch.items()}
                with autocast(own.device, own.precision):
                    output = own.task.compute_loss(own.model, batch, train=True)
                output.loss_sum.backward()
        trainer.optimizer.zero_grad(set_to_none=True)
    del ballast
