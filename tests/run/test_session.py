"""The one build sequence: stages on demand, each built once, and what they record."""

from __future__ import annotations

import json

import pytest
import tiny_models

from ftcli.config.compose import load
from ftcli.run.session import RunSession


def config_of(folder, architecture: str, *overrides: str):
    model = tiny_models.write_model(folder / architecture, architecture)
    rows = tiny_models.write_rows(folder / "rows")
    return load(["model=local", f"model.path={model}", "model.weights=random", "tokenizer.max_length=24", "data=text",
                 f"data.path={rows}", "trainer.precision=fp32", *overrides]).config  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))


def test_the_last_stage_builds_those_before_it_once(tmp_path):
    lines: list[str] = []
    session = RunSession(config_of(tmp_path, "bert"), notes=lines.extend)
    assert session.built is session.built and session.inputs.splits is not None
    assert set(session.tables) == {"train", "validation"}
    assert session.step_counts.rows == len(session.tables["train"])
    assert len(lines) == len(set(lines)), "a stage reported its decisions twice"


def test_a_stub_needs_config_json_and_nothing_else(tmp_path):
    config = config_of(tmp_path, "bert")
    for file in (tmp_path / "bert").iterdir():
        if file.name != "config.json":
            file.unlink()
    built = RunSession(config, meta=True, stub=True).built
    assert built.plan.num_parameters and next(built.model.parameters()).device.type == "meta"


def test_attention_is_recorded_as_the_class_has_it(tmp_path):
    """DeBERTa has no sdpa: whatever is asked for, the record says what was computed."""
    session = RunSession(config_of(tmp_path, "deberta-v2", "model.attention=sdpa"))
    assert session.runtime.record()["attention"] == "sdpa"
    assert session.built.attention == "eager" == session.runtime.record()["attention"]


def test_recorded_decisions_win(tmp_path):
    config = config_of(tmp_path, "bert")
    assert RunSession(config).runtime.attention == "eager"
    assert RunSession(config, recorded={"attention": "sdpa"}).runtime.attention == "sdpa"


@pytest.mark.parametrize("label", ["\\ud800", "\\udce9"])
def test_a_label_that_no_file_can_hold_is_refused(ftcli, tiny, tmp_path, label):
    for part in ("train", "validation"):
        lines = [
            f'{{"text": "the film {part} {n}", "label": "{label if n % 2 else "ok"}"}}' for n in range(6)
        ]
        (tmp_path / f"{part}.jsonl").write_text("\n".join(lines) + "\n")
    words = [word for word in tiny if not word.startswith("data.path")]
    done = ftcli("check-data", *words, f"data.path={tmp_path}")
    assert done.code == 3 and "Traceback" not in done.err
    assert "holds half of a character, or bytes that are not UTF-8" in done.out
    assert ascii(json.loads(f'"{label}"'))[1:-1] in done.out
