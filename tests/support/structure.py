"""The structure of the package as figures, read from its source.

python tests/support/structure.py            this checkout
python tests/support/structure.py DIR        another one, such as a worktree of an older commit
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FLOORS = (
    {"errors", "__init__"},
    {"config", "console", "storage"},
    {"plan", "batching", "runtime", "hub", "checkpoint", "logger", "metric"},
    {"model", "tokenizer", "data", "task", "freezing", "peft", "optimizer", "scheduler", "trainer"},
    {"run"},
    {"report"},
    {"inference"},
    {"sweep", "diagnostics", "export"},
    {"cli"},
    {"__main__"},
)
"""Rooms from the ground up: a room imports from its own floor and from those below."""
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
LONG_FUNCTION = 40
ARRAY = re.compile(r"\b(Tensor|ndarray)\b")
SHAPE = re.compile(
    r"\(\s*(?:(?:[a-z_0-9]+|\.\.\.)\s*[,*+x]\s*)*(?:[a-z_0-9]+)?\s*,?\s*\)|scalar|shape", re.IGNORECASE
)
"""Such as `(batch, seq_len)`, `(..., width)`, `()`, or the word shape."""


def imports(file: Path) -> set[str]:
    """Returns every module and name a file imports, also inside functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def room_of(module: str) -> str:
    return module.split(".")[1]


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Returns the strongly connected components of more than one node (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in arrows.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in arrows:
        if node not in index:
            visit(node)
    return found


@dataclass
class Structure:
    """The package at `root`, the folder that holds its `__init__.py`."""

    root: Path

    @cached_property
    def files(self) -> list[Path]:
        return sorted(self.root.rglob("*.py"))

    def module_of(self, file: Path) -> str:
        parts = file.relative_to(self.root.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)

    @cached_property
    def arrows(self) -> dict[str, set[str]]:
        """Module -> the modules of the package it imports; a package counts only where its own names are taken."""
        modules = {self.module_of(file) for file in self.files}
        found = {}
        for file in self.files:
            taken = {name for name in imports(file) if name in modules}
            packages = {name.rpartition(".")[0] for name in taken}
            found[self.module_of(file)] = taken - packages - {self.module_of(file)}
        return found

    @cached_property
    def rooms(self) -> dict[str, set[str]]:
        """Room -> the other rooms it imports from."""
        found = defaultdict(set)
        for module, others in self.arrows.items():
            found[room_of(module)] |= {room_of(other) for other in others} - {room_of(module)}
        return dict(found)

    @cached_property
    def loose(self) -> set[str]:
        """Modules that lie beside the rooms."""
        return {file.name for file in self.root.glob("*.py")} - {"__init__.py", "__main__.py", "errors.py"}

    @cached_property
    def up(self) -> list[tuple[str, str]]:
        """Imports from a lower floor to a higher one."""
        return [
            (module, other)
            for module, others in self.arrows.items()
            for other in others
            if FLOOR.get(room_of(other), 0) > FLOOR.get(room_of(module), 99)
        ]

    def functions(self) -> Iterator[tuple[Path, ast.FunctionDef]]:
        for file in self.files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    yield file, node

    def long_functions(self) -> list[str]:
        """Returns functions of more than 40 lines, docstring included."""
        found = [
            (node.end_lineno - node.lineno + 1, self.module_of(file), node.name)
            for file, node in self.functions()
        ]
        return [
            f"{module}.{name}: {lines}"
            for lines, module, name in sorted(found, reverse=True)
            if lines > LONG_FUNCTION
        ]

    def shapes(self) -> tuple[list[str], list[str]]:
        """Returns the public functions with arrays in their signature: those whose docstring has a shape, and the others."""
        stated, missing = [], []
        documented = defaultdict(set)
        for file, node in self.functions():
            if SHAPE.search(ast.get_docstring(node) or ""):
                documented[file.parent].add(node.name)
        for file, node in self.functions():
            arguments = [*node.args.args, *node.args.kwonlyargs]
            signature = " ".join(ast.unparse(a.annotation) for a in arguments if a.annotation)
            signature += ast.unparse(node.returns) if node.returns else ""
            if node.name.startswith("_") or not ARRAY.search(signature):
                continue
            text = ast.get_docstring(node)
            # A method without a docstring of its own has that of the class it overrides, in the same room.
            shown = node.name in documented[file.parent] if text is None else SHAPE.search(text)
            (stated if shown else missing).append(f"{self.module_of(file)}.{node.name}")
        return stated, missing


def main() -> None:
    house = Structure(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve() / "ftcli")
    stated, missing = house.shapes()
    loose = house.loose
    lines = {
        "rooms (folders and modules at the root)": len(house.rooms),
        "arrows between them": sum(map(len, house.rooms.values())),
        "modules at the root but __init__, __main__, errors": len(loose),
        "circles of modules": len(circles(house.arrows)),
        "circles of rooms": len(circles(house.rooms)),
        "imports that run up": len(house.up),
        "functions over 40 lines": len(house.long_functions()),
        "public functions with arrays whose docstring has a shape": f"{len(stated)} of {len(stated) + len(missing)}",
    }
    for what, figure in lines.items():
        print(f"{what}: {figure}")
    for title, found in (
        ("over 40 lines", house.long_functions()),
        ("no shape", missing),
        ("circles", circles(house.arrows)),
    ):
        print(f"\n{title}:", *found, sep="\n  ")


if __name__ == "__main__":
    main()
