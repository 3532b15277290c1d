import numpy as np
import pytest
from safetensors.numpy import save_file

from ftcli.batching.token_table import TokenTable
from ftcli.errors import DataError


def table(rows, labels=None, types=None, **counts):
    flat = np.array([i for row in rows for i in row], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    labels = None if labels is None else np.array(labels, dtype=np.int64)
    types = None if types is None else np.array(types, dtype=np.uint8)
    return TokenTable(flat, offsets, types, labels, **counts)


def assert_same(one, other):
    for name in ("ids", "offsets", "token_types", "labels", "lengths"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype and a.tolist() == b.tolist()
    assert (one.num_truncated, one.num_tokens_cut) == (other.num_truncated, other.num_tokens_cut)


def test_rows_and_lengths():
    made = table([[5, 6, 7], [], [8]])
    assert len(made) == 3
    assert made.lengths.tolist() == [3, 0, 1]
    assert [made.row(i).tolist() for i in range(3)] == [[5, 6, 7], [], [8]]


@pytest.mark.parametrize("labels", [None, [1, 0]])
@pytest.mark.parametrize("types", [None, [0, 1, 0]])
def test_save_and_load(tmp_path, labels, types):
    made = table([[5, 6], [7]], labels, types, num_truncated=1, num_tokens_cut=4)
    made.save(tmp_path / "t.safetensors")
    assert_same(made, TokenTable.load(tmp_path / "t.safetensors"))


GOOD = {
    "ids": np.array([5, 6, 7], dtype=np.int32),
    "offsets": np.array([0, 2, 3], dtype=np.int64),
    "labels": np.array([0, 1], dtype=np.int64),
    "counts": np.array([0, 0], dtype=np.int64),
}


@pytest.mark.parametrize(
    "change",
    [
        {"offsets": np.array([0, 2, 4], dtype=np.int64)},
        {"offsets": np.array([0, 3, 2, 3], dtype=np.int64), "labels": np.zeros(3, dtype=np.int64)},
        {"offsets": np.array([1, 2, 3], dtype=np.int64)},
        {"offsets": np.array([], dtype=np.int64)},
        {"offsets": np.array([0, 2, 3], dtype=np.int32)},
        {"ids": np.array([5, 6, -7], dtype=np.int32)},
        {"ids": np.array([5, 6, 7], dtype=np.int64)},
        {"labels": np.array([0], dtype=np.int64)},
        {"token_types": np.array([0, 0], dtype=np.uint8)},
        {"counts": np.array([0], dtype=np.int64)},
        {"extra": np.array([0], dtype=np.int64)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, change):
    save_file(GOOD, tmp_path / "good.safetensors")
    assert TokenTable.load(tmp_path / "good.safetensors").lengths.tolist() == [2, 1]
    save_file(GOOD | change, tmp_path / "t.safetensors")
    with pytest.raises(DataError, match="is not a token table"):
        TokenTable.load(tmp_path / "t.safetensors")


def test_files_that_are_no_safetensors_are_refused(tmp_path):
    (tmp_path / "t.safetensors").write_bytes(b"not at all")
    for name in ("t.safetensors", "absent.safetensors"):
        with pytest.raises(DataError, match="is not a token table"):
            TokenTable.load(tmp_path / name)
