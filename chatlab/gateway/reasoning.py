"""A model's reasoning, from the four places where gateways put it.

OpenRouter sends the same words twice, as `reasoning` and inside `reasoning_details`; DeepSeek calls them
`reasoning_content`. In each delta the most structured source counts and the others are ignored. The details
go back to the gateway unchanged on the next turn (some are signed or encrypted), so they are merged only
where a stream has cut one text into pieces: same type and same index.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT_FIELDS = {"reasoning.text": "text", "reasoning.summary": "summary"}


class ReasoningDetails:
    """Collects `reasoning_details` of one choice."""

    def __init__(self) -> None:
        self._entries: list[tuple[dict[str, Any], str, list[str]]] = []
        self._open: dict[tuple[str, Any], int] = {}

    def feed(self, details: list[Any]) -> str:
        """Take the details of one delta or message and return the readable text in them."""
        return "".join([self._entry(entry) for entry in details if isinstance(entry, dict)])

    def result(self) -> tuple[Mapping[str, Any], ...]:
        """Return the merged details in the order of their first pieces."""
        return tuple(
            {**fields, text_field: "".join(pieces)} if text_field else fields
            for fields, text_field, pieces in self._entries
        )

    def _entry(self, entry: dict[str, Any]) -> str:
        kind = entry.get("type")
        text_field = _TEXT_FIELDS.get(kind, "") if isinstance(kind, str) else ""
        text = entry.get(text_field)
        if not text_field or not isinstance(text, str | None):
            self._entries.append((entry, "", []))
            return ""
        index = entry.get("index")
        key = (text_field, index if isinstance(index, int | str) else None)
        position = self._open.get(key)
        if position is None or self._is_another(self._entries[position][0], entry):
            self._open[key] = len(self._entries)
            self._entries.append((entry, text_field, [text or ""]))
        else:
            fields, _, pieces = self._entries[position]
            pieces.append(text or "")
            for name, value in entry.items():
                if value is not None and name != text_field:
                    fields[name] = value
        return text or ""

    @staticmethod
    def _is_another(known: dict[str, Any], entry: dict[str, Any]) -> bool:
        return bool(entry.get("id") and known.get("id") and entry["id"] != known["id"])


def plain_reasoning(delta: Mapping[str, Any]) -> str:
    """Return the reasoning of a delta that has no details with text."""
    text = delta.get("reasoning") or delta.get("reasoning_content")
    return text if isinstance(text, str) else ""


def split_content(parts: list[Any]) -> tuple[str, str]:
    """Split a content list (Mistral's form) into visible text and thinking."""
    visible: list[str] = []
    thinking: list[str] = []
    for part in parts:
        if not isinstance(part, dict):
            continue
        if isinstance(text := part.get("text"), str):
            visible.append(text)
        if isinstance(thought := part.get("thinking"), str):
            thinking.append(thought)
        elif isinstance(thought, list):
            thinking.append(split_content(thought)[0])
    return "".join(visible), "".join(thinking)
