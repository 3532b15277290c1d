"""Finding the micro-batch size before the first step: trainer.micro_batch_size=auto tries the hardest batches on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ftcli.errors import NO_MEMORY_KINDS, is_out_of_memory
from ftcli.trainer.micro_batching import AUTO, Split
from ftcli.trainer.oom import release, single_row_out_of_memory
from ftcli.trainer.trainer import Trainer

STATE_SLOTS = 2
"""Values of an optimizer's state for each trained one during a try, before there is any: AdamW's."""


def find_micro_batch_size(trainer: Trainer, device: str | None = None) -> None:
    """Finds how finely the batches have to be split, once, where trainer.micro_batch_size=auto asks for it.

    Nothing but the record of it is changed: weights, optimizer, counters and generators stay as they are.

    Args:
        trainer: before its first step.
        device: None: the trainer's.

    Raises:
        NoRoomError: a single row does not fit.
    """
    context, micro_batching = trainer.context, trainer.context.micro_batching
    if micro_batching.decided:
        return
    batches = trainer.epochs.hardest()
    device = device or context.forward.device
    most = max(len(rows) for rows in batches)
    with _state_preserved(trainer):
        found = smallest_split(device, most, lambda parts: _fits(trainer, batches, parts))
    if found is None:
        raise single_row_out_of_memory(
            trainer.state.step,
            int(context.train.lengths.max()),
            device=context.forward.device,
            precision=context.forward.precision,
            gradient_checkpointing=trainer.config.gradient_checkpointing,
        )
    micro_batching.add(Split(trainer.state.step, found, AUTO))
    if device != "cuda":
        context.reporter.note(f"trainer.micro_batch_size=auto: the whole batch on {device}")
        return
    whole = "the whole batch fits" if found == 1 else f"batches are split in {found} to fit"
    size = max(micro_batching.size(len(rows), found) for rows in batches)
    context.reporter.note(f"trainer.micro_batch_size=auto: {whole}, {size} rows a pass at most; recorded")


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


@contextmanager
def _state_preserved(trainer: Trainer) -> Iterator[None]:
    """Stands in the phase that trains most while its body runs, and puts everything back."""
    context, state = trainer.context, trainer.state
    here, phases, device = state.phase, context.plan.phases, context.forward.device
    largest = max(phases[here:], key=lambda phase: phase.num_trainable_parameters).index
    # A later phase is entered only before there is any optimizer state, which entering drops.
    moved = largest != here and state.step == 0
    buffers = {name: buffer.clone() for name, buffer in context.model.named_buffers()}
    cuda = list(range(torch.cuda.device_count())) if device == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        try:
            if moved:
                trainer.enter_phase(largest)
            yield
        finally:
            trainer.optimizer.zero_grad(set_to_none=True)
            if moved:
                trainer.enter_phase(here)
            own = dict(context.model.named_buffers())
            with torch.no_grad():
                for name, buffer in buffers.items():
                    own[name].copy_(buffer)
            release(device)
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()


def _fits(trainer: Trainer, batches: list[np.ndarray], parts: int) -> bool:
    """Returns whether forward and backward of these batches, (batch,) row numbers each, fit in so many parts."""
    fits = True
    try:
        _try_batches(trainer, batches, parts)
    except NO_MEMORY_KINDS as error:
        if not is_out_of_memory(error):
            raise
        fits = False
    # Outside of the except block, whose error holds the frames of the failed forward and their activations.
    trainer.optimizer.zero_grad(set_to_none=True)
    release(trainer.context.forward.device)
    return fits


def _try_batches(trainer: Trainer, batches: list[np.ndarray], parts: int) -> None:
    """Takes the first micro-batches of each batch through forward and backward, beside a full optimizer's state."""
    context, forward = trainer.context, trainer.context.forward
    trained = trainer.train_step.trained
    values = 0 if trainer.optimizer.state else STATE_SLOTS * sum(p.numel() for p in trained)
    optimizer_state = torch.empty(values, device=forward.device)
    for rows in batches:
        size = context.micro_batching.size(len(rows), parts)
        # The second micro-batch meets the gradients of the first: no later one needs more.
        for micro_batch in (rows[:size], rows[size : 2 * size]):
            if len(micro_batch):
                batch = forward.collate(context.train, micro_batch)
                forward.loss(context.model, batch, train=True).loss_sum.backward()  # type: ignore[no-untyped-call]
        trainer.optimizer.zero_grad(set_to_none=True)
    del optimizer_state
