"""Bytes and counts as text for users."""

from __future__ import annotations


def size_text(num_bytes: float) -> str:
    """Returns a size such as `312 KiB` or `1.2 GiB`, in powers of 1,024."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if num_bytes >= 2**power:
            figure = num_bytes / 2**power
            return f"{figure:,.{0 if figure >= 100 else 1}f} {unit}"
    return f"{num_bytes:,.0f} bytes"


def counted(number: int, noun: str) -> str:
    """Returns `1 step`, `2,000 steps`, `3 entities`."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else many}"
