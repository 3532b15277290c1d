"""Lengths as the user types them: `100st` steps, `1ep` epochs, or `0.1`, a share of all steps."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ftcli.config.fields import LARGEST_INT
from ftcli.errors import ConfigError, Problem

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(st|ep)?")
_FORMS = "write 100st (steps), 1ep (epochs) or 0.1 (a share of all steps)"
WARMUP_KEY = "scheduler.warmup"


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of training, not yet in steps."""

    value: float
    unit: str
    """`st` steps, `ep` epochs, `share` of all steps."""


def parse_duration(text: str, *, key: str = WARMUP_KEY) -> Duration:
    """Reads `100st`, `1ep` or `0.1`.

    Raises:
        ConfigError: none of these forms, a share above 1, or a fraction of a step.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ConfigError(Problem(key, f"{text[:80]!r} is not a length", _FORMS))
    value, unit = float(match[1]), match[2] or "share"
    if value > LARGEST_INT:
        raise ConfigError(Problem(key, f"{text[:80]!r} is longer than {LARGEST_INT}", _FORMS))
    if unit == "share" and value > 1:
        hint = f"{key}={match[1]}st for steps, {key}={match[1]}ep for epochs"
        raise ConfigError(Problem(key, f"{text} without a unit is a share of all steps, at most 1", hint))
    if unit == "st" and value != int(value):
        raise ConfigError(Problem(key, f"{text!r} is not a whole number of steps", _FORMS))
    return Duration(value, unit)


def warmup_steps(text: str, *, total_steps: int, steps_per_epoch: int, key: str = WARMUP_KEY) -> int:
    """Returns the number of warmup steps; shares and fractions of an epoch are rounded up.

    Args:
        text: the length as typed.
        total_steps: steps of the whole curve.
        steps_per_epoch: steps of one pass over the training rows.
        key: dotted key, for errors.

    Raises:
        ConfigError: not a length, or longer than the curve.
    """
    duration = parse_duration(text, key=key)
    size = {"st": 1, "ep": steps_per_epoch, "share": total_steps}[duration.unit]
    # The rounding keeps 0.1 * 30 = 3.0000000000000004 from becoming 4.
    steps = math.ceil(round(duration.value * size, 6))
    if steps > total_steps:
        epochs = f" ({duration.value:g} x {steps_per_epoch} steps an epoch)"
        how = epochs if duration.unit == "ep" else ""
        message = f"{text} is {steps} steps{how}, longer than the whole curve of {total_steps} steps"
        raise ConfigError(Problem(key, message, f"{key}=0.1 takes a tenth of the steps"))
    return steps
