"""Proofs on images: their size and channels, the range of their values after normalisation, images of nothing."""

from __future__ import annotations

import numpy as np

from ftcli.batching.image_table import ImageTable
from ftcli.batching.rows import Rows
from ftcli.run.data_checks.findings import Finding, Level, places, share_level

SAMPLE = 256
"""Images whose values are looked at, evenly over the part."""
MAX_BLANK = 0.01
MEAN, SPREAD = 3.0, (0.05, 5.0)
"""Means beyond and standard deviations outside of these come of a wrong scale, mean or std."""


def check_images(rows: Rows, table: ImageTable) -> list[Finding]:
    """Looks at one part's pixels."""
    sample = np.unique(np.linspace(0, len(table) - 1, min(SAMPLE, len(table))).astype(int))
    values = table.values(sample)
    mean, spread, low, high = (float(f(values)) for f in (np.mean, np.std, np.min, np.max))
    height, width, channels = table.extras["shape"].tolist()
    text = (
        f"{rows.name}: {len(table):,} images of {height} x {width} pixels, {channels} channel{'s' * (channels > 1)}; "
        f"values {low:.2f} to {high:.2f}, mean {mean:.2f}, standard deviation {spread:.2f}"
    )
    good = abs(mean) <= MEAN and SPREAD[0] <= spread <= SPREAD[1]
    hint = "look at rescale_factor, image_mean and image_std of the model's preprocessor_config.json"
    found = [Finding("pixels", Level.fact if good else Level.error, text, "" if good else hint)]
    blank = [row for row in range(len(table)) if np.ptp(table.row(row)) == 0]
    if blank:
        text = f"{rows.name}: {len(blank):,} of {len(table):,} images are of one colour"
        level = share_level(len(blank), len(table), MAX_BLANK)
        found.append(Finding("blank-images", level, text, "remove them", places(rows, blank)))
    return found
