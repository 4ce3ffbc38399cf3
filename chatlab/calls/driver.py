"""Runs a call: commit, send, read, retry, save. The order of these steps is what makes nothing get lost.

The caller's rows and the attempt are durable before anything is sent; the generation id follows as soon as
headers arrive, without the reader waiting for it; the answer is durable before `Done` is emitted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from chatlab.calls.accounts import EndedAttempt, ended_records, make_reply, price
from chatlab.calls.call import Call
from chatlab.calls.stopping import StopSignal
from chatlab.errors import ChatlabError, GatewayError, StoreBusy
from chatlab.gateway.retry import Failures, RetryPolicy
from chatlab.ports import Attempt, Clock, Emit, Gateway, PriceBook, Store
from chatlab.values.events import Done, Failed, HeadersReceived, Retrying
from chatlab.values.identity import content_hash, new_id
from chatlab.values.records import AttemptHeaders, AttemptStarted, CallOpened, Record
from chatlab.values.reply import AttemptResult, Reply

SAVE_TRIES = 10  # each waits as long as the store's own limit


@dataclass(frozen=True, kw_only=True)
class CallDriver:
    """Everything a call needs from the outside, as plain arguments. One driver serves any number of calls."""

    gateway: Gateway
    store: Store
    prices: PriceBook
    clock: Clock
    retry: RetryPolicy
    random: Callable[[], float]  # uniform in [0, 1)
    simulated: bool = False

    async def run(
        self,
        call: Call,
        emit: Emit,
        stop: StopSignal,
        *,
        before: Sequence[Record] = (),
        after: Callable[[Reply], Sequence[Record]] = lambda _: (),
        message_id: str | None = None,
    ) -> Reply:
        """Run a call to its end and return the reply; the last event emitted is `Done` or `Failed`.

        `before` is committed with the first attempt, `after(reply)` with the end of the last one, each in one
        transaction. Raises the ChatlabError that `Failed` carried.
        """
        running = _RunningCall(self, call, emit, stop, message_id)
        try:
            reply, error = await running.to_end(before, after)
        except ChatlabError as failure:  # of the store: what the gateway does stands in the results
            emit([Failed(failure, running.last_reply)])
            raise
        if error is None:
            emit([Done(reply)])
            return reply
        error.partial_text = reply.text
        emit([Failed(error, reply)])
        raise error


class _RunningCall:
    """The state of one call while it runs."""

    def __init__(
        self, driver: CallDriver, call: Call, emit: Emit, stop: StopSignal, message_id: str | None
    ) -> None:
        self.driver = driver
        self.call = call
        self.emit = emit
        self.stop = stop
        self.message_id = message_id
        self.call_id = new_id(driver.clock.now())
        self.last_reply: Reply | None = None
        self._failures = Failures()
        self._headers_commit: asyncio.Task[None] | None = None

    async def to_end(
        self, before: Sequence[Record], after: Callable[[Reply], Sequence[Record]]
    ) -> tuple[Reply, GatewayError | None]:
        driver = self.driver
        pending: Sequence[Record] = [*before, self._opened()]
        number = 1
        while True:
            ended = await self._attempt(number, pending)
            pending = ended_records(ended, driver.clock.now())
            wait = self._wait_before_retry(ended.result)
            if wait is None:
                break
            self.emit([Retrying(number, wait, str(ended.result.error))])
            await self.stop.run(driver.clock.sleep(wait))
            if self.stop.requested:
                ended = _stopped_while_waiting(ended)
                break
            number += 1
        reply = make_reply(
            self.call,
            ended,
            attempts=number,
            call_id=self.call_id,
            message_id=self.message_id,
            simulated=driver.simulated,
        )
        self.last_reply = reply
        await self._save([*pending, *after(reply)])
        return reply, ended.result.error

    async def _save(self, records: Sequence[Record]) -> None:
        """Write the end of the call. An answer that is paid for outwaits a store that others keep busy."""
        for _ in range(SAVE_TRIES - 1):
            try:
                return await self.driver.store.commit(*records)
            except StoreBusy:
                continue
        return await self.driver.store.commit(*records)

    def _opened(self) -> CallOpened:
        call, request = self.call, self.call.request
        return CallOpened(
            call_id=self.call_id,
            purpose=call.purpose,
            created_at=self.driver.clock.now(),
            gateway=self.driver.gateway.name,
            model=request.model,
            params=request.params,
            request_sha256=content_hash(asdict(request)),
            session_id=call.session_id,
            tool_name=call.tool_name,
            tool_version=call.tool_version,
            user_id=call.user_id,
            group_id=call.group_id,
            context=call.context,
        )

    async def _attempt(self, number: int, pending: Sequence[Record]) -> EndedAttempt:
        driver = self.driver
        started_at = driver.clock.now()
        attempt_id = new_id(started_at)
        await driver.store.commit(
            *pending,
            AttemptStarted(
                attempt_id=attempt_id, call_id=self.call_id, attempt_no=number, t_start=started_at
            ),
        )
        attempt = driver.gateway.attempt(self.call.request)
        await self.stop.run(self._read(attempt, attempt_id))
        if self._headers_commit is not None:
            with suppress(ChatlabError):  # the end of the attempt brings the generation id once more
                await self._headers_commit
            self._headers_commit = None
        return price(attempt_id, self.call, attempt.result(), driver.prices)

    async def _read(self, attempt: Attempt, attempt_id: str) -> None:
        waiting_for_headers = True
        async with attempt:
            async for batch in attempt:
                if waiting_for_headers and isinstance(batch[0], HeadersReceived):
                    waiting_for_headers = False
                    self._note_headers(batch[0], attempt_id)
                self.emit(batch)

    def _note_headers(self, headers: HeadersReceived, attempt_id: str) -> None:
        record = AttemptHeaders(
            attempt_id=attempt_id,
            t_headers=self.driver.clock.now(),
            http_status=headers.http_status,
            generation_id=headers.generation_id,
        )
        self._headers_commit = asyncio.ensure_future(self.driver.store.commit(record))

    def _wait_before_retry(self, result: AttemptResult) -> float | None:
        if result.error is None or self.stop.requested:
            return None
        self._failures = self._failures.and_one(result.error.kind)
        return self.driver.retry.decide(
            result.error,
            failures=self._failures,
            visible_output=result.has_output,
            random=self.driver.random,
        )


def _stopped_while_waiting(ended: EndedAttempt) -> EndedAttempt:
    """For the reply only: the failed attempt keeps its own row, the call as a whole was stopped."""
    return replace(ended, result=replace(ended.result, outcome="stopped", error=None))
