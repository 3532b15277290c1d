"""The short part of `make faults`: a few tries of the figures that need no process of their own, and what the table says."""

import json
import random
import sys

import pytest


def test_interrupted_walks_move_no_row(tmp_path):
    from benchmarks.faults import positions

    tally = positions.trial(tmp_path, 60, seed=2)
    assert (tally.tried, tally.failures) == (60, [])


def test_a_walk_that_loses_a_row_is_found(monkeypatch):
    """The judge of the figure: a sampler whose last batch is missing a row does not pass."""
    from benchmarks.faults import positions

    what = {"rows": 40, "batch": 8, "micro": 3, "ranks": 2, "epochs": 2, "seed": 1, "budget": False}
    assert positions.walk(what, random.Random(0)) is None
    from ftcli.batching import epochs

    whole = epochs.epoch_batches
    monkeypatch.setattr(
        epochs,
        "epoch_batches",
        lambda *args, **kwargs: [*whole(*args, **kwargs)[:-1], whole(*args, **kwargs)[-1][:-1]],
    )
    assert positions.walk(what, random.Random(0)) == "epoch 0 has not each row once"


@pytest.mark.parametrize("kind", ["loss", "gradient", "parameter", "input"])
def test_what_is_not_finite_is_stopped_before_the_update(make, kind):
    from benchmarks.faults import non_finite

    draw = random.Random(3)
    assert (
        non_finite.one(lambda: make("optimizer.weight_decay=0.1", rows=24)[0], kind, float("nan"), draw)
        is None
    )


@pytest.mark.parametrize("kind", ["flip", "cut", "zeros"])
def test_damage_changes_the_bytes(kind):
    from benchmarks.faults.damage import damaged

    draw, data = random.Random(1), bytes(range(1, 200)) * 50
    assert all(damaged(data, kind, draw) != data for _ in range(50))


def test_the_table_shows_what_did_not_hold(tmp_path):
    from benchmarks.faults import figure

    row = {"title": "kills", "tried": 1000, "held": 999, "seconds": 61, "measured": "", "failures": ["number 7: other | bytes"],
           "command": "python -m benchmarks.faults.kills", "conditions": "a machine"}  # fmt: skip
    (tmp_path / "kills_full.json").write_text(json.dumps(row))
    (tmp_path / "a_new_one.json").write_text(
        json.dumps(row | {"failures": [], "conditions": "another machine"})
    )
    text = figure.table(tmp_path)
    assert "| kills | 1,000 | 999 | 61 |  | `python -m benchmarks.faults.kills` | 1 |" in text
    assert (
        "1. a machine.\n2. another machine." in text
        and "- `python -m benchmarks.faults.kills`: number 7: other | bytes" in text
    )


def test_a_tally_without_tries_is_no_success(tmp_path, monkeypatch):
    from benchmarks.faults import figure

    monkeypatch.setattr(sys, "argv", ["figure", "--no-record"])
    assert figure.main("none", "nothing", 1, lambda *_: figure.Tally()) == 1
    assert figure.main("one", "something", 1, lambda *_: figure.Tally(tried=1)) == 0
    assert figure.main("bad", "something", 1, lambda *_: figure.Tally(tried=1, failures=["x"])) == 1


def test_the_committed_table_is_that_of_the_records():
    from benchmarks.faults import figure

    assert figure.TABLE.read_text(encoding="utf-8") == figure.table(figure.RECORDS)


def test_markup_of_a_payload_is_found_in_a_card():
    from benchmarks.faults import payloads
    from ftcli.export.model_card import plain

    harmless = "# a\n\n| b | `c` |\n|---|---|\n| d | e |\n"
    for payload in payloads.MARKUP:
        assert payloads.elements(f"---\n---\n{harmless}\n\n{plain(payload)}\n") == []
    for payload in (
        "<script>",
        "<img src=x>",
        "[x](http://evil.example)",
        "<http://evil.example>",
        "<!-- x -->",
    ):
        assert payloads.elements(f"---\n---\n{harmless}\n\n{payload}\n")


def test_cells_that_a_spreadsheet_would_run_are_found(tmp_path):
    from benchmarks.faults import payloads

    (tmp_path / "safe.csv").write_text("label\n'=1+1\nplain\n-1-1\n")
    (tmp_path / "plain.csv").write_text("label\n=1+1\nplain\n-1-1\n")
    assert payloads.cells(tmp_path, "=1+1") == payloads.cells(tmp_path, "plain") == []
    assert payloads.cells(tmp_path, "-1-1") == ['safe.csv lacks the cell "\'-1-1"']
    assert payloads.cells(tmp_path, "gone") == [
        "safe.csv lacks the cell 'gone'",
        "plain.csv lacks the cell 'gone'",
    ]
    assert [len(half) for half in payloads.payloads(100)] == [50, 50]


@pytest.mark.parametrize("error", [MemoryError(), OSError(12, "Cannot allocate memory"), RuntimeError("can't start new thread"),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")])  # fmt: skip
def test_memory_that_ends_anywhere_is_a_panel(ftcli, tiny, monkeypatch, error):
    import torch  # noqa: F401 - only what has imported it can meet its errors

    from ftcli.run import train

    def start(*args, **kwargs):
        raise error

    monkeypatch.setattr(train, "start", start)
    done = ftcli("train", *tiny)
    assert done.code == 1 and "memory  ran out" in done.err and "trainer.micro_batch_size" in done.err


def test_another_error_is_no_lack_of_memory(ftcli, tiny, monkeypatch):
    from ftcli.run import train

    def start(*args, **kwargs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(train, "start", start)
    with pytest.raises(RuntimeError, match="mat1"):
        ftcli("train", *tiny)
