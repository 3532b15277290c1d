"""From `ftcli train` to the model's forward there are few functions, so that a traceback and a debugger read well."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import ftcli as package

ROOT = Path(package.__file__).parent
COMMAND = "cli/run.py: train"
MOST = 6


def own_frames(frame: FrameType | None) -> list[str]:
    """Returns the functions of ftcli from the command to the caller of the model; empty outside of the command."""
    names: list[str] = []
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(ROOT):
            name = f"{file.relative_to(ROOT)}: {frame.f_code.co_name}"
            names.append(name)
            if name == COMMAND:
                return names[::-1]
        frame = frame.f_back
    return []


def test_a_command_reaches_the_model_in_few_frames(ftcli, tiny, monkeypatch):
    from transformers import BertForSequenceClassification

    stacks: list[list[str]] = []
    forward = BertForSequenceClassification.forward

    def watched(self, *args, **kwargs):
        if self.training:
            stacks.append(own_frames(sys._getframe(1)))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(BertForSequenceClassification, "forward", watched)
    assert ftcli("train", *tiny, "--run-dir", "run").code == 0
    steps = [stack for stack in stacks if "trainer/trainer.py: fit" in stack]
    assert steps and steps == stacks, "something else than the loop called the model in train mode"
    for stack in steps:
        assert len(stack) <= MOST, "\n".join(
            ["more than six functions from the command to the model:", *stack]
        )
