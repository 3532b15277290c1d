"""Share of tokens that are the most probable ones."""

from __future__ import annotations

from ftcli.config.registry import register
from ftcli.metric import require_rows
from ftcli.metric._likelihood import Likelihood


@register("metric")
class TokenAccuracy(Likelihood):
    def compute(self) -> float:
        """Returns the share.

        Raises:
            ValueError: there were no tokens.
        """
        require_rows(self.targets)
        return self.hits / self.targets
