"""One pass over the rows of a table that computes the activations to cache, in canonical blocks.

Never from training batches: an entry's bytes must not depend on where a run was interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch

from ftcli.batching.eval_mode import eval_mode
from ftcli.batching.image_table import ImageTable
from ftcli.batching.protocols import Batch
from ftcli.batching.token_table import TokenTable
from ftcli.storage.crash_points import crash_point
from ftcli.trainer.activation_cache.cut_point import Frame, Reached
from ftcli.trainer.activation_cache.eligibility import Trial
from ftcli.trainer.activation_cache.folder import StatesFolder
from ftcli.trainer.activation_cache.states import Shape, States, canonical_blocks, empty_states
from ftcli.trainer.forward import Forward

SLOW_SECONDS = 2.0


@dataclass(slots=True, kw_only=True)
class Filler:
    """Runs a model's lower part on rows and catches the activations at its boundaries."""

    model: torch.nn.Module
    forward: Forward
    frame: Frame
    tables: Sequence[TokenTable]
    """Training rows first; they carry labels."""
    note: Callable[[str], None]
    check: Callable[[], None]
    """Raises to interrupt; called between blocks."""

    def try_out(self, depths: Sequence[int], trained: list[torch.nn.Parameter]) -> dict[int, Shape]:
        """Tries boundaries on a few rows; returns depth -> what is stored there, empty where the trial fails.

        Args:
            depths: boundaries; the first is that of the phase, which alone is tried, later ones store every position.
            trained: what the optimizer holds.
        """
        table = self.tables[0]
        order = np.concatenate(canonical_blocks(table))
        rows = order[np.unique([len(order) * n // 6 for n in (3, 4, 5)] + [len(order) - 1])]
        image = isinstance(table, ImageTable)
        lengths = None if image else np.maximum(1, np.diff(table.offsets))[table.sequences(rows)]
        pads = any((one.ids == self.forward.pad_id).any() for one in self.tables)
        trial = Trial(
            self.forward,
            self.model,
            self.frame,
            self.forward.collate(table, rows),
            lengths,
            image or not pads,
        )
        with eval_mode(self.model):
            stored, caught = trial.run(list(depths), trained)
        if not stored or (lengths is not None and caught[depths[0]]["states"].shape[1] != lengths.max()):
            return {}
        shapes = {}
        for depth in depths:
            own = stored if depth == depths[0] else "all"
            # A pooler's output may be of another dtype than what it reads: under autocast it is half.
            found = caught[depth]["pooled" if own == "pooled" else "states"]
            places = caught[depth]["states"].shape[1] if image else None
            shapes[depth] = Shape(own, found.shape[-1], found.dtype, places)
        return shapes

    def fill(
        self,
        shapes: dict[int, Shape],
        missing: dict[tuple[int, int], str],
        folder: StatesFolder | None,
        found: Callable[[tuple[int, int], str, States], None],
    ) -> None:
        """Computes what is missing, one pass a table; entries appear when their table is done.

        Args:
            shapes: depth -> what is stored.
            missing: (number of the table, depth) -> key.
            folder: where files go; None: memory.
            found: called with each finished entry: (number of the table, depth), key, states.

        Raises:
            Interrupted: a signal came.
            RunDirError: the disk is full or cannot be written.
            CheckpointError: another process wrote the same entry meanwhile.
        """
        if folder is not None:
            # Before the first entry is begun: a sweep takes this process's own stages for a dead one's.
            folder.open(sum(shapes[depth].num_bytes(self.tables[n]) for n, depth in missing))
        progress = _Progress([self.tables[n] for n in {n for n, _ in missing}], self.note)
        for number in sorted({number for number, _ in missing}):
            table = self.tables[number]
            wanted = {depth: key for (n, depth), key in missing.items() if n == number}
            with ExitStack() as stack:
                stores = {
                    depth: empty_states(shapes[depth], table)
                    if folder is None
                    else stack.enter_context(folder.staged(key, shapes[depth], table))
                    for depth, key in wanted.items()
                }
                self._fill_table(table, stores, progress)
            # Only now are files under their final names: the stack has committed them.
            for depth, key in wanted.items():
                found((number, depth), key, stores[depth])

    def _fill_table(self, table: TokenTable, stores: dict[int, States], progress: _Progress) -> None:
        """Computes the states of a table's rows, block by block.

        Args:
            table: the rows.
            stores: depth -> where its states go.
            progress: prints how far the fill is.
        """
        for rows in canonical_blocks(table):
            self.check()
            crash_point("prefix")
            caught = self._catch(list(stores), self.forward.collate(table, rows))
            for depth, states in stores.items():
                states.put(table.sequences(rows), caught[depth])
            progress.advance(len(rows), int(table.lengths[rows].sum()))

    @torch.no_grad()
    def _catch(self, depths: list[int], batch: Batch) -> dict[int, dict[str, torch.Tensor]]:
        try:
            with self.frame.catching(depths, stop=True) as caught:
                self.forward.loss(self.model, batch, train=False)
        except Reached:
            pass
        return caught


class _Progress:
    """Prints how far a fill is: once it takes longer than two seconds, and when it is done."""

    def __init__(self, tables: Sequence[TokenTable], note: Callable[[str], None]) -> None:
        self.rows, self.tokens = sum(map(len, tables)), sum(int(table.lengths.sum()) for table in tables)
        self.note, self.done, self.done_tokens = note, 0, 0
        self.start = self.noted = time.perf_counter()

    def advance(self, rows: int, tokens: int) -> None:
        self.done += rows
        self.done_tokens += tokens
        now = time.perf_counter()
        seconds = now - self.start
        if self.done == self.rows and self.noted > self.start:
            self.note(f"frozen prefix: activations of all {self.rows:,} rows computed in {seconds:.0f} s")
        elif (
            now - self.noted > SLOW_SECONDS * (1 if self.noted == self.start else 10)
            and self.done < self.rows
        ):
            # The short rows come first, so time goes by tokens.
            left = seconds * (self.tokens - self.done_tokens) / max(self.done_tokens, 1)
            self.note(
                f"frozen prefix: activations of {self.done:,} of {self.rows:,} rows computed, about {left:.0f} s left"
            )
            self.noted = now
