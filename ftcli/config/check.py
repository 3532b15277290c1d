"""All problems between the fields of a composed configuration, raised at once."""

from __future__ import annotations

from ftcli.config.compose import Composed
from ftcli.config.validate import problems_of
from ftcli.errors import ConfigError, Problem


def check(composed: Composed, *, with_data: bool = True) -> None:
    """Raises ConfigError with every problem between fields; `with_data` False leaves out what only concerns rows."""
    problems = [p for p in problems_of(composed.config) if with_data or not p.key.startswith("data")]
    problems += _two_batch_sizes(composed)
    if problems:
        raise ConfigError(*problems)


def _two_batch_sizes(composed: Composed) -> list[Problem]:
    """A batch size that was typed would do nothing beside a token budget; a recipe's own gives way."""
    budget = composed.config.trainer.token_budget
    if budget is None or composed.origins.get("trainer.batch_size") != "shell":
        return []
    message = f"trainer.token_budget={budget} decides how many rows a batch has"
    return [Problem("trainer.batch_size", message, "leave it out, or type trainer.token_budget=null")]
