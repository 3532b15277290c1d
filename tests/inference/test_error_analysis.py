"""Worst errors and the confusion matrix: by hand, and from the command line."""

import json

import numpy as np
import pytest
import tiny_models
import tiny_tasks

from ftcli.batching.rows import Rows
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import lookup
from ftcli.config.schema import ColumnsConfig, TaskConfig
from ftcli.inference.error_analysis import confusion, worst_errors


def test_the_most_confident_mistake_comes_first_and_right_rows_not_at_all():
    task = lookup("task", "sequence-classification").build(TaskConfig(), ColumnsConfig(), ["a", "b"])
    rows = Rows(
        "validation",
        {"text": ["p", "q", "r " * 60], "label": ["a", "a", "b"]},
        "f.tsv",
        "00",
        np.array([2, 3, 4]),
    )
    table = TokenTable(np.zeros(3, np.int32), np.arange(4), labels=np.array([0, 0, 1]))
    records = [np.array(v, dtype=np.float32) for v in ([0.9, 0.1], [0.4, 0.6], [0.95, 0.05])]
    found = worst_errors(task, table, rows, records, 5)
    assert [(m["where"], m["label"], m["prediction"]) for m in found] == [
        ("f.tsv:4", "b", "a"),
        ("f.tsv:3", "a", "b"),
    ]
    assert (
        found[0]["error"] == pytest.approx(0.9)
        and found[0]["text"].endswith("...")
        and len(found[0]["text"]) == 70
    )
    assert len(worst_errors(task, table, rows, records, 1)) == 1
    lines = [task.prediction_row(record, table, rows, i) for i, record in enumerate(records)]
    assert confusion(task, lines, ["a", "b"]).tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize("task", tiny_tasks.TASKS)
def test_evaluate_lists_them(ftcli, tmp_path, monkeypatch, task):
    model = tiny_models.write_model(tmp_path / "model", tiny_tasks.MODELS.get(task, "bert"))
    rows = tiny_tasks.write_rows(tmp_path / "rows", task)
    words = [
        "model=local",
        f"model.path={model}",
        "model.weights=random",
        "trainer.max_steps=1",
    ]
    assert ftcli("train", *words, *rows, "--run-dir", "run").code == 0
    done = ftcli("evaluate", "run", "--json", "--mistakes", "3")
    result = json.loads(done.out)
    assert 0 < len(result["mistakes"]) <= 3
    errors = [m["error"] for m in result["mistakes"]]
    assert errors == sorted(errors, reverse=True) and all(
        m["label"] != m["prediction"] for m in result["mistakes"]
    )
    pictured = task in ("sequence-classification", "token-classification")
    assert (result["confusion"] is not None) is pictured
    drawn = ftcli("evaluate", "run", "-o", "new/c.png")
    assert drawn.code == (0 if pictured else 2)
    assert "worst mistakes" in drawn.out or not pictured
    if "worst mistakes" in drawn.out:
        assert lookup("task", task).build.error_name in drawn.out
    if pictured:
        assert (tmp_path / "work/new/c.png").read_bytes().startswith(b"\x89PNG")
        assert np.sum(result["confusion"]) >= 16
