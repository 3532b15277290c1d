"""The events of a run: written to metrics.jsonl by the logger role, and shown by the reporter."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ftcli.runtime.device import memory_used
from ftcli.runtime.timers import Section
from ftcli.trainer.context import TrainerContext
from ftcli.trainer.micro_batching import OUT_OF_MEMORY, Split
from ftcli.trainer.position import Position
from ftcli.trainer.state import StepResult, TrainState, Window


class TrainLog:
    """Writes events; each is counted in the state, so that a resume keeps those its checkpoint knew of.

    Args:
        context: its event log and reporter.
        state: of the run.
        position: of the run in its plan.
    """

    def __init__(self, context: TrainerContext, state: TrainState, position: Position) -> None:
        self.context, self.state, self.position = context, state, position
        self.clock = context.clock

    def log(self, event: dict[str, Any]) -> None:
        """Writes one event."""
        with self.clock(Section.logging):
            self.context.events.log(event)
        self.state.events += 1

    def phase(self, restored: int | None) -> None:
        """Logs the phase that begins, and prints it where the plan has several.

        Args:
            restored: step of the best checkpoint that it begins from; None: from the last step.
        """
        state, plan, phase = self.state, self.context.plan, self.position.phase
        self.log({"event": "phase", "step": state.step, "phase": state.phase,
                  "trainable": phase.num_trainable_parameters, "restored_step": restored})  # fmt: skip
        if len(plan.phases) > 1:
            share = phase.num_trainable_parameters / max(plan.num_parameters, 1)
            before = f"; {state.phases[-1]['ended']} ended phase {state.phase - 1}" if state.phases else ""
            best = f"; restored the best, step {restored}" if restored is not None else ""
            self.context.reporter.note(
                f"phase {state.phase}: {phase.num_trainable_parameters:,} parameters train "
                f"({share:.1%}), at most {self.position.phase_limit} steps{before}{best}"
            )

    def split(self, split: Split, num_rows: int, *, recorded: bool = False) -> None:
        """Logs into how many micro-batches the batches are split from a step on.

        Args:
            split: the decision.
            num_rows: of the step's batch.
            recorded: an earlier process of this run made the decision.
        """
        self.log({"event": "split", **asdict(split), "phase": self.state.phase})
        if split.why == OUT_OF_MEMORY:
            line = self.context.micro_batching.format_message(split, num_rows, recorded=recorded)
            self.context.reporter.note(line)

    def window(self, last: StepResult) -> None:
        """Logs the means since the last line and begins a new window.

        Args:
            last: of the last step, whose lr and gradient norm the line shows.
        """
        state, window = self.state, self.state.window
        seconds, targets = max(window.seconds, 1e-9), max(window.targets, 1)
        event: dict[str, Any] = {
            "event": "train",
            "step": state.step,
            "epoch": self.position.epochs,
            "phase": state.phase,
            "loss": window.loss_sum / targets,
            **({} if window.correct is None else {"accuracy": window.correct / targets}),
            "lr": last.lrs,
            "grad_norm": last.grad_norm,
            "rows_per_s": window.rows / seconds,
            "tokens_per_s": window.tokens / seconds,
            "seconds_per_step": window.seconds / window.steps,
            "memory_bytes": memory_used(self.context.forward.device),
        }
        if last.loss_scale is not None:
            event |= {"loss_scale": last.loss_scale, "skipped_steps": state.skipped_steps}
        state.window = Window()
        self.log(event)
        with self.clock(Section.logging):
            self.context.reporter.train(event, self.position.total_steps)
