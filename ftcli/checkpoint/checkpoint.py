"""One checkpoint: a folder of tensors and counters, verified when it is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.errors import CheckpointError, Problem, RunDirError, did_you_mean
from ftcli.storage.manifest import verify, verify_file
from ftcli.storage.run_files import read_record

if TYPE_CHECKING:
    import torch

NAME = re.compile(r"step-(\d{6,})(?:\.(\d+))?")
STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint folder that was verified when it was opened."""

    path: Path
    step: int
    """Optimizer steps taken."""
    state: dict[str, Any]
    """Its state.json: `train` (TrainState), `best_step`, `scaler` and `optimizer`."""
    files: dict[str, dict[str, Any]]
    """File name -> `size` in bytes and `sha256`, as its manifest states them."""

    @property
    def name(self) -> str:
        return self.path.name

    def counter(self, name: str) -> int:
        """Returns a counter of the training state; 0 where this checkpoint has none of the name."""
        return int(self.state.get("train", {}).get(name, 0))

    def load(self, name: str) -> dict[str, torch.Tensor]:
        """Returns the tensors of `<name>.safetensors` by name, in the shapes they were saved in, on the CPU.

        Args:
            name: `model` or `optimizer`.

        Raises:
            CheckpointError: there is no such file, it changed since the checkpoint was opened, or holds no tensors.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        file = f"{name}.safetensors"
        if file not in self.files:
            raise CheckpointError(Problem(str(self.path), f"holds no {file}", did_you_mean(file, self.files)))
        verify_file(self.path, file, self.files[file])
        try:
            return load_file(self.path / file)
        except (
            SafetensorError,
            ValueError,
            KeyError,
            TypeError,
        ) as error:  # a manifest can agree with anything
            message = f"cannot be read as tensors: {str(error).splitlines()[0]:.200}"
            raise CheckpointError(Problem(str(self.path / file), message)) from error


def open_checkpoint(path: Path, *, hashes: bool = True) -> Checkpoint:
    """Returns the verified checkpoint in a folder; `best` and `last` are followed.

    Args:
        path: the folder.
        hashes: False for one that was committed just now (see `storage.manifest.verify`).

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    path = path.resolve() if path.is_symlink() else path
    if not NAME.fullmatch(path.name):
        raise CheckpointError(Problem(str(path), "is no checkpoint", "such as RUN/checkpoints/best"))
    manifest = verify(path, hashes=hashes)
    step = step_of(path)
    if STATE not in manifest["files"] or manifest["about"].get("step", step) != step:
        raise CheckpointError(Problem(str(path), "is no checkpoint of the step in its name"))
    try:
        state = read_record(path / STATE)
    except RunDirError as error:
        raise CheckpointError(*error.problems) from error
    return Checkpoint(path, step, state, manifest["files"])


def order_of(path: Path) -> tuple[int, int]:
    """Returns (step, which save of this step it is, from 1)."""
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match.group(1)), int(match.group(2) or 1)


def step_of(path: Path) -> int:
    """Returns the optimizer steps that the name of a checkpoint says."""
    return order_of(path)[0]
