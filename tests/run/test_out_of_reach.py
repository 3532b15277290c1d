"""Phases that cannot begin are said before the run and after it, and only what trained counts as trained."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from ftcli.plan.plan import Trigger
from ftcli.run.steps import StepCounts, out_of_reach

SCHEDULE = """
0:
  params: [head]
  max_steps: 100
1:
  params: [rest]
"""


def lines(*triggers, total=40):
    phases = [SimpleNamespace(index=i, trigger=trigger) for i, trigger in enumerate(triggers)]
    plan = SimpleNamespace(phases=phases, start_phase=0)
    return out_of_reach(plan, StepCounts(80, 8, None, None, 10, total, total), None)


@pytest.mark.parametrize(("triggers", "begin"), [
    ([Trigger(max_steps=10), Trigger()], {}),
    ([Trigger(max_steps=40), Trigger()], {1: "never begins"}),
    ([Trigger(max_epochs=10), Trigger(max_steps=3), Trigger()], {1: "never begins", 2: "never begins"}),
    ([Trigger(max_steps=20), Trigger(max_epochs=2), Trigger()], {2: "never begins"}),
    ([Trigger(patience=3), Trigger()], {1: "begins only if scores end an earlier phase"}),
    ([Trigger(patience=5), Trigger()], {1: "never begins"}),  # four evaluations in all
    ([Trigger(plateau_slope=0.1, plateau_window=4), Trigger()], {1: "begins only if scores end an earlier phase"}),
    ([Trigger(max_transition_epoch=4), Trigger()], {1: "never begins"}),
])  # fmt: skip
def test_what_is_said_before_a_run(triggers, begin):
    """Ten steps an epoch, an evaluation each, 40 steps in all."""
    found = lines(*triggers)
    assert len(found) == len(begin)
    for line, (index, words) in zip(found, begin.items(), strict=True):
        assert line.startswith(f"phase {index} {words}: ") and "step 40" in line


def test_what_a_run_says_and_records(ftcli, tiny):
    """The head of a tiny BERT with two labels has 32 x 2 + 2 parameters: 66 trained, not those of the phase that never began."""
    Path("phases.yaml").write_text(SCHEDULE)
    words = [*tiny, "freezing=schedule", "freezing.file=phases.yaml", "trainer.prefix_cache=off"]
    done = ftcli("train", *words, "--dry-run")
    assert (
        done.code == 0
        and "phase 1 never begins: the phases before it last to the end of the run, step 12" in done.out
    )
    done = ftcli("train", *words, "--run-dir", "run")
    assert done.code == 0 and done.out.count("phase 1 never begins") == 1
    assert (
        "phase 1 never began: the run ended at step 12" in done.out and "66 of 19,010 parameters" in done.out
    )
    result = json.loads(Path("run/result.json").read_text())
    assert result["trainable_parameters"] == 66 and result["phases_never_begun"] == [1]
