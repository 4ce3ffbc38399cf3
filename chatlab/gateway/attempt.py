"""One attempt: bytes read, events given out, clocks watched, and an end that is always known.

Nothing here knows HTTP: `client` opens the response and says what its exceptions mean. Clocks are watched
by one task per attempt that sleeps until the next one can run out, so a chunk costs one look at the time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from chatlab.errors import GatewayError
from chatlab.gateway.faults import Faults
from chatlab.gateway.gaps import Gaps
from chatlab.gateway.reply import ReplyAssembler
from chatlab.ports import Clock
from chatlab.values.events import (
    GatewayEvent,
    HeadersReceived,
    ReasoningDelta,
    TextDelta,
    UsageReported,
)
from chatlab.values.reply import AttemptResult, Timings

_DRAIN_S = (
    0.1  # a finished stream's last bytes are waited for so long, so that its connection can be used again
)
_BUSY_READER_S = (
    1.0  # how soon to look again when a clock ran out while the reader, not the gateway, was busy
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Clocks of one attempt, in seconds.

    `first_token` runs from the start to the first piece of the answer, headers included; `byte_idle` between
    any two reads; `progress_idle` between two pieces of the answer: comments and empty deltas do not count.
    A request without streaming has no first token before its end: only `total` limits it.
    """

    connect: float = 10.0
    write: float = 60.0
    first_token: float = 60.0
    byte_idle: float = 90.0
    progress_idle: float = 180.0
    total: float = 900.0


class ByteStream(Protocol):
    """An open response whose status is a success."""

    status: int
    generation_id: str | None

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Iterate over the body as it arrives."""


class StreamAttempt:
    """Implements `ports.Attempt` over an opener of byte streams."""

    def __init__(
        self,
        opener: Callable[[], AbstractAsyncContextManager[ByteStream]],
        *,
        explain: Callable[[Exception], GatewayError],
        faults: Faults,
        clock: Clock,
        timeouts: Timeouts,
        streaming: bool,
    ) -> None:
        self._opener = opener
        self._explain = explain
        self._faults = faults
        self._clock = clock
        self._timeouts = timeouts
        self._streaming = streaming
        self._assembler = ReplyAssembler(faults)
        self._run: AsyncGenerator[Sequence[GatewayEvent], None] | None = None
        self._reader: asyncio.Task[object] | None = None  # the task that waits for bytes right now
        self._expired: GatewayError | None = None
        self._cancelling = 0  # cancellations of the reader that were not ours
        self._started_at = clock.now()
        self._t0 = self._first_token_due = clock.monotonic()
        self._last_read: float | None = None
        self._last_progress: float | None = None
        self._headers_s: float | None = None
        self._first_token_s: float | None = None
        self._gaps = Gaps()
        self._chunks = 0
        self._total_s: float | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run is not None:
            await self._run.aclose()

    def __aiter__(self) -> AsyncIterator[Sequence[GatewayEvent]]:
        if self._run is None:
            self._run = self._events()
        return self._run

    def result(self) -> AttemptResult:
        """Return how the attempt ended, or what has come so far with outcome `stopped`."""
        gaps = self._gaps
        return self._assembler.result(
            Timings(
                started_at=self._started_at,
                headers_s=self._headers_s,
                first_token_s=self._first_token_s,
                last_token_s=None if gaps.last is None else gaps.last - self._t0,
                inter_token_p50_s=gaps.percentile(50),
                inter_token_p95_s=gaps.percentile(95),
                total_s=self._total_s,
            ),
            chunks=self._chunks,
        )

    async def _events(self) -> AsyncGenerator[Sequence[GatewayEvent], None]:
        self._started_at = self._clock.now()
        self._t0 = self._clock.monotonic()
        self._first_token_due = self._t0 + self._timeouts.first_token
        self._reader = asyncio.current_task()
        watch = asyncio.create_task(self._watch())
        try:
            async with self._opener() as stream:
                self._reader = None
                yield [self._head(stream)]
                self._resume()
                async with contextlib.aclosing(stream.pieces()) as pieces:
                    async for data in pieces:
                        self._reader = None
                        if batch := self._feed(data):
                            yield batch
                        self._last_read = self._clock.monotonic()
                        if self._assembler.done:
                            await _drain(pieces)
                            break
                        self._reader = asyncio.current_task()
        except asyncio.CancelledError:
            if not self._was_ours():
                raise
        except Exception as error:  # noqa: BLE001 - whatever the transport raises becomes the result's error
            self._assembler.fail(self._explain(error))
        finally:
            self._reader = None
            watch.cancel()
            self._total_s = self._clock.monotonic() - self._t0
        if last := self._assembler.end():
            yield last

    def _head(self, stream: ByteStream) -> HeadersReceived:
        self._headers_s = self._clock.monotonic() - self._t0
        self._assembler.headers(stream.status, stream.generation_id)
        return HeadersReceived(stream.status, stream.generation_id)

    def _resume(self) -> None:
        """Start to wait for the body; the time the reader took for the head is not the gateway's."""
        now = self._last_read = self._clock.monotonic()
        self._first_token_due += now - self._t0 - (self._headers_s or 0.0)
        self._reader = asyncio.current_task()

    def _feed(self, data: bytes) -> Sequence[GatewayEvent]:
        assembler = self._assembler
        before = assembler.progress
        batch = assembler.feed(data)
        self._chunks += 1
        if assembler.progress != before:
            now = self._last_progress = self._clock.monotonic()
            if batch and (type(batch[0]) is not UsageReported or _brings_output(batch)):
                self._gaps.output_at(now)
            if self._first_token_s is None and any(isinstance(e, TextDelta | ReasoningDelta) for e in batch):
                self._first_token_s = now - self._t0
        return batch

    # Clocks

    async def _watch(self) -> None:
        while True:
            due, what = min(self._deadlines())
            wait = due - self._clock.monotonic()
            if wait <= 0 and self._reader is not None:
                self._expired = self._faults.timeout(what)
                self._cancelling = self._reader.cancelling()
                self._reader.cancel()
                return
            await self._clock.sleep(wait if wait > 0 else _BUSY_READER_S)

    def _deadlines(self) -> list[tuple[float, str]]:
        """Return when each clock that runs now runs out, and how to say so."""
        limits = self._timeouts
        deadlines = [(self._t0 + limits.total, f"the whole answer did not come within {limits.total:g} s")]
        if not self._streaming:
            return deadlines
        if self._last_progress is None:
            what = f"nothing of the answer came within {limits.first_token:g} s"
            deadlines.append((self._first_token_due, what))
        else:
            what = f"the answer did not go on for {limits.progress_idle:g} s"
            deadlines.append((self._last_progress + limits.progress_idle, what))
        if self._last_read is not None:
            what = f"not a byte came for {limits.byte_idle:g} s"
            deadlines.append((self._last_read + limits.byte_idle, what))
        return deadlines

    def _was_ours(self) -> bool:
        """Tell a cancellation by our clocks from one by somebody else, as asyncio.timeout does."""
        task = asyncio.current_task()
        if self._expired is None or task is None or task.uncancel() > self._cancelling:
            return False
        self._assembler.fail(self._expired)
        return True


def _brings_output(batch: Sequence[GatewayEvent]) -> bool:
    """Whether anything came but usage, which gateways send after the output or along with it."""
    return any(type(event) is not UsageReported for event in batch)


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read what is left after the end of a stream; a gateway that keeps the connection open loses it."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in pieces:
                pass
