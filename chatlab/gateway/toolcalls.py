"""Tool calls put together from their pieces, in every dialect that gateways speak.

The standard is an `index` on each piece. Gemini leaves it out, Ollama gives all parallel calls index 0 with
ids of their own, others send the arguments as an object. So a piece belongs to the call of its index, else
of its id, else to the last one; and a new call begins when an index returns with another id, or when a name
comes after arguments that were already complete.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from chatlab.gateway.jsontext import MALFORMED, dump_json
from chatlab.values.events import ToolCallDelta
from chatlab.values.messages import ToolCall


@dataclass(slots=True)
class _Call:
    position: int
    call_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def is_complete(self) -> bool:
        try:
            json.loads("".join(self.arguments))
        except MALFORMED:
            return False
        return True


class ToolCallAssembler:
    """Collects the tool calls of one choice. Arguments stay text, valid or not."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_key: dict[Hashable, _Call] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, pieces: Any) -> list[ToolCallDelta]:
        """Take the `tool_calls` of one delta or message and return what they add."""
        if not isinstance(pieces, list):
            return []
        return [self._piece(piece) for piece in pieces if isinstance(piece, dict)]

    def result(self) -> tuple[ToolCall, ...]:
        """Return the calls in the order of their first pieces."""
        return tuple(
            ToolCall(call.call_id or f"call_{call.position}", call.name, "".join(call.arguments))
            for call in self._calls
        )

    def _piece(self, piece: dict[str, Any]) -> ToolCallDelta:
        function = piece.get("function")
        if not isinstance(function, dict):
            function = {}
        name, call_id = _text(function.get("name")), _text(piece.get("id"))
        call = self._call_for(piece.get("index"), call_id, name)
        call.call_id = call.call_id or call_id
        first_name = name if name and not call.name else None
        call.name = call.name or name
        arguments = _arguments(function.get("arguments"))
        if arguments:
            call.arguments.append(arguments)
        return ToolCallDelta(call.position, first_name, arguments)

    def _call_for(self, index: Any, call_id: str, name: str) -> _Call:
        key: Hashable = index if isinstance(index, int) else call_id or None
        call = self._by_key.get(key)
        if call is None and key is None and self._calls:
            call = self._calls[-1]
        if call is None or self._is_another(call, call_id, name):
            call = _Call(len(self._calls))
            self._calls.append(call)
        if key is not None:
            self._by_key[key] = call
        return call

    @staticmethod
    def _is_another(call: _Call, call_id: str, name: str) -> bool:
        if call_id and call.call_id and call_id != call.call_id:
            return True
        if call_id and call_id == call.call_id:
            return False
        return bool(name and call.name and call.arguments and call.is_complete())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _arguments(value: Any) -> str:
    if isinstance(value, dict | list):
        return dump_json(value) or ""
    return _text(value)
