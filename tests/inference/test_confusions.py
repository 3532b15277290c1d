"""The largest mistakes stand in the place of a matrix that does not fit."""

import numpy as np

from ftcli.inference.error_analysis import MAX_LABELS, show_confusion


class Tables:
    def __init__(self):
        self.shown = []

    def table(self, title, columns, rows, right=()):
        self.shown.append((title, rows))


def test_more_labels_than_fit_show_the_most_frequent_confusions():
    labels = [f"l{i}" for i in range(MAX_LABELS + 1)]
    counts = np.eye(len(labels), dtype=int) * 3
    counts[2, 5], counts[7, 1] = 6, 1
    screen = Tables()
    show_confusion(screen, counts, labels)
    assert screen.shown == [
        ("most frequent confusions", [("l2", "l5", "6", "66.7%"), ("l7", "l1", "1", "25.0%")])
    ]
    show_confusion(screen, np.eye(2, dtype=int), ["a", "b"])
    assert screen.shown[1][0].startswith("confusion: rows are labels")
