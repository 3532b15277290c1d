"""What holds for every task: padding and splitting change nothing, files score as the evaluation did, a batch can be fitted."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_models
import tiny_tasks
import torch

from ftcli.config.compose import load
from ftcli.run.encode import encode_parts
from ftcli.run.inputs import load_inputs
from ftcli.run.model import build_model

TASKS = tiny_tasks.NAMES


@pytest.fixture(params=TASKS)
def task(request):
    return request.param


@pytest.fixture
def words(tmp_path, monkeypatch, task):
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    model = tiny_models.write_model(tmp_path / "model", tiny_tasks.MODELS.get(task, "bert"))
    rows = tiny_tasks.write_rows(tmp_path / "rows", task)
    return ["model=local", f"model.path={model}", "model.weights=random", "trainer.precision=fp32",
            "trainer.batch_size=8", "optimizer.lr=3e-3", "model.dropout=0", "seed=3", "logger=jsonl", *rows]  # fmt: skip


@pytest.fixture
def ready(words):
    """Returns (task, model in eval mode, training table, inputs)."""
    config = load(words).config
    inputs = load_inputs(config)
    tables, _ = encode_parts(inputs)
    built = build_model(inputs)
    return inputs.task, built.model, tables["train"], inputs


def lines_of(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def loss_of(ready, rows, **options):
    task, model, table, inputs = ready
    batch = task.collate(
        table, np.array(rows), pad_id=inputs.tokenizer.pad_id, padding_side="right", **options
    )
    if "pixel_values" in batch:
        batch["pixel_values"] = batch["pixel_values"].to(model.dtype)
    output = task.compute_loss(model, batch, train=True)
    assert output.num_targets == task.num_targets(table, np.array(rows))
    return output


def test_losses_do_not_hang_on_batch_or_padding(ready):
    whole = loss_of(ready, range(48), pad_to_multiple=32)
    single = [loss_of(ready, [row]) for row in range(48)]
    assert sum(one.num_targets for one in single) == whole.num_targets
    expected = float(whole.loss_sum.detach())
    assert sum(float(one.loss_sum.detach()) for one in single) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_gradients_do_not_hang_on_how_a_batch_is_split(ready, kind, tolerance, monkeypatch):
    task, model, table, _ = ready
    if kind is torch.float64:  # everything in fp64, the head's outputs too
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
        if table.labels is not None and table.labels.dtype == np.float32:
            table.labels = table.labels.astype(np.float64)
    model.to(kind)
    rows = np.arange(15)  # ragged: 16 does not divide it

    def gradients(size):
        model.zero_grad()
        targets = task.num_targets(table, rows)
        for start in range(0, len(rows), size):
            (loss_of(ready, rows[start : start + size]).loss_sum / targets).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    whole = gradients(16)
    for size in (1, 2, 4, 8):
        assert float((gradients(size) - whole).norm() / whole.norm()) <= tolerance, size


def test_one_batch_can_be_fitted(words, tmp_path):
    from ftcli.console.console import Screen
    from ftcli.diagnostics.overfit_command import run_overfit

    verdict = run_overfit(load(words), tmp_path / "curves.png", Screen(quiet=True))
    assert verdict.passed, verdict.diagnoses
    assert verdict.accuracy in (None, 1.0)


def test_a_run_learns_and_its_predictions_are_of_use(ftcli, words, task, tmp_path):
    done = ftcli("train", *words, "trainer.epochs=6", "--run-dir", "run")
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "work/run/result.json").read_text())
    figures = result["metrics"]
    first = next(iter(figures))
    assert figures[first] > (0.4 if task == "regression" else 0.6), figures
    lines = lines_of(tmp_path / "work/run/predictions/validation.jsonl")
    assert len(lines) == 16 and all(line["label"] is not None for line in lines)
    rows = (tmp_path / "rows/validation.jsonl").read_text().splitlines()
    for suffix in ("jsonl", "csv", "tsv"):
        out = f"out.{suffix}"
        assert (
            ftcli("predict", "run", "--input", str(tmp_path / "rows/validation.jsonl"), "--output", out).code
            == 0
        )
    scored = lines_of(tmp_path / "work/out.jsonl")
    for row, one in zip(rows, scored, strict=True):
        assert {name: one[name] for name in json.loads(row)} == json.loads(row)
        assert "question.stem" not in one
    again = ftcli("evaluate", "run", "--json")
    assert json.loads(again.out)["metrics"] == pytest.approx(figures)


def test_rows_to_predict_need_no_label(ftcli, words, tmp_path):
    assert ftcli("train", *words, "trainer.epochs=1", "--run-dir", "run").code == 0
    rows = lines_of(tmp_path / "rows/validation.jsonl")
    bare = [{k: v for k, v in row.items() if k != "label"} for row in rows]
    wrong = [{**row, "label": "nothing known"} for row in rows]
    for number, of in enumerate((bare, wrong)):
        (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, of)) + "\n")
        done = ftcli("predict", "run", "--input", str(tmp_path / "new.jsonl"), "--output", f"{number}.jsonl")
        assert done.code == 0, done.err
    found = [[line["prediction"] for line in lines_of(tmp_path / f"work/{n}.jsonl")] for n in (0, 1)]
    assert found[0] == found[1] and len(found[0]) == 16


def test_a_metric_of_another_kind_is_refused_with_those_that_fit(words):
    from ftcli.config.check import check
    from ftcli.errors import ConfigError

    odd = "spearman" if not any("regression" in word for word in words) else "mcc"
    with pytest.raises(ConfigError) as caught:
        check(load([*words, f"task.metrics=[{odd}]"]))
    assert [p.key for p in caught.value.problems] == ["task.metrics"]
    assert "it takes" in caught.value.problems[0].hint
