"""Folders that `datasets.save_to_disk` wrote -> columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ftcli.data.content import Content
from ftcli.data.hub import contents_of, quiet
from ftcli.errors import DataError, Problem

if TYPE_CHECKING:
    from datasets import DatasetDict

SPLITS, ONE = "dataset_dict.json", ("dataset_info.json", "state.json")


def is_saved(folder: Path) -> bool:
    """Returns whether a folder holds a data set as `save_to_disk` writes it: one, or several splits."""
    return (folder / SPLITS).is_file() or all((folder / name).is_file() for name in ONE)


def read_saved(folder: Path) -> dict[str, Content]:
    """Returns split name -> columns; a data set without splits is the one it says it is of, or `train`.

    Raises:
        DataError: a file of the folder is missing or damaged.
    """
    import datasets
    import pyarrow

    try:
        with quiet():
            loaded = datasets.load_from_disk(str(folder))
            if isinstance(loaded, datasets.Dataset):
                loaded = _one_split(loaded)
            return contents_of(loaded, str(folder))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, pyarrow.ArrowException) as error:
        if isinstance(error, DataError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"is no data set of save_to_disk that can be read: {reason:.200}"
        raise DataError(Problem(str(folder), message, "save it again")) from error


def _one_split(loaded: object) -> DatasetDict:
    import datasets

    name = str(getattr(loaded, "split", None) or "train")
    return datasets.DatasetDict({name if name.isalnum() else "train": loaded})
