"""CoNLL and CoNLL-U: comments, fields, and lines that do not fit."""

import pytest

from ftcli.data.content import ReadOptions
from ftcli.errors import FtcliError

CONLL = "-DOCSTART- -DOCSTART- O\r\n \r\n# id 7f domain=en\r\nParis NN B-LOC \r\ntalks NN O\t\r\n  \r\n\r\n# NN O\r\n#tag NN O\r\n"


def test_conll_with_trailing_spaces_comments_and_hash_words(read):
    content = read(CONLL.encode(), "f.conll")
    assert content.columns == {
        "words": [["Paris", "talks"], ["#", "#tag"]],
        "tags": [["B-LOC", "O"], ["O", "O"]],
    }
    assert content.line_numbers == [4, 8]
    chosen = read(CONLL.encode(), "f.conll", ReadOptions(tag_field=2))
    assert chosen.columns["tags"] == [["NN", "NN"], ["NN", "NN"]]


UNIVERSAL = """# sent_id = 1
# text = Vámonos al mar.
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\tV\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tP\t_\t1\tobj\t_\t_
2.1\tvoy\t_\tVERB\t_\t_\t_\t_\t_\t_

"""


def test_conllu_has_its_own_fields(read):
    content = read(UNIVERSAL.encode(), "f.conllu")
    assert content.columns == {"words": [["Vamos", "nos"]], "tags": [["VERB", "PRON"]]}
    lemmas = read(UNIVERSAL.encode(), "f.conllu", ReadOptions(word_field=3, tag_field=5))
    assert lemmas.columns == {"words": [["ir", "nosotros"]], "tags": [["V", "P"]]}
    with pytest.raises(FtcliError) as caught:
        read(UNIVERSAL.replace("1-2", "1").encode(), "f.conll")
    assert caught.value.problems[0].hint.startswith("type data.format=conllu")
    with pytest.raises(FtcliError, match=r"data.tag_field: is 11; f.conllu:4 has 10 fields"):
        read(UNIVERSAL.encode(), "f.conllu", ReadOptions(tag_field=11))


def test_conllu_takes_no_line_without_a_number(read):
    with pytest.raises(
        FtcliError, match=r"f.conllu:1: its first field is 'Paris', where CoNLL-U has a number"
    ):
        read(b"Paris\tB-LOC\n", "f.conllu")


def test_conll_fields_may_be_aligned_by_spaces(read):
    content = read(b"Paris     NN  B-LOC\nis VBZ         O\n", "f.conll")
    assert content.columns == {"words": [["Paris", "is"]], "tags": [["B-LOC", "O"]]}


def test_a_sentence_with_a_line_of_other_fields_is_refused(read):
    with pytest.raises(FtcliError, match=r"f.conll:2: 3 fields, where the lines before have 2"):
        read(b"a O\nb c O\n", "f.conll")
