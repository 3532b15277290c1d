"""The activations at the boundary of a frozen lower part, computed once and read afterwards.

Howard and Ruder's gradual unfreezing (2018, arXiv:1801.06146) leaves the lower layers untouched for most of a run; what
they give for a row never changes meanwhile. It is written in canonical blocks and never from training
batches, so that its bytes are the same wherever a run was interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ftcli.batching.images import ImageTable
from ftcli.batching.table import TokenTable
from ftcli.checkpoint.crash import crash_point
from ftcli.device import autocast
from ftcli.errors import FtcliError
from ftcli.plan.plan import Plan
from ftcli.prefix.conditions import Trial, obstacle
from ftcli.prefix.frame import Frame, Reached
from ftcli.prefix.key import Digests, states_key, table_digest
from ftcli.prefix.schedule import Prefix
from ftcli.prefix.states import (
    Shape,
    States,
    available_memory,
    canonical_blocks,
    empty_states,
    open_folder,
    read_states,
    staged_states,
)

GIB = 2**30
MEMORY_SHARE = 4
"""Activations stay in memory up to this part of what is free; larger ones go to files."""
SLOW_SECONDS = 2.0


@dataclass(slots=True, kw_only=True)
class PrefixCache:
    """Keeps the activations of one model's rows; `reading` lets a forward begin at the boundary."""

    model: torch.nn.Module
    task: Any
    plan: Plan
    prefixes: tuple[Prefix, ...]
    frame: Frame | None
    """None: an architecture that was not tried."""
    tables: Sequence[TokenTable]
    """Training rows first; they carry labels."""
    folder: Path
    """Where files go."""
    limit_bytes: int
    """Most that may be kept at a time."""
    always_files: bool
    pad_id: int
    padding_side: str
    device: str
    precision: str
    note: Callable[[str], None]
    check: Callable[[], None]
    """Raises to interrupt; called between blocks of a fill."""
    depth: int = 0
    """Boundary that is read now; 0: none."""
    _held: dict[tuple[int, int], tuple[str, States]] = field(default_factory=dict)
    """(number of the table, depth) -> (key, states)"""
    _table_digests: dict[int, str] = field(default_factory=dict)
    _announced: set[int] = field(default_factory=set)
    _said: set[str] = field(default_factory=set)

    def enter(self, phase: int) -> None:
        """Makes the activations of a phase ready, or says in one line why they are computed in each step.

        The model stands as in the phase: its weights, what requires gradients, what runs in eval mode.

        Raises:
            Interrupted: a signal came while rows were computed.
        """
        self.leave()
        prefix, frame = self.prefixes[phase], self.frame
        if not prefix.depth or not prefix.pays:
            self._held.clear()
            return
        own = dict(self.model.named_parameters())
        trained = [own[name] for name in self.plan.phases[phase].trainable]
        why = (
            f"{type(self.model).__name__} is not one of the architectures it knows"
            if frame is None
            else obstacle(self.model, frame, prefix.depth, trained, self.padding_side)
        )
        if why or frame is None:
            self._say(f"phase {phase} computes it in each step: {why}")
            return
        shapes = self._shapes(frame, prefix, trained)
        if not shapes:
            self._say(f"phase {phase} computes it in each step: a trial from kept states came out otherwise")
            return
        self._make_ready(phase, frame, shapes)

    def leave(self) -> None:
        """Forgets which boundary is read: a forward is whole again until the next `enter`."""
        self.depth = 0

    def reading(
        self, table: TokenTable, rows: np.ndarray, batch: dict[str, torch.Tensor]
    ) -> AbstractContextManager[None]:
        """Returns a context in which the model's forward of a batch begins at the boundary, if it is kept.

        Args:
            table: the batch's table.
            rows: its row numbers.
            batch: what `collate` made of them.
        """
        number = next((i for i, one in enumerate(self.tables) if one is table), None)
        if not self.depth or number is None or self.frame is None:
            return nullcontext()
        states = self._held[number, self.depth][1]
        width = batch["input_ids"].shape[-1] if "input_ids" in batch else states.shape.places
        assert width is not None
        found = states.take(table.sequences(rows), width, self.device)
        return self.frame.replaying(self.depth, states.shape.kept, found)

    def _say(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self.note(f"frozen prefix: {line}")

    def _shapes(self, frame: Frame, prefix: Prefix, trained: list[torch.nn.Parameter]) -> dict[int, Shape]:
        """Tries the boundary on a few rows; returns depth -> what is kept there, empty where the trial fails."""
        table = self.tables[0]
        order = np.concatenate(canonical_blocks(table))
        rows = order[np.unique([len(order) * n // 6 for n in (3, 4, 5)] + [len(order) - 1])]
        sequences = table.sequences(rows)
        image = isinstance(table, ImageTable)
        lengths = None if image else np.maximum(1, np.diff(table.offsets))[sequences]
        pads = any((one.ids == self.pad_id).any() for one in self.tables)
        batch = self._batch(table, rows)
        trial = Trial(
            self.task, self.model, frame, batch, lengths, image or not pads, self.device, self.precision
        )
        # Above the first block of a later boundary there is attention: all of its places are read.
        depths = [prefix.depth, *(d for d in prefix.shared if d < len(frame.blocks))]
        with _eval_mode(self.model):
            kept, caught = trial.run(depths, trained)
        if not kept or (lengths is not None and caught[depths[0]]["states"].shape[1] != lengths.max()):
            return {}
        shapes = {}
        for depth in depths:
            states = caught[depth]["states"]
            places = states.shape[1] if image else None
            shapes[depth] = Shape(
                kept if depth == depths[0] else "all", states.shape[-1], states.dtype, places
            )
        return shapes

    def _make_ready(self, phase: int, frame: Frame, shapes: dict[int, Shape]) -> None:
        depth = next(iter(shapes))
        size = self._size(shapes)
        if size > self.limit_bytes:
            shapes = {depth: shapes[depth]}
            size = self._size(shapes)
        if size > self.limit_bytes:
            self._say(
                f"phase {phase} computes it in each step: {size / GIB:.2g} GiB of activations are more than "
                f"trainer.prefix_cache_gib={self.limit_bytes / GIB:.3g}"
            )
            self._held.clear()
            return
        keys = self._keys(frame, shapes)
        self._held = {place: held for place, held in self._held.items() if keys.get(place) == held[0]}
        missing = self._read(keys, shapes)
        files = self.always_files or size > available_memory() // MEMORY_SHARE
        self._announce(phase, frame, shapes, size, files=files, missing=bool(missing))
        try:
            self._fill(frame, shapes, missing, files=files)
        except (FtcliError, OSError) as error:
            # Of runs that start together the first one's entry stays, and it holds the same bytes.
            if self._read(keys, shapes):
                reason = " ".join(str(error).split())
                self._say(
                    f"phase {phase} computes it in each step: {reason} (FTCLI_CACHE=DIR moves the cache)"
                )
                return
        self.depth = depth

    def _read(self, keys: dict[tuple[int, int], str], shapes: dict[int, Shape]) -> dict[tuple[int, int], str]:
        """Opens the entries that are there; returns the keys of what is still missing."""
        for (number, depth), key in keys.items():
            if (number, depth) not in self._held:
                states = read_states(self.folder / key, shapes[depth], self.tables[number])
                if states is not None:
                    self._held[number, depth] = key, states
        return {place: key for place, key in keys.items() if place not in self._held}

    def _size(self, shapes: dict[int, Shape]) -> int:
        return sum(shape.num_bytes(table) for shape in shapes.values() for table in self.tables)

    def _keys(self, frame: Frame, shapes: dict[int, Shape]) -> dict[tuple[int, int], str]:
        digests, keys = Digests(), {}
        for depth, shape in shapes.items():
            weights = digests.of(frame.below(depth))
            for number, table in enumerate(self.tables):
                if number not in self._table_digests:
                    self._table_digests[number] = table_digest(table, self.pad_id)
                keys[number, depth] = states_key(
                    self.model, weights=weights, table=self._table_digests[number], depth=depth, shape=shape,
                    device=self.device, precision=self.precision,
                )  # fmt: skip
        return keys

    def _announce(
        self, phase: int, frame: Frame, shapes: dict[int, Shape], size: int, *, files: bool, missing: bool
    ) -> None:
        depth, *later = shapes
        what = "the base model" if depth == frame.whole else f"{depth} block{'s' if depth > 1 else ''}"
        more = f", later phases those of {' and '.join(map(str, later))}" if later else ""
        place = f"in files under {self.folder}" if files else "in memory"
        how = f"{size / 2**20:,.{0 if size >= 10 * 2**20 else 1}f} MiB {place}" if missing else "kept already"
        if phase in self._announced:
            return
        self._announced.add(phase)
        self._say(
            f"phase {phase} reads the activations of {what}{more}: {how} (trainer.prefix_cache=off computes them)"
        )

    def _fill(
        self, frame: Frame, shapes: dict[int, Shape], missing: dict[tuple[int, int], str], *, files: bool
    ) -> None:
        """Computes what is missing, one pass a table; entries appear when their table is done."""
        if files and missing:
            # Before the first entry is begun: a sweep takes this process's own stages for a dead one's.
            open_folder(self.folder)
        progress = _Progress(sum(len(self.tables[n]) for n in {n for n, _ in missing}), self.note)
        for number in sorted({number for number, _ in missing}):
            table = self.tables[number]
            wanted = {depth: key for (n, depth), key in missing.items() if n == number}
            with ExitStack() as stack:
                stores = {
                    depth: stack.enter_context(staged_states(self.folder / key, shapes[depth], table))
                    if files
                    else empty_states(shapes[depth], table)
                    for depth, key in wanted.items()
                }
                for rows in canonical_blocks(table):
                    self.check()
                    crash_point("prefix")
                    caught = self._catch(frame, list(stores), self._batch(table, rows))
                    for depth, states in stores.items():
                        states.put(table.sequences(rows), caught[depth])
                    progress.advance(len(rows))
            for depth, key in wanted.items():
                # A file has its final name only now; its mapping stays good.
                self._held[number, depth] = key, stores[depth]

    @torch.no_grad()
    def _catch(self, frame: Frame, depths: list[int], batch: dict[str, torch.Tensor]) -> dict[int, Any]:
        try:
            with frame.catching(depths, stop=True) as caught, autocast(self.device, self.precision):
                self.task.compute_loss(self.model, batch, train=False)
        except Reached:
            pass
        return caught

    def _batch(self, table: TokenTable, rows: np.ndarray) -> dict[str, torch.Tensor]:
        batch = self.task.collate(table, rows, pad_id=self.pad_id, padding_side=self.padding_side)
        return {name: tensor.to(self.device) for name, tensor in batch.items()}


class _Progress:
    """Says how far a fill is: once it takes longer than two seconds, and when it is done."""

    def __init__(self, rows: int, note: Callable[[str], None]) -> None:
        self.rows, self.note, self.done = rows, note, 0
        self.start = self.said = time.perf_counter()

    def advance(self, rows: int) -> None:
        self.done += rows
        now = time.perf_counter()
        seconds = now - self.start
        if self.done == self.rows and self.said > self.start:
            self.note(f"frozen prefix: computed for {self.rows:,} rows in {seconds:.0f} s")
        elif (
            now - self.said > SLOW_SECONDS * (1 if self.said == self.start else 10) and self.done < self.rows
        ):
            left = seconds / self.done * (self.rows - self.done)
            self.note(f"frozen prefix: {self.done:,} of {self.rows:,} rows, about {left:.0f} s left")
            self.said = now


@contextmanager
def _eval_mode(model: torch.nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
