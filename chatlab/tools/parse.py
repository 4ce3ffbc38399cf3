"""From the text of a tool file to a ToolDefinition, or to an error with file, line and remedy.

name: tutor                     # the file's name without .yaml
description: Explains step by step.
model: anthropic/claude-sonnet-5        # optional: else the call's or the default model
behavior:
  system: You teach {{subject}}.
history: {max_messages: 20, max_tokens: 8000}
params: {temperature: 0.4}
variables:
  subject: {description: What is taught., default: mathematics}
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from chatlab.errors import ToolDefinitionError
from chatlab.tools.definition import PLACEHOLDER, HistoryLimits, ToolDefinition, Variable
from chatlab.tools.names import nearest, shown
from chatlab.tools.params import param_problem
from chatlab.tools.strict_yaml import Path, problem, read_yaml
from chatlab.values.identity import content_hash

KEYS = ("name", "description", "model", "behavior", "history", "params", "variables")
VERSION_DIGITS = 12


def parse_tool(text: str, *, source: str) -> ToolDefinition:
    """Read and check one definition; `source` names the file in errors. Raises ToolDefinitionError."""
    document = read_yaml(text, source)
    return _Parser(document.content, document.lines, source).tool()


class _Parser:
    """Walks the content of one file; every complaint finds its line by the path of the value."""

    def __init__(self, content: Any, lines: Mapping[Path, int], source: str) -> None:
        self.content = content
        self.lines = lines
        self.source = source

    def tool(self) -> ToolDefinition:
        content = self._section((), KEYS, required=("name", "behavior"))
        self._section(("behavior",), ("system",), required=("system",))
        system = self._text(("behavior", "system"))
        variables = self._variables(content)
        self._check_placeholders(system, variables)
        return ToolDefinition(
            name=self._name(),
            description=self._text(("description",), default=""),
            model=self._text(("model",), default="") or None,
            system=system,
            history=self._history(),
            params=self._params(content),
            variables=variables,
            version=content_hash(content).removeprefix("sha256:")[:VERSION_DIGITS],
            source=self.source,
        )

    def _name(self) -> str:
        name = self._text(("name",))
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
            raise self._error(
                ("name",), f"name {name!r} must be at most 64 small letters, digits, '-' and '_'"
            )
        return name

    def _history(self) -> HistoryLimits:
        if "history" not in self.content:
            return HistoryLimits()
        section = self._section(("history",), ("max_messages", "max_tokens"))
        for key, least in (("max_messages", 0), ("max_tokens", 1)):
            value = section.get(key, least)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                wrong = f"history.{key} must be a whole number of at least {least}, not {shown(value)}"
                raise self._error(("history", key), wrong)
        return HistoryLimits(**section)

    def _params(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        params = self._section(("params",)) if "params" in content else {}
        for name, value in params.items():
            wrong = param_problem(name, value)
            if wrong:
                raise self._error(("params", name), wrong)
        return params

    def _variables(self, content: Mapping[str, Any]) -> Mapping[str, Variable]:
        names = self._section(("variables",)) if "variables" in content else {}
        return {name: self._variable(name) for name in names}

    def _variable(self, name: str) -> Variable:
        path: Path = ("variables", name)
        if not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
            raise self._error(path, f"variable {name!r} must be small letters, digits and '_'")
        section = self._section(path, ("description", "default"))
        return Variable(
            description=self._text((*path, "description"), default=""),
            default=self._default(path, section["default"]) if "default" in section else None,
        )

    def _default(self, path: Path, value: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise self._error((*path, "default"), f"the default of {path[-1]!r} must be text: put it in quotes")

    def _check_placeholders(self, system: str, variables: Mapping[str, Variable]) -> None:
        used = PLACEHOLDER.findall(system)
        for name in used:
            if name not in variables:
                raise self._error(
                    ("behavior", "system"),
                    f"behavior.system uses {{{{{name}}}}}, not one of its variables"
                    f"{nearest(name, variables)}",
                )
        for name in variables:
            if name not in used:
                raise self._error(
                    ("variables", name),
                    f"variable {name!r} is used nowhere: write {{{{{name}}}}} in behavior.system",
                )

    def _section(
        self, path: Path, known: Collection[str] | None = None, *, required: Collection[str] = ()
    ) -> dict[str, Any]:
        """Return the mapping at a path, its keys checked; `known=None` allows any."""
        section = self._at(path)
        where = _dotted(path) or "a tool definition"
        if not isinstance(section, dict):
            raise self._error(path, f"{where} must be a mapping of keys to values, not {shown(section)}")
        for key in section:
            if known is not None and key not in known:
                raise self._error((*path, key), f"unknown key {key!r} in {where}{nearest(key, known)}")
        for key in required:
            if key not in section:
                raise self._error(path, f"{where} lacks the key {key!r}")
        return section

    def _text(self, path: Path, *, default: str | None = None) -> str:
        *parent, key = path
        section = self._at(tuple(parent))
        if key not in section and default is not None:
            return default
        value = section[key]
        if not isinstance(value, str):
            raise self._error(
                path, f"{'.'.join(map(str, path))} must be text, not {shown(value)}: put it in quotes"
            )
        if not value.strip():
            raise self._error(path, f"{'.'.join(map(str, path))} is empty")
        return value.strip()

    def _at(self, path: Path) -> Any:
        value = self.content
        for key in path:
            value = value[key]
        return value

    def _error(self, path: Path, message: str) -> ToolDefinitionError:
        return problem(self.source, self.lines.get(path, 1), message)


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))
