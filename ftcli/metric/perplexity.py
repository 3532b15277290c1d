"""The exponential of the mean -log p of a token; depends on the tokenizer."""

from __future__ import annotations

import math

from ftcli.config.registry import register
from ftcli.metric import require_rows
from ftcli.metric._likelihood import Likelihood


@register("metric")
class Perplexity(Likelihood):
    higher_is_better = False

    def compute(self) -> float:
        """Returns the perplexity; infinite where a float cannot hold it.

        Raises:
            ValueError: there were no tokens.
        """
        require_rows(self.targets)
        try:
            return math.exp(-self.log_p / self.targets)
        except OverflowError:
            return math.inf
