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
from chatlab.calls.passage import Passage, cut_off
from chatlab.calls.routes import Route, Routes
from chatlab.calls.settlement import Settler
from chatlab.calls.stopping import StopSignal
from chatlab.calls.ticket import RouteKey, Ticket, estimated_tokens, pinned_provider
from chatlab.errors import ChatlabError, GatewayError, StoreBusy
from chatlab.gateway.retry import EVALUATION, INTERACTIVE, RetryPolicy
from chatlab.ports import Attempt, Clock, Emit, Gateway, PriceBook, Store
from chatlab.values.events import Done, Failed, HeadersReceived, Retrying
from chatlab.values.identity import content_hash, new_id
from chatlab.values.records import AttemptHeaders, AttemptStarted, CallOpened, Purpose, Record
from chatlab.values.reply import AttemptResult, Reply

SAVE_TRIES = 10  # each waits as long as the store's own limit
UNWATCHED: frozenset[Purpose] = frozenset({"eval", "judge"})  # calls that nobody waits for


@dataclass(frozen=True, kw_only=True)
class CallDriver:
    """Everything a call needs from the outside, as plain arguments. One driver serves any number of calls."""

    gateway: Gateway
    store: Store
    prices: PriceBook
    clock: Clock
    routes: Routes
    random: Callable[[], float]  # uniform in [0, 1)
    retry: RetryPolicy = INTERACTIVE  # of calls that somebody waits for
    patient_retry: RetryPolicy = EVALUATION
    key_fingerprint: str | None = None
    simulated: bool = False
    settler: Settler | None = None  # asks later for bills that do not come with the answer

    def route(self, model: str, provider: str | None = None) -> Route:
        """Return the route to a model, or to one of its providers where that is pinned."""
        return self.routes[RouteKey(self.gateway.name, self.key_fingerprint, model, provider)]

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
        self._passage = self._find_route()
        self._pending: Sequence[Record] = ()  # what the next commit has to bring along
        self._attempts = 0
        self._late: GatewayError | None = None
        self._headers_commit: asyncio.Task[None] | None = None

    def _find_route(self) -> Passage:
        driver, request = self.driver, self.call.request
        route = driver.route(request.model, pinned_provider(request.params))
        policy = driver.patient_retry if self.call.purpose in UNWATCHED else driver.retry
        tokens = estimated_tokens(self.call) if route.counts_tokens else 0
        ticket = Ticket(self.call_id, policy, tokens)
        return Passage(route, ticket, clock=driver.clock, random=driver.random)

    async def to_end(
        self, before: Sequence[Record], after: Callable[[Reply], Sequence[Record]]
    ) -> tuple[Reply, GatewayError | None]:
        self._pending = [*before, self._opened()]
        try:
            ended = await self._to_last_attempt()
        finally:
            self._passage.leave()
        reply = make_reply(
            self.call,
            ended,
            attempts=self._attempts,
            call_id=self.call_id,
            message_id=self.message_id,
            simulated=self.driver.simulated,
        )
        self.last_reply = reply
        if records := [*self._pending, *after(reply)]:
            await self._save(records)
        return reply, ended.result.error

    async def _to_last_attempt(self) -> EndedAttempt:
        """Attempt until one is the last; its own records stay pending."""
        try:
            await self._turn()
        except GatewayError as refusal:
            return self._ended(await self._attempt(refusal))
        while True:
            ended = self._ended(await self._attempt())
            try:
                wait = self._wait_before_retry(ended.result)
                if wait is None:
                    return ended
                self.emit([Retrying(self._attempts, wait, str(ended.result.error))])
                await self._write_pending()
                await self.stop.run(self.driver.clock.sleep(wait))
                await self._turn()
            except GatewayError as refusal:
                return replace(ended, result=replace(ended.result, error=refusal))
            if self.stop.requested:
                return _stopped_while_waiting(ended)

    def _wait_before_retry(self, result: AttemptResult) -> float | None:
        return None if self.stop.requested else self._passage.wait_before_retry(result)

    async def _turn(self) -> None:
        """Wait for the route. Raises GatewayError when it is not worth while; a stop ends the wait."""
        if self._passage.enter_now():
            return
        await self._write_pending()
        await self.stop.run(self._passage.enter())

    async def _write_pending(self) -> None:
        """Write what is known before a wait, which may be long: a process killed in it loses nothing."""
        if self._pending:
            await self.driver.store.commit(*self._pending)
            self._pending = ()

    def _ended(self, ended: EndedAttempt) -> EndedAttempt:
        self._pending = ended_records(ended, self.driver.clock.now())
        if self.driver.settler is not None:
            self.driver.settler.notice(ended)
        return ended

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

    async def _attempt(self, refusal: GatewayError | None = None) -> EndedAttempt:
        """Make one attempt. One that the route refused leaves its row all the same, and sends nothing."""
        driver = self.driver
        started_at = driver.clock.now()
        attempt_id = new_id(started_at)
        self._attempts += 1
        await driver.store.commit(
            *self._pending,
            AttemptStarted(
                attempt_id=attempt_id, call_id=self.call_id, attempt_no=self._attempts, t_start=started_at
            ),
        )
        attempt = driver.gateway.attempt(self.call.request)
        if refusal is not None:
            return price(attempt_id, self.call, cut_off(attempt.result(), refusal), driver.prices)
        await self.stop.run(self._read(attempt, attempt_id))
        result = attempt.result()
        if self._late is not None:
            result = cut_off(result, self._late)
        self._passage.learn(result)
        self._passage.leave()
        if self._headers_commit is not None:
            with suppress(ChatlabError):  # the end of the attempt brings the generation id once more
                await self._headers_commit
            self._headers_commit = None
        return price(attempt_id, self.call, result, driver.prices)

    async def _read(self, attempt: Attempt, attempt_id: str) -> None:
        waiting_for_headers = True
        try:
            async with self._passage.deadline(), attempt:
                async for batch in attempt:
                    if waiting_for_headers and isinstance(batch[0], HeadersReceived):
                        waiting_for_headers = False
                        self._note_headers(batch[0], attempt_id)
                    self.emit(batch)
        except TimeoutError:
            self._late = self._passage.too_late(sent=True)

    def _note_headers(self, headers: HeadersReceived, attempt_id: str) -> None:
        record = AttemptHeaders(
            attempt_id=attempt_id,
            t_headers=self.driver.clock.now(),
            http_status=headers.http_status,
            generation_id=headers.generation_id,
        )
        self._headers_commit = asyncio.ensure_future(self.driver.store.commit(record))


def _stopped_while_waiting(ended: EndedAttempt) -> EndedAttempt:
    """For the reply only: the failed attempt keeps its own row, the call as a whole was stopped."""
    return replace(ended, result=replace(ended.result, outcome="stopped", error=None))
