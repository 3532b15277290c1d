"""-log2 p of a text, divided by its UTF-8 bytes; comparable between tokenizers."""

from __future__ import annotations

import math

from ftcli.config.registry import register
from ftcli.metric import require_rows
from ftcli.metric._likelihood import Likelihood


@register("metric")
class BitsAByte(Likelihood):
    higher_is_better = False

    def compute(self) -> float:
        """Returns bits a byte; what ends a document costs bits and has no byte.

        Raises:
            ValueError: there were no bytes.
        """
        require_rows(self.num_bytes)
        return -self.log_p / math.log(2) / self.num_bytes
