"""Who answers: model, tool definition and parameters, put together and checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chatlab.chat.session import Target
from chatlab.errors import InvalidValue, NotFound
from chatlab.files import read_tools
from chatlab.settings import Settings
from chatlab.tools import ToolDefinition, check_params


class Targets:
    """Resolves names into targets. Tool files are read at each use, so an edited one counts at once."""

    def __init__(self, settings: Settings, tool_directory: Path) -> None:
        self.tool_directory = tool_directory
        self._settings = settings

    def definitions(self) -> dict[str, ToolDefinition]:
        """Read all tool definitions, by name. Raises ToolDefinitionError for a file that is wrong."""
        return read_tools(self.tool_directory)

    def resolve(
        self,
        *,
        model: str | None,
        tool: str | None,
        variables: Mapping[str, str] | None,
        system: str | None,
        params: Mapping[str, Any],
    ) -> Target:
        """Put a target together: what is given comes before the tool, and the tool before the default.

        Raises NotFound, InvalidValue or a ConfigurationError, naming what to use instead.
        """
        check_params(params)
        if not isinstance(system, str | None):
            raise InvalidValue(f"the system prompt must be text, not {type(system).__name__}")
        if tool is None:
            if variables:
                raise InvalidValue(f"variables {sorted(variables)} were given without a tool that uses them")
            return Target(model=self._settings.resolve_model(model), params=dict(params), system=system)
        definition = self._definition(tool)
        return Target(
            model=self._settings.resolve_model(model, definition.model),
            params={**definition.params, **params},
            system=system if system is not None else definition.render(variables or {}),
            limits=definition.history,
            tool_name=definition.name,
            tool_version=definition.version,
        )

    def _definition(self, name: str) -> ToolDefinition:
        tools = self.definitions()
        if name not in tools:
            known = ", ".join(tools) or f"none in {self.tool_directory}"
            raise NotFound(f"no tool {name!r}: the tool definitions are {known}")
        return tools[name]
