"""The seams: what use cases need from the outside, as protocols. Adapters fill them, tests may too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from chatlab.values.events import GatewayEvent, StreamEvent
from chatlab.values.messages import Message
from chatlab.values.records import MessageStatus, Record, SessionOpened
from chatlab.values.reply import AttemptResult
from chatlab.values.request import ChatRequest, ModelCard
from chatlab.values.usage import Bill, Usage

Emit: TypeAlias = Callable[[Sequence[StreamEvent]], None]
"""Where events go: called on the background loop with one or more events at a time; must not block."""


class Clock(Protocol):
    """Time, passed in."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Attempt(Protocol):
    """One HTTP attempt. Nothing is sent before iteration; leaving the `async with` closes the socket.

    Iteration gives batches of events, one batch per read from the socket, and raises nothing but
    cancellation: how it ended stands in `result()`. Called earlier, `result()` is what has come so far,
    with outcome `stopped`.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __aiter__(self) -> AsyncIterator[Sequence[GatewayEvent]]: ...

    def result(self) -> AttemptResult:
        """Return how the attempt ended, or what has arrived so far."""


class Gateway(Protocol):
    """A place that answers chat requests."""

    @property
    def name(self) -> str:
        """Return `openrouter`, `simulator`, or the host of another gateway."""

    def attempt(self, request: ChatRequest) -> Attempt:
        """Prepare one attempt; no retry happens below this line."""

    async def models(self) -> Sequence[ModelCard]:
        """Fetch the gateway's list of models. Raises GatewayError."""

    async def generation(self, generation_id: str) -> Bill | None:
        """Look up what an answer cost; None while that is not known, or where nobody can be asked.

        Raises GatewayError.
        """

    async def close(self) -> None:
        """Close every connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message read back from the store."""

    message_id: str
    parent_id: str | None
    seq: int
    message: Message
    status: MessageStatus
    created_at: datetime
    call_id: str | None
    model: str | None  # the model that served it, for assistant messages


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session read back from the store; `head` is the last message of its active path."""

    opened: SessionOpened
    updated_at: datetime
    head: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsettledAttempt:
    """An attempt that has ended and whose bill the gateway can still be asked for."""

    attempt_id: str
    generation_id: str
    ended_at: datetime


class Store(Protocol):
    """The durable store, as use cases see it."""

    async def commit(self, *records: Record) -> None:
        """Write all records in one transaction; returns when they are durable."""

    async def session(self, session_id: str) -> StoredSession | None:
        """Read a session, or None. An unambiguous prefix of at least 4 characters is accepted."""

    async def latest_session(self) -> StoredSession | None:
        """Read the session that changed last, or None."""

    async def thread(self, session_id: str) -> Sequence[StoredMessage]:
        """Read the active path of a session, first message first."""

    async def unsettled(self, gateway: str, since: datetime) -> Sequence[UnsettledAttempt]:
        """Read the attempts at a gateway, started since then, whose bill was not told, the latest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A list price: what `usage` would cost by one price book."""

    usd: Decimal
    source: str  # name and version of the price book


class PriceBook(Protocol):
    """Estimates costs from list prices."""

    def estimate(self, model: str, provider: str | None, usage: Usage, at: datetime) -> Estimate | None:
        """Return the list price at that time, or None when it is not known. Never 0 for unknown."""


Params: TypeAlias = dict[str, Any]
