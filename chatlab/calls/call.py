"""A call as a value: what is asked, on whose behalf and out of which session."""

from __future__ import annotations

from dataclasses import dataclass

from chatlab.values.records import Purpose
from chatlab.values.reply import ContextReport
from chatlab.values.request import ChatRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One logical request and the facts that its usage is later grouped by."""

    request: ChatRequest
    purpose: Purpose = "chat"
    session_id: str | None = None
    tool_name: str | None = None
    tool_version: str | None = None
    user_id: str | None = None
    group_id: str | None = None
    context: ContextReport | None = None
