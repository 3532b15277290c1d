"""YAML as nodes with line numbers, its scalars read by the core schema of YAML 1.2: `1e-5` is a number, `no` is text."""

from __future__ import annotations

import re
from typing import Any

import yaml

from ftcli.config.yaml_text import MAX_DIGITS

INT = re.compile(r"[-+]?\d+")
FLOAT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def scalar(node: yaml.Node) -> Any:
    """Returns the value of a plain scalar; a quoted one is text."""
    text = node.value
    if not isinstance(node, yaml.ScalarNode) or node.style in ("'", '"', "|", ">"):
        return text
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if len(text) > MAX_DIGITS:
        return text
    if INT.fullmatch(text):
        return int(text)
    return float(text) if FLOAT.fullmatch(text) else text
