"""Whole runs from their words: killed, damaged, finished, lengthened; what is said and what the bytes are."""

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_models as models


@pytest.fixture
def words(tmp_path, monkeypatch):
    """Words of a run of 6 steps an epoch: dropout on, accumulation, a checkpoint every 2 steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    model, rows = models.write_model(tmp_path / "model", "bert"), models.write_rows(tmp_path / "rows")
    return ["model=local", f"model.path={model}", "model.weights=random", "tokenizer.max_length=24", "data=text",
            f"data.path={rows}", "trainer.batch_size=8", "trainer.micro_batch_size=3", "trainer.precision=fp32",
            "trainer.threads=1", "trainer.log_every_n_steps=1", "trainer.save_every_n_steps=2", "optimizer.lr=3e-3",
            "scheduler=linear", "logger=jsonl"]  # fmt: skip


def ftcli(*arguments: str) -> tuple[int, str]:
    """Runs a command in process; returns its exit code and what it printed."""
    from ftcli.cli.app import main

    before, printed, code = sys.argv, io.StringIO(), 0
    sys.argv = ["ftcli", *arguments]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            main()
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    finally:
        sys.argv = before
    return code, printed.getvalue()


def killed_at(point: str, *arguments: str) -> None:
    """Runs a command in a process of its own that gets SIGKILL at a named point."""
    env = os.environ | {"FTCLI_CRASH_AT": point, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "ftcli", *arguments], env=env, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def digests(run: str) -> dict[str, str]:
    files = [
        f"checkpoints/{name}/{part}.safetensors"
        for name in ("last", "best")
        for part in ("model", "optimizer")
    ]
    return {file: hashlib.sha256((Path(run) / file).read_bytes()).hexdigest() for file in files}


def lines(run: str, event: str) -> list[tuple]:
    """Returns what a step or an evaluation came to, without its timings."""
    found = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    return [(e["step"], e["loss"], e["accuracy"], e.get("lr")) for e in found if e["event"] == event]


def test_a_run_killed_before_its_first_checkpoint_starts_again(words):
    train = ["train", *words, "trainer.epochs=1"]
    assert ftcli(*train, "--run-dir", "whole")[0] == 0
    killed_at("step:2", *train, "--run-dir", "cut")
    assert not list(Path("cut/checkpoints").glob("step-*")) and not Path("cut/result.json").exists()
    code, said = ftcli("resume", "cut")
    assert code == 0 and "continuing at step 0 of 6" in said
    assert digests("whole") == digests("cut") and lines("whole", "train") == lines("cut", "train")


def test_a_damaged_newest_checkpoint_costs_its_steps_and_nothing_else(words):
    train = ["train", *words, "trainer.epochs=2"]
    assert ftcli(*train, "--run-dir", "whole")[0] == 0
    killed_at("step:9", *train, "--run-dir", "cut")
    newest = Path("cut/checkpoints/step-000008/optimizer.safetensors")
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 4
    newest.write_bytes(data)
    code, said = ftcli("resume", "cut")
    assert code == 0 and "damaged checkpoint" in said and "step-000008" in said
    assert "continuing at step 6 of 12" in said
    assert digests("whole") == digests("cut")
    assert lines("whole", "train") == lines("cut", "train") and lines("whole", "eval") == lines("cut", "eval")


def test_a_finished_run_says_so_and_stays_as_it_is(words):
    assert ftcli("train", *words, "trainer.epochs=1", "--run-dir", "run")[0] == 0
    before = {
        path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file() and path.name != ".lock"
    }
    for again in (["resume", "run"], ["train", *words, "trainer.epochs=1", "--run-dir", "run", "--resume"]):
        code, said = ftcli(*again)
        assert code == 0 and "finished: nothing to resume" in said
    assert before == {path: path.read_bytes() for path in before}


def test_total_steps_pins_the_curve_of_a_lengthened_run(words):
    """Two epochs made three end with the bytes of three epochs only where the curve was pinned."""
    assert ftcli("train", *words, "trainer.epochs=3", "--run-dir", "whole")[0] == 0
    said = {}
    for run, pin in (("pinned", ["scheduler.total_steps=18"]), ("free", [])):
        assert ftcli("train", *words, *pin, "trainer.epochs=2", "--run-dir", run)[0] == 0
        code, said[run] = ftcli("resume", run, "trainer.epochs=3")
        assert code == 0 and "continuing at step 12 of 18" in said[run]
    assert digests("whole") == digests("pinned") and lines("whole", "train") == lines("pinned", "train")
    assert "lr curve was" not in said["pinned"]
    assert "the lr curve was 12 steps long and is now 18" in said["free"]
    assert "scheduler.total_steps=12 would have pinned it" in said["free"]
    assert digests("whole") != digests("free")


def test_the_test_part_is_scored_once_at_the_end(words, tmp_path, monkeypatch):
    """Counts real scorings by their rows: two evaluations on 16, the second of them the best, then 5 test rows."""
    from ftcli.trainer.evaluation import Evaluator

    scored, score = [], Evaluator.score

    def counted(self, model, table, **options):
        scored.append(len(table.lengths))
        return score(self, model, table, **options)

    monkeypatch.setattr(Evaluator, "score", counted)
    rows = (tmp_path / "rows" / "validation.tsv").read_text().splitlines()
    (tmp_path / "rows" / "test.tsv").write_text("\n".join([rows[0], *rows[-5:]]) + "\n")
    assert ftcli("train", *words, "trainer.epochs=2", "--run-dir", "run")[0] == 0
    assert scored == [16, 16, 5]
    assert ftcli("resume", "run")[0] == 0 and scored == [16, 16, 5]
