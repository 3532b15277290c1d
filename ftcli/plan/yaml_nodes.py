"""YAML as nodes with line numbers, its scalars read by the core schema of YAML 1.2: `1e-5` is a number, `no` is text."""

from __future__ import annotations

import re
from typing import Any

import yaml

from ftcli.errors import PlanError, Problem

INT = re.compile(r"[-+]?\d+")
FLOAT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def compose_yaml(text: str, origin: str) -> yaml.Node | None:
    """Returns the root node; None of an empty text.

    Args:
        text: YAML.
        origin: file name, for errors.

    Raises:
        PlanError: it is not YAML.
    """
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PlanError(
            Problem(f"{origin}:{line}", f"is not YAML: {error.problem or error.context}")
        ) from error
    except yaml.YAMLError as error:
        raise PlanError(Problem(origin, f"is not YAML: {' '.join(str(error).split())}")) from error


def scalar(node: yaml.Node) -> Any:
    """Returns the value of a plain scalar; a quoted one is text."""
    text = node.value
    if not isinstance(node, yaml.ScalarNode) or node.style in ("'", '"', "|", ">"):
        return text
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if INT.fullmatch(text):
        return int(text)
    return float(text) if FLOAT.fullmatch(text) else text
