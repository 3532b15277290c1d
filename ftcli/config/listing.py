"""What there is to choose from: recipes, the choices of each role, metrics."""

from __future__ import annotations

import ast
from pathlib import Path

from ftcli.config.bundled import PACKAGE, conf_files
from ftcli.config.recipes import recipes
from ftcli.config.schema import ROLES


def catalogue() -> dict[str, dict[str, str]]:
    """Returns kind -> name -> one line: the first comment of its YAML, or the docstring of a metric."""
    listed = {"recipe": {name: _first_comment(file) for name, file in sorted(recipes().items())}}
    for role in ROLES:
        files = conf_files(role).values()
        listed[role] = {file.stem: _first_comment(file) for file in files}
    metrics = sorted((PACKAGE / "metric").glob("*.py"))
    listed["metric"] = {
        p.stem.replace("_", "-"): _docstring(p) for p in metrics if not p.stem.startswith("_")
    }
    return listed


def _first_comment(file: Path) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            return line.lstrip("# ").strip()
    return ""


def _docstring(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0]
