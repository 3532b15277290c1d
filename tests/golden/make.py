"""Writes the golden runs: one small run directory of each kind, and what the version that wrote them says of each.

    python tests/golden/make.py 0.1

Made once by the version in its name and then kept: `test_golden.py` shows that later versions resume, evaluate,
predict, compare and export them. Paths of the machine stand as @ROOT@.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import tiny_models  # noqa: E402
import tiny_tasks  # noqa: E402

SMALL = {"hidden_size": 16, "intermediate_size": 24}
COMMON = ["trainer.threads=1", "trainer.batch_size=8", "trainer.precision=fp32", "trainer.device=cpu", "optimizer.lr=1e-2",
          "trainer.epochs=2", "trainer.log_every_n_steps=1", "logger=jsonl", "trainer.keep_checkpoints=1"]  # fmt: skip
RUNS: dict[str, tuple[str, list[str], str | None]] = {
    "full": ("sequence-classification", ["trainer.patience=5"], None),
    "tensorboard": ("sequence-classification", ["logger=tensorboard", "freezing=head-only"], None),
    "lora": ("sequence-classification", ["peft=lora", "peft.r=2"], None),
    "prefix-tuning": ("sequence-classification", ["peft=prefix-tuning", "peft.num_virtual_tokens=3"], None),
    "phases": ("sequence-classification", ["freezing=gradual", "freezing.num_phases=3", "trainer.epochs=4"], None),
    "layerwise": ("sequence-classification", ["optimizer.layerwise.kind=geometric", "scheduler=cosine"], None),
    "token-budget": ("sequence-classification", ["trainer.token_budget=80"], None),
    "multi-label": ("multi-label", [], None),
    "regression": ("regression", [], None),
    "multiple-choice": ("multiple-choice", [], None),
    "token-classification": ("token-classification", [], None),
    "extractive-qa": ("extractive-qa", ["task.doc_stride=6"], None),
    "image-classification": ("image-classification", ["model.weights=random"], None),
    "seeds": ("sequence-classification", ["seeds=[1,2]", "trainer.epochs=1"], None),
    "killed-full": ("sequence-classification", ["trainer.save_every_n_steps=1"], "step:4"),
    "killed-lora": ("sequence-classification", ["peft=lora", "peft.r=2", "trainer.save_every_n_steps=1"], "step:4"),
    "killed-phases": ("sequence-classification", ["freezing=gradual", "freezing.num_phases=3", "trainer.epochs=4",
                      "trainer.save_every_n_steps=1"], "step:6"),
}  # fmt: skip
"""Name -> task, words, and the point at which the run was killed."""


def write_sources(root: Path) -> dict[str, list[str]]:
    """Writes two tiny models with base weights and rows of every task; returns task -> the words that name them."""
    import torch
    from transformers import AutoConfig, AutoModel

    for name in ("bert", "vit"):
        folder = tiny_models.write_model(root / "sources" / name, name)
        fields = json.loads((folder / "config.json").read_text()) | SMALL
        (folder / "config.json").write_text(json.dumps(fields))
        torch.manual_seed(11)
        AutoModel.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    words = {}
    for task in tiny_tasks.NAMES:
        model = root / "sources" / tiny_tasks.MODELS.get(task, "bert")
        rows = tiny_tasks.write_rows(root / "sources" / task, task, train=24, validation=8)
        words[task] = ["model=local", f"model.path={model}", *rows]
    return words


def ftcli(root: Path, *arguments: str, crash: str | None = None) -> str:
    env = os.environ | {"HF_HUB_OFFLINE": "1", "FTCLI_CACHE": str(root / "cache"), "COLUMNS": "200"}
    if crash is not None:
        env["FTCLI_CRASH_AT"] = crash
    done = subprocess.run([sys.executable, "-m", "ftcli", *arguments], cwd=root, env=env, capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode != (0 if crash is None else -9):
        sys.exit(f"{' '.join(arguments)}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def make(root: Path) -> None:
    """Trains every run and keeps what evaluate and predict say of those that ended."""
    sources, expected = write_sources(root), {}
    for name, (task, words, crash) in RUNS.items():
        run = root / "runs" / name
        ftcli(root, "train", *sources[task], *merged(words), "--run-dir", str(run), crash=crash)
        if crash is not None:
            continue
        rows = root / "sources" / task / "validation.jsonl"
        predicted = root / "expected" / f"{name}.jsonl"
        predicted.parent.mkdir(exist_ok=True)
        ftcli(root, "predict", str(run), "--input", str(rows), "--output", str(predicted))
        expected[name] = json.loads(ftcli(root, "evaluate", str(run), "--json"))["metrics"]
        print(name, expected[name], flush=True)
    (root / "expected" / "metrics.json").write_text(json.dumps(expected, indent=1) + "\n")


def merged(words: list[str]) -> list[str]:
    """Returns the common words and a run's own, which win."""
    own = {word.partition("=")[0] for word in words}
    if "trainer.token_budget" in own:
        own.add("trainer.batch_size")
    return [*(word for word in COMMON if word.partition("=")[0] not in own), *words]


def keep(root: Path, target: Path) -> None:
    """Copies the runs into the repository, with no path of this machine."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root, target, symlinks=True, ignore=shutil.ignore_patterns("cache", ".lock"))
    for file in target.rglob("*"):
        if (
            file.is_file()
            and not file.is_symlink()
            and file.suffix in (".json", ".yaml", ".txt", ".jsonl", ".log")
        ):
            text = file.read_text(encoding="utf-8")
            text = re.sub(r'"platform": "[^"]*"', '"platform": "Linux"', text.replace(str(root), "@ROOT@"))
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        make(Path(name).resolve())
        keep(Path(name).resolve(), HERE / sys.argv[1])
