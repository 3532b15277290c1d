"""Texts compared in the way of SQuAD's official evaluation (evaluate-v2.0.py, Rajpurkar et al., 2018, arXiv:1806.03822).

Lower case, then without ASCII punctuation, then without the words a, an and the, then with one space
between words. Figures are from 0 to 1, the script's from 0 to 100.
"""

from __future__ import annotations

import re
import string

from ftcli.metric import Metric, require_rows

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Returns what of a text counts."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


class BestAnswer(Metric):
    """The mean over rows of a figure of the predicted text, with the best of the right ones for each row.

    A row without a right answer, or with none of which anything counts, is right with the empty text.
    """

    kinds = ("answers",)

    def reset(self) -> None:
        """Forgets all rows."""
        self.sum, self.rows = 0.0, 0

    def update(self, predictions: list[str], labels: list[list[str]]) -> None:
        """Adds rows: predicted texts, and the list of right ones for each."""
        for found, right in zip(predictions, labels, strict=True):
            answers = [answer for answer in map(normalised, right) if answer] or [""]
            self.sum += max(self.figure(normalised(found), answer) for answer in answers)
            self.rows += 1

    def figure(self, found: str, right: str) -> float:
        """Returns the figure of two normalised texts, from 0 to 1."""
        raise NotImplementedError

    def compute(self) -> float:
        """Returns the mean.

        Raises:
            ValueError: there were no rows.
        """
        require_rows(self.rows)
        return self.sum / self.rows
