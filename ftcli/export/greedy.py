"""The text that a run's language model goes on with, for comparison with the exported folder's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ftcli.errors import ExportError, Problem

MAX_NEW_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Greedy:
    """The most probable token again and again, of each prompt."""

    ids: list[list[int]]
    margins: list[list[float]]
    """By how much each token's logit exceeded the next one's, divided by max(1, |logit|): within a tolerance either may be chosen."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """What a language model goes on with."""

    ids: list[list[int]]
    """(num_prompts,) token ids of each."""
    max_new_tokens: int
    stops: list[int]
    """Ids that end a text."""


def greedy(model: Any, prompts: Prompts, device: str) -> Greedy:
    """Returns how the run's model goes on with the prompts: the whole text is computed for every token, without a cache.

    So what plain libraries compute with their cache is compared with a way that has none.

    Args:
        model: in eval mode, soft prompts and adapters in place.
        prompts: what it goes on with.
        device: where the model is.
    """
    import torch

    ids, margins = [], []
    for prompt in prompts.ids:
        text, own = list(prompt), []
        with torch.no_grad():
            while len(text) < len(prompt) + prompts.max_new_tokens:
                rows = torch.tensor([text], device=device)
                logits = model(input_ids=rows, attention_mask=torch.ones_like(rows)).logits[0, -1].float()
                (first, second), best = logits.topk(2)
                own.append(float(first - second) / max(1.0, abs(float(first))))
                text.append(int(best[0]))
                if text[-1] in prompts.stops:
                    break
        ids.append(text[len(prompt) :])
        margins.append(own)
    return Greedy(ids, margins)


def compare_text(right: Greedy, found: list[list[int]], tolerance: float) -> None:
    """Compares what a folder goes on with; two tokens whose logits are as near as the tolerance may change places.

    Args:
        right: of the run.
        found: ids of each prompt, of the folder.
        tolerance: of logits.

    Raises:
        ExportError: another token, though the run's was surely the most probable one.
    """
    for number, (own, other) in enumerate(zip(right.ids, found, strict=True)):
        place = next((i for i, (a, b) in enumerate(zip(own, other, strict=False)) if a != b), None)
        if place is None and len(own) != len(other):
            place = min(len(own), len(other), len(right.margins[number]) - 1)
        if place is not None and right.margins[number][place] > 2 * tolerance:
            message = f"goes on with the tokens {other[: place + 1]}, the run with {own[: place + 1]}"
            raise ExportError(Problem(f"prompt {number + 1}", message, "please report it: nothing was kept"))
