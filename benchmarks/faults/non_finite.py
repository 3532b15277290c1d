"""NaN and infinity in loss, gradient, parameter and input: stopped before the update, nothing changed, the step named.

python -m benchmarks.faults.non_finite [--count 20] [--seed 1] [--no-record]
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.faults import figure

TITLE = "NaN and infinity in loss, gradient, parameter, input: stopped before the update"
KINDS = ("loss", "gradient", "parameter", "input")


def poison(trainer: Any, kind: str, value: float, draw: random.Random) -> None:
    """Puts a value that is not finite into the next step."""
    import torch

    model = trainer.context.model
    if kind == "loss":
        compute = trainer.context.task.compute_loss
        trainer.context.task.compute_loss = lambda *a, **k: _times(compute(*a, **k), value)
    elif kind == "gradient":
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        draw.choice(weights).register_hook(lambda gradient: torch.full_like(gradient, value))
    elif kind == "parameter":
        with torch.no_grad():
            # Of a layer: an embedding's row may be of a token that the batch lacks.
            weight = draw.choice([weight for name, weight in model.named_parameters() if "layer" in name])
            weight.view(-1)[draw.randrange(weight.numel())] = value
    else:
        model.get_input_embeddings().register_forward_hook(lambda module, args, output: output * value)


def _times(output: Any, value: float) -> Any:
    output.loss_sum = output.loss_sum * value
    return output


def one(build: Callable[[], Any], kind: str, value: float, draw: random.Random) -> str | None:
    """Makes steps, then a poisoned one; returns what did not hold, or None."""
    import torch

    from ftcli.errors import NonFiniteError
    from ftcli.plan.optimizer_state import named_state

    trainer = build()
    for _ in range(draw.randint(1, 3)):
        trainer.train_step(trainer.next_rows())
    step = trainer.state.step
    poison(trainer, kind, value, draw)
    before = {name: weight.detach().clone() for name, weight in trainer.context.model.named_parameters()}
    moments = {name: tensor.clone() for name, tensor in named_state(trainer.optimizer).items()}
    try:
        trainer.train_step(trainer.next_rows())
    except NonFiniteError as error:
        if f"step {step + 1}" not in str(error):
            return f"the step is not named: {error}"
    else:
        return "the step was made"
    after = dict(trainer.context.model.named_parameters())
    changed = [
        name
        for name, weight in before.items()
        if not torch.equal(weight.nan_to_num(7.0), after[name].detach().nan_to_num(7.0))
    ]
    now = named_state(trainer.optimizer)
    changed += [name for name, tensor in moments.items() if not torch.equal(tensor, now[name])]
    return f"changed: {changed[:3]}" if changed or trainer.state.step != step else None


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Poisons `count` steps."""
    import tiny_runs

    tally, draw = figure.Tally(), random.Random(seed)
    for number in range(count):
        kind, value = KINDS[number % len(KINDS)], draw.choice([math.nan, math.inf, -math.inf])
        if kind == "loss" and value == -math.inf:
            value = math.inf
        words = (
            ["optimizer.weight_decay=0.1", "trainer.micro_batch_size=3"] if number % 2 else ["optimizer=sgd"]
        )
        place = folder / f"saved-{number}"
        build = partial(tiny_runs.build_words, folder, place, words, rows=24, validation=8)
        failure = one(lambda build=build: build()[0], kind, value, draw)
        tally.count(f"{value} in {kind}: {failure}" if failure else None)
    return tally


if __name__ == "__main__":
    sys.exit(figure.main("non_finite", TITLE, 20, trial))
