"""Files that would not end or not fit: archives of nothing, rows without end, more rows than memory. Refused with the numbers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ftcli.errors import DataError, Problem
from ftcli.runtime.memory import available_memory

if TYPE_CHECKING:
    import pyarrow

STEP_BYTES = 2**23
"""Of a file that are read between two looks at its bounds."""
LEAST_FREE = 2**28
"""Bytes of memory below which reading ends, where it is this process that took them."""
OWN_SHARE = 2**30
"""Bytes that this process must have taken since it began to read."""
WINDOW_STEPS = 4
"""Steps over which a compressed file is compared with what comes out of it."""
MOST_RATIO = 200
"""Bytes that one byte of a compressed file may become; texts become 20 at most."""
FEWER = "write fewer rows to a file of their own, or use a larger machine"
LONGEST_ROW = 2**27
"""Characters of one row of a text format, 20 times the longest novels."""
MOST_COLUMNS = 100_000
SPARSE_CELLS = 2**24
"""Cells of objects with few keys in common that are filled with nulls."""
BYTES_OF = {"{": 64, "[": 56, ",": 8, '"': 25}
"""Least memory that each sign of a JSON text stands for in Python: an object, a list, an entry, half a text."""
TEXT_BYTES, VALUE_BYTES = 57, 8
"""Least memory of a value of an Arrow column in Python: its place, and the header of a text."""


class Watch:
    """Looks at a file's bounds while its bytes are read.

    Args:
        origin: how messages name the file.
        consumed: of a compressed file returns how many of its bytes were read so far; None for others.
    """

    def __init__(self, origin: str, consumed: Callable[[], int] | None) -> None:
        self.origin, self.consumed = origin, consumed
        self._read, self._marks = 0, deque([(0, 0)], maxlen=WINDOW_STEPS)
        self._begun = _own_memory()

    def add(self, count: int) -> None:
        """Counts bytes, decompressed.

        Raises:
            DataError: a file that unpacks to more than any text does, or more rows than fit into memory.
        """
        self._read += count
        if self._read - self._marks[-1][0] < STEP_BYTES:
            return
        if self.consumed is not None:
            self._require_text(self.consumed())
        else:
            self._marks.append((self._read, 0))
        free, taken = available_memory(), _own_memory() - self._begun
        if free < LEAST_FREE and taken > OWN_SHARE:
            message = f"does not fit into memory: its first {self._read:,} bytes took {taken:,}, and {free:,} are left"
            raise DataError(Problem(self.origin, message, FEWER))

    def _require_text(self, consumed: int) -> None:
        """Compares what was unpacked in the last steps with what it was unpacked from."""
        unpacked, packed = self._read - self._marks[0][0], consumed - self._marks[0][1]
        if len(self._marks) == WINDOW_STEPS and unpacked > MOST_RATIO * packed:
            message = f"{unpacked:,} bytes of it unpack from {packed:,}, over {MOST_RATIO} times as many: no text does"
            hint = "unpack it and look at it; what is unpacked is read whatever its size"
            raise DataError(Problem(self.origin, message, hint))
        self._marks.append((self._read, consumed))


def _own_memory() -> int:
    """Returns the bytes of memory that this process has; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def require_room(origin: str, num_bytes: int, what: str) -> None:
    """Raises DataError where values would not fit into memory.

    Args:
        origin: how messages name the file.
        num_bytes: the least that they take.
        what: they are, such as `200,000,000 rows`.
    """
    free = available_memory()
    if num_bytes > free:
        message = f"does not fit into memory: {what} take at least {num_bytes:,} bytes, and {free:,} are free"
        raise DataError(Problem(origin, message, FEWER))


def require_room_for_json(text: str, where: str) -> None:
    """Raises DataError where a long JSON text has more objects, lists and texts than memory has room for."""
    if len(text) > STEP_BYTES:
        needed = len(text) + sum(text.count(sign) * each for sign, each in BYTES_OF.items())
        require_room(where, needed, f"the values of {len(text):,} characters of JSON")


def require_room_for_columns(kinds: list[pyarrow.DataType], count: int, origin: str) -> None:
    """Raises DataError where the values of Arrow columns would not fit into memory, however small their file is.

    Args:
        kinds: the type of each column.
        count: rows.
        origin: how messages name the file.
    """
    from pyarrow import types

    inner = [kind.value_type if types.is_dictionary(kind) else kind for kind in kinds]
    tests = (types.is_string, types.is_large_string, types.is_string_view)
    texts = sum(any(test(kind) for test in tests) for kind in inner)
    needed = count * (texts * TEXT_BYTES + (len(kinds) - texts) * VALUE_BYTES)
    require_room(origin, needed, f"{count:,} rows of {len(kinds):,} columns")


def require_columns(count: int, where: str) -> None:
    """Raises DataError for more columns than any file of rows has."""
    if count > MOST_COLUMNS:
        message = f"has {count:,} columns, and at most {MOST_COLUMNS:,} are read"
        raise DataError(Problem(where, message, "is data.separator right, and data.format?"))


def require_dense(rows: list[dict[str, object]], num_names: int, where: str) -> None:
    """Raises DataError where objects have so few keys in common that a table of them is next to empty and huge.

    Args:
        rows: the objects.
        num_names: different keys of them all.
        where: they stand.
    """
    require_columns(num_names, where)
    if num_names * len(rows) > max(SPARSE_CELLS, 50 * sum(map(len, rows))):
        message = f"{len(rows):,} objects have {num_names:,} different keys, and few in common: they are no rows of one table"
        raise DataError(Problem(where, message, "give every row the same keys"))


def row_without_end(origin: str, number: int) -> DataError:
    """Returns the error of a row that is longer than LONGEST_ROW.

    Args:
        origin: how messages name the file.
        number: the line that it begins at.
    """
    message = f"a row that begins here has more than {LONGEST_ROW:,} characters"
    return DataError(
        Problem(f"{origin}:{number}", message, "is a quote open, or a line break lost? Is data.format right?")
    )
