"""One base in memory under several runs: weight files are read once, and equal tensors are one storage.

Sharing goes by content: a run's tensor that is equal, bit for bit, to one of the files takes the file's
storage. So whatever a run trained, or a method's initialisation changed, stays its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Key = tuple[Any, ...]


class SharedWeights:
    """Tensors of weight files, held once; models built meanwhile take them over with `adopt`."""

    def __init__(self) -> None:
        self.reads = 0
        """Sets of files that were read from the disk."""
        self.num_bytes = 0
        """Bytes of tensors that `adopt` did not have to hold again."""
        self._files: dict[Key, dict[str, torch.Tensor]] = {}
        self._index: dict[Key, list[torch.Tensor]] = {}
        self._moved: dict[tuple[int, str], torch.Tensor] = {}
        self._used: set[int] = set()

    def read(
        self, files: tuple[Path, ...], dtype: torch.dtype, load: Callable[[], dict[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """Returns a copy of the files' tensors; `load` reads them where nobody has.

        Args:
            files: safetensors files of one model.
            dtype: of the model; tensors are widened to it, never narrowed.
            load: reads the files.
        """
        import torch

        key = (dtype, *(str(file.resolve()) for file in files))
        if key not in self._files:
            self.reads += 1
            wide = dtype == torch.float32
            held = {n: t.to(dtype) if wide and t.is_floating_point() else t for n, t in load().items()}
            self._files[key] = held
            for tensor in held.values():
                self._index.setdefault(_key(tensor), []).append(tensor)
        return {name: tensor.clone() for name, tensor in self._files[key].items()}

    def adopt(self, model: torch.nn.Module, device: str) -> None:
        """Gives the model's unchanged tensors the storage of the files', on `device`."""
        for tensor in [*model.parameters(), *model.buffers()]:
            held = next((t for t in self._index.get(_key(tensor), ()) if _equal(t, tensor)), None)
            if held is not None:
                tensor.data = self._on(held, device)
                self.num_bytes += held.nbytes if id(held) in self._used else 0
                self._used.add(id(held))

    def release(self) -> None:
        """Lets go of all that no model took over."""
        self._files.clear()
        self._index.clear()

    def _on(self, held: torch.Tensor, device: str) -> torch.Tensor:
        if device == "cpu":
            return held
        place = (id(held), device)
        if place not in self._moved:
            self._moved[place] = held.to(device)
        return self._moved[place]


_current: ContextVar[SharedWeights | None] = ContextVar("shared_weights", default=None)


@contextmanager
def shared_weights() -> Iterator[SharedWeights]:
    """Inside the block, weight files are read once, and models can take over what is held."""
    shared = SharedWeights()
    token = _current.set(shared)
    try:
        yield shared
    finally:
        _current.reset(token)


def current() -> SharedWeights | None:
    """Returns what holds the weights in this block, None outside of one."""
    return _current.get()


def _key(tensor: torch.Tensor) -> Key:
    """Returns what equal tensors have in common; tensors that agree in it are compared value by value."""
    import torch

    kind = torch.float64 if tensor.is_floating_point() else None
    total = tensor.detach().sum(dtype=kind).item() if tensor.device.type != "meta" else 0
    return (tuple(tensor.shape), tensor.dtype, total)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    import torch

    return one.device == other.device and torch.equal(one, other)
