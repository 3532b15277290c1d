"""Console output: panels, notes, progress and tables. Markup and control characters in data are never interpreted."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ftcli.console.figures import short_figures, shown_figures, train_line
from ftcli.errors import FtcliError
from ftcli.storage.plain_file import open_to_append, write_all

CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)
"""Control characters except tab and newline, those that change the direction of text or end a line, invisible ones, and halves of characters.

Whatever comes from data, files or words goes to the terminal by `Screen`, which escapes it, or through `safe`; JSON goes out
by `json_text`. Nothing else writes to stdout."""
PLAIN_LINE_SECONDS = 2.0
"""Least time between two lines about training, where no terminal shows a progress bar."""
MAX_PROBLEMS = 30
"""Most problems that one panel shows."""
LOG_WIDTH = 140
UNLIMITED_WIDTH = 1000


def safe(value: object) -> str:
    """Returns the value as text in which control characters are escaped: it cannot move the cursor or change colours."""
    return CONTROL.sub(lambda m: _escaped(ord(m.group())), str(value))


def one_line(value: object) -> str:
    """Returns the value as `safe` does, line breaks escaped too: it cannot pass for a line of its own."""
    return safe(value).replace("\n", "\\n")


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def utf8_stdout() -> TextIO:
    """Returns stdout, set to UTF-8, which JSON is by definition (RFC 8259), whatever encoding the terminal has."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and codecs.lookup(out.encoding).name != "utf-8":
        out.reconfigure(encoding="utf-8")
    return out


def json_text(values: Any, default: Callable[[Any], str] | None = None) -> str:
    """Returns a value as JSON on one line, in which every control character is an escape.

    The text means the value, is inert on a terminal, and UTF-8 can hold it.

    Args:
        values: what JSON has.
        default: what stands for values that JSON lacks; None: there are none.
    """
    text = json.dumps(values, ensure_ascii=False, default=default)
    return CONTROL.sub(lambda m: json.dumps(m.group())[1:-1], text)


def error_panel(error: FtcliError) -> Panel:
    """Returns one panel with each problem's key, message and hint."""
    text = Text()
    for number, problem in enumerate(error.problems[:MAX_PROBLEMS]):
        if number:
            text.append("\n\n")
        if problem.key:
            text.append(one_line(problem.key), style="bold")
            text.append("  ")
        text.append(one_line(problem.message))
        if problem.hint:
            text.append("\n  -> ", style="dim")
            text.append(safe(problem.hint), style="green")
    if len(error.problems) > MAX_PROBLEMS:
        text.append(f"\n\nand {len(error.problems) - MAX_PROBLEMS} more", style="dim")
    count = f" ({len(error.problems)} problems)" if len(error.problems) > 1 else ""
    return Panel(text, title=f"{error.title}{count}", title_align="left", border_style="red", expand=False)


