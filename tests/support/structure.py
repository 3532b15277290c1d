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

LAYERS = (
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
"""Packages from the lowest layer up: a package imports from its own layer and from those below."""
LAYER = {package: number for number, packages in enumerate(LAYERS) for package in packages}
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


def package_of(module: str) -> str:
    return module.split(".")[1]


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Returns the strongly connected components of more than one node (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges.get(node, ()):
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

    for node in edges:
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
    def edges(self) -> dict[str, set[str]]:
        """Module -> the modules of the package it imports; a package counts only where its own names are taken."""
        modules = {self.module_of(file) for file in self.files}
        found = {}
        for file in self.files:
            taken = {name for name in imports(file) if name in modules}
            packages = {name.rpartition(".")[0] for name in taken}
            found[self.module_of(file)] = taken - packages - {self.module_of(file)}
        return found

    @cached_property
    def packages(self) -> dict[str, set[str]]:
        """Package -> the other packages it imports from."""
        found = defaultdict(set)
        for module, others in self.edges.items():
            found[package_of(module)] |= {package_of(other) for other in others} - {package_of(module)}
        return dict(found)

    @cached_property
    def loose(self) -> set[str]:
        """Modules that lie beside the packages."""
        return {file.name for file in self.root.glob("*.py")} - {"__init__.py", "__main__.py", "errors.py"}

    @cached_property
    def upward(self) -> list[tuple[str, str]]:
        """Imports from a lower layer to a higher one."""
        return [
            (module, other)
            for module, others in self.edges.items()
            for other in others
            if LAYER.get(package_of(other), 0) > LAYER.get(package_of(module), 99)
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
            # A method without a docstring of its own has that of the class it overrides, in the same package.
            shown = node.name in documented[file.parent] if text is None else SHAPE.search(text)
            (stated if shown else missing).append(f"{self.module_of(file)}.{node.name}")
        return stated, missing


def main() -> None:
    structure = Structure(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve() / "ftcli")
    stated, missing = structure.shapes()
    loose = structure.loose
    lines = {
        "packages (folders and modules at the root)": len(structure.packages),
        "imports between them": sum(map(len, structure.packages.values())),
        "modules at the root but __init__, __main__, errors": len(loose),
        "cycles of modules": len(cycles(structure.edges)),
        "cycles of packages": len(cycles(structure.packages)),
        "imports that run up": len(structure.upward),
        "functions over 40 lines": len(structure.long_functions()),
        "public functions with arrays whose docstring has a shape": f"{len(stated)} of {len(stated) + len(missing)}",
    }
    for what, figure in lines.items():
        print(f"{what}: {figure}")
    for title, found in (
        ("over 40 lines", structure.long_functions()),
        ("no shape", missing),
        ("cycles", cycles(structure.edges)),
    ):
        print(f"\n{title}:", *found, sep="\n  ")


if __name__ == "__main__":
    main()
