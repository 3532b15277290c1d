"""Lists and objects that a cell holds as text."""

import pytest

from ftcli.batching.cells import TwiceError, label_list, quoted_list, structure_in


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('["a", "b c"]', ["a", "b c"]),
        ("['a', \"it's\"]", ["a", "it's"]),
        ("['a' 'b'\n 'c']", ["a", "b", "c"]),
        ("['it is 1 2' 'b']", ["it is 1 2", "b"]),
        ("[0 1 0]", [0, 1, 0]),
        ("[0. 1.]", [0.0, 1.0]),
        ("[True False]", [True, False]),
        ("('a', 'b')", ["a", "b"]),
        ("{'b', 'a'}", ["a", "b"]),
        ("{'x': ['a' 'b'], 'y': 1}", {"x": ["a", "b"], "y": 1}),
        ('{"x": null}', {"x": None}),
        ("[]", []),
    ],
)
def test_lists_and_objects_are_read_as_json_python_and_numpy_write_them(text, found):
    assert structure_in(text) == found


@pytest.mark.parametrize(
    "text", ["", "[", "a", "[a, b]", "(1)", "[1", "[nan]", "[__import__('os')]", "[" * 90_000 + "]" * 90_000, "[" + "-" * 90_000 + "1]"]
)  # fmt: skip
def test_any_other_text_is_text(text):
    assert structure_in(text) is None


def test_words_need_quotes_and_labels_do_not():
    assert quoted_list("['EU', 'rejects']") == ["EU", "rejects"]
    assert [quoted_list(value) for value in ("[ 12 ]", "[1, 2]", "[laughs]", ["a"], 3)] == ["[ 12 ]", "[1, 2]", "[laughs]", ["a"], 3]  # fmt: skip
    assert label_list("[O, B-geo]", ",") == label_list("[O B-geo]", ",") == ["O", "B-geo"]
    assert label_list("[toxic]", ",") == ["toxic"] and label_list("['a', b]", ",") is None


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '[{"x": {"a": 1, "a": 2}}]',
        "{'a': 1, 'a': 2}",
        "[{'x': {'a': 1, 'b': 0, 'a': 2}}]",
    ],
)
def test_an_object_that_names_a_key_twice_is_refused(text):
    with pytest.raises(TwiceError, match="an object names the key 'a' 2 times, with '?1'? and '?2'?"):
        structure_in(text)
    assert quoted_list(text) == text  # no list of names
    assert structure_in("{'a': {'b': 1}, 'c': {'b': 1}}") == {"a": {"b": 1}, "c": {"b": 1}}
