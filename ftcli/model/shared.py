"""One base model in memory for several runs: weight files are read once, and equal tensors share one storage.

Sharing goes by content: a run's tensor that equals one of the files, bit for bit, takes over the storage of the
file's tensor. So whatever a run trained, or a PEFT method's initialization changed, stays the run's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.console.units import size_text

if TYPE_CHECKING:
    import torch

Key = tuple[Any, ...]


class SharedWeights:
    """Tensors of weight files, in memory once; models that are built in the meantime share them by `adopt`."""

    def __init__(self) -> None:
        self.reads = 0
        """Sets of weight files that were read from the disk."""
        self.num_bytes = 0
        """Bytes of memory saved: tensors that a second model and later ones share."""
        self._files: dict[Key, dict[str, torch.Tensor]] = {}
        self._index: dict[Key, list[torch.Tensor]] = {}
        self._moved: dict[tuple[int, str], torch.Tensor] = {}
        self._used: set[int] = set()

    def read(
        self, files: tuple[Path, ...], dtype: torch.dtype, load: Callable[[], dict[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """Returns a copy of the files' tensors by name, in their own shapes; `load` reads them the first time.

        A copy, because transformers keeps the tensors it is given as parameters, and a run may change them.

        Args:
            files: safetensors files of one model.
            dtype: of the model. Float tensors are widened to float32 where it is that; they are never narrowed.
            load: reads the files.
        """
        import torch

        key = (dtype, *(str(file.resolve()) for file in files))
        if key not in self._files:
            self.reads += 1
            wide = dtype == torch.float32
            tensors = {n: t.to(dtype) if wide and t.is_floating_point() else t for n, t in load().items()}
            self._files[key] = tensors
            for tensor in tensors.values():
                self._index.setdefault(_key(tensor), []).append(tensor)
        return {name: tensor.clone() for name, tensor in self._files[key].items()}

    def adopt(self, model: torch.nn.Module, device: str) -> None:
        """Lets the model's tensors that equal one of the files share the file's storage, on `device`."""
        for tensor in [*model.parameters(), *model.buffers()]:
            equal = next((t for t in self._index.get(_key(tensor), ()) if _equal(t, tensor)), None)
            if equal is not None:
                tensor.data = self._on(equal, device)
                # The first model would have needed this memory anyway.
                self.num_bytes += equal.nbytes if id(equal) in self._used else 0
                self._used.add(id(equal))

    def release(self) -> None:
        """Frees the tensors that no model shares."""
        self._files.clear()
        self._index.clear()

    def _on(self, tensor: torch.Tensor, device: str) -> torch.Tensor:
        if device == "cpu":
            return tensor
        key = (id(tensor), device)
        if key not in self._moved:
            self._moved[key] = tensor.to(device)
        return self._moved[key]


_current: ContextVar[SharedWeights | None] = ContextVar("shared_weights", default=None)


@contextmanager
def shared_weights() -> Iterator[SharedWeights]:
    """Inside the block, weight files are read once, and models can share their tensors."""
    shared = SharedWeights()
    token = _current.set(shared)
    try:
        yield shared
    finally:
        _current.reset(token)


def sharing_line(shared: SharedWeights) -> str:
    """Returns a line for the user: how often weights were read, and how much memory sharing saves."""
    times = "once" if shared.reads == 1 else f"{shared.reads} times"
    return f"weights were read {times}; sharing them saves {size_text(shared.num_bytes)} of memory"


def current() -> SharedWeights | None:
    """Returns the weights shared in this block, None outside of one."""
    return _current.get()


def _key(tensor: torch.Tensor) -> Key:
    """Returns what equal tensors agree in, cheap to look up; tensors with equal keys are then compared by value."""
    import torch

    kind = torch.float64 if tensor.is_floating_point() else None
    total = tensor.detach().sum(dtype=kind).item() if tensor.device.type != "meta" else 0
    return (tuple(tensor.shape), tensor.dtype, total)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    import torch

    return one.device == other.device and torch.equal(one, other)
