"""Rows beside the table made of them, where a task makes several table rows of one: blocks of a long document."""

from __future__ import annotations

from ftcli.batching.rows import Rows
from ftcli.batching.token_table import TokenTable

SOURCE = "source"
"""Extra of a table, (num_rows,) int64: the row that each table row was made of."""


def aligned(rows: Rows, table: TokenTable) -> Rows:
    """Returns the rows in the order of the table's, one that gave several table rows as often; cells are not copied.

    Args:
        rows: of a part, as they were read.
        table: made of them.
    """
    source = table.extras.get(SOURCE)
    return rows if source is None else rows.take(source)
