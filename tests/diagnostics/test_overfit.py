"""overfit-batch: every architecture passes, and each diagnosis is caused by its own mistake and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_models as models

from ftcli.config.compose import load
from ftcli.console.console import Screen
from ftcli.diagnostics.overfit import Verdict
from ftcli.diagnostics.overfit_command import run_overfit

FITS = ["optimizer.lr=3e-3", "trainer.batch_size=8", "trainer.precision=fp32", "seed=3"]


@pytest.fixture
def verdict_of(tmp_path, monkeypatch):
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))

    def run(*words: str, architecture: str = "bert", rows: Path | None = None) -> Verdict:
        model = models.write_model(tmp_path / architecture, architecture)
        data = rows or models.write_rows(tmp_path / "rows")
        given = {word.partition("=")[0] for word in words}
        defaults = [word for word in FITS if word.partition("=")[0] not in given]
        base = ["model=local", f"model.path={model}", "model.weights=random", "data=text", f"data.path={data}",
                "tokenizer.max_length=32", *defaults]  # fmt: skip
        return run_overfit(load([*base, *words]), tmp_path / "curves.png", Screen(quiet=True))

    return run


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_every_architecture_fits_one_batch(verdict_of, architecture, tmp_path):
    verdict = verdict_of(architecture=architecture)
    assert verdict.passed, verdict.diagnoses
    assert verdict.accuracy == 1.0 and verdict.loss <= 0.01
    assert verdict.batch_curve[0][1] > verdict.batch_curve[-1][1]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_lora_fits_one_batch(verdict_of):
    assert verdict_of("peft=lora", "optimizer.lr=2e-2").passed


def test_label_smoothing_raises_the_floor_not_the_bar(verdict_of):
    verdict = verdict_of("task.label_smoothing=0.1")
    assert verdict.passed
    assert verdict.floor == pytest.approx(0.1985, abs=1e-4)  # -(0.95 ln 0.95 + 0.05 ln 0.05)
    assert verdict.floor <= verdict.loss <= verdict.floor + 0.01


def names(verdict: Verdict) -> list[str]:
    assert not verdict.passed
    return [d.name for d in verdict.diagnoses]


def test_nothing_trainable(verdict_of):
    verdict = verdict_of("freezing=patterns", "freezing.freeze=['.*']")
    assert names(verdict) == ["nothing trainable"] and verdict.steps == 0


def test_head_frozen(verdict_of):
    assert names(verdict_of("freezing=patterns", "freezing.freeze=['classifier.*']")) == ["head frozen"]


def test_lr_too_low(verdict_of):
    assert names(verdict_of("optimizer.lr=1e-7")) == ["lr too low"]


def test_lr_diverging(verdict_of):
    assert names(verdict_of("optimizer.lr=30", "trainer.max_grad_norm=null")) == ["lr diverging"]


def test_the_lr_is_constant_in_a_plan_of_phases_with_pieces_to_find(verdict_of, monkeypatch):
    """Finding the pieces enters the phase that trains most, and this phase again."""
    from ftcli.diagnostics import overfit as module

    factors = []

    def overfit(trainer, rows, head, *, screen):
        factors.extend(trainer.objects.lr_lambda(step) for step in range(3))
        return real(trainer, rows, head, screen=screen)

    real = module.overfit
    monkeypatch.setattr(module, "overfit", overfit)
    verdict_of("trainer.micro_batch_size=auto", "freezing=gradual", "scheduler.warmup=0.5")
    assert factors == [1.0, 1.0, 1.0]


def test_labels_constant_fails_although_it_fits(verdict_of):
    verdict = verdict_of("trainer.batch_size=1")
    assert names(verdict) == ["labels constant"] and verdict.loss <= 0.01


def test_labels_contradictory(verdict_of, tmp_path):
    rows = models.write_rows(tmp_path / "contradictory")
    texts = ["the film was good\tpositive", "the film was good\tnegative"] * 4
    (rows / "train.tsv").write_text("\n".join(["text\tlabel", *texts]) + "\n")
    assert names(verdict_of(rows=rows)) == ["labels contradictory"]


def test_exit_code_and_json(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from ftcli.cli.app import app

    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    model, rows = models.write_model(tmp_path / "bert", "bert"), models.write_rows(tmp_path / "rows")
    words = ["model=local", f"model.path={model}", "model.weights=random", "data=text", f"data.path={rows}",
             "tokenizer.max_length=32", *FITS]  # fmt: skip
    picture = str(tmp_path / "p.png")
    passed = CliRunner().invoke(app, ["overfit-batch", *words, "--json", "-o", picture])
    assert passed.exit_code == 0 and json.loads(passed.stdout)["passed"] is True
    lone = [w for w in words if not w.startswith("trainer.batch_size")]
    failed = CliRunner().invoke(
        app, ["overfit-batch", *lone, "trainer.batch_size=1", "--json", "-o", picture]
    )
    assert failed.exit_code == 3 and json.loads(failed.stdout)["passed"] is False
