"""What a page of the documentation asks for: files to write and commands to run, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMENT = re.compile(r"<!--\s*(exit|not-run):\s*(.*?)\s*-->")
FENCE = re.compile(r"^(\s*)```(\w*)(?:.*?\btitle=\"([^\"]+)\")?.*$")
HEREDOC = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a ```sh block, or one file of a block with a title.

    `line` counts from 1 in the page; `exit` is the exit code that the page announces; `reason` is why
    the page says that the command is not run, empty otherwise.
    """

    line: int
    text: str
    file: str = ""
    exit: int = 0
    reason: str = ""


def pages() -> list[Path]:
    """Returns README.md, CONTRIBUTING.md and every page of docs/, by name."""
    top = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    return [*(p for p in top if p.is_file()), *sorted((ROOT / "docs").rglob("*.md"))]


def steps_of(page: str) -> list[Step]:
    """Returns the steps of a page's text, top to bottom.

    Raises:
        ValueError: a fence that is never closed.
    """
    steps: list[Step] = []
    lines = page.splitlines()
    number, notes = 0, {}
    while number < len(lines):
        if found := COMMENT.search(lines[number]):
            notes[found[1]] = found[2]
        elif fence := FENCE.match(lines[number]):
            end = _end_of(lines, number, fence[1])
            body = [line.removeprefix(fence[1]) for line in lines[number + 1 : end]]
            steps += _steps_of_block(fence[2], fence[3] or "", body, number + 2, notes)
            number, notes = end, {}
        elif lines[number].strip():
            notes = {}
        number += 1
    return steps


def _end_of(lines: list[str], start: int, indent: str) -> int:
    for number in range(start + 1, len(lines)):
        if lines[number].rstrip() == f"{indent}```":
            return number
    raise ValueError(f"line {start + 1}: this block is never closed")


def _steps_of_block(kind: str, title: str, body: list[str], line: int, notes: dict[str, str]) -> list[Step]:
    if title and kind not in ("console", "text"):
        return [Step(line, "\n".join(body) + "\n", file=title)]
    if kind != "sh":
        return []
    code, reason = int(notes.get("exit", 0)), notes.get("not-run", "")
    return [Step(line + at, text, exit=code, reason=reason) for at, text in _commands_of(body)]


def _commands_of(body: list[str]) -> list[tuple[int, str]]:
    r"""Returns (line in the block, command); a final `\` and a heredoc join the lines that belong together."""
    commands = []
    at = 0
    while at < len(body):
        start, text = at, body[at]
        while text.endswith("\\") and at + 1 < len(body):
            at += 1
            text = text[:-1].rstrip() + " " + body[at].strip()
        if heredoc := HEREDOC.search(text):
            while at + 1 < len(body):
                at += 1
                text += "\n" + body[at]
                if body[at].strip() == heredoc[1]:
                    break
        if text.strip() and not text.lstrip().startswith("#"):
            commands.append((start, text.strip()))
        at += 1
    return commands
