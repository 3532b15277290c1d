"""Which PEFT methods train which architectures and tasks: every pair tried on a tiny model with random weights.

    python benchmarks/peft_support.py [--methods lora ia3 ...] [--check]

A pair is supported when overfit-batch passes with one of three lrs and a row scores alone as in a padded batch. Architectures are tried with sequence
classification (images: image classification), tasks with BERT (images: ViT). Writes ftcli/peft/support.json, which `ftcli list peft` shows
and every run consults; --check compares with it instead, and ends with 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
TABLE = ROOT / "ftcli" / "peft" / "support.json"

SMALLER = {"miss": ["peft.r=4"], "oft": ["peft.oft_block_size=8"]} | dict.fromkeys(
    ("prompt-tuning", "p-tuning", "prefix-tuning"), ["peft.num_virtual_tokens=4"]
)
"""Words that fit a method into tiny models."""
LRS = ("1e-2", "1e-3", "1e-1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    import tiny_models
    import tiny_tasks

    from ftcli.peft import _compatibility as support

    support.support_table = lambda: {"methods": {}}  # what is to be found out has no say
    known = json.loads(TABLE.read_text())["methods"] if TABLE.is_file() else {}
    found = {} if options.methods is None else dict(known)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"FTCLI_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        for method in options.methods or methods():
            architectures = {
                one: attempt(folder, method, one, "sequence-classification")
                for one in tiny_models.ARCHITECTURES
            }
            architectures |= {
                one: attempt(folder, method, one, "image-classification") for one in tiny_models.IMAGES
            }
            tasks = {
                one: attempt(folder, method, tiny_tasks.MODELS.get(one, "bert"), one)
                for one in tiny_tasks.NAMES
            }
            found[method] = {"architectures": architectures, "tasks": tasks}
            good = sum(not why for why in architectures.values())
            print(f"{method}: {good} of {len(architectures)} architectures, {sum(not w for w in tasks.values())} of {len(tasks)} tasks",
                  flush=True)  # fmt: skip
            for one, why in (architectures | tasks).items():
                if why:
                    print(f"    {one}: {why}")
            if not options.check:
                write(found)
    sys.exit(options.check and found != known)


def write(found: dict[str, dict[str, dict[str, str]]]) -> None:
    versions = {name: version(name) for name in ("torch", "transformers", "peft")}
    table = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "versions": versions, "methods": found}
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")


def methods() -> list[str]:
    return sorted(file.stem for file in (ROOT / "conf" / "peft").glob("*.yaml") if file.stem != "none")


def attempt(folder: Path, method: str, architecture: str, task: str) -> str:
    """Returns why a pair does not work, or nothing."""
    import tiny_models
    import tiny_tasks

    from ftcli.config.compose import load
    from ftcli.console.console import Screen
    from ftcli.diagnostics.overfit_command import run_overfit
    from ftcli.errors import FtcliError
    from ftcli.peft._compatibility import REFUSED
    from ftcli.run.data_checks.masks import prove_masks
    from ftcli.run.encode import encode_parts
    from ftcli.run.inputs import load_inputs
    from ftcli.run.model import build_model

    model = tiny_models.write_model(folder / architecture, architecture)
    rows = tiny_tasks.write_rows(folder / task, task)
    words = [f"peft={method}", "model=local", f"model.path={model}", "model.weights=random", *rows,
             "trainer.batch_size=8", "trainer.precision=fp32", "trainer.threads=1", *SMALLER.get(method, [])]  # fmt: skip
    if task in ("extractive-qa",):
        words.append("data.accept=[unknown-tokens]")
    try:
        verdicts = (
            run_overfit(load([*words, f"optimizer.lr={lr}"]), folder / "curves.png", Screen(quiet=True))
            for lr in LRS
        )
        verdict = next((one for one in verdicts if one.passed), None)
        if verdict is None:
            return f"overfit-batch fails with an lr of {', '.join(LRS)}"
        inputs = load_inputs(load(words).config)
        tables, _ = encode_parts(inputs)
        model = build_model(inputs).model.eval()
        options = {"pad_id": inputs.tokenizer.pad_id, "padding_side": inputs.tokenizer.padding_side}
        wrong = [
            f for f in prove_masks(model, inputs.task, tables["train"], **options) if f.level.value == "error"
        ]
        return "; ".join(finding.text for finding in wrong)
    except FtcliError as error:
        return REFUSED + error.problems[0].message
    except Exception as error:  # another library's
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"


if __name__ == "__main__":
    main()
