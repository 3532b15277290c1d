"""`make gpu`, rehearsed: the tests of a device and the table, with a device that is imitated and a tiny GPT-2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "gpu"))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_the_rehearsal_runs_the_tier_and_both_lines_and_writes_each_row(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "gpu" / "run.py"),
        "--rehearse",
        "--only",
        "tier",
        "full",
    ]
    environment = {name: value for name, value in os.environ.items() if name not in ("WHEELS", "FTCLI_DATA")}
    done = subprocess.run(
        command, env=environment | {"OUT": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["row"] for row in rows] == ["machine", "tier", "throughput", "throughput"]
    assert rows[1]["passed"] > 0 and rows[1]["failed"] == rows[1]["skipped"] == 0
    ours, trainer = rows[2:]
    assert ours["steps"] == trainer["steps"] == 2 and ours["rows"] == trainer["rows"] == 64
    assert ours["tokens"] == trainer["tokens"] and ours["trainable"] == trainer["trainable"]
    assert "A rehearsal" in (tmp_path / "table.md").read_text()


def test_the_tier_is_skipped_without_a_device_and_leaves_other_folders_out():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    tests = [str(ROOT / "tests" / name) for name in ("checkpoint/test_store.py", "metric/test_metrics.py")]
    command = [sys.executable, "-m", "pytest", "--device", "cuda", "-p", "no:cacheprovider", "-rs", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "there is no CUDA device here" in done.stdout and "test_store" in done.stdout
    assert "metric" not in done.stdout and "deselected" in done.stdout


def test_what_a_device_changes_is_an_error_on_the_imitated_one():
    code = (
        "import imitated_cuda, torch; imitated_cuda.install(); tensor = torch.ones(2, device='cuda')\n"
        "assert tensor.device == torch.device('cuda:0') and tensor.sum().item() == 2.0\n"
        "for wrong in (lambda: tensor + torch.ones(2), tensor.numpy):\n"
        "    try: wrong()\n"
        "    except (RuntimeError, TypeError) as error: print(type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "tests" / "support",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["RuntimeError", "TypeError"], done.stderr


def test_a_failed_row_is_shown_and_counted(tmp_path):
    import table

    rows = tmp_path / "rows.jsonl"
    machine = {
        "row": "machine",
        "rehearsal": False,
        "device": "a GPU",
        "python": "3.12",
        "versions": {"torch": "2.11"},
        "commit": "",
        "missing": ["peft"],
    }
    rows.write_text("\n".join(map(json.dumps, [
        machine, {"row": "tier", "code": 1, "seconds": 61.0, "passed": 9, "failed": 1, "skipped": 2, "which": ["tests.x::test_y"]},
        {"row": "throughput", "name": "lora, ftcli", "failed": 124, "said": "", "seconds": 1.0},
    ])))  # fmt: skip
    table.write(rows, tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    assert "Missing: peft." in text and "9 passed, 1 failed, 2 skipped, 61 s.\n- tests.x::test_y" in text
    assert "| lora, ftcli | failed with 124 |" in text
