"""One label for an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from ftcli.batching.head import Head
from ftcli.batching.image_table import ImageTable
from ftcli.batching.protocols import Batch, ImageEncoder, Tokenizer
from ftcli.batching.rows import Field, Rows, image_fields
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import register
from ftcli.config.schema import TaskConfig
from ftcli.task._usage import image_inputs
from ftcli.task.single_label import OneClass

DEFAULT_SIZE = 224
"""Pixels a side of random images where the model's config.json states no size."""


@register("task", TaskConfig)
class ImageClassification(OneClass):
    """A classifier of images."""

    heads = (Head("AutoModelForImageClassification"),)
    takes = "images"
    table_class = ImageTable
    pipeline_tag = "image-classification"
    usage_reader = "AutoImageProcessor"

    def fields(self) -> tuple[Field, ...]:
        """Returns the columns of the image and of the label."""
        return image_fields(self.columns)

    def contents(self, rows: Rows) -> None:
        """Returns None: an image is its pixels, wherever its file lies."""
        return

    def plain_texts(self, rows: Rows, row: int) -> list[tuple[str, ...]]:
        """Returns nothing: an image has no text."""
        return []

    def encode(self, rows: Rows, tokenizer: Tokenizer, *, labelled: bool = True) -> TokenTable:
        """Returns the rows as pixels of one size with their labels.

        A relative path starts from the folder of the file that names it.

        Raises:
            DataError: an image that cannot be read, named with its row.
        """
        labels = self.read_labels(rows) if labelled else None
        places = rows.columns[self.columns.image]
        encoder = cast(ImageEncoder, tokenizer)  # ftcli.config.validate refuses a tokenizer of texts
        table = encoder.encode_images(places, Path(rows.origin).parent, rows.where)
        table.labels = labels
        return table

    def model_inputs(self, table: TokenTable, rows: np.ndarray, **options: Any) -> Batch:
        """Joins images; nothing is padded, as all have one size.

        Args:
            table: an ImageTable.
            rows: (batch,) row numbers.
            options: of padding; they are not used.

        Returns:
            `pixel_values`, (batch, channels, height, width) fp32.
        """
        import torch

        assert isinstance(table, ImageTable)
        return {"pixel_values": torch.from_numpy(table.values(rows))}

    def random_table(self, hf_config: Any, *, num_rows: int, tokens: int, seed: int) -> ImageTable:
        """Returns labelled images of noise, of the size and the channels that the model's config states.

        Args:
            hf_config: of the model.
            num_rows: images to draw.
            tokens: patches of an image, its length.
            seed: of the draw.
        """
        draw = np.random.default_rng(seed)
        height, width = np.broadcast_to(getattr(hf_config, "image_size", None) or DEFAULT_SIZE, 2)
        channels = int(getattr(hf_config, "num_channels", 3))
        pixels = draw.integers(0, 256, (num_rows, height, width, channels)).astype(np.uint8)
        half = (0.5,) * channels
        table = ImageTable.of(pixels, patches=tokens, scale=1 / 255, mean=half, std=half)
        table.labels = self.random_labels(num_rows)
        return table

    def usage_inputs(self, head: Head, input_names: tuple[str, ...]) -> list[str]:
        """Returns lines that open and process an image."""
        return image_inputs()
