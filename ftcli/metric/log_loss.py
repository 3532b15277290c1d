"""Mean of -log of the probability given to what is right; for several labels the mean over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.metric._counts import Mean

if TYPE_CHECKING:
    import torch


@register("metric")
class LogLoss(Mean):
    kinds = ("classes", "ranking", "multilabel")
    higher_is_better = False

    def figures(self, predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the loss of each row, (n,) or (n, num_labels), in nats; probabilities below the type's epsilon count as that, as in scikit-learn."""
        import torch

        low = torch.finfo(predictions.dtype).eps
        if labels.ndim == 2:
            right = torch.where(labels > 0, predictions, 1 - predictions)
        else:
            right = predictions.gather(1, labels[:, None])[:, 0]
        return -right.clamp(low, 1 - low).log()
