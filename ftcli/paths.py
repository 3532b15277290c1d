"""Where the files that ship with ftcli lie, installed or in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def bundled(name: str) -> Path:
    """Returns the folder `conf` or `recipes`: inside the wheel, else beside the package.

    Raises:
        FileNotFoundError: neither exists; the installation is broken.
    """
    for folder in (PACKAGE / "_bundled" / name, PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"ftcli was installed without its {name} folder; install it again")
