"""Whatever stands in data, labels and names of runs is shown as text: it moves no cursor, colours nothing, is no markup."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path

import pytest
import tiny_models

LABELS = ["\x1b[31mred\x1b[0m", "[red]x[/]", "\u202ebackwards", "bell\x07", "\x1b]8;;http://x.y\x07link\x1b]8;;\x07", "\x9b2J", "[/]"]  # fmt: skip
RAW = "\x1b\x07\r\x9b\u202e\u2066\x00"


def inert(done, *, code: int = 0) -> str:
    assert done.code == code, done.out + done.err
    shown = done.out + done.err
    assert not {sign for sign in RAW if sign in shown}
    return " ".join(shown.split())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """Returns the folder of a run whose labels and texts are hostile, with its rows."""
    from ftcli.cli.app import main

    folder = tmp_path_factory.mktemp("hostile")
    model, draw = tiny_models.write_model(folder / "model", "bert"), random.Random(0)
    for part, count in (("train", 42), ("validation", 14)):
        rows = [{"text": f"the film {number} {draw.choice(LABELS)}\r", "label": LABELS[number % 7]} for number in range(count)]  # fmt: skip
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["model=local", f"model.path={model}", "model.weights=random", "tokenizer.max_length=24", "data=text", f"data.path={folder}",
             "trainer.batch_size=8", "trainer.precision=fp32", "trainer.max_steps=2", "task.metrics=[accuracy,f1@class]",
             "data.accept=[unknown-tokens]"]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTCLI_CACHE", str(folder / "cache"))
        patch.setattr(
            sys, "argv", ["ftcli", "train", *words, "--run-dir", str(folder / "run\x1b[31m[red]\u202e")]
        )
        try:
            main()
        except SystemExit as stopped:
            assert not stopped.code
    return folder


def test_every_command_shows_hostile_texts_as_text(ftcli, hostile, capsys):
    run = next(hostile.glob("run*"))
    shown = inert(ftcli("evaluate", str(run), "--mistakes", "14"))
    assert "[red]x[/]" in shown and r"\x1b[31mred\x1b[0m" in shown and r"\u202ebackwards" in shown
    inert(ftcli("evaluate", str(run), "--json"))
    shutil.copytree(run, "other[bold]", symlinks=True)
    shown = inert(ftcli("evaluate", str(run), "other[bold]"))
    assert "other[bold]" in shown and f"data: {hostile}/validation.jsonl" in shown
    shown = inert(ftcli("compare", str(run), "other[bold]"))
    assert r"run\x1b[31m[red]" in shown and "other[bold]" in shown
    inert(ftcli("compare", str(run), "other[bold]", "--json"))
    assert r"run\x1b[31m[red]" in inert(ftcli("runs", "--runs-dir", str(hostile)))
    listed = json.loads(ftcli("runs", "--runs-dir", str(hostile), "--json").out)["runs"]
    assert [record["path"] for record in listed] == [str(run)]


def test_rows_on_stdout_mean_what_they_did(ftcli, hostile):
    run = next(hostile.glob("run*"))
    done = ftcli("predict", str(run), "--input", str(hostile / "validation.jsonl"), "--output", "-")
    inert(done)
    rows = [json.loads(line) for line in done.out.splitlines()]
    source = [json.loads(line) for line in (hostile / "validation.jsonl").read_text().splitlines()]
    assert [{name: row[name] for name in ("text", "label")} for row in rows] == source
    assert {row["prediction"] for row in rows} <= set(LABELS)
    done = ftcli("predict", str(run), "--input", str(hostile / "validation.jsonl"), "--output", "out.csv")
    assert "14 rows predicted" in inert(done)


def test_a_broken_run_with_a_hostile_name(ftcli, hostile):
    folder = Path("runs/q/20260101-120000-\x1b[31m")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("\x1b]0;title\x07: [")
    assert "broken" in inert(ftcli("runs"))
    inert(ftcli("compare", str(folder), str(folder)), code=2)
    inert(ftcli("evaluate", "\x1b[31m[red]"), code=2)


def test_a_line_break_in_a_name_makes_no_line(ftcli, hostile):
    name = "runs/r/20260101-120000-abcdef\nbroken: all other runs"
    shutil.copytree(next(hostile.glob("run*")), name, symlinks=True)
    for words in (
        ["runs"],
        ["compare", name, str(next(hostile.glob("run*")))],
        ["verify", name, "--steps", "1"],
    ):
        done = ftcli(*words)
        assert r"abcdef\nbroken: all" in done.out, done.out
        assert not any(line.startswith("broken: all") for line in done.out.splitlines())
    done = ftcli("evaluate", "no\n  -> type rm")
    assert done.code == 2 and r"no\n  -> type rm" in done.err


def test_schedules_are_named_on_one_line(ftcli, hostile, tiny):
    done = ftcli("generate-schedule", *tiny[:3], "-o", "a\x1b[31m\nb.yaml")
    assert r"wrote a\x1b[31m\nb.yaml" in inert(done)
