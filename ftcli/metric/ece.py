"""Expected calibration error: how far confidence and accuracy lie apart, in 15 bins of confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.metric import Metric, require_rows

if TYPE_CHECKING:
    import torch

BINS = 15


@register("metric")
class ECE(Metric):
    """Guo et al., 2017 (arXiv:1706.04599), section 2, with bins of equal width."""

    kinds = ("classes", "ranking")
    higher_is_better = False

    def reset(self) -> None:
        """Forgets all rows."""
        self.sums: torch.Tensor | None = None
        """(3, BINS): rows, sum of confidences, right ones."""

    def update(self, predictions: torch.Tensor, labels: torch.Tensor) -> None:
        """Adds a batch: probabilities (n, num_labels), and the right ones' places (n,)."""
        import torch

        confidence, found = predictions.max(-1)
        place = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
        kind = torch.float32 if confidence.device.type == "mps" else torch.float64
        facts = torch.stack([torch.ones_like(confidence), confidence, (found == labels).float()]).to(kind)
        sums = torch.zeros(3, BINS, dtype=kind, device=confidence.device).index_add_(1, place, facts)
        self.sums = sums if self.sums is None else self.sums + sums

    def compute(self) -> float:
        """Returns the error from 0 to 1.

        Raises:
            ValueError: there were no rows.
        """
        require_rows(0 if self.sums is None else 1)
        assert self.sums is not None
        rows, confidence, right = self.sums.cpu().double()
        return float((confidence - right).abs().sum() / rows.sum())
