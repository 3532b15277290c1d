"""What a model card and its code block are written from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftcli.export.passes import ExportedFolder
    from ftcli.inference.load import LoadedModel
    from ftcli.run.run_dir import RunDir


@dataclass(slots=True)
class Facts:
    """What the card is written from."""

    run: RunDir
    finished: LoadedModel
    kind: str
    """`plain`, `adapter` or `merged`."""
    made: ExportedFolder
    proved: dict[str, Any]
    base: str
    """What the folder calls its base model."""
    base_id: str | None
    """The base model's name on the hub, where it has one."""
    final: Path
    place: str
    """Where a reader finds the folder: its name, or its repository on the hub."""
