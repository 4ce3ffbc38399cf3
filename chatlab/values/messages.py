"""Messages and their parts, as values: no identity, no storage, no wire form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    """Visible text of a message."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thought before it answered.

    `details` are the gateway's own `reasoning_details` objects; they go back unchanged on the next turn,
    since some of them are signed or encrypted (https://openrouter.ai/docs/use-cases/reasoning-tokens).
    """

    text: str
    details: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call that the model asks for. `arguments` is its raw JSON text, possibly invalid."""

    call_id: str
    name: str
    arguments: str


Part: TypeAlias = Text | Reasoning | ToolCall


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation: who speaks, and the parts of what is said."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The visible text of all parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def reasoning(self) -> str:
        """The reasoning text of all parts, joined; empty when there is none."""
        return "".join(part.text for part in self.parts if isinstance(part, Reasoning))


def system(text: str) -> Message:
    """Make a system message."""
    return Message("system", (Text(text),))


def user(text: str) -> Message:
    """Make a user message."""
    return Message("user", (Text(text),))


def assistant(text: str) -> Message:
    """Make an assistant message."""
    return Message("assistant", (Text(text),))
