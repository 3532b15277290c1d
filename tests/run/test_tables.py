"""Lines for people: many labels in one line, batches that are larger than they look."""

import math

import numpy as np

from ftcli.batching.token_table import TokenTable
from ftcli.config.schema import TrainerConfig
from ftcli.console.figures import shown_figures
from ftcli.console.units import size_text
from ftcli.run.tables import windows_hint


def test_a_figure_for_each_of_many_labels_is_summed_up():
    few = {"accuracy": 0.5, "f1@class/a": 0.25, "f1@class/b": 1.0}
    assert shown_figures(few) == ["accuracy 0.5000", "f1@class/a 0.2500", "f1@class/b 1.0000"]
    many = {f"f1@class/{n}": n / 10 for n in range(8)} | {"f1@class/none": math.nan, "loss": 2.0}
    assert shown_figures(many) == [
        "f1@class of 9 labels 0.0000 (0) to 0.7000 (7), mean 0.3500",
        "loss 2.0000",
    ]
    assert "nan" in shown_figures({f"f1@class/{n}": math.nan for n in range(6)})[0]


def table(groups: list[int] | None) -> TokenTable:
    return TokenTable(
        ids=np.zeros(60, np.int32),
        offsets=np.arange(0, 61, 5),
        groups=None if groups is None else np.array(groups),
    )


def test_rows_of_many_windows_name_the_word_that_splits_a_batch():
    trainer = TrainerConfig(batch_size=12)
    [line] = windows_hint(table([0, 6, 12]), trainer)
    assert line.startswith("a batch of 12 rows is about 72 sequences of up to 5 tokens")
    assert "trainer.micro_batch_size=2 takes about 12 at a time" in line
    assert windows_hint(table(None), trainer) == []
    assert windows_hint(table([0, 3, 6, 9, 12]), trainer) == []
    assert windows_hint(table([0, 6, 12]), TrainerConfig(batch_size=12, micro_batch_size=4)) == []


def test_sizes():
    assert [size_text(n) for n in (0, 1023, 2048, 150 * 2**10, 1.5 * 2**30, 2**41)] == [
        "0 bytes", "1,023 bytes", "2.0 KiB", "150 KiB", "1.5 GiB", "2,048 GiB"]  # fmt: skip
