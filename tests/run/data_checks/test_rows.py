"""Which findings on rows end a run, and which are said: overlap by its share of the text, labels that are numbers."""

import json
import random

import numpy as np
import pytest
import tiny_models
import tiny_tasks

from ftcli.batching.rows import Rows
from ftcli.run.data_checks.findings import Finding, Level, accepting, refuse
from ftcli.run.data_checks.rows import Part, check_overlap, check_twins


def part(name, texts, labels=None):
    rows = Rows(name, {"text": texts}, f"{name}.tsv", "00", np.arange(2, len(texts) + 2))
    return Part(
        rows, texts, None if labels is None else [np.float32(label).tobytes() for label in labels], []
    )


def sentences(number, words, seed):
    draw = random.Random(seed)
    return [" ".join(f"w{draw.randrange(10**6)}" for _ in range(words)) for _ in range(number)]


@pytest.mark.parametrize(("rows", "shared", "words", "level"), [
    (1043, 16, 7, Level.warning),  # as CoLA: rows of common length, 1.5 %
    (3250, 196, 3, Level.warning),  # as CoNLL-2003: 6 % of the rows, short ones such as "SOCCER - RESULTS"
    (1000, 60, 14, Level.error),  # 6 % of rows as long as the others
    (1000, 150, 1, Level.error),  # short, but too many
])  # fmt: skip
def test_overlap_is_weighed_by_its_share_of_the_text(rows, shared, words, level):
    own = sentences(rows - shared, 14 if words != 7 else 7, 1)
    both = sentences(shared, words, 2)
    train, other = part("train", sentences(2000, 9, 3) + both), part("validation", own + both)
    (found,) = [f for f in check_overlap(train, other) if f.name == "overlap"]
    assert found.level is level
    assert f"{shared:,} of {rows:,} rows stand in the training part" in found.text
    assert f": {shared / rows:.1%} of the rows, " in found.text
    assert len(train.rejected) == shared


def test_two_numbers_for_one_text_are_two_measurements():
    texts = ["a", "a", "b", "b", "c"]
    train = part("train", texts, [1.0, 2.5, 3.0, 3.0, 4.0])
    found = {f.name: f for f in check_twins(train, numbers=True)}
    assert found["contradictory-labels"].level is Level.warning
    assert (
        "2 of 5 rows have a text that stands there with another number too"
        in found["contradictory-labels"].text
    )
    assert train.rejected == {3: "copy of an earlier row"}
    classes = part("train", texts, [1, 2, 3, 3, 4])
    assert check_twins(classes)[0].level is Level.error and classes.rejected.keys() == {0, 1, 3}


def test_the_words_that_go_on_name_every_error_that_can_be_accepted():
    errors = [Finding(name, Level.error, "x", "y") for name in ("overlap", "rows", "empty-rows", "overlap")]
    assert accepting(errors) == "'data.accept=[overlap,empty-rows]' goes on all the same"
    assert accepting([Finding("overlap", Level.warning, "x"), errors[1]]) == ""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - an FtcliError is one
        refuse(errors[:1])
    assert caught.value.problems[0].hint == "y; 'data.accept=[overlap]' goes on all the same"


def words_of(tmp_path, task, folder):
    model = tiny_models.write_model(tmp_path / "model", tiny_tasks.MODELS.get(task, "bert"))
    own = [w for w in tiny_tasks.write_rows(tmp_path / "own", task) if not w.startswith("data.path=")]
    return ["model=local", f"model.path={model}", "model.weights=random", *own, f"data.path={folder}"]


def test_check_data_says_its_exit_code_and_what_to_type(ftcli, tmp_path):
    folder = tmp_path / "my rows"
    folder.mkdir()
    rows = [{"text": f"the film was good {i}", "label": "ab"[i % 2]} for i in range(20)]
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = ftcli(
        "check-data", *words_of(tmp_path, "sequence-classification", folder), "--write-clean", "a b.jsonl"
    )
    assert done.code == 3 and "FAIL (exit 3): " in done.out
    assert "'data.accept=[overlap]' goes on all the same" in done.out
    assert "type 'data.files.train=\"a b.jsonl\"' to check the others" in " ".join(done.out.split())


def test_a_clean_file_has_the_held_out_rows_and_cells_as_they_came(ftcli, tmp_path):
    lines = ["id,text,,label,"] + [f"-{i},=good {i},+{i},{'ab'[i % 2]},@{i}" for i in range(20)]
    (tmp_path / "train.csv").write_text("\n".join([*lines, lines[1]]) + "\n")
    words = [*words_of(tmp_path, "sequence-classification", tmp_path), "data.accept=[unknown-tokens]"]
    done = ftcli("check-data", *words, "data.validation_share=0.2", "--write-clean", "clean.csv")
    assert done.code == 0, done.out
    clean = (tmp_path / "work" / "clean.csv").read_text().splitlines()
    assert clean[0] == lines[0] and sorted(clean[1:]) == sorted(lines[1:])
    said = " ".join(done.out.split())
    assert "of the rows kept are those held out by data.validation_share=0.2" in said
    found = json.loads(ftcli("check-data", *words, "data.validation_share=0.2", "--json").out)
    again = [w for w in words if not w.startswith("data.path=")]
    after = ftcli("check-data", *again, "data.files.train=clean.csv", "data.validation_share=0.2", "--json")
    names = [{f["name"] for f in one["findings"]} for one in (found, json.loads(after.out))]
    assert names[0] - names[1] == {"duplicates"}


def test_rows_of_a_file_that_is_both_parts_are_not_taken_for_a_share(ftcli, tmp_path):
    (tmp_path / "train.csv").write_text(
        "text,label\n" + "".join(f"good {i},{'ab'[i % 2]}\n" for i in range(20))
    )
    words = words_of(tmp_path, "sequence-classification", tmp_path)
    file = tmp_path / "train.csv"
    words = [w for w in words if not w.startswith("data.path=")]
    words += [f"data.files.{part}={file}" for part in ("train", "validation")]
    done = ftcli("check-data", *words, "--write-clean", "clean.csv", "--json")
    found = json.loads(done.out)["clean"]
    assert (done.code, found["kept"], found["held_out"], found["rejected"]) == (3, 0, 0, 20)


def test_words_without_tokens_are_counted_and_named(ftcli, tmp_path):
    rows = [{"text": ["the", "film", "was", "good"], "label": ["O", "O", "O", "B-good"]} for _ in range(20)]
    rows = [{**row, "text": [*row["text"][:3], f"good{i}"]} for i, row in enumerate(rows)]
    rows[4]["text"][1] = "\u00a0"
    for name in ("train", "validation"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = words_of(tmp_path, "token-classification", tmp_path)
    done = ftcli("check-data", *words, "data.accept=[overlap]", "--json")
    found = {f["name"]: f for f in json.loads(done.out)["findings"] if f["level"] == "warning"}
    assert "train: 1 of 80 words have no token" in found["words-without-tokens"]["text"] or (
        "validation: 1 of 80 words" in found["words-without-tokens"]["text"]
    )
    assert found["words-without-tokens"]["where"][0].endswith(".jsonl:5")
