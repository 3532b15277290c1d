"""A tiny run in process: trainer, tables and everything around it, as `ftcli train` builds them."""

from __future__ import annotations

import pytest
import tiny_models as models
import tiny_tasks
from tiny_runs import Events


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Returns a function: words -> (trainer, blueprint); `folder` names the checkpoints' folder, `task` takes rows of another."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))

    def build_one(
        *words: str, folder: str = "checkpoints", architecture: str = "bert", rows: int = 50, task=None
    ):
        from ftcli import build
        from ftcli.checkpoint.store import CheckpointStore
        from ftcli.compose import load
        from ftcli.encoding import encode_parts
        from ftcli.runtime import decide_runtime
        from ftcli.trainer.signals import StopFlag

        model = models.write_model(tmp_path / architecture, architecture)
        if task is None:
            path = models.write_rows(tmp_path / f"rows{rows}", train=rows, validation=16)
            data = ["data=text", f"data.path={path}"]
        else:
            data = tiny_tasks.write_rows(tmp_path / task, task, train=24, validation=9)
        base = [
            "model=local",
            f"model.path={model}",
            "model.weights=random",
            "tokenizer.max_length=24",
            *data,
        ]
        defaults = ["trainer.batch_size=8", "trainer.precision=fp32", "trainer.threads=1", "optimizer.lr=1e-3",
                    "trainer.epochs=2", "trainer.log_every_n_steps=1"]  # fmt: skip
        given = {word.partition("=")[0] for word in words}
        config = load([*base, *[d for d in defaults if d.partition("=")[0] not in given], *words]).config
        ground = build.lay_ground(config)
        tables, _ = encode_parts(ground)
        runtime = decide_runtime(config, 24)
        blueprint = build.draw(ground, attention=runtime.attention)
        arithmetic = build.count_steps(config, len(tables["train"]), tables["train"])
        events = Events()
        store = CheckpointStore(tmp_path / folder, keep=config.trainer.keep_checkpoints)
        trainer = build.build_trainer(config, ground, runtime, blueprint, arithmetic, tables,
                                      store=store, events=events, reporter=events, stop=StopFlag())  # fmt: skip
        return trainer, blueprint

    return build_one
