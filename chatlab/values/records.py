"""Rows for the store, one value per fact. `Store.commit` writes any number of them in one transaction.

Every record is idempotent: committing it twice leaves one row, known by the id minted before it was sent.
A `...Changed` or `...Ended` record names only what became known; None leaves the column as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from chatlab.values.messages import Message
from chatlab.values.reply import ContextReport, Outcome, StreamCounts
from chatlab.values.request import ModelCard
from chatlab.values.usage import Charge, Usage

SessionState: TypeAlias = Literal["active", "paused", "completed"]
MessageStatus: TypeAlias = Literal["complete", "partial", "stopped", "error"]
Purpose: TypeAlias = Literal["chat", "compare", "eval", "judge", "proxy"]
UsageSource: TypeAlias = Literal["response", "generation_api", "estimate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened:
    """A new conversation. `model` and `params` are its defaults for the next turn."""

    session_id: str
    created_at: datetime
    title: str | None = None
    state: SessionState = "active"
    tool_name: str | None = None
    tool_version: str | None = None
    system: str | None = None  # the system prompt as it was rendered for this session
    model: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    user_id: str | None = None
    group_id: str | None = None
    forked_from_session: str | None = None
    forked_from_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChanged:
    """New facts about a session. `head` is the last message of its active path."""

    session_id: str
    updated_at: datetime
    title: str | None = None
    state: SessionState | None = None
    model: str | None = None
    tool_name: str | None = None
    tool_version: str | None = None
    system: str | None = None
    head: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageAdded:
    """A message of a session. `seq` is its depth in the tree, from 1."""

    message_id: str
    session_id: str
    parent_id: str | None
    seq: int
    message: Message
    status: MessageStatus
    created_at: datetime
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOpened:
    """One logical request, whatever number of attempts it takes."""

    call_id: str
    purpose: Purpose
    created_at: datetime
    gateway: str  # openrouter, simulator, or the host of another gateway
    model: str
    params: Mapping[str, Any]
    request_sha256: str
    session_id: str | None = None
    tool_name: str | None = None
    tool_version: str | None = None
    user_id: str | None = None
    group_id: str | None = None
    context: ContextReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """One HTTP attempt, committed before it is sent. The store adds the id of the writing process."""

    attempt_id: str
    call_id: str
    attempt_no: int  # from 1
    t_start: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptHeaders:
    """The response headers of an attempt have arrived."""

    attempt_id: str
    t_headers: datetime
    http_status: int
    generation_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """How an attempt ended."""

    attempt_id: str
    outcome: Outcome
    t_end: datetime
    t_start: datetime | None = None  # when it was sent: after AttemptStarted was durable
    t_headers: datetime | None = None
    t_first_token: datetime | None = None
    t_last_token: datetime | None = None
    inter_token_p50_s: float | None = None  # as in Timings
    inter_token_p95_s: float | None = None
    served_model: str | None = None
    provider: str | None = None
    quantization: str | None = None
    service_tier: str | None = None
    generation_id: str | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    http_status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    counts: StreamCounts = field(default_factory=StreamCounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """Token counts and charge of an attempt as one source told them. One row per attempt and source."""

    attempt_id: str
    source: UsageSource
    received_at: datetime
    usage: Usage
    charge: Charge = field(default_factory=Charge)
    raw: str | None = None  # the source's own JSON text


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """The list price of an attempt by one price book. One row per attempt and price source."""

    attempt_id: str
    price_source: str  # name and version of the price book
    computed_at: datetime
    usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelListed:
    """A model and its prices as a gateway listed them at a time: a dated snapshot."""

    gateway: str
    fetched_at: datetime
    card: ModelCard


Record: TypeAlias = (
    SessionOpened
    | SessionChanged
    | MessageAdded
    | CallOpened
    | AttemptStarted
    | AttemptHeaders
    | AttemptEnded
    | UsageReport
    | CostEstimate
    | ModelListed
)
