"""A run's state in checkpoints: when one is due, what it holds, and how the objects go back to it."""

from __future__ import annotations

import torch

from ftcli.checkpoint.checkpoint import Checkpoint
from ftcli.config.schema import TrainerConfig
from ftcli.errors import CheckpointError, Problem
from ftcli.plan.optimizer_state import adopt_named_state, load_named_state, named_state
from ftcli.trainer.context import ScoredLrLambda, TrainerContext
from ftcli.trainer.nonfinite import require_finite_state
from ftcli.trainer.oom import raise_on_oom
from ftcli.trainer.position import Position
from ftcli.trainer.state import TrainState
from ftcli.trainer.state_dict import load_tensors, tensors_of
from ftcli.trainer.step import TrainStep

NO_ROOM = "earlier checkpoints are untouched: make room in memory and type ftcli resume RUN"


class Checkpointing:
    """Saves and restores model, optimizer, loss scaler and counters.

    Args:
        config: trainer.*.
        context: the model, and the store that checkpoints go to.
        state: of the run.
        position: of the run in its plan.
        step: has the optimizer and the scaler.
    """

    def __init__(
        self,
        config: TrainerConfig,
        context: TrainerContext,
        state: TrainState,
        position: Position,
        step: TrainStep,
    ) -> None:
        self.config, self.context, self.state = config, context, state
        self.position, self.step = position, step
        self._saved: tuple[int, int] | None = None
        """(step, step of the last evaluation) of the newest checkpoint."""

    @property
    def up_to_date(self) -> bool:
        """Whether the newest checkpoint holds this step, and its evaluation where there was one."""
        return self._saved == (self.state.step, self.state.evaluated_step)

    def due(self) -> bool:
        """Returns whether to save before the next step: regularly, after an evaluation, and at the run's end."""
        state, every = self.state, self.config.save_every_n_steps
        if state.step == 0 or self.up_to_date:
            return False
        regular = bool(every and state.step % every == 0)
        return state.evaluated_step == state.step or self.position.finished or regular

    def save(self) -> None:
        """Commits a checkpoint of the last applied step.

        Raises:
            RunDirError: the disk is full or cannot be written; earlier checkpoints are untouched.
            NonFiniteError: a weight or the optimizer's state is NaN or infinite; earlier checkpoints are untouched.
            NoRoomError: memory is not enough for the copy that is written; earlier checkpoints are untouched.
        """
        with raise_on_oom(f"the checkpoint of step {self.state.step}", NO_ROOM):
            self._save()

    def _save(self) -> None:
        state, optimizer = self.state, self.step.objects.optimizer
        own = tensors_of(self.context.model)
        model = {name: own[name].detach() for name in sorted(self.context.saved_names)}
        moments = named_state(optimizer)
        # Parameters alone: a buffer may hold infinities on purpose, as a mask does.
        weights = {
            name: tensor for name, tensor in model.items() if isinstance(own[name], torch.nn.Parameter)
        }
        require_finite_state({"the weight": weights, "the optimizer's state": moments}, state.step)
        # The checkpoint states how many events there are, so none of them may be lost after it.
        self.context.events.flush()
        self.context.required_store.save(
            state.step,
            tensors={"model": model, "optimizer": moments},
            state={
                "train": state.to_json(),
                "best_step": state.best_step,
                "scaler": self.step.scaler.state_dict(),
                "optimizer": type(optimizer).__name__,
            },
            best=state.best_step == state.step and state.evaluated_step == state.step,
        )
        self._saved = (state.step, state.evaluated_step)

    def load_state(self, checkpoint: Checkpoint) -> None:
        """Puts the model's weights and the counters back; the phase's objects are built after that.

        Raises:
            CheckpointError: the checkpoint stands in a phase that the plan does not have.
        """
        tensors = checkpoint.load("model")
        load_tensors(self.context.model, tensors, self.context.saved_names)
        self.context.saved_names |= tensors.keys()
        try:
            self.state.load_json(checkpoint.state["train"])
        except (LookupError, TypeError, ValueError) as error:
            message = f"holds counters that this version of ftcli does not know: {error}"
            raise CheckpointError(
                Problem(str(checkpoint.path / "state.json"), message, "use the version that wrote it")
            ) from error
        phases = len(self.context.plan.phases)
        if self.state.phase >= phases:
            message = f"stands in phase {self.state.phase}; the schedule now has {phases}"
            raise CheckpointError(Problem(str(checkpoint.path), message, "keep the phases that were trained"))

    def load_optimizer(self, checkpoint: Checkpoint, *, changed_plan: bool) -> None:
        """Puts back what the phase's objects keep: the optimizer's state, the loss scale, a plateau's curve.

        Args:
            checkpoint: of this phase.
            changed_plan: take only the optimizer state of tensors that train in both plans.

        Raises:
            CheckpointError: the optimizer state is not that of the plan.
        """
        objects, moments = self.step.objects, checkpoint.load("optimizer")
        if not changed_plan:
            load_named_state(objects.optimizer, moments)
        elif checkpoint.state.get("optimizer") == type(objects.optimizer).__name__:
            adopt_named_state(objects.optimizer, moments)
        try:
            self.step.scaler.load_state_dict(checkpoint.state.get("scaler", {}))
        except (RuntimeError, LookupError, TypeError, ValueError) as error:
            message = f"holds no loss scale of this precision: {error}"
            hint = "is environment.json that of this run? ftcli verify says what is not"
            raise CheckpointError(Problem(str(checkpoint.path / "state.json"), message, hint)) from error
        if isinstance(objects.lr_lambda, ScoredLrLambda) and self.state.curve:
            objects.lr_lambda.load_state(self.state.curve)

    def mark_saved(self) -> None:
        """The state is the newest checkpoint's, just restored: it is not saved again before something changes."""
        self._saved = (self.state.step, self.state.evaluated_step)

    def begin_from(self, tensors: dict[str, torch.Tensor]) -> None:
        """Puts weights of another run's checkpoint in place, at step 0.

        Args:
            tensors: by their names in the model, each of its parameter's shape.

        Raises:
            CheckpointError: a tensor that the model does not have, or has in another shape.
        """
        own = tensors_of(self.context.model)
        odd = [name for name, value in tensors.items() if name not in own or own[name].shape != value.shape]
        if odd:
            message = f"{len(odd)} of its tensors do not fit this model, such as {odd[0]}"
            raise CheckpointError(
                Problem("freezing.start_from", message, "take a run of the same model and task")
            )
        load_tensors(self.context.model, tensors)
        self.context.saved_names |= tensors.keys()
