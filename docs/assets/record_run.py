"""Runs the quickstart and draws its terminal as docs/assets/run.svg, the picture of README.md.

    python docs/assets/record_run.py [--keep FILE]        about a minute on two free cores; FILE keeps the lines
    python docs/assets/record_run.py --from FILE          draws kept lines again

The lines are the command's own; of the training lines some are left out, marked by `...`. No font is fetched: the SVG
names local ones.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent / "run.svg"
WIDTH = 120
FONT_FACE = re.compile(r"@font-face \{\{.*?\n    \}\}\n", re.DOTALL)
STYLES = {
    r"^\$ .*": "bold bright_white",
    r"^(data contract holds|room for).*": "green",
    r"validation: .*\(best\)$": "green",
    r"^(result of the best checkpoint|validation accuracy .*)$": "bold",
    r"^[\d,]+ of [\d,]+ parameters train.*": "bold",
    r"^phase \d+: .*|^(action|group) .*|^\.\.\.$": "bright_black",
}
"""Pattern of a line, or a part of it -> how it is drawn."""


def record() -> list[str]:
    """Returns the lines of `ftcli train` in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).parent / "ftcli"), "train"]
        environment = os.environ | {"COLUMNS": str(WIDTH), "FTCLI_CACHE": f"{folder}/cache"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
    return done.stdout.splitlines()


def shortened(lines: list[str]) -> list[str]:
    """Returns the lines without most of the training lines."""
    kept: list[str] = []
    steps = 0
    for line in lines:
        if re.match(r"step \d+/", line):
            steps += 1
            if steps > 2:
                kept += ["..."] if kept[-1] != "..." else []
                continue
        kept.append(line.rstrip())
    return kept


def draw(lines: list[str]) -> str:
    """Returns the terminal as SVG."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(
            record=True, width=WIDTH, file=nowhere, force_terminal=True, color_system="truecolor"
        )
        for line in ["$ ftcli train", *lines]:
            text = Text(line)
            for pattern, style in STYLES.items():
                text.highlight_regex(pattern, style)
            console.print(text, no_wrap=True, overflow="ellipsis")
        frame = FONT_FACE.sub("", CONSOLE_SVG_FORMAT).replace(
            "Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono"
        )
        return console.export_svg(title="ftcli train", code_format=frame, unique_id="run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="file that keeps the lines")
    parser.add_argument("--from", dest="kept", type=Path, help="file of kept lines; nothing is run")
    chosen = parser.parse_args()
    lines = chosen.kept.read_text().splitlines() if chosen.kept else record()
    if chosen.keep:
        chosen.keep.write_text("\n".join(lines) + "\n")
    PICTURE.write_text(draw(shortened(lines)))


if __name__ == "__main__":
    main()
