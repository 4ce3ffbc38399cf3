"""What a reader of a stream receives. Deltas come in order; exactly one of Done and Failed comes last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from chatlab.errors import ChatlabError
from chatlab.values.reply import Reply
from chatlab.values.usage import Usage


@dataclass(slots=True)
class HeadersReceived:
    """The gateway accepted the request. `generation_id` is its handle for billing, when it sent one."""

    http_status: int
    generation_id: str | None


@dataclass(slots=True)
class TextDelta:
    """A further piece of visible text."""

    text: str


@dataclass(slots=True)
class ReasoningDelta:
    """A further piece of the model's reasoning."""

    text: str


@dataclass(slots=True)
class ToolCallDelta:
    """A further piece of a tool call: `position` in the reply, name (first piece only), arguments text."""

    position: int
    name: str | None
    arguments: str


@dataclass(slots=True)
class UsageReported:
    """The gateway's token counts so far; a later one replaces an earlier one."""

    usage: Usage


@dataclass(slots=True)
class Retrying:
    """An attempt failed; the next one starts in `wait_s` seconds, from nothing.

    Where somebody reads along nothing was visible before it. In an evaluation text may have come: it is void.
    """

    attempt: int  # number of the attempt that failed, from 1
    wait_s: float
    reason: str


@dataclass(slots=True)
class Done:
    """The end: the reply, complete or stopped by the reader."""

    reply: Reply


@dataclass(slots=True)
class Failed:
    """The end: the error, and what had arrived before it (None when nothing was sent)."""

    error: ChatlabError
    reply: Reply | None = None


GatewayEvent: TypeAlias = HeadersReceived | TextDelta | ReasoningDelta | ToolCallDelta | UsageReported
StreamEvent: TypeAlias = GatewayEvent | Retrying | Done | Failed
