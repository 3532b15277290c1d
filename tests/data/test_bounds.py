"""Files that would not end or not fit into memory are refused with the numbers, and others of their kind are read."""

import bz2
import gzip
import io
import json
import lzma
import random
import subprocess
import sys
import zipfile

import pyarrow
import pytest
from pyarrow import parquet

from ftcli.data import bounds
from ftcli.data.arrow import content_of
from ftcli.data.reading import pieces, read_file
from ftcli.errors import DataError
from ftcli.runtime import memory


def zipped(data: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", data)
    return target.getvalue()


PACK = {".gz": gzip.compress, ".bz2": lambda data: bz2.compress(data, 1), ".xz": lambda data: lzma.compress(data, preset=0), ".zip": zipped,
        ".zst": lambda data: pyarrow.compress(data, "zstd", asbytes=True)}  # fmt: skip


def refused(file, *, whole: bool = True) -> str:
    """Returns what is said of a file, read whole or in pieces."""
    with pytest.raises(DataError) as caught:
        read_file(file, "data.path") if whole else list(pieces(str(file), "--input"))
    (problem,) = caught.value.problems
    assert problem.hint
    return f"{problem.key} {problem.message}"


def rows_of(file) -> int:
    return sum(len(piece) for piece in pieces(str(file), "--input"))


@pytest.mark.parametrize("suffix", PACK)
def test_an_archive_of_nothing_is_refused_and_a_text_that_packs_well_is_read(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(bounds, "STEP_BYTES", 2**17)
    file = tmp_path / f"train.csv{suffix}"
    file.write_bytes(PACK[suffix](b"text\n" + b"good film\n" * 60_000))
    for whole in (True, False):
        said = refused(file, whole=whole)
        assert said.startswith(str(file)) and "over 200 times as many: no text does" in said
    content = random.Random(1).randbytes(300_000).hex()
    lines = [content[at : at + 40] + "\n" for at in range(0, len(content), 40)]
    file.write_bytes(PACK[suffix](("text\n" + "".join(lines)).encode()))
    assert len(read_file(file, "data.path")) == rows_of(file) == len(lines)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.txt", "ok\n" + "x" * 200_000, 2),
        ("a.jsonl", '{"text": "ok"}\n{"text": "' + "x" * 200_000, 2),
        ("a.conll", "the O\n\n" + "x" * 200_000, 3),
        ("a.csv", "text,label\na,b\n" + "x" * 200_000, 3),
        ("a.csv", 'text,label\na,b\n"open,c\n' + "x,y\n" * 30_000, 3),
        ("a.tsv", 'text\tlabel\na\tb\n"open\tc\n' + "x" * 200_000, 4),
    ],
)
def test_a_row_without_end_is_named_with_its_line(tmp_path, monkeypatch, name, text, line):
    for module in ("bounds", "decoding", "delimited", "quoting"):
        monkeypatch.setattr(f"ftcli.data.{module}.LONGEST_ROW", 100_000)
    file = tmp_path / name
    file.write_text(text)
    for whole in (True, False):
        assert refused(file, whole=whole) == (
            f"{file}:{line} a row that begins here has more than 100,000 characters"
        )


def test_a_json_list_of_more_values_than_memory_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    file = tmp_path / "train.json"
    file.write_text("[" + "{}," * 4000 + "{}]")
    monkeypatch.setattr(bounds, "STEP_BYTES", 1000)
    monkeypatch.setattr(bounds, "available_memory", lambda: 200_000)
    said = refused(file)
    needed = 4001 * 64 + 56 + 4000 * 8 + 12004
    assert (
        f"the values of 12,004 characters of JSON take at least {needed:,} bytes, and 200,000 are free"
        in said
    )
    line = tmp_path / "train.jsonl"
    line.write_text('{"text": "a", "x": ' + file.read_text() + "}\n")
    assert "characters of JSON take at least" in refused(line)
    file.write_text(json.dumps([{"text": "a" * 2000}]))
    assert len(read_file(file, "data.path")) == 1


