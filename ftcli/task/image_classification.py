"""One label for an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.image_table import ImageTable
from ftcli.batching.rows import Field, Rows, image_fields
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import register
from ftcli.config.schema import TaskConfig
from ftcli.task.single_label import OneClass

if TYPE_CHECKING:
    import torch


@register("task", TaskConfig)
class ImageClassification(OneClass):
    """A classifier of images."""

    auto_classes = ("AutoModelForImageClassification",)
    takes = "images"
    table_class = ImageTable

    def fields(self) -> tuple[Field, ...]:
        """Returns the columns of the image and of the label."""
        return image_fields(self.columns)

    def encode(self, rows: Rows, tokenizer: Any, *, labelled: bool = True) -> ImageTable:
        """Returns the rows as pixels of one size with their labels.

        A relative path starts from the folder of the file that names it.

        Raises:
            DataError: an image that cannot be read, named with its row.
        """
        labels = self.read_labels(rows) if labelled else None
        places = rows.columns[self.columns.image]
        table: ImageTable = tokenizer.encode_images(places, Path(rows.origin).parent, rows.where)
        table.labels = labels
        return table

    def collate(self, table: TokenTable, rows: np.ndarray, **options: Any) -> dict[str, torch.Tensor]:
        """Joins images; nothing is padded, for all have one size.

        Returns:
            `pixel_values` (batch, channels, height, width) fp32 and, where the table has them, `labels`
            (batch,) int64.
        """
        import torch

        assert isinstance(table, ImageTable)
        batch = {"pixel_values": torch.from_numpy(table.values(rows))}
        if table.labels is not None:
            batch["labels"] = torch.from_numpy(table.labels[rows])
        return batch
