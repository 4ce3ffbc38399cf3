"""The answer to one request: what came, how it ended, what it cost and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from chatlab.errors import GatewayError
from chatlab.values.messages import ToolCall
from chatlab.values.usage import UNKNOWN_COST, Charge, Cost, Usage

Outcome: TypeAlias = Literal[
    "in_flight",  # sent, not yet ended
    "completed",  # a non-empty finish reason was seen
    "truncated",  # the stream ended without one: never a success
    "stopped",  # we closed it; the partial text is kept
    "error_before",  # failed before any visible output
    "error_during",  # failed after some output, which is kept
    "abandoned",  # the process that sent it died
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """When things happened: `started_at` is wall-clock UTC, the rest seconds after it, monotonic.

    The inter-token times are seconds between two reads that brought output (one or more tokens), each within
    2.5 %; None where there were no two.
    """

    started_at: datetime
    headers_s: float | None = None
    first_token_s: float | None = None  # first visible or reasoning text
    last_token_s: float | None = None  # last text, reasoning or piece of a tool call
    inter_token_p50_s: float | None = None
    inter_token_p95_s: float | None = None
    total_s: float | None = None

    def tokens_per_second(self, output_tokens: int | None) -> float | None:
        """Output tokens per second from the first token to the end; None when it cannot be told."""
        if not output_tokens or self.total_s is None or self.first_token_s is None:
            return None
        seconds = self.total_s - self.first_token_s
        return output_tokens / seconds if seconds > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCounts:
    """What went over the wire in one attempt."""

    bytes: int = 0
    chunks: int = 0  # pieces in which the body was read
    events: int = 0  # SSE events that carried JSON
    comments: int = 0  # keep-alive lines
    malformed: int = 0  # events or lines that could not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """How one HTTP attempt ended, with everything that had arrived by then.

    `error` is set for outcomes truncated, error_before and error_during. `usage_raw` is the gateway's usage
    object as JSON text. `warnings` are sentences for the reader: tolerated faults of the stream.
    """

    outcome: Outcome
    timings: Timings
    text: str = ""
    reasoning: str = ""
    reasoning_details: tuple[Mapping[str, Any], ...] = ()
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    served_model: str | None = None
    provider: str | None = None
    service_tier: str | None = None
    generation_id: str | None = None
    http_status: int | None = None
    usage: Usage | None = None
    usage_raw: str | None = None
    charge: Charge = field(default_factory=Charge)
    counts: StreamCounts = field(default_factory=StreamCounts)
    warnings: tuple[str, ...] = ()
    error: GatewayError | None = None

    @property
    def has_output(self) -> bool:
        """Whether anything a reader could have seen had arrived."""
        return bool(self.text or self.reasoning or self.tool_calls or self.refusal)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextReport:
    """What of a conversation was sent. `estimated_tokens` counts input tokens by a stated estimate."""

    included: int  # messages sent, system included
    left_out: int  # older messages that did not fit
    estimated_tokens: int
    limit_messages: int | None = None
    limit_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The final result of one call: the last thing every face receives.

    `status` is the outcome of the last attempt, `timings` and `counts` are its own too; `attempts` counts
    HTTP attempts. Ids are those of the store's rows: session, assistant message, call and last attempt.
    """

    text: str
    status: Outcome
    model: str  # as requested
    timings: Timings
    reasoning: str = ""
    reasoning_details: tuple[Mapping[str, Any], ...] = ()
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    served_model: str | None = None
    provider: str | None = None
    generation_id: str | None = None
    usage: Usage | None = None
    cost: Cost = UNKNOWN_COST
    counts: StreamCounts = field(default_factory=StreamCounts)
    attempts: int = 1
    simulated: bool = False
    context: ContextReport | None = None
    warnings: tuple[str, ...] = ()
    session_id: str | None = None
    message_id: str | None = None
    call_id: str | None = None
    attempt_id: str | None = None

    @property
    def retries(self) -> int:
        """How many attempts failed before the last one."""
        return self.attempts - 1

    @property
    def tokens_per_second(self) -> float | None:
        """Output tokens per second after the first token; None when it cannot be told."""
        return self.timings.tokens_per_second(self.usage.output_tokens if self.usage else None)

    def footer(self) -> str:
        """One line on model, tokens and cost, as every face shows it: `[Model: M | Tokens: N | Cost: $C]`."""
        total = self.usage.total_tokens if self.usage else None
        tokens = "unknown" if total is None else str(total)
        mark = " | SIMULATED" if self.simulated else ""
        return f"[Model: {self.served_model or self.model} | Tokens: {tokens} | Cost: {self.cost}{mark}]"

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 60 else self.text[:59] + "…"
        return f"Reply({text!r}, status={self.status!r}, {self.footer()})"
