"""Commands on data files that were changed: cells, rows and columns, the writing of the file, or its bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults import figure
from benchmarks.faults.case import Case
from benchmarks.faults.word_cases import Prepared
from ftcli.config.schema import DATA_CHECKS

import edited_rows  # isort: skip
import tiny_tasks  # isort: skip
import written_rows  # isort: skip

assert figure  # its import puts tests/support on the path

STUMBLES = (b"\0", b'"', b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n", b"{", b"]" * 300, b"[" * 5000, b"1e999", b"NaN", b"\x1b[31m", b"\t" * 50,
            b"=cmd|' /C calc'!A1", b"\xf0\x9f\x92\xa9", b"\xed\xa0\x80", b"9" * 400, b"\\u0000", b'"""', b"\x1a", b"a" * 200_000)  # fmt: skip
KINDS = ("check-data", "train", "predict")
WEIGHTS = (6, 1, 3)
OUTPUTS = ("out.jsonl", "out.csv", "out.tsv", "-")
TRAINING = ("--run-dir", "run")


def data(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Files of each format and task with cells, rows, columns, writing or bytes changed, given to three commands; controls come first."""
    prepared, draw = Prepared(folder), random.Random(seed)
    tasks, suffixes = list(tiny_tasks.TASKS), written_rows.SUFFIXES
    for number in range(count):
        suffix, control = suffixes[number % len(suffixes)], number < len(suffixes)
        task = tasks[number % len(tasks)] if control else draw.choice(tasks)
        if task == "multiple-choice" and suffix in (".csv", ".tsv"):
            task = tasks[0]  # its columns are paths into objects
        kind = KINDS[number % len(KINDS)] if control else draw.choices(KINDS, WEIGHTS)[0]
        hostile = "validation" if kind == "predict" or draw.random() < 0.3 else "train"
        own = prepared.own(number)
        for part, rows in (("train", 24), ("validation", 8)):
            if kind == "predict" and part == "train":
                continue
            made = edited_rows.rows_of(task, random.Random(part), rows)
            spoiled = part == hostile and not control
            content = changed(made, suffix, draw) if spoiled else written_rows.written(made, suffix)
            (own / f"{part}{suffix}").write_bytes(content)
        accepted = control or draw.random() < 0.6
        words = command(prepared, kind, task, suffix, draw.choice(OUTPUTS), accepted)
        yield Case(f"{kind} {task}{suffix}", words, own, control=control)


def command(prepared: Prepared, kind: str, task: str, suffix: str, output: str, accepted: bool) -> list[str]:
    """Returns a command on the files train and validation of the current folder; `accepted`: no finding of the check ends it."""
    if kind == "predict":
        return [kind, str(prepared.run(task)), "--input", f"validation{suffix}", "--output", output]
    base = [
        word for word in prepared.base(task, "bert") if not word.startswith(("data.path=", "data.accept="))
    ]
    files = [f"data.files.{part}={part}{suffix}" for part in ("train", "validation")]
    checks = [f"data.accept=[{','.join(DATA_CHECKS)}]"] if accepted else []
    return [kind, *base, *files, *checks, *(TRAINING if kind == "train" else ())]


def changed(rows: list[dict], suffix: str, draw: random.Random) -> bytes:
    """Returns the bytes of a file of rows: edited in six of ten, written oddly in two, with mutated bytes in four."""
    kind = draw.randrange(10)
    if kind < 6:
        for _ in range(draw.choice((1, 1, 1, 2))):
            edited_rows.edit(rows, draw)
    content = written_rows.written(rows, suffix, draw if kind in (5, 6) and rows else None)
    return mutated(content, draw) if kind > 6 or kind == 0 else content


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Returns the bytes after one to four mutations."""
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(content) + 1)
        other = draw.randrange(len(content) + 1)
        low, high = sorted((place, other))
        kind = draw.randrange(6)
        if kind == 0 and place < len(content):
            content = (
                content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
            )
        elif kind == 1:
            content = content[:place]
        elif kind == 2:
            content = content[:high] + content[low:high][:4000] + content[high:]
        elif kind == 3:
            content = content[:low] + content[high:]
        else:
            content = content[:place] + draw.choice(STUMBLES) + content[place:]
    return content
