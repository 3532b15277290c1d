"""The speed benchmark: ftcli and a plain loop make the same steps on a tiny BERT (the Trainer: test_gpu.py); its figures by hand."""

import argparse
import random
import sys
from pathlib import Path

import pytest
import tiny_weights

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def options(**values) -> argparse.Namespace:
    own = {"device": "cpu", "only": ["schedule"], "no_compile": False, "peer_python": None, "dev": 32, "accuracy_seeds": [],
           "rows": 64, "schedule_rows": 64, "phase_epochs": 1, "repeats": 2, "threads": None}  # fmt: skip
    return argparse.Namespace(**own | values)


def run(**values) -> dict:
    own = {"rows": 64, "steps": 2, "tokens": 640, "training_seconds": 2.0, "whole_seconds": 4.0, "accuracy": 0.5, "peak_bytes": 2**30,
           "start_up": 3.0, "precision": "fp32", "trainable": [10], "decayed": [8], "losses": [0.7, 0.6, 0.5], "versions": {},
           "steady": None}  # fmt: skip
    return own | values


class Bench:
    """What the table reads of speed.Bench."""

    def __init__(self, folder: Path, rows: list, **values) -> None:
        self.folder, self.rows, self.options = folder, rows, options(**values)
        self.probe = {"bf16": False, "conditions": "here.", "threads": 1}
        tiny_weights.write_config(folder / "model-full", "bert")


def test_both_make_the_same_steps_on_a_tiny_model(tmp_path, monkeypatch):
    import speed
    import speed_rows

    model, rows = tmp_path / "tiny", tmp_path / "data" / "sst2"
    tiny_weights.write_model(model, "bert", num_hidden_layers=6, max_position_embeddings=64)
    tiny_weights.write_wordpiece(model)
    rows.mkdir(parents=True)
    draw = random.Random(1)
    for name in ("train", "dev"):
        texts = [" ".join(draw.choices(tiny_weights.WORDS[:10], k=draw.randint(3, 9))) for _ in range(32)]
        lines = [f"{text} {number}\t{number % 2}" for number, text in enumerate(texts)]
        (rows / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    monkeypatch.setenv("FTCLI_DATA", str(rows.parent))
    monkeypatch.setattr(speed_rows, "minilm", lambda: model)
    (tmp_path / "bench").mkdir()
    bench = speed_rows.Bench(options(repeats=1), tmp_path / "bench")
    bench.rows = [row for row in bench.rows if row.own != {"prefix_cache": "off"}]
    found = speed.compare(bench)
    names = {(row.part, row.tool) for row in found}
    assert names == {("schedule", "ours"), ("schedule", "plain_loop")}
    for reported in found.values():
        assert reported["steps"] == 3 and len(set(reported["losses"])) == 3
        assert reported["start_up"] > 0 and reported["whole_seconds"] > reported["training_seconds"] > 0


def test_rows_that_cannot_run_here_say_why_and_bf16_is_for_the_tuned():
    from speed_rows import rows_of

    bare = rows_of(options(only=["full", "schedule"]), {"bf16": False, "compiler": None})
    said = {(row.name, row.missing) for row in bare if row.missing}
    assert said == {
        ("Trainer, tuned, torch_compile", "not run: no compiler"),
        ("finetuning-scheduler", "not run: no --peer-python"),
        ("finetuning-scheduler, like lengths", "not run: no --peer-python"),
    }
    assert not any("bf16" in row.own for row in bare)
    whole = rows_of(options(only=["full", "schedule"], peer_python="x"), {"bf16": True, "compiler": "g++"})
    assert not any(row.missing for row in whole)
    assert [row.name for row in whole if row.own.get("bf16")] == [
        "Trainer, tuned",
        "Trainer, tuned, torch_compile",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": 641}, "tokens 641, ftcli 640"),
        ({"trainable": [11]}, r"trainable \[11\]"),
        ({"losses": [0.7, 0.6, 0.501]}, "losses"),
        ({"losses": [0.7, 0.6]}, "losses"),
    ],
)
def test_other_work_ends_the_benchmark(change, said):
    from speed_rows import Row
    from speed_table import check_work

    ours, other = Row("full", "ftcli", "ours", {}), Row("full", "Trainer", "hf_trainer", {})
    check_work({ours: run(), other: run()})
    with pytest.raises(SystemExit, match=said):
        check_work({ours: run(), other: run(**change)})


def test_the_first_loss_alone_counts_with_lora():
    from speed_rows import Row
    from speed_table import check_work

    rows = [Row("lora", "ftcli", "ours", {}), Row("lora", "Trainer", "hf_trainer", {})]
    check_work({rows[0]: run(), rows[1]: run(losses=[0.7, 0.3, 0.2])})
    with pytest.raises(SystemExit, match="losses"):
        check_work({rows[0]: run(), rows[1]: run(losses=[0.8, 0.6, 0.5])})


def test_ratios_are_taken_run_by_run_and_what_did_not_run_says_why(tmp_path):
    from speed_rows import Row
    from speed_table import HEAD, cells

    ours, other = Row("full", "ftcli", "ours", {}), Row("full", "Trainer", "hf_trainer", {})
    missing = Row("full", "compiled", "hf_trainer", {}, "not run: no compiler")
    steady = {"steps": 1, "rows": 32, "tokens": 320, "seconds": 0.5}
    found = {
        ours: [run(), run(training_seconds=1.0)],
        other: [run(training_seconds=4.0, steady=steady), run(steady=steady)],
    }
    bench = Bench(tmp_path, [ours, other, missing])
    lines = [line for row in bench.rows for line in cells(row, found, {"fp32": 1e9}, {"full": 8.0}, bench)]
    assert [len(line) for line in lines] == [len(HEAD)] * 4
    assert lines[0][2:4] == ["48.0 (32.0-64.0)", ""]
    # 32 / 16 and 64 / 32 rows/s: the same ratio in both runs.
    assert lines[1][3] == "2.00 (2.00-2.00)"
    # After one step of warm-up 32 rows in half a second.
    assert lines[2][2:4] == ["64.0 (64.0-64.0)", "0.75 (0.50-1.00)"]
    assert lines[3][:2] == ["full: compiled", "not run: no compiler"]


def test_operations_of_a_token_are_those_counted_by_hand():
    from roofline import Encoder

    minilm = Encoder(layers=6, width=384, inner=1536, length=64.0)
    weights = 6 * (4 * 384 * 384 + 2 * 384 * 1536)
    attention = 6 * 12 * 64 * 384
    assert minilm.full() == 6 * weights + attention
    assert minilm.full() == pytest.approx(65.5e6, rel=1e-3)
    # Query and value, A (8 x 384) and B (384 x 8) each: 73,728 weights in six layers.
    assert minilm.lora(r=8, targets=2) == 4 * weights + attention + 6 * 73_728
    assert minilm.top(0) == pytest.approx(minilm.full() / 3)
    assert minilm.top(4) == pytest.approx(minilm.full() * (2 / 3 + 4) / 6)


def test_memory_and_start_up_are_those_of_the_child(tmp_path):
    from machine import run_peer

    script = "import json, time; held = bytearray(300 << 20); time.sleep(0.2); print(json.dumps({'first': time.monotonic()}))"
    reported = run_peer(script, {}, tmp_path)
    assert reported["peak_bytes"] > 300 << 20
    assert 0.2 < reported["start_up"] < 60
    with pytest.raises(SystemExit, match="boom"):
        run_peer("raise ValueError('boom')", {}, tmp_path, python=sys.executable)
