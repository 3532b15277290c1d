"""The activations at the boundary of a frozen lower part, computed once and read afterwards.

Howard and Ruder's gradual unfreezing (2018, arXiv:1801.06146) leaves the lower layers untouched for most of a run; what
they give for a row never changes meanwhile. It is written in canonical blocks and never from training
batches, so that its bytes are the same wherever a run was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ftcli.batching.protocols import Batch
from ftcli.batching.token_table import TokenTable
from ftcli.console.units import size_text
from ftcli.errors import FtcliError
from ftcli.plan.plan import Plan
from ftcli.runtime.memory import available_memory
from ftcli.trainer.activation_cache.cut_point import Frame
from ftcli.trainer.activation_cache.eligibility import obstacle
from ftcli.trainer.activation_cache.folder import StatesFolder
from ftcli.trainer.activation_cache.key import Digests, states_key, table_digest
from ftcli.trainer.activation_cache.populate import Filler
from ftcli.trainer.activation_cache.schedule import FrozenPrefix
from ftcli.trainer.activation_cache.states import Shape, States
from ftcli.trainer.forward import Forward

GIB = 2**30
MEMORY_SHARE = 4
"""Activations stay in memory up to this part of what is free; larger ones go to files."""


@dataclass(slots=True, kw_only=True)
class ActivationCache:
    """The cached activations of one model's rows; `reading` lets a forward begin at the boundary."""

    model: torch.nn.Module
    forward: Forward
    """Runs the rows that fill the cache; it reads no cached activations itself."""
    plan: Plan
    prefixes: tuple[FrozenPrefix, ...]
    """Of every phase."""
    frame: Frame | None
    """None: an architecture that was not tried."""
    tables: Sequence[TokenTable]
    """Training rows first; they carry labels."""
    folder: Path
    """Where files go."""
    limit_bytes: int
    """Most that may be cached at a time, and that the folder may hold besides what running processes read."""
    always_files: bool
    note: Callable[[str], None]
    check: Callable[[], None]
    """Raises to interrupt; called between blocks of a fill."""
    depth: int = 0
    """Boundary that is read now; 0: none."""
    _entries: dict[tuple[int, int], tuple[str, States]] = field(default_factory=dict)
    """(number of the table, depth) -> (key, states)"""
    _table_digests: dict[int, str] = field(default_factory=dict)
    _announced: set[int] = field(default_factory=set)
    _notes: set[str] = field(default_factory=set)
    _files: StatesFolder = field(init=False)
    _filler: Filler | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._files = StatesFolder(path=self.folder, limit_bytes=self.limit_bytes, note=self.note)
        if self.frame is not None:
            self._filler = Filler(
                model=self.model,
                forward=self.forward,
                frame=self.frame,
                tables=self.tables,
                note=self.note,
                check=self.check,
            )

    def enter(self, phase: int) -> None:
        """Makes the activations of a phase ready, or says in one line why they are computed in each step.

        The model must be as in the phase: its weights, what requires gradients, what runs in eval mode.

        Args:
            phase: index of the phase.

        Raises:
            Interrupted: a signal came while rows were computed.
        """
        self.leave()
        prefix, frame, filler = self.prefixes[phase], self.frame, self._filler
        if not prefix.depth or not prefix.pays:
            self._entries.clear()
            return
        own = dict(self.model.named_parameters())
        trained = [own[name] for name in self.plan.phases[phase].trainable]
        why = (
            f"{type(self.model).__name__} is not one of the architectures it knows"
            if frame is None
            else obstacle(self.model, frame, prefix.depth, trained, self.forward.padding_side)
        )
        if why or frame is None or filler is None:
            self._note_once(f"phase {phase} computes its activations in each step: {why}")
            return
        # Above the first block of a later boundary there is attention: all of its places are read.
        depths = [prefix.depth, *(d for d in prefix.shared if d < len(frame.blocks))]
        shapes = filler.try_out(depths, trained)
        if not shapes:
            self._note_once(
                f"phase {phase} computes its activations in each step: a trial from kept ones came out otherwise"
            )
            return
        self._make_ready(phase, frame, filler, shapes)

    def leave(self) -> None:
        """Forgets which boundary is read: a forward is whole again until the next `enter`."""
        self.depth = 0

    def reading(self, table: TokenTable, rows: np.ndarray, batch: Batch) -> AbstractContextManager[None]:
        """Returns a context in which the model's forward of a batch begins at the boundary, if it is cached.

        Args:
            table: the batch's table.
            rows: (batch,) its row numbers.
            batch: what `collate` made of them; its `input_ids` are (num_sequences, seq_len).
        """
        number = next((i for i, one in enumerate(self.tables) if one is table), None)
        if not self.depth or number is None or self.frame is None:
            return nullcontext()
        states = self._entries[number, self.depth][1]
        width = batch["input_ids"].shape[-1] if "input_ids" in batch else states.shape.places
        assert width is not None
        found = states.take(table.sequences(rows), width, self.forward.device)
        return self.frame.replaying(self.depth, states.shape.stored, found)

    def _note_once(self, line: str) -> None:
        if line not in self._notes:
            self._notes.add(line)
            self.note(f"frozen prefix: {line}")

    def _make_ready(self, phase: int, frame: Frame, filler: Filler, shapes: dict[int, Shape]) -> None:
        """Opens or computes the activations of a phase, in files, in memory, or not at all."""
        depth = next(iter(shapes))
        size = self._size(shapes)
        if size > self.limit_bytes:
            shapes = {depth: shapes[depth]}
            size = self._size(shapes)
        if size > self.limit_bytes:
            self._note_once(
                f"phase {phase} computes its activations in each step: their {size_text(size)} are more than "
                f"trainer.prefix_cache_gib={self.limit_bytes / GIB:.3g}"
            )
            self._entries.clear()
            return
        keys = self._keys(frame, shapes)
        # What an earlier phase reads no longer is dropped before more is computed.
        self._entries = {
            place: entry for place, entry in self._entries.items() if keys.get(place) == entry[0]
        }
        missing = self._read(keys, shapes)
        roomy = size <= available_memory() // MEMORY_SHARE
        files = self.always_files or not roomy
        self._announce(phase, frame, shapes, size, files=files, missing=bool(missing))
        failed = self._complete(filler, shapes, keys, files=files)
        if failed and files and roomy:
            self._note_once(f"kept in memory, for {failed} (FTCLI_CACHE=DIR moves the cache)")
            failed = self._complete(filler, shapes, keys, files=False)
        if failed:
            self._note_once(
                f"phase {phase} computes its activations in each step: {failed} (FTCLI_CACHE=DIR moves the cache)"
            )
            return
        self.depth = depth

    def _complete(
        self, filler: Filler, shapes: dict[int, Shape], keys: dict[tuple[int, int], str], *, files: bool
    ) -> str:
        """Fills until nothing is missing; returns what prevents it, or ''.

        Of runs that start together the first one's entry stays, and it holds the same bytes: what another
        run finished meanwhile is read, and only the rest is computed.
        """
        missing = self._read(keys, shapes)
        while missing:
            try:
                filler.fill(shapes, missing, self._files if files else None, self._add)
                return ""
            except (FtcliError, OSError) as error:
                left = self._read(keys, shapes)
                if len(left) == len(missing):
                    return " ".join(str(error).split())
                missing = left
        return ""

    def _add(self, place: tuple[int, int], key: str, states: States) -> None:
        self._entries[place] = key, states

    def _read(self, keys: dict[tuple[int, int], str], shapes: dict[int, Shape]) -> dict[tuple[int, int], str]:
        """Opens the entries that are there; returns the keys of what is still missing."""
        for (number, depth), key in keys.items():
            if (number, depth) not in self._entries:
                states = self._files.read(key, shapes[depth], self.tables[number])
                if states is not None:
                    self._entries[number, depth] = key, states
        return {place: key for place, key in keys.items() if place not in self._entries}

    def _size(self, shapes: dict[int, Shape]) -> int:
        return sum(shape.num_bytes(table) for shape in shapes.values() for table in self.tables)

    def _keys(self, frame: Frame, shapes: dict[int, Shape]) -> dict[tuple[int, int], str]:
        digests, keys = Digests(), {}
        for depth, shape in shapes.items():
            weights = digests.of(frame.below(depth))
            for number, table in enumerate(self.tables):
                if number not in self._table_digests:
                    self._table_digests[number] = table_digest(table, self.forward.pad_id)
                keys[number, depth] = states_key(
                    self.model, weights=weights, table=self._table_digests[number], depth=depth, shape=shape,
                    device=self.forward.device, precision=self.forward.precision,
                )  # fmt: skip
        return keys

    def _announce(
        self, phase: int, frame: Frame, shapes: dict[int, Shape], size: int, *, files: bool, missing: bool
    ) -> None:
        depth, *later = shapes
        more = f", later phases those of {' and '.join(map(frame.name, later))}" if later else ""
        place = f"in files under {self.folder}" if files else "in memory"
        how = f"{size_text(size)} {place}" if missing else "kept already"
        if phase in self._announced:
            return
        self._announced.add(phase)
        self._note_once(
            f"phase {phase} reads the activations of {frame.name(depth)}{more}: {how} (trainer.prefix_cache=off computes them)"
        )
