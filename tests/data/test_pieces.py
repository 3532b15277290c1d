"""One reader: rows read whole are the rows read in pieces, are the rows that were written, are the rows that go out."""

import bz2
import csv
import datetime
import decimal
import gzip
import io
import json
import lzma
import zipfile

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ftcli.batching.rows import Field
from ftcli.data.content import ReadOptions
from ftcli.data.reading import pieces, read_file
from ftcli.data.text import as_rows
from ftcli.inference.row_writer import RowWriter

SIGNS = st.sampled_from(list("ab ,;|'\"\t\r\né\u2028\x0c-=@#\\N/A") + ["\r\n", "O", "null"])
CELLS = st.lists(SIGNS, max_size=6).map("".join)
PLAIN = CELLS.map(lambda text: text.translate({9: " ", 10: " ", 13: " "}))
WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
ONE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def table(cells, *, names=("id", "text", "", "label", "")):
    row = st.tuples(*(cells for _ in names))
    return st.lists(row, min_size=1, max_size=25).map(lambda rows: [names, *rows])


def whole_and_pieces(file, options=ReadOptions()):  # noqa: B008 - frozen
    """Returns the rows of a file as dicts, absent keys left out, after both readings agreed on everything."""
    whole = read_file(file, "k", options)
    found = list(pieces(str(file), "k", options, rows=7))
    rows = [row for piece in found for row in records(piece)]
    assert rows == records(whole)
    assert all(list(piece.columns) == list(whole.columns) for piece in found)
    assert {piece.without_name for piece in found} == {whole.without_name}
    if whole.line_numbers:
        assert [number for piece in found for number in piece.line_numbers] == whole.line_numbers
    if found[0].line_numbers is None and len(found) > 1:
        assert [piece.first_row for piece in found] == list(range(1, len(rows) + 1, 7))
    return rows


def records(content):
    columns = {name: list(values) for name, values in content.columns.items()}
    return [
        {name: values[row] for name, values in columns.items() if row not in content.absent.get(name, ())}
        for row in range(len(content))
    ]


def written(file, options, suffix):
    """Returns what goes out of a file that is read in pieces, with nothing added."""
    target = io.StringIO(newline="")
    writer = None
    for piece in pieces(str(file), "k", options, rows=7):
        rows = as_rows(piece, str(file), [Field("text", "text")])
        writer = writer or RowWriter(target, suffix, rows, [])
        writer.write(rows, [[] for _ in range(len(rows))])
    return target.getvalue()


@ONE
@given(rows=table(CELLS), end=st.sampled_from(["\n", "\r\n"]), separator=st.sampled_from(",;"),
       quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))  # fmt: skip
def test_csv(tmp_path, rows, end, separator, quoting):
    file = tmp_path / "a.csv"
    if (
        end == "\n"
    ):  # csv.writer leaves carriage returns unquoted then: the last one is part of the line's end
        rows = [(*row[:-1], row[-1].rstrip("\r")) for row in rows]
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator=end, delimiter=separator, quoting=quoting).writerows(rows)
    options = ReadOptions(separator=separator)
    assert [tuple(row.values()) for row in whole_and_pieces(file, options)] == rows[1:]
    assert list(csv.reader(io.StringIO(written(file, options, ".csv"), newline=""))) == [*map(list, rows)]


def test_csv_of_an_old_mac_ends_lines_with_carriage_returns(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'text,label\ra,1\r"b,c",0\r')
    assert whole_and_pieces(tmp_path / "a.csv") == [
        {"text": "a", "label": "1"},
        {"text": "b,c", "label": "0"},
    ]


@ONE
@given(rows=table(PLAIN))
def test_tsv_whose_quotes_are_text(tmp_path, rows):
    file = tmp_path / "a.tsv"
    text = "".join("\t".join(row) + "\n" for row in rows)
    file.write_text(text, encoding="utf-8", newline="")
    options = ReadOptions(quotes=False)
    assert [tuple(row.values()) for row in whole_and_pieces(file, options)] == rows[1:]
    assert written(file, options, ".tsv") == text


@ONE
@given(rows=table(CELLS))
def test_tsv_that_was_written_with_quotes(tmp_path, rows):
    file = tmp_path / "a.tsv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_ALL).writerows(rows)
    assert [tuple(row.values()) for row in whole_and_pieces(file)] == rows[1:]


@ONE
@given(rows=st.lists(st.dictionaries(st.sampled_from(["text", "a", "b", "é"]), JSON, min_size=1), min_size=1,
                     max_size=25), suffix=st.sampled_from([".json", ".jsonl"]))  # fmt: skip
