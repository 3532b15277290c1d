"""Damaged files of every format: read, or refused by a line that names the file; never another error."""

import bz2
import gzip
import io
import json
import lzma
import os
import random
import zipfile

import pyarrow
import pytest
from pyarrow import parquet

from ftcli.batching.rows import Field, Kind
from ftcli.data.content import ReadOptions
from ftcli.data.reading import pieces, read_file
from ftcli.data.text import TextConfig, as_rows, build
from ftcli.errors import FtcliError

NUMBER = int(os.environ.get("FTCLI_DAMAGED_FILES", "60"))
"""Mutations of each format; the full count is `make faults`'s."""
ROWS = [{"text": f'the film number {i} was good, "quite" é', "label": i % 3} for i in range(12)]
PUT = [b"\0", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b'"', b"\n", b"\r", b"\t", b",", b"[" * 3000, b'{"a":' * 3000, b"1" * 6000,
       b"-1e999", b"NaN", b"\\ud800", b"x" * 200_000, b"# id = 1\n", b"-DOCSTART-", b"\x1f\x8b\x08", b"PAR1"]  # fmt: skip


def packed():
    table, target = pyarrow.Table.from_pylist(ROWS), io.BytesIO()
    parquet.write_table(table, target)
    csv = "text;label\n" + "".join(
        f'"{row["text"].replace(chr(34), chr(34) * 2)}";{row["label"]}\n' for row in ROWS
    )
    conll = "".join(f"the D O\nfilm{i} N B-x\n\n" for i in range(12))
    article = {
        "title": "t",
        "paragraphs": [{"context": "a b", "qas": [{"id": "1", "question": "q", "answers": []}]}],
    }
    texts = {
        ".csv": csv,
        ".tsv": csv.replace(";", "\t"),
        ".jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
        ".json": json.dumps(ROWS),
        ".conll": conll,
        ".conllu": conll.replace("the D", "1\tthe\t_\tD\t_\t_\t_\t_\t_").replace(
            "film", "2\tfilm\t_\tN\t_\t_\t_\t_\t_"
        ),
        ".squad": json.dumps({"data": [article] * 3}),
        ".txt": csv,
    }
    found = {suffix: text.encode() for suffix, text in texts.items()} | {".parquet": target.getvalue()}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.csv", csv)
    data = csv.encode() * 20
    return found | {
        ".csv.gz": gzip.compress(data), ".csv.bz2": bz2.compress(data), ".csv.xz": lzma.compress(data),
        ".csv.zip": archive.getvalue(), ".csv.zst": pyarrow.compress(data, "zstd", asbytes=True),
    }  # fmt: skip


WHOLE = packed()


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Returns the bytes after one to three of: cut, flipped, put in, zeroed, doubled, reordered."""
    for _ in range(draw.randint(1, 3)):
        at, to = sorted(draw.randrange(len(data) + 1) for _ in range(2))
        data = draw.choice([
            data[:at],
            data[at:],
            data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :] if at < len(data) else data,
            data[:at] + draw.choice(PUT) + data[at:],
            data[:at] + draw.choice(PUT) + data[to:],
            data[:at] + bytes(to - at) + data[to:],
            data[:to] + data[at:],
            data[:at] + draw.randbytes(8) + data[to:],
        ])  # fmt: skip
    return data


FIELDS = {Kind.text: (Field("text", "text"), Field("label", "label", Kind.classes)),
          Kind.texts: (Field("text", "text", Kind.texts), Field("label", "label", Kind.label))}  # fmt: skip


@pytest.mark.parametrize("suffix", WHOLE)
def test_a_damaged_file_is_read_or_refused(tmp_path, suffix):
    draw = random.Random(suffix)
    file = tmp_path / f"train{suffix}"
    for number in range(NUMBER):
        file.write_bytes(damaged(WHOLE[suffix], draw))
        options = ReadOptions(encoding=draw.choice(["utf-8", "utf-8", "latin-1", "utf-16", "gb18030"]))
        try:
            whole = read_file(file, "data.path", options)
            assert len(whole) and all(len(values) == len(whole) for values in whole.columns.values())
            whole_rows = [list(values) for values in whole.columns.values()]
        except FtcliError as error:
            assert all("train" in problem.key + problem.message for problem in error.problems), error.problems
            whole_rows = None
        try:
            found = list(pieces(str(file), "data.path", options, rows=5))
            own = [[v for piece in found for v in piece.columns[name]] for name in found[0].columns]
            assert repr(own) == repr(whole_rows)  # NaN is not itself
            as_rows(found[0], str(file), FIELDS[Kind.text])
        except FtcliError:
            assert whole_rows is None or suffix == ".json"
        kind = Kind.texts if "conll" in suffix else Kind.text
        try:
            build(TextConfig(path=str(tmp_path), validation_share=0.5), seed=number, fields=FIELDS[kind])
        except FtcliError as error:
            assert all(problem.key and problem.message for problem in error.problems)
