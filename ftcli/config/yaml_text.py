"""The one YAML reader: of recipes, choices, schedule files and saved configurations. It reads data and nothing else.

Size, depth, number of nodes and the expansion of aliases are bounded while a text is read, so that no file of a few
lines can fill the memory (`a: &a [x, x]`, `b: &b [*a, *a]`, ...) or exhaust the stack. Duplicate keys are refused, tags
that name Python objects are unknown, a date is text, and `1e-5` is a number as in YAML 1.2.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ftcli.config.dotted import REFERENCE
from ftcli.config.regular_file import read_text
from ftcli.errors import ConfigError, FtcliError, Problem

MAX_BYTES = 2**20
MAX_DEPTH = 24
MAX_NODES = 50_000
"""Scalars, lists and mappings, each alias counted as what it stands for."""
MAX_DIGITS = 300
"""Of a number: longer ones are slow to read and none of our keys takes them."""
_FLOAT = re.compile(
    r"[-+]?(?:[0-9]+(?:_[0-9]+)*)(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9_]+(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class BoundedLoader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML's safe loader with bounds; what exceeds one is a `MarkedYAMLError` at its line."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Composes one node, counting depth and nodes on the way."""
        self.depth += 1
        self.nodes += 1
        mark = self.peek_event().start_mark
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(None, None, f"nested deeper than {MAX_DEPTH} levels", mark)
        if self.nodes > MAX_NODES:
            raise yaml.MarkedYAMLError(None, None, f"holds more than {MAX_NODES} values", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        """Composes the document and refuses aliases that stand for too much, or for what they are in."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _expanded_size(node, {}, set())
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Returns a mapping; a key written twice is refused."""
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(
                    None, None, f"duplicate key {str(key.value)[:80]!r}", key.start_mark
                )
            seen.add(name)
        values: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return values


def _expanded_size(node: yaml.Node, sizes: dict[int, int], inside: set[int]) -> int:
    """Returns the number of values a node stands for once its aliases are written out."""
    if id(node) in inside:
        raise yaml.MarkedYAMLError(None, None, "an alias stands inside of what it names", node.start_mark)
    if id(node) in sizes:
        return sizes[id(node)]
    inside.add(id(node))
    size = 1
    if (
        isinstance(node, yaml.ScalarNode)
        and len(node.value) > MAX_DIGITS
        and node.tag.endswith((":int", ":float"))
    ):
        raise yaml.MarkedYAMLError(None, None, f"a number of {len(node.value)} digits", node.start_mark)
    if isinstance(node, yaml.CollectionNode):
        pairs = isinstance(node, yaml.MappingNode)
        children = [part for pair in node.value for part in pair] if pairs else node.value
        for child in children:
            size += _expanded_size(child, sizes, inside)
            if size > MAX_NODES:
                message = f"its aliases stand for more than {MAX_NODES} values"
                raise yaml.MarkedYAMLError(None, None, message, node.start_mark)
    inside.remove(id(node))
    sizes[id(node)] = size
    return size


BoundedLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(f"^(?:{_FLOAT.pattern})$"), list("-+0123456789.")
)
_CORE = ("null", "bool", "int", "float", "str", "seq", "map")
BoundedLoader.yaml_constructors = {
    tag: constructor
    for tag, constructor in BoundedLoader.yaml_constructors.items()
    if tag is None or tag in {f"tag:yaml.org,2002:{name}" for name in _CORE}
}
BoundedLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in BoundedLoader.yaml_implicit_resolvers.items()
}


def compose_yaml(text: str, origin: str, error: type[FtcliError]) -> yaml.Node | None:
    """Returns the root node of a text; None of an empty one.

    Args:
        text: YAML.
        origin: file name, for errors.
        error: class of the error.

    Raises:
        FtcliError: of the class `error`: it is not YAML, or exceeds a bound.
    """
    return _bounded(text, origin, error, lambda loader: loader.get_single_node())


def parse_yaml(text: str, origin: str) -> Any:
    """Returns a text as plain values.

    Args:
        text: YAML.
        origin: file name, for errors.

    Raises:
        ConfigError: it is not YAML, or exceeds a bound.
    """
    return _bounded(text, origin, ConfigError, lambda loader: loader.get_single_data())


def read_yaml(path: Path) -> Any:
    """Returns a file as plain values.

    Raises:
        ConfigError: it cannot be read, is no regular file, too large, not UTF-8 or not YAML.
    """
    return parse_yaml(read_text(path, MAX_BYTES, key=str(path), error=ConfigError), str(path))


def refuse_references(node: Any, origin: str) -> None:
    """Raises ConfigError if a key or a text holds `${`: it would be resolved, and resolvers run code."""
    if isinstance(node, dict):
        for key, value in node.items():
            refuse_references(key, origin)
            refuse_references(
                value, f"{origin}: {key}" if isinstance(key, str) and "${" not in key else origin
            )
    elif isinstance(node, list | tuple | set):
        for value in node:
            refuse_references(value, origin)
    elif isinstance(node, str) and "${" in node:
        raise ConfigError(Problem(origin, *REFERENCE))


def _bounded(text: str, origin: str, error: type[FtcliError], read: Any) -> Any:
    if len(text) > MAX_BYTES:
        raise error(Problem(origin, f"holds {len(text)} characters; at most {MAX_BYTES} are read"))
    try:
        loader = BoundedLoader(text)
        try:
            return read(loader)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        where = f"{origin}:{mark.line + 1}" if mark else origin
        raise error(Problem(where, f"is not valid YAML: {problem.problem or problem.context}")) from problem
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as problem:
        raise error(Problem(origin, f"is not valid YAML: {' '.join(str(problem).split())}")) from problem
