"""A tool definition as a value, and its system prompt with the variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chatlab.errors import InvalidValue
from chatlab.tools.names import nearest

PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLimits:
    """How much of a conversation is sent. None: as much as there is.

    `max_messages` counts earlier messages, without the system prompt and the new one; 0 forgets every turn.
    `max_tokens` counts all input of a request, by an estimate.
    """

    max_messages: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A blank in the system prompt. Without a default the caller must fill it."""

    description: str = ""
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """One tool. `version` is 12 hexadecimal digits of the hash of its content; comments do not count.

    `system` has placeholders like `{{level}}`, each of them a key of `variables`; `params` are settings by
    their wire names. `source` is the file it was read from.
    """

    name: str
    system: str
    version: str
    description: str = ""
    model: str | None = None
    history: HistoryLimits = HistoryLimits()
    params: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    source: str = ""

    def render(self, values: Mapping[str, object] | None = None) -> str:
        """Fill the variables into the system prompt. A value is put in as it is, never expanded again.

        Raises InvalidValue for a value without a variable and for a variable without value or default.
        """
        given = {name: str(value) for name, value in (values or {}).items()}
        for name in given:
            if name not in self.variables:
                raise InvalidValue(
                    f"tool {self.name!r} has no variable {name!r}{nearest(name, self.variables)}"
                )
        filled = {name: given.get(name, variable.default) for name, variable in self.variables.items()}
        missing = [name for name, value in filled.items() if value is None]
        if missing:
            raise InvalidValue(
                f"tool {self.name!r} needs a value for {', '.join(missing)}: pass variables=..."
            )
        return PLACEHOLDER.sub(lambda match: str(filled[match[1]]), self.system)
