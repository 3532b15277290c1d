"""config.yaml as text: what no terminal should get is escaped, and read back as it was."""

import pytest
import yaml

from ftcli.config.saved import _scalar


@pytest.mark.parametrize(
    "value", ["\u202egpj.exe", "\u2066x", "a\x7fb", "a\nb", "é ü 日本", "plain", ["x", "\u200b"]]
)
def test_values_are_printable_and_read_back(value):
    text = _scalar(value)
    assert text.replace("\n", "").isprintable() and yaml.safe_load(text) == value


def test_letters_of_other_alphabets_stay_as_they_are():
    assert _scalar("é ü 日本") == "é ü 日本"
