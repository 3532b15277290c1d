"""Recipe files that somebody hostile, or a slip of the hand, would write; seeded, so that a failure can be made again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from hostile_schedules import BOMB, CANARY_VARIABLE, ODD_VALUES, READ, damaged

BASE = "defaults:\n  - base\n  - _self_\n"
GOOD = (
    BASE
    + """
seed: 7
model:
  dropout: 0.1
optimizer:
  lr: 1e-4
  layerwise: {kind: geometric, decay: 0.9}
trainer:
  epochs: 1
  batch_size: 8
data:
  columns: {text: text}
"""
)
KEYS = (
    "seed", "seeds", "num_seeds", "model", "model.path", "model.id", "model.package", "model.revision", "model.weights", "model.dtype", "model.dropout", "model.published",
    "tokenizer.max_length", "tokenizer.overlength", "data.path", "data.files", "data.files.train", "data.columns.text", "data.columns.choices", "data.label_names",
    "data.limit_train", "data.seed", "data.accept", "data.validation_share", "task.num_labels", "task.metrics", "task.label_smoothing", "freezing", "freezing.file", "peft",
    "peft.r", "optimizer.lr", "optimizer.betas", "optimizer.no_decay", "optimizer.layerwise", "optimizer.layerwise.table", "scheduler.warmup", "scheduler.total_steps",
    "trainer.epochs", "trainer.max_steps", "trainer.batch_size", "trainer.micro_batch_size", "trainer.threads", "trainer.precision", "trainer.monitor", "trainer.device",
    "logger", "trainer", "hydra", "hydra.run.dir", "hydra.searchpath", "hydra.job.env_copy", "uses", "choices", "recipe", "model.uses", "model._target_", "nothing", READ,
    "__class__", "defaults", "data.columns.__init__", "optimizer.lr.lr", "", " ", "a b", "'[0]'",
)  # fmt: skip
ENTRIES = (
    f"override model: '{READ}'", f"'{READ}'", f"model@{READ}: gpt2", "override hydra/launcher: basic", "hydra: x", "../outside", "/etc/passwd", "override model: ../../x",
    "mine", "[base]", "{}", "1", "null", "{model: gpt2, data: rte}", "optional nothing: x", "override nothing: x", "override model: nothing", "base", "self", "_self_",
    "override model: null", "override model: [gpt2]", "override model@_global_: gpt2", "quickstart", "override optimizer: sgd", "override freezing: gradual",
)  # fmt: skip
WHOLE: dict[str, str | bytes] = {
    "empty": "", "a list": "- base\n", "a scalar": "base\n", "no defaults": "seed: 1\n", "bomb": BASE + BOMB, "bomb as a value": BOMB + BASE + "model: *i\n",
    "deep list": BASE + "seed: " + "[" * 50_000, "deep map": BASE + "model: " + "{a: " * 5_000, "deep blocks": BASE + "".join(f"{' ' * i}a:\n" for i in range(900)),
    "cycle": BASE + "model: &x {id: *x}\n", "merge cycle": BASE + "model: &x\n  <<: *x\n", "not UTF-8": b"defaults: [base]\nseed: \xff\n", "NUL": b"seed: \x00\n",
    "UTF-16": GOOD.encode("utf-16"), "BOM": b"\xef\xbb\xbf" + GOOD.encode(), "huge": BASE + "# " + "x" * 3_000_000, "many keys": BASE + "".join(f"k{i}: 1\n" for i in range(40_000)),
    "duplicates": GOOD + "seed: 8\n", "two documents": GOOD + "---\n" + GOOD, "a header": "# @package _global_\n" + GOOD, "a hydra header": "# @package hydra.job\n" + GOOD,
    "itself": "defaults:\n  - recipe-0021\n  - _self_\n", "python": BASE + "seed: !!python/object/apply:os.system [ls]\n", "a long key": BASE + "x" * 2_000 + ": 1\n",
    "escaped read": BASE + f'model:\n  id: "\\x24{{oc.env:{CANARY_VARIABLE}}}"\n', "folded read": BASE + f"model:\n  id: >-\n    ${{oc.env:\n    {CANARY_VARIABLE}}}\n",
    "anchored read": BASE + f"model:\n  revision: &a '{READ}'\n  id: *a\n", "read with a comment": BASE + f"model:\n  id: '{READ}'  # no\n",
    "control characters": BASE + 'model:\n  id: "\\e[2J\\x07"\n', "markup": BASE + "model:\n  id: '[red]x[/red]'\n", "a device": BASE + "data:\n  path: /dev/zero\n",
    "a long path": BASE + "model:\n  path: " + "a" * 5_000 + "\n", "a long name": BASE + "data:\n  files: {train: " + "a" * 300 + "}\n",
}  # fmt: skip


def hostile_configs(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Path]]:
    """Writes `count` recipes into a folder; yields (what is hostile in it, its path)."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    for number in range(count):
        if number < len(WHOLE):
            name, content = list(WHOLE.items())[number]
        elif number % 5 == 0:
            name, content = "damaged bytes", damaged(GOOD.encode(), draw)
        elif number % 5 == 1:
            entry = draw.choice(ENTRIES)
            name, content = f"defaults: {entry}", f"defaults:\n  - base\n  - {entry}\n  - _self_\nseed: 1\n"
        else:
            name, content = _odd(draw)
        path = folder / f"recipe-{number:04d}.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        yield name, path


def _odd(draw: random.Random) -> tuple[str, str]:
    """Returns a recipe in which one to three keys have odd values, nested as their dots say."""
    text, names = BASE, []
    for key in draw.sample(KEYS, draw.choice((1, 1, 2, 3))):
        value = draw.choice(ODD_VALUES)
        parts = key.split(".") if key not in (READ, "") else [repr(key)]
        for depth, part in enumerate(parts):
            text += "  " * depth + f"{part}:" + (f" {value}\n" if depth == len(parts) - 1 else "\n")
        names.append(f"{key}: {value[:60]}")
    return " and ".join(names), text
