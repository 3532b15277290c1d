"""The bundled reviews: what the README and the quickstart promise of them, counted in the files."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from statistics import median

import pytest

from ftcli.config.bundled import bundled


@pytest.fixture(scope="module")
def parts() -> dict[str, list[tuple[str, str]]]:
    found = {}
    for part in ("train", "validation"):
        lines = (bundled("recipes") / "reviews" / f"{part}.tsv").read_text(encoding="utf-8").splitlines()
        assert lines[0] == "text\tlabel"
        found[part] = [tuple(line.split("\t")) for line in lines[1:]]
    return found


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def test_there_are_enough_rows_and_both_labels_equally(parts):
    assert len(parts["train"]) + len(parts["validation"]) >= 600
    assert len(parts["validation"]) >= 200
    for rows in parts.values():
        counts = Counter(label for _, label in rows)
        assert set(counts) == {"positive", "negative"}
        assert counts["positive"] == counts["negative"]


def test_the_texts_are_long_and_varied(parts):
    texts = [words(text) for rows in parts.values() for text, _ in rows]
    assert len(set().union(*texts)) >= 2000
    assert median(len(text) for text in texts) >= 12


def test_no_two_rows_share_half_their_words(parts):
    sets = [frozenset(words(text)) for rows in parts.values() for text, _ in rows]
    closest = max(len(a & b) / len(a | b) for a, b in combinations(sets, 2))
    assert closest < 0.5
