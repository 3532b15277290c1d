"""The checkpoints of a run: best, last, the newest few; damaged ones are found and passed over.

The folders are the truth and the links `best` and `last` a convenience: a kill may fall between a
rename and its link, so links are repaired from the newest intact state and never trusted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.checkpoint.checkpoint import NAME, STATE, Checkpoint, open_checkpoint, order_of, step_of
from ftcli.errors import CheckpointError, Problem, did_you_mean
from ftcli.storage.atomic import commit, replace_link
from ftcli.storage.crash_points import crash_point
from ftcli.storage.disk import explained, fsync
from ftcli.storage.manifest import UnknownFormatError
from ftcli.storage.temporary import TRASH, sweep

if TYPE_CHECKING:
    import torch


class CheckpointStore:
    """Reads and writes `checkpoints/`; `messages` says what was found damaged.

    Whoever opens it for writing holds the run's lock (`RunDir.locked`).

    Args:
        folder: the run's checkpoints folder.
        keep: how many of the newest checkpoints stay; the best stays besides.
        readonly: look only; nothing is deleted and no link is repaired, for a training process may be at work here.

    Raises:
        RunDirError: the folder cannot be made.
    """

    def __init__(self, folder: Path, keep: int, *, readonly: bool = False) -> None:
        self.folder, self.keep, self.readonly, self.messages = folder, keep, readonly, list[str]()
        self.about: Callable[[], dict[str, Any]] = dict
        """Gives what the manifest of a checkpoint says besides, such as the hash of the events so far."""
        if not readonly:
            with explained(folder):
                folder.mkdir(parents=True, exist_ok=True)
                sweep(folder, alone=True)

    def save(
        self,
        step: int,
        *,
        tensors: Mapping[str, Mapping[str, torch.Tensor]],
        state: dict[str, Any],
        best: bool,
    ) -> Path:
        """Commits one checkpoint, looks whether it is whole, moves the links, then deletes what is no longer needed.

        A step that is saved twice (interrupted, resumed, evaluated) gets the name `step-N.2`, so that
        the first stays whole until the second is.

        Args:
            step: optimizer steps taken.
            tensors: file name without suffix -> tensors by name, on any device; their dtypes are kept.
            state: JSON values; `best_step` says which checkpoint is the best when it is not this one.
            best: this one is the best so far.

        Raises:
            RunDirError: the disk is full or cannot be written; what was there before is untouched.
            CheckpointError: what was written is not all there; nothing older was deleted.
        """
        from safetensors.torch import save_file

        final = self._free_name(step)
        state = {**state, "best_step": step if best else state.get("best_step")}
        # On the CPU first: the space they need is known before anything is written.
        own = {name: _storable(values) for name, values in tensors.items()}
        num_bytes = sum(value.nbytes for values in own.values() for value in values.values())
        with commit(final, about=self.about() | {"step": step}, num_bytes=num_bytes) as stage:
            with ThreadPoolExecutor() as pool:
                files = [stage / f"{name}.safetensors" for name in own]
                list(pool.map(save_file, own.values(), files))
            (stage / STATE).write_text(json.dumps(state, sort_keys=True), encoding="utf-8")
        written = open_checkpoint(final, hashes=False)
        crash_point("before-link")
        self._link(written)
        crash_point("after-link")
        self._rotate(written)
        return final

    def latest(self) -> Checkpoint | None:
        """Returns the newest checkpoint that verifies, or None; `messages` names those passed over.

        Raises:
            UnknownFormatError: the newest was written by another version, which must go on with it.
        """
        found, damaged = None, []
        for path in self._folders():
            try:
                found = self._open(path)
                break
            except UnknownFormatError:
                raise
            except CheckpointError as error:
                damaged.append(error)
        instead = f"the previous one is used: {found.name}" if found else "nothing older is intact"
        lines = [f"damaged checkpoint: {error}; {instead}" for error in damaged]
        if damaged and found is None and not self.readonly:
            lines.append("no intact checkpoint is left: starting again at step 0")
        self.messages += [line for line in lines if line not in self.messages]
        if found is not None and not self.readonly:
            self._link(found)
        return found

    def find(self, name: str) -> Checkpoint:
        """Returns `best`, `last` or a checkpoint by its name.

        Raises:
            CheckpointError: there is none, or it is damaged; lists what there is.
        """
        if name not in ("best", "last"):
            path = self._by_name(name)
            if path is None:
                names = ["best", "last", *(p.name for p in self._folders())]
                raise CheckpointError(
                    Problem(f"--checkpoint {name}", f"is not in {self.folder}", did_you_mean(name, names))
                )
            return self._open_or_list(path)
        newest = self.latest()
        if newest is None:
            raise CheckpointError(
                Problem(str(self.folder), "holds no intact checkpoint", "type ftcli resume RUN to train")
            )
        return newest if name == "last" else self._find_best(newest)

    def _find_best(self, newest: Checkpoint) -> Checkpoint:
        step = newest.state.get("best_step")
        if step == newest.step:
            return newest
        path = self._by_step(step)
        if path is None:
            message = (
                "no evaluation has chosen one yet"
                if step is None
                else f"step {step} is missing from {self.folder}"
            )
            raise CheckpointError(Problem("--checkpoint best", message, self._what_there_is()))
        return self._open_or_list(path)

    def _open_or_list(self, path: Path) -> Checkpoint:
        try:
            return self._open(path)
        except CheckpointError as error:
            hint = self._what_there_is(without=path)
            raise CheckpointError(*(Problem(p.key, p.message, hint) for p in error.problems)) from error

    def _what_there_is(self, without: Path | None = None) -> str:
        names = [path.name for path in self._folders() if path != without]
        return (
            f"type --checkpoint {names[0]}; there is " + ", ".join(names)
            if names
            else "there is no other checkpoint"
        )

    def _open(self, path: Path) -> Checkpoint:
        return open_checkpoint(path)

    def _folders(self) -> list[Path]:
        """Returns checkpoint folders, newest first; `step-N.2` is newer than `step-N`."""
        entries = self.folder.iterdir() if self.folder.is_dir() else ()
        found = [
            path for path in entries if NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        ]
        return sorted(found, key=order_of, reverse=True)

    def _by_step(self, step: int | None) -> Path | None:
        return next((path for path in self._folders() if step_of(path) == step), None)

    def _by_name(self, name: str) -> Path | None:
        """Returns a folder by its name; `step-N` also finds what was saved again as `step-N.2`."""
        match = NAME.fullmatch(name)
        exact = next((path for path in self._folders() if path.name == name), None)
        return exact or (self._by_step(int(match.group(1))) if match and not match.group(2) else None)

    def _free_name(self, step: int) -> Path:
        """Returns a name above all of this step: freed numbers are not used again, they sort as older."""
        name = f"step-{step:06d}"
        newest = self._by_step(step)
        return self.folder / (name if newest is None else f"{name}.{order_of(newest)[1] + 1}")

    def _link(self, newest: Checkpoint) -> None:
        """Makes both links say what the newest intact state says."""
        for name, target in (("best", self._by_step(newest.state.get("best_step"))), ("last", newest.path)):
            link = self.folder / name
            if target is None:
                with explained(link):
                    link.unlink(missing_ok=True)
            elif not link.is_symlink() or str(link.readlink()) != target.name:
                replace_link(link, target.name)
            if name == "best":
                crash_point("between-links")

    def _rotate(self, newest: Checkpoint) -> None:
        """Deletes all but the newest `keep` steps, one folder each, and the best.

        Folders of later steps are those that were damaged when the run went on from an earlier one.
        """
        staying = {newest.path, self._by_step(newest.state.get("best_step"))}
        steps = {newest.step}
        for path in self._folders():
            step = step_of(path)
            if step < newest.step and step not in steps and len(steps) < self.keep:
                staying.add(path)
                steps.add(step)
        for path in self._folders():
            if path not in staying:
                self._delete(path)

    def _delete(self, path: Path) -> None:
        crash_point("before-delete")
        trash = self.folder / f"{TRASH}{path.name}"
        with explained(path):
            shutil.rmtree(trash, ignore_errors=True)
            path.rename(trash)
            fsync(self.folder)
        crash_point("in-delete")
        shutil.rmtree(trash, ignore_errors=True)


def _storable(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns the tensors by name as safetensors takes them: contiguous, on the CPU, none sharing memory."""
    own: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, value in values.items():
        plain = value.detach().contiguous().cpu()
        if plain.untyped_storage().data_ptr() in seen:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        own[name] = plain
    return own
