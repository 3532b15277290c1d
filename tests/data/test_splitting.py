import hashlib
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ftcli.batching.rows import Rows, text_fields
from ftcli.config.schema import ColumnsConfig
from ftcli.data.splitting import content_hash, hold_out, limit_rows

SHA = hashlib.sha256(b"x").hexdigest()
PLAIN = text_fields(ColumnsConfig())


def make(pairs):
    texts, labels = [text for text, _ in pairs], [label for _, label in pairs]
    return Rows("train", {"text": texts, "label": labels}, "f", SHA, np.arange(2, len(pairs) + 2))


def pairs_of(rows):
    return list(zip(rows.columns["text"], rows.columns["label"], strict=True))


def test_shares_are_exact_within_each_label():
    rows = make([(f"text {i}", "ab"[i % 10 == 0]) for i in range(1000)])
    train, validation = hold_out(rows, PLAIN, 0.1)
    assert Counter(validation.columns["label"]) == {"a": 90, "b": 10}
    assert Counter(train.columns["label"]) == {"a": 810, "b": 90}
    assert (train.name, validation.name) == ("train", "validation")
    assert train.sha256 != validation.sha256 != rows.sha256


def test_the_rows_with_the_smallest_hashes_are_held_out():
    rows = make([(f"text {i}", "a") for i in range(40)])
    by_hash = sorted(rows.columns["text"], key=lambda t: hashlib.sha256(f"{len(t)}:{t}".encode()).hexdigest())
    assert sorted(hold_out(rows, PLAIN, 0.25)[1].columns["text"]) == sorted(by_hash[:10])


rows_of_text = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["0", "1", "2"])), min_size=1)


@given(rows_of_text, st.floats(0.01, 0.5), st.randoms())
def test_split_ignores_file_order_and_keeps_texts_together(pairs, share, random):
    train, validation = hold_out(make(pairs), PLAIN, share)
    assert sorted(pairs_of(train) + pairs_of(validation)) == sorted(pairs)
    assert not set(train.columns["text"]) & set(validation.columns["text"])
    assert len(train) > 0
    lines = [*train.line_numbers, *validation.line_numbers]
    assert sorted(lines) == list(range(2, len(pairs) + 2))
    assert train.line_numbers.tolist() == sorted(train.line_numbers)
    shuffled = random.sample(pairs, len(pairs))
    assert sorted(pairs_of(hold_out(make(shuffled), PLAIN, share)[1])) == sorted(pairs_of(validation))


def test_each_label_with_two_texts_has_a_row_in_both_parts():
    train, validation = hold_out(
        make([("a", "0"), ("b", "0"), ("c", "1"), ("d", "1"), ("e", "2")]), PLAIN, 0.01
    )
    assert set(validation.columns["label"]) == {"0", "1"}
    assert set(train.columns["label"]) == {"0", "1", "2"}


def test_a_row_stays_held_out_when_rows_of_another_label_come():
    rows = [(f"text {i}", "a") for i in range(100)]
    held = set(hold_out(make(rows), PLAIN, 0.2)[1].columns["text"])
    more = rows + [(f"more {i}", "b") for i in range(50)]
    assert held <= set(hold_out(make(more), PLAIN, 0.2)[1].columns["text"])


def test_pairs_count_as_one_text():
    columns = {"text": ["a", "a", "a", "a"], "more": ["x", "y", "x", "y"], "label": ["0"] * 4}
    rows = Rows("train", columns, "f", SHA)
    train, validation = hold_out(rows, text_fields(ColumnsConfig(text_pair="more")), 0.5)
    assert set(train.columns["more"]) | set(validation.columns["more"]) == {"x", "y"}
    assert len(set(train.columns["more"])) == len(set(validation.columns["more"])) == 1
    assert content_hash(("a", "bc")) != content_hash(("ab", "c"))


def test_limits_are_drawn_by_seed_in_the_old_order():
    rows = make([(f"text {i}", "a") for i in range(100)])
    drawn = limit_rows(rows, 10, seed=1)
    assert len(drawn) == 10
    assert drawn.line_numbers.tolist() == sorted(set(drawn.line_numbers.tolist()))
    assert drawn.columns == limit_rows(rows, 10, seed=1).columns
    assert drawn.columns != limit_rows(rows, 10, seed=2).columns
    assert set(drawn.columns["text"]) < set(limit_rows(rows, 20, seed=1).columns["text"])
    assert limit_rows(rows, 100, seed=1) is rows
    assert limit_rows(rows, 10**9, seed=1) is rows


def test_rows_equal_but_for_case_and_spaces_stay_together_and_others_where_they_were():
    texts = [f"text {i}" for i in range(40)]
    plain = Rows("train", {"text": texts, "label": ["a"] * 40}, "f", "00")
    kept, held = hold_out(plain, text_fields(ColumnsConfig()), 0.2)
    before = set(held.columns["text"])
    twins = [text.upper() + " " for text in texts]
    both = Rows("train", {"text": texts + twins, "label": ["a"] * 80}, "f", "00")
    kept, held = hold_out(both, text_fields(ColumnsConfig()), 0.2)
    assert len(held) == 16
    assert not {t.strip().casefold() for t in held.columns["text"]} & {
        t.strip().casefold() for t in kept.columns["text"]
    }
    assert len(before) == 8  # a file without such twins is split as it always was: by the hash of the text
    expected = sorted(texts, key=lambda text: content_hash((text,)))[:8]
    assert before == set(expected)
