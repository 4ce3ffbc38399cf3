"""YAML, the harmless part: one document of mappings, lists and plain values, with the line of each.

What makes YAML dangerous or surprising is refused: aliases (a few lines can unfold to gigabytes), tags,
merge keys, keys given twice (the last would win silently), more than a megabyte, deep nesting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any, TypeAlias

import yaml

from chatlab.errors import ToolDefinitionError

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 32
PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null"))

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a YAML text, and the line of every key and item by its path, counted from 1."""

    content: Any
    lines: dict[Path, int] = field(default_factory=dict)


def read_yaml(text: str, source: str) -> Document:
    """Read one YAML document. Raises ToolDefinitionError with `source` and the line."""
    if len(text) > MAX_CHARACTERS:
        raise ToolDefinitionError(f"{source}: longer than {MAX_CHARACTERS:,} characters", source=source)
    try:
        return _Reader(text, source).document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise problem(source, line, f"this is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise problem(source, None, f"this is not YAML: {str(error).splitlines()[0]}") from None


def problem(source: str, line: int | None, message: str) -> ToolDefinitionError:
    """Make an error that begins with `file:line:`, as editors understand it."""
    place = source if line is None else f"{source}:{line}"
    return ToolDefinitionError(f"{place}: {message}", source=source, line=line)


class _StrictLoader(yaml.SafeLoader):
    """Composes nodes without aliases and not too deep, before recursion could hurt."""

    source = ""
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # types-PyYAML leaves it untyped
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise problem(self.source, line, f"aliases like *{event.anchor} are not allowed: write it out")
        if getattr(event, "tag", None):
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise problem(self.source, line, f"tags like {tag} are not allowed: write a plain value")
        if self.depth >= MAX_DEPTH:
            raise problem(self.source, line, f"nested deeper than {MAX_DEPTH} levels")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Reader:
    """Turns nodes into plain values and notes their lines."""

    def __init__(self, text: str, source: str) -> None:
        self.loader = _StrictLoader(text)
        self.loader.source = source
        self.source = source
        self.lines: dict[Path, int] = {}

    def document(self) -> Document:
        node = self.loader.get_single_node()
        return Document(None if node is None else self._value(node, ()), self.lines)

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, number)) for number, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise problem(self.source, line, "a key here is not text: put it in quotes")
            if key in content:
                first = self.lines[(*path, key)]
                raise problem(self.source, line, f"key {key!r} is given twice, first in line {first}")
            self.lines[(*path, key)] = line
            content[key] = self._value(value_node, (*path, key))
        return content

    def _scalar(self, node: yaml.Node) -> Any:
        line = node.start_mark.line + 1
        if node.tag not in PLAIN_TAGS:
            raise problem(self.source, line, f"{node.value!r} is neither text nor a number: put it in quotes")
        try:
            value = self.loader.construct_object(node)
            _check_scalar(value)
        except ValueError:
            raise problem(self.source, line, "this value cannot be read: put it in quotes") from None
        return value


def _check_scalar(value: Any) -> None:
    """Raise ValueError for what no JSON request can carry: half a surrogate pair, infinity, not-a-number."""
    if isinstance(value, str):
        value.encode()
    if isinstance(value, float) and not isfinite(value):
        raise ValueError
