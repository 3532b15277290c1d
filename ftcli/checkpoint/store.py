"""The checkpoints of a run: best, last, the newest few; damaged ones are found and passed over."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.checkpoint.commit import TRASH, commit, fsync, replace_link, sweep, verify
from ftcli.checkpoint.crash import crash_point
from ftcli.errors import CheckpointError, Problem, did_you_mean

if TYPE_CHECKING:
    import torch

NAME = re.compile(r"step-(\d{6,})(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint folder; `state` is its state.json."""

    path: Path
    step: int
    state: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.name

    def load(self, name: str) -> dict[str, torch.Tensor]:
        """Returns the tensors of `<name>.safetensors` on the CPU."""
        from safetensors.torch import load_file

        return load_file(self.path / f"{name}.safetensors")


class CheckpointStore:
    """Reads and writes `checkpoints/`; `messages` says what was found damaged.

    Args:
        folder: the run's checkpoints folder.
        keep: newest checkpoints to keep; the best is kept besides.
        readonly: look only; nothing is swept or mended, for a training process may be at work here.
    """

    def __init__(self, folder: Path, keep: int, *, readonly: bool = False) -> None:
        self.folder, self.keep, self.messages = folder, keep, list[str]()
        self.readonly = readonly
        if not readonly:
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)

    def save(
        self,
        step: int,
        *,
        tensors: Mapping[str, Mapping[str, torch.Tensor]],
        state: dict[str, Any],
        best: bool,
    ) -> Path:
        """Commits one checkpoint, moves the links, then deletes what is no longer needed.

        A step that is saved twice (interrupted, resumed, evaluated) gets the name `step-N.2`, so that
        the first stays whole until the second is.
        """
        final = self._free_name(step)
        with commit(final) as stage:
            for name, values in tensors.items():
                _write(stage / f"{name}.safetensors", values)
            (stage / "state.json").write_text(json.dumps(state, sort_keys=True), encoding="utf-8")
        crash_point("before-link")
        replace_link(self.folder / "last", final.name)
        if best:
            replace_link(self.folder / "best", final.name)
        crash_point("after-link")
        verify(final)
        self._rotate(final, state.get("best_step"))
        return final

    def latest(self) -> Checkpoint | None:
        """Returns the newest checkpoint that verifies, and mends both links to fit it unless readonly.

        The folders decide, not the links: a kill may fall between a rename and its link.
        """
        for path in self._folders():
            try:
                found = self._open(path)
            except CheckpointError as error:
                self.messages.append(f"damaged checkpoint: {error}; the previous one is used")
                continue
            if not self.readonly:
                self._mend_links(found)
            return found
        if self.messages:
            self.messages.append("no intact checkpoint is left: starting again at step 0")
        return None

    def find(self, name: str) -> Checkpoint:
        """Returns `best`, `last` or a checkpoint by its name.

        Raises:
            CheckpointError: there is none, or it is damaged; lists what there is.
        """
        names = [path.name for path in self._folders()]
        if name == "last":
            found = self.latest()
            if found is None:
                raise CheckpointError(
                    Problem(str(self.folder), "holds no intact checkpoint", "type ftcli resume RUN to train")
                )
            return found
        path = self._best_folder() if name == "best" else self.folder / name
        if path is None or path.name not in names:
            raise CheckpointError(
                Problem(
                    f"--checkpoint {name}",
                    f"is not in {self.folder}",
                    did_you_mean(name, ["best", "last", *names]),
                )
            )
        return self._open(path)

    def _best_folder(self) -> Path | None:
        """Returns the folder of the best step that the newest intact state knows of."""
        newest = self.latest()
        return None if newest is None else self._by_step(newest.state.get("best_step"))

    def _open(self, path: Path) -> Checkpoint:
        verify(path)
        match = NAME.fullmatch(path.name)
        assert match is not None
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        return Checkpoint(path, int(match.group(1)), state)

    def _folders(self) -> list[Path]:
        """Returns checkpoint folders, newest first; `step-N.2` is newer than `step-N`."""
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            match = NAME.fullmatch(path.name)
            if match and path.is_dir() and not path.is_symlink():
                found.append(((int(match.group(1)), int(match.group(2) or 1)), path))
        return [path for _, path in sorted(found, reverse=True)]

    def _by_step(self, step: int | None) -> Path | None:
        for path in self._folders():
            match = NAME.fullmatch(path.name)
            if match and step is not None and int(match.group(1)) == step:
                return path
        return None

    def _free_name(self, step: int) -> Path:
        number, path = 1, self.folder / f"step-{step:06d}"
        while path.exists():
            number += 1
            path = self.folder / f"step-{step:06d}.{number}"
        return path

    def _mend_links(self, newest: Checkpoint) -> None:
        best = self._by_step(newest.state.get("best_step"))
        for link, target in (("last", newest.path), ("best", best)):
            path = self.folder / link
            if target is not None and (not path.is_symlink() or path.readlink().name != target.name):
                replace_link(path, target.name)

    def _rotate(self, newest: Path, best_step: int | None) -> None:
        """Deletes older siblings of one step, then all but the newest `keep` and the best."""
        best = self._by_step(best_step)
        folders = self._folders()
        seen: set[int] = set()
        kept: list[Path] = []
        for path in folders:
            match = NAME.fullmatch(path.name)
            assert match is not None
            step = int(match.group(1))
            if step not in seen and len(seen) < self.keep:
                kept.append(path)
            seen.add(step)
        for path in folders:
            if path not in kept and path not in (best, newest):
                self._delete(path)

    def _delete(self, path: Path) -> None:
        crash_point("before-delete")
        trash = self.folder / f"{TRASH}{path.name}"
        shutil.rmtree(trash, ignore_errors=True)
        path.rename(trash)
        fsync(self.folder)
        crash_point("in-delete")
        shutil.rmtree(trash, ignore_errors=True)


def _write(path: Path, values: Mapping[str, torch.Tensor]) -> None:
    """Writes tensors as safetensors; a failure of the disk is an OSError with its own number."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({key: value.contiguous().clone() for key, value in values.items()}, path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number.group(1)) if number else 5, str(error)) from error
