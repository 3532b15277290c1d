"""Tiny trainers with and without kept activations, of any task and architecture."""

from __future__ import annotations

import pytest
import tiny_models
import tiny_tasks
from tiny_runs import Events


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Returns a function: words -> trainer; `folder` names the checkpoints' folder, `schedule` is a schedule's text."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(tiny_models.ARCHITECTURES, "xlm-roberta", tiny_models.ARCHITECTURES["roberta"])

    def build_one(*words: str, folder="checkpoints", architecture="bert", task=None, schedule=None, rows=45):
        from ftcli import build
        from ftcli.checkpoint.store import CheckpointStore
        from ftcli.compose import load
        from ftcli.encoding import encode_parts
        from ftcli.runtime import decide_runtime
        from ftcli.trainer.signals import StopFlag

        model = tiny_models.write_model(tmp_path / architecture, architecture)
        if task is None:
            chosen = [
                "data=text",
                f"data.path={tiny_models.write_rows(tmp_path / f'rows{rows}', train=rows, validation=19)}",
            ]
        else:
            chosen = tiny_tasks.write_rows(tmp_path / task, task, train=24, validation=9)
        if schedule is not None:
            (tmp_path / "schedule.yaml").write_text(schedule)
            chosen += ["freezing=schedule", f"freezing.file={tmp_path / 'schedule.yaml'}"]
        defaults = ["trainer.batch_size=8", "trainer.micro_batch_size=3", "trainer.precision=fp32", "trainer.threads=1",
                    "optimizer.lr=1e-3", "trainer.epochs=2", "trainer.log_every_n_steps=1", "tokenizer.max_length=24"]  # fmt: skip
        given = {word.partition("=")[0] for word in (*words, *chosen)}
        kept = [word for word in defaults if word.partition("=")[0] not in given]
        config = load(
            ["model=local", f"model.path={model}", "model.weights=random", *chosen, *kept, *words]
        ).config
        ground = build.lay_ground(config)
        tables, _ = encode_parts(ground)
        runtime = decide_runtime(config, 24)
        blueprint = build.draw(ground, attention=runtime.attention)
        arithmetic = build.count_steps(config, len(tables["train"]), tables["train"])
        events = Events()
        store = CheckpointStore(tmp_path / folder, keep=config.trainer.keep_checkpoints)
        trainer = build.build_trainer(config, ground, runtime, blueprint, arithmetic, tables,
                                      store=store, events=events, reporter=events, stop=StopFlag())  # fmt: skip
        # What is said while building is not about the cache.
        events.notes.clear()
        return trainer

    return build_one