def test_json_keeps_values_and_absent_keys(tmp_path, rows, suffix):
    rows = [{"text": "x"} | rows[0], *rows[1:]]
    file = tmp_path / f"a{suffix}"
    text = json.dumps(rows) if suffix == ".json" else "".join(json.dumps(row) + "\n" for row in rows)
    file.write_text(text, encoding="utf-8")
    assert whole_and_pieces(file) == rows
    assert [json.loads(line) for line in written(file, ReadOptions(), ".jsonl").split("\n")[:-1]] == rows


VALUES = {
    "text": (st.none() | st.text(max_size=5), pyarrow.string()),
    "id": (st.integers(-(2**63), 2**63 - 1), pyarrow.int64()),
    "when": (st.datetimes(), pyarrow.timestamp("us")),
    "zone": (st.datetimes().map(lambda t: t.replace(tzinfo=datetime.UTC)), pyarrow.timestamp("us", "UTC")),
    "day": (st.none() | st.dates(), pyarrow.date32()),
    "price": (st.decimals(-999, 999, places=2), pyarrow.decimal128(9, 2)),
    "vector": (st.lists(st.floats(width=32, allow_nan=False), max_size=3), pyarrow.list_(pyarrow.float32())),
    "image": (st.binary(max_size=4), pyarrow.binary()),
    "answers": (
        st.fixed_dictionaries({"start": st.lists(st.integers(0, 9)), "score": st.floats(allow_nan=False)}),
        pyarrow.struct({"start": pyarrow.list_(pyarrow.int32()), "score": pyarrow.float64()}),
    ),
}


@ONE
@given(rows=st.lists(st.fixed_dictionaries({k: v for k, (v, _) in VALUES.items()}), min_size=1, max_size=25))
def test_parquet_keeps_every_type_in_order(tmp_path, rows):
    file = tmp_path / "a.parquet"
    schema = pyarrow.schema([(name, kind) for name, (_, kind) in VALUES.items()])
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema), file)
    found = whole_and_pieces(file)
    assert found == rows and list(found[0]) == list(VALUES)
    lines = [json.loads(line) for line in written(file, ReadOptions(), ".jsonl").split("\n")[:-1]]
    assert [line["when"] for line in lines] == [row["when"].isoformat() for row in rows]
    assert [decimal.Decimal(line["price"]) for line in lines] == [row["price"] for row in rows]
    assert [line["vector"] for line in lines] == [row["vector"] for row in rows]


@ONE
@given(st.lists(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4), min_size=1, max_size=20))
def test_conll(tmp_path, sentences):
    file = tmp_path / "a.conll"
    blocks = ["".join(f"{word}\tX\t{tag}\r\n" for word, tag in sentence) for sentence in sentences]
    file.write_text("-DOCSTART- -X- O\n\n" + "# id = 7\n" + "\n".join(blocks), encoding="utf-8", newline="")
    expected = [{"words": [w for w, _ in s], "tags": [t for _, t in s]} for s in sentences]
    assert whole_and_pieces(file) == expected


@ONE
@given(st.lists(PLAIN, min_size=1, max_size=25).filter(lambda lines: any(line.strip() for line in lines)))
def test_plain_text_is_a_text_a_line(tmp_path, lines):
    file = tmp_path / "a.txt"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    assert [row["text"] for row in whole_and_pieces(file)] == lines


def zipped(data):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("__MACOSX/._a", b"x")
        archive.writestr("inside.csv", data)
    return stream.getvalue()


PACKED = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zip": zipped,
          ".zst": lambda data: pyarrow.compress(data, "zstd", asbytes=True)}  # fmt: skip
TEXTS = {
    ".csv": 'text,label\n"a, b",1\nc,0\n',
    ".tsv": "text\tlabel\na, b\t1\nc\t0\n",
    ".jsonl": '{"text": "a, b", "label": "1"}\n{"text": "c", "label": "0"}\n',
    ".json": '[{"text": "a, b", "label": "1"}, {"text": "c", "label": "0"}]',
    ".conll": "a O\nb O\n\nc X\n",
    ".conllu": "# text = a b\n1-2\tab\t_\t_\t_\t_\t_\t_\t_\t_\n1\ta\t_\tO\t_\t_\t_\t_\t_\t_\n2\tb\t_\tO\t_\t_\t_\t_\t_\t_\n\n"
    "1\tc\t_\tX\t_\t_\t_\t_\t_\t_\n",
    ".txt": "a, b\nc\n",
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("suffix", TEXTS)
def test_every_text_format_is_read_compressed(tmp_path, suffix, packing):
    file = tmp_path / f"train{suffix}{packing}"
    file.write_bytes(PACKED[packing](TEXTS[suffix].encode()))
    rows = whole_and_pieces(file)
    words = {"words": ["a", "b"], "tags": ["O", "O"]}, {"words": ["c"], "tags": ["X"]}
    texts = {"text": "a, b", "label": "1"}, {"text": "c", "label": "0"}
    expected = words if "conll" in suffix else texts
    assert rows == ([{"text": row["text"]} for row in expected] if suffix == ".txt" else list(expected))