def test_a_small_parquet_file_of_many_rows_is_refused_by_its_numbers(tmp_path, monkeypatch):
    file = tmp_path / "train.parquet"
    texts = pyarrow.array(["good"] * 100_000).dictionary_encode()
    parquet.write_table(pyarrow.table({"text": texts, "n": pyarrow.array([1] * 100_000)}), file)
    assert file.stat().st_size < 5000
    monkeypatch.setattr(bounds, "available_memory", lambda: 100_000 * 65 - 1)
    assert refused(file) == (
        f"{file} does not fit into memory: 100,000 rows of 2 columns take at least 6,500,000 bytes, and 6,499,999 are free"
    )
    assert rows_of(file) == 100_000  # predict keeps a piece at a time
    monkeypatch.setattr(bounds, "available_memory", lambda: 100_000 * 65)
    assert len(read_file(file, "data.path")) == 100_000


FLIP = """
import sys
from pathlib import Path
from ftcli.data.reading import read_file
from ftcli.errors import DataError
file = Path(sys.argv[1])
whole = file.read_bytes()
refused = 0
for place in range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole)):
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    try:
        read_file(file, "data.path")
    except DataError:
        refused += 1
print(refused)
"""


def test_no_flipped_bit_of_the_end_of_a_parquet_file_ends_the_process(tmp_path):
    """pyarrow aborts where the statistics of one column are damaged and its numbers are asked for."""
    file = tmp_path / "train.parquet"
    columns = {"text": ["good", "bad"], "tags": [["a"], ["b", "c"]], "label": [0, 1]}
    parquet.write_table(pyarrow.table(columns), file)
    done = subprocess.run([sys.executable, "-c", FLIP, str(file)], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_a_column_of_nulls_that_takes_no_bytes_on_the_disk_is_refused(monkeypatch):
    """As `datasets.save_to_disk` may hold it: an Arrow array of nulls is its length alone."""
    monkeypatch.setattr(bounds, "available_memory", lambda: 10**9)
    table = pyarrow.table({"text": pyarrow.nulls(2 * 10**8)})
    with pytest.raises(DataError, match="200,000,000 rows of 1 columns take at least 1,600,000,000 bytes"):
        content_of(table, "saved (train)")


def test_objects_without_keys_in_common_and_too_many_columns_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "SPARSE_CELLS", 10_000)
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps({"text": "a", f"k{i}": 1}) + "\n" for i in range(400)))
    for whole in (True, False):
        assert f"{file}:1 400 objects have 401 different keys" in refused(file, whole=whole)
    file.write_text("".join(json.dumps({"text": "a", f"k{i % 9}": 1}) + "\n" for i in range(4000)))
    assert rows_of(file) == 4000
    wide = tmp_path / "train.csv"
    wide.write_text(",".join(f"c{i}" for i in range(100_001)) + "\n")
    assert refused(wide) == f"{wide}:1 has 100,001 columns, and at most 100,000 are read"


def test_reading_ends_before_memory_does(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "STEP_BYTES", 2**16)
    taken = iter(range(0, 10**12, 2**30))
    monkeypatch.setattr(bounds, "_own_memory", lambda: next(taken))
    file = tmp_path / "train.txt"
    file.write_text("a text\n" * 100_000)
    assert rows_of(file) == 100_000
    monkeypatch.setattr(bounds, "available_memory", lambda: 1000)
    said = refused(file)
    assert "does not fit into memory: its first " in said and said.endswith("and 1,000 are left")


def test_files_that_the_system_keeps_in_memory_count_as_free(monkeypatch):
    """A control group counts the pages of files that were read as used; they are dropped where memory is needed."""
    held = {"meminfo": ["MemAvailable:   9000 kB"], "memory.max": ["1000000"], "memory.current": ["990000"],
            "memory.stat": ["anon 5", "inactive_file 300000", "active_file 200000", "shmem 7"]}  # fmt: skip
    monkeypatch.setattr(memory, "_lines", lambda file: held[file.name])
    assert memory.available_memory() == 510_000
    held["memory.max"] = ["max"]
    assert memory.available_memory() == 9000 * 1024
