"""A schedule of three phases, the words of its runs, and what two of them must have in common."""

from __future__ import annotations

from run_tensors import same, weights

from ftcli.plan.optimizer_state import named_state

HEAD_LAYER_REST = """
0:
  params: [head]
  max_steps: 20
  lr: 1.0e-3
1:
  params: ['layers[-1:]', final]
  max_steps: 20
  lr: 5.0e-4
  warmup: 4st
  best: reset
2:
  params: [rest]
  lr: 1e-4
  optimizer: sgd
  scheduler: cosine
  patience: 100
"""
WORDS = (
    "trainer.max_steps=60",
    "trainer.epochs=100",
    "trainer.eval_every_n_steps=7",
    "trainer.keep_checkpoints=1",
)


def stopper(trainer, at: int):
    """Returns work after a step that stands in for a signal."""

    def work(model, step, total):
        if step == at:
            trainer.stop.signum = 15

    return work


def lines(trainer, event: str) -> list[dict]:
    timed = ("rows_per_s", "tokens_per_s", "seconds_per_step", "seconds", "memory_bytes")
    found = [e for e in trainer.context.events.logged if e["event"] == event]
    return [{k: v for k, v in e.items() if k not in timed} for e in found]


def agree(first, second) -> None:
    assert same(weights(first), weights(second))
    assert same(named_state(first.optimizer), named_state(second.optimizer))
    timed = {"wall_seconds"}
    records = [
        [{k: v for k, v in r.items() if k not in timed} for r in t.state.phases] for t in (first, second)
    ]
    assert records[0] == records[1]
    assert first.state.best_step == second.state.best_step and first.state.best_eval == second.state.best_eval
