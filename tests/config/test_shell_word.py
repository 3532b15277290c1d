"""A hint that is pasted into a shell is read back as the value it stands for."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftcli.config.overrides import parse_overrides, parse_value
from ftcli.config.shell_word import shell_word

TEXTS = st.text(st.sampled_from(list("ab1 ,;=[](){}'\"\\$#~éÄ|:\t/.-")), min_size=1, max_size=8).filter(
    lambda text: "${" not in text  # refused in every value
)


def read_back(word):
    (text,) = shlex.split(word)
    (one,), problems = parse_overrides([text])
    assert not problems
    return parse_value(one)


@given(TEXTS)
def test_any_text(value):
    assert read_back(shell_word("data.columns.label", value)) == value


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_any_list(values):
    assert read_back(shell_word("data.header", values)) == values


@pytest.mark.parametrize(("value", "word"), [
    ("label", "data.columns.label=label"),
    ("/a/b.tsv", "data.columns.label=/a/b.tsv"),
    (" label", "'data.columns.label=\" label\"'"),
    ("a,b", "'data.columns.label=\"a,b\"'"),
    ("0", "'data.columns.label=\"0\"'"),
    (".1", "'data.columns.label=\".1\"'"),
    ("null", "'data.columns.label=\"null\"'"),
])  # fmt: skip
def test_quotes_only_where_they_are_needed(value, word):
    assert shell_word("data.columns.label", value) == word
    assert read_back(word) == value
