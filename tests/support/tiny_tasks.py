"""Rows for every task on tiny models, and the words that train on them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from tiny_models import WORDS

GOOD, BAD, THINGS, REST = WORDS[11:16], WORDS[16:21], WORDS[2:7], WORDS[21:]


def _sentence(draw: random.Random, number: int) -> tuple[list[str], list[str]]:
    """Returns the words of a sentence and which good and bad words it holds."""
    marks = [draw.choice(GOOD if number % 2 == 0 else BAD)]
    if number % 3 == 0:
        marks.append(draw.choice(BAD))
    words = ["the", draw.choice(THINGS), "was", *draw.sample(REST, draw.randint(0, 6)), *marks]
    return words, marks


def classification(draw: random.Random, number: int) -> dict:
    words, marks = _sentence(draw, number)
    return {"text": " ".join(words), "label": "positive" if marks[0] in GOOD else "negative"}


def multi_label(draw: random.Random, number: int) -> dict:
    words, marks = _sentence(draw, number)
    names = {"praise": GOOD, "blame": BAD, "thing": THINGS[:2]}
    return {"text": " ".join(words), "label": [n for n, of in names.items() if set(of) & set(words)]}


def regression(draw: random.Random, number: int) -> dict:
    words, _ = _sentence(draw, number)
    return {"text": " ".join(words), "label": sum((w in GOOD) - (w in BAD) for w in words) + 0.25}


def multiple_choice(draw: random.Random, number: int) -> dict:
    """Two to four choices; the good word is the right one."""
    choices = draw.sample(BAD, draw.randint(1, 3))
    place = draw.randint(0, len(choices))
    choices.insert(place, draw.choice(GOOD))
    stem = " ".join(["the", draw.choice(THINGS), "was", *draw.sample(REST, draw.randint(0, 4))])
    return {"question": {"stem": stem, "choices": [{"text": c} for c in choices]}, "label": "ABCD"[place]}


def token_classification(draw: random.Random, number: int) -> dict:
    words, _ = _sentence(draw, number)
    tags = ["B-good" if w in GOOD else "B-bad" if w in BAD else "O" for w in words]
    return {"text": words, "label": tags}


def extractive_qa(draw: random.Random, number: int) -> dict:
    """The answer is the good word; every third context is too long for a window of 24 tokens."""
    question = f"was the {draw.choice(THINGS)} good"
    before, after = (draw.sample(REST, draw.randint(0, 12 if number % 3 == 0 else 3)) for _ in range(2))
    answer = draw.choice(GOOD[1:])
    context = " ".join(["the", draw.choice(THINGS), "was", *before, answer, *after])
    start = context.index(answer)
    return {"question": question, "context": context, "label": {"text": [answer], "answer_start": [start]}}


def causal_lm(draw: random.Random, number: int) -> dict:
    """A text of random words; every fifth one is longer than a block of 24 tokens."""
    return {"text": " ".join(draw.choices(WORDS, k=40 if number % 5 == 0 else 6 + number % 3))}


TASKS: dict[str, Callable[[random.Random, int], dict]] = {
    "sequence-classification": classification,
    "multi-label": multi_label,
    "regression": regression,
    "multiple-choice": multiple_choice,
    "token-classification": token_classification,
    "extractive-qa": extractive_qa,
}
LANGUAGE = {"causal-lm": causal_lm}
"""Tasks whose outputs are the vocabulary's: `tiny_language` has rows and models for their own tests."""
NAMES = [*TASKS, "image-classification"]
MODELS = {"image-classification": "vit"}
"""Task -> architecture that has its head; the others take bert."""
WORDS_OF = {
    "multiple-choice": [
        "data.columns.text=question.stem",
        'data.columns.choices=["question.choices[].text"]',
    ],
    "extractive-qa": ["data.columns.text=question", "data.columns.text_pair=context"],
}


def write_rows(folder: Path, task: str, *, train: int = 48, validation: int = 16) -> list[str]:
    """Writes train.jsonl and validation.jsonl; returns the words that choose task and rows."""
    draw = random.Random(7)
    if task == "image-classification":
        write_images(folder, draw, {"train": train, "validation": validation})
        return [f"task={task}", "data=images", f"data.path={folder}", "tokenizer=processor"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", train), ("validation", validation)):
        made = (TASKS | LANGUAGE)[task]
        rows = [json.dumps(made(draw, number)) for number in range(count)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    return [
        f"task={task}",
        "data=text",
        f"data.path={folder}",
        "tokenizer.max_length=24",
        *WORDS_OF.get(task, []),
    ]


def write_images(folder: Path, draw: random.Random, counts: dict[str, int]) -> None:
    """Writes PART/CLASS/NUMBER.png, noise that is redder or greener, and PART.jsonl with the paths."""
    for part, count in counts.items():
        lines = []
        for number in range(count):
            label, tint = ("red", (70, 0)) if number % 2 == 0 else ("green", (0, 70))
            picture = Image.new("RGB", (20, 12))
            picture.putdata([(draw.randrange(150) + tint[0], draw.randrange(150) + tint[1], draw.randrange(200))
                             for _ in range(240)])  # fmt: skip
            file = folder / part / label / f"{number:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file)
            lines.append(json.dumps({"image": str(file), "label": label}))
        (folder / f"{part}.jsonl").write_text("\n".join(lines) + "\n")
