"""Labels that are numbers, in units of their spread: what a head learns, and the way back to the user's own unit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ftcli.errors import Problem, RunDirError

FAR, WIDE, NARROW = 10.0, 10.0, 0.1
"""Labels within these bounds (|mean|, largest and smallest standard deviation) are learned as they are."""


@dataclass(frozen=True, slots=True)
class LabelScale:
    """label = output * std + mean, with mean and standard deviation of the training labels."""

    mean: float = 0.0
    std: float = 1.0

    @property
    def is_identity(self) -> bool:
        """Whether outputs are in the labels' unit as they are."""
        return self.mean == 0.0 and self.std == 1.0

    @property
    def needed(self) -> bool:
        """Whether labels of this mean and spread are out of reach of a head that begins near 0."""
        return abs(self.mean) > FAR or not NARROW <= self.std <= WIDE

    def shrink(self, labels: Any) -> Any:
        """Returns labels, (batch,), in the head's unit."""
        return labels if self.is_identity else (labels - self.mean) / self.std

    def restore(self, outputs: Any) -> Any:
        """Returns outputs of the head, (batch,), in the labels' unit."""
        return outputs if self.is_identity else outputs * self.std + self.mean

    def __str__(self) -> str:
        return f"mean {self.mean:.6g}, standard deviation {self.std:.6g}"

    def to_json(self) -> dict[str, float]:
        """Returns what data.json keeps; nothing for labels that are learned as they are."""
        return {} if self.is_identity else {"mean": self.mean, "std": self.std}

    @classmethod
    def from_json(cls, values: dict[str, float]) -> LabelScale:
        """Returns the scale that `to_json` gave.

        Raises:
            RunDirError: values that no training labels have.
        """
        scale = cls(float(values.get("mean", 0.0)), float(values.get("std", 1.0)))
        if not (math.isfinite(scale.mean) and math.isfinite(scale.std) and scale.std > 0):
            message = f"task: mean {scale.mean} and std {scale.std} of the training labels cannot be"
            raise RunDirError(Problem("data.json", message, "copy it back from where the run was made"))
        return scale
