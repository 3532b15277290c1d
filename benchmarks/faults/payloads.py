"""Hostile texts and labels: inert in the terminal, in CSV for a spreadsheet and in the model card as HTML.

    python -m benchmarks.faults.payloads [--count 100] [--no-record]

Each payload is a label and stands in texts, half of them alone, half behind words. A run is trained on fifty of them, evaluated, predicted from,
compared and exported. What must hold: no control character in anything printed; every cell of `--safe-csv` that a spreadsheet would run has
its apostrophe, and without the flag the cells are the payloads; the HTML of the model card has no element and no address of a payload.
"""

from __future__ import annotations

import csv
import json
import random
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

from benchmarks.faults import figure, forks, hostile

import tiny_models  # isort: skip

TITLE = (
    "payloads in texts and labels: inert in the terminal, in CSV (--safe-csv) and in the model card's HTML"
)
TERMINAL = ("\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x07link\x1b]8;;\x07", "\x9b2J", "\x07bell", "a\x08b", "over\rwritten", "\u202ebackwards",
            "\u2066isolated", "[red]x[/]", "[/]", "[link=http://evil.example]y[/link]", "[bold", "\x1bP+q\x1b\\", "\x1b[2J", "\x1b[?1049h", "\x1bc", "\x7fgone")  # fmt: skip
FORMULAS = ("=1+1", "+1+1", "-1-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "=HYPERLINK(\"http://evil.example\")", "\uff1d1+1", "\uff0b1", "\uff20x", "=\"a\"&\"b\"",
            "-2+3+cmd|' /C calc'!A0", "@evil", '=1"', "=1,2")  # fmt: skip
MARKUP = ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![x](http://evil.example/x.png)", "</td><script>1</script>",
          "<svg onload=alert(1)>", "&lt;script&gt;", "`code`", "# heading", "a | b", "<!-- hidden", "<style>*{}</style>", "<iframe src=http://evil.example>",
          "<a href=http://evil.example>x</a>", "<http://evil.example>", "http://evil.example", "**bold**", "{{7*7}}")  # fmt: skip
BASES = (*TERMINAL, *FORMULAS, *MARKUP)
ELEMENTS = {"p", "h1", "h2", "h3", "table", "thead", "tbody", "tr", "th", "td", "code", "pre", "ul", "ol", "li", "hr", "em", "strong", "blockquote", "br"}  # fmt: skip
"""Of a model card; an element with attributes is none of them."""


def payloads(count: int) -> list[list[str]]:
    """Returns `count` payloads, fifty a run: alone, and behind words."""
    many = [[*BASES], [f"the film {base}" for base in BASES]]
    return [half[: max(count - len(BASES) * number, 0)] for number, half in enumerate(many)]


class Elements(HTMLParser):
    """Collects what a browser would make of a page: elements that no card has, and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ELEMENTS or any(name not in ("class", "align", "style") for name, _ in attrs):
            self.found.append(f"<{tag} {dict(attrs)}>")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data}")


def elements(card: str) -> list[str]:
    """Returns the elements and addresses that a model card has as HTML and should not have; a reader of CommonMark that lets HTML pass."""
    from markdown_it import MarkdownIt

    text = card.partition("\n---\n")[2]
    read = Elements()
    read.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
    return read.found


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Tries `count` payloads in two runs."""
    forks.warm_up()
    tally, printed = figure.Tally(), 0
    for number, labels in enumerate(payloads(count)):
        if not labels:
            continue
        place = folder / str(number)
        place.mkdir()
        said, spoiled = commands(place, labels, random.Random(seed))
        printed += len(said)
        for label in labels:
            failures = [
                f"{sign!r} is printed" for sign in set(hostile.CONTROL.findall(said)) if sign in label
            ]
            failures += [what for what in spoiled if label in what or what.startswith("all:")]
            failures += cells(place, label)
            tally.count(f"{label!r}: {'; '.join(failures)}" if failures else None)
    tally.measured = f"{len(TERMINAL)} of terminals, {len(FORMULAS)} formulas, {len(MARKUP)} of markup, each alone and behind words; {printed:,} characters printed"
    return tally


def commands(place: Path, labels: list[str], draw: random.Random) -> tuple[str, list[str]]:
    """Trains on rows with these labels and runs what shows them; returns what was printed, and what of the card is not inert."""
    from ftcli.config.schema import DATA_CHECKS

    model = tiny_models.write_model(place / "model", "bert")
    for part, times in (("train", 3), ("validation", 1)):
        rows = [{"text": f"the {draw.choice(tiny_models.WORDS)} film {copy} was {draw.choice(tiny_models.WORDS)} {label}", "label": label}
                for copy in range(times) for label in labels]  # fmt: skip
        (place / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = str(place / "validation.jsonl")
    base = ["model=local", f"model.path={model}", "model.weights=random", "tokenizer.max_length=24", "data=text", f"data.path={place}", "trainer.max_steps=2",
            "trainer.batch_size=50", "trainer.precision=fp32", f"data.accept=[{','.join(DATA_CHECKS)}]", "task.metrics=[accuracy,f1@class]"]  # fmt: skip
    run, other, log, wrong = str(place / "run"), str(place / "other"), place / "said.txt", []
    for words in (["train", *base, "--run-dir", run], ["check-data", *base], ["explain", *base], ["evaluate", run, "--mistakes", "60"], ["evaluate", run, "--json"],
                  ["evaluate", run, "-o", str(place / "matrix.svg")], ["evaluate", run, other], ["compare", run, other], ["runs", "--runs-dir", str(place)],
                  ["predict", run, "-i", rows, "-o", str(place / "safe.csv"), "--safe-csv"], ["predict", run, "-i", rows, "-o", str(place / "plain.csv")],
                  ["predict", run, "-i", rows, "-o", "-"], ["export", run, str(place / "export")]):  # fmt: skip
        code = forks.wait(forks.start(words, log, place / "cache"), seconds=60)
        if code not in (0, 3) or forks.TRACEBACK in forks.text_of(log):
            wrong.append(f"all: {words[0]} ended with {code}: {forks.text_of(log)[-300:]}")
        if words[0] == "train" and not code:
            shutil.copytree(run, other, symlinks=True)
    card = place / "export" / "README.md"
    found = elements(card.read_text(encoding="utf-8")) if card.exists() else ["no card"]
    return forks.text_of(log), wrong + [f"all: the card's HTML has {one}" for one in found]


def cells(place: Path, label: str) -> list[str]:
    """Returns what does not hold of a label's cells in both files."""
    from ftcli.inference.row_writer import FORMULA

    wrong = []
    for name, safe in (("safe.csv", True), ("plain.csv", False)):
        if not (place / name).exists():
            wrong.append(f"there is no {name}")
            continue
        with (place / name).open(encoding="utf-8", newline="") as file:
            found = {cell for row in csv.reader(file) for cell in row}
        expected = f"'{label}" if safe and label.startswith(FORMULA) else label
        if expected not in found or (safe and label != expected and label in found):
            wrong.append(f"{name} lacks the cell {expected!r}")
    return wrong


if __name__ == "__main__":
    sys.exit(figure.main("payloads", TITLE, 100, trial))