class Screen:
    """Writes for a terminal, or plain lines without one. It is also the trainer's Reporter.

    Args:
        quiet: write nothing but errors.
        as_json: print the result alone, as one JSON object on stdout; implies `quiet`.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet or as_json
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=not sys.stdout.isatty(), stderr=as_json)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._last_line = 0.0
        self._last_train: dict[str, Any] = {}
        self._log: int | None = None
        self._log_path = Path()
        self.num_phases = 1
        """Of the run. The time left is shown in the last phase only: an earlier phase trains at another speed."""

    def log_to(self, path: Path) -> None:
        """Copies every line to a file from now on, also where `quiet` prints none."""
        self._log_path = path
        try:
            self._log = open_to_append(path)
        except OSError as error:
            self._drop_log(error)

    def note(self, line: str) -> None:
        """Prints one line about a decision or an event."""
        self._write(Text(one_line(line)))

    def notes(self, lines: Iterable[str]) -> None:
        """Prints lines about decisions or events."""
        for line in lines:
            self.note(line)

    def heading(self, line: str) -> None:
        """Prints one line in bold."""
        self._write(Text(one_line(line), style="bold"))

    def styled(self, pieces: Iterable[tuple[str, str]], *, before: tuple[str, str] | None = None) -> None:
        """Prints one line of (text, style) pieces.

        Args:
            pieces: text and its rich style, such as `bold red`; an empty style for plain text.
            before: a first column; lines that wrap start beside it, not below it.
        """
        line = Text.assemble(*((one_line(text), style) for text, style in pieces))
        if before is None:
            self._write(line)
            return
        grid = Table.grid()
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(Text(one_line(before[0]), style=before[1]), line)
        self._write(grid)

    def table(
        self, title: str, columns: list[str], rows: Iterable[Iterable[object]], *, right: Iterable[int] = ()
    ) -> None:
        """Prints a table.

        Args:
            title: the line above it.
            columns: their titles.
            rows: cells, one for each column; they are printed by `str`.
            right: indices of the columns that are aligned right.
        """
        aligned_right = set(right)
        # As Text: a title or a column that is a str would be read as markup.
        table = Table(
            title=Text(one_line(title), style="bold"), title_justify="left", box=None, pad_edge=False
        )
        for number, column in enumerate(columns):
            table.add_column(
                Text(one_line(column)),
                justify="right" if number in aligned_right else "left",
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        self._write(table)

    def whole_lines(self) -> None:
        """Keeps each row of a table on one line from now on, where the output is a file or a pipe."""
        if not self.console.is_terminal:
            self.console.width = max(self.console.width, UNLIMITED_WIDTH)

    def result(self, values: dict[str, Any]) -> None:
        """Prints the command's result as JSON on stdout, when --json was given."""
        if self.as_json:
            print(json_text(values), file=utf8_stdout())

    # The methods of the trainer's Reporter: `note`, and the three below.

    def train(self, event: dict[str, Any], total_steps: int) -> None:
        """Writes a `train` event to the log; without a terminal also prints it, at most every few seconds."""
        self._last_train = event
        line = train_line(event, total_steps, show_eta=event["phase"] == self.num_phases - 1)
        self._to_log(Text(safe(line)))
        if (
            self._progress is None
            and not self.quiet
            and time.monotonic() - self._last_line >= PLAIN_LINE_SECONDS
        ):
            self._last_line = time.monotonic()
            self.console.print(Text(safe(line)))

    def advance(self, step: int, total_steps: int) -> None:
        """Moves the progress bar to a step; a terminal shows one from the first call to the last step."""
        if self.quiet or not self.console.is_terminal:
            return
        if self._progress is None or self._task is None:
            self._progress, self._task = self._start_bar(step, total_steps)
        figures = safe(short_figures(self._last_train)) if self._last_train else ""
        self._progress.update(self._task, completed=step, figures=figures)
        if step >= total_steps:
            self._stop_bar()

    def _start_bar(self, step: int, total_steps: int) -> tuple[Progress, TaskID]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps"),
            *([TimeRemainingColumn()] if self.num_phases == 1 else []),
            TextColumn("{task.fields[figures]}", markup=False),
        )
        # Transient: the bar is removed at the end, so that the terminal keeps the same lines as a log.
        progress = Progress(*columns, console=self.console, transient=True)
        task = progress.add_task("training", total=total_steps, completed=step, figures="")
        progress.start()
        return progress, task

    def evaluation(self, event: dict[str, Any], best: bool) -> None:
        """Prints an `eval` event; `best`: its score is the best so far."""
        skip = ("event", "step", "epoch", "phase", "best", "seconds", "collapsed")
        figures = "  ".join(shown_figures({name: v for name, v in event.items() if name not in skip}))
        self.note(
            f"step {event['step']}  epoch {event['epoch']:.2f}  validation: {figures}{'  (best)' if best else ''}"
        )

    def close(self) -> None:
        """Removes the progress bar and closes the log."""
        self._stop_bar()
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _stop_bar(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _write(self, what: RenderableType) -> None:
        self._to_log(what)
        if not self.quiet:
            self.console.print(what)

    def _to_log(self, what: RenderableType) -> None:
        if self._log is not None:
            text = io.StringIO()
            plain = Console(file=text, width=LOG_WIDTH, color_system=None, force_terminal=False)
            plain.print(what if not isinstance(what, str) else Text(what), soft_wrap=True)
            try:
                write_all(self._log, text.getvalue().encode("utf-8", errors="replace"))
            except OSError as error:
                self._drop_log(error)

    def _drop_log(self, error: OSError) -> None:
        """Says once that the log cannot be written; what it describes goes on."""
        if self._log is not None:
            os.close(self._log)
            self._log = None
        self.note(
            f"{self._log_path} cannot be written ({error.strerror or error}); the run goes on without it"
        )
