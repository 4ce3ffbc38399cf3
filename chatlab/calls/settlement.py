"""Settlement: asking the gateway afterwards for the bill of an answer that ended without one.

A stream that is stopped or breaks off brings no usage, but it is billed all the same: OpenRouter tells the
amount under the generation id, and only some time after the end. So it is looked up in the background at
ever longer intervals, and then given up: the cost stays unknown. The bill becomes a usage report of its own,
known by attempt and source, so looking twice does no harm. What is unsettled when a workbench closes is
found in the store by the next one, as is what a process left that died.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from chatlab.calls.accounts import EndedAttempt
from chatlab.errors import ChatlabError
from chatlab.gateway.wire import OPENROUTER_DIALECT
from chatlab.ports import Clock, Gateway, Store, UnsettledAttempt
from chatlab.values.records import UsageReport
from chatlab.values.usage import Bill, Charge, Usage, reported_cost

LOOKS_S = (2.0, 5.0, 15.0, 60.0, 600.0, 21_600.0)  # after the end of the attempt
SLACK_S = 0.5  # a look this much before its time counts as that look
TAKE_UP_AFTER_S = 2.0  # the first answer of a workbench goes first
TAKE_UP_WITHIN = timedelta(days=30)
LOOKS_AT_ONCE = 2


def wait_before_look(age_s: float, last_look_s: float | None) -> float | None:
    """Return the seconds until the next look, or None after the last one.

    Both arguments count seconds from the end of the attempt. Without a look so far those that were missed
    are made up for by one at once, however long ago the end was.
    """
    if last_look_s is None:
        return max(0.0, LOOKS_S[0] - age_s)
    due = next((look for look in LOOKS_S if look > last_look_s + SLACK_S), None)
    return None if due is None else max(0.0, due - age_s)


def wants_bill(ended: EndedAttempt) -> bool:
    """Whether what was told at the end of an attempt is not what will be on its bill.

    The store finds the attempts of earlier processes by the same rule.
    """
    result = ended.result
    if result.generation_id is None or (result.http_status or 200) >= 400:
        return False  # what was refused was never generated
    broke_off = result.outcome in {"stopped", "truncated", "error_during"}
    return broke_off or reported_cost(result.charge).usd is None


class Settler:
    """Follows unsettled attempts in the background, until closed. Belongs to one event loop."""

    def __init__(self, *, gateway: Gateway, store: Store, clock: Clock) -> None:
        self._gateway = gateway
        self._store = store
        self._clock = clock
        self._tells_bills = gateway.name in OPENROUTER_DIALECT
        self._looking = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by attempt; the search goes by no id

    def notice(self, ended: EndedAttempt) -> None:
        """Follow an attempt that has just ended, if its bill is worth asking for."""
        generation_id = ended.result.generation_id
        if self._tells_bills and generation_id is not None and wants_bill(ended):
            now = self._clock.now()
            self._follow(
                UnsettledAttempt(attempt_id=ended.attempt_id, generation_id=generation_id, ended_at=now)
            )

    def take_up(self) -> None:
        """Look, a little later, for what earlier processes left unsettled, and follow it."""
        if self._tells_bills:
            self._tasks[""] = asyncio.create_task(self._take_up())

    async def settle_now(self) -> int:
        """Look at everything unsettled ahead of its time; return how many bills came.

        Raises GatewayError when none came and the gateway could not be asked.
        """
        if not self._tells_bills:
            return 0
        looks = [self._look(attempt, self._age_s(attempt)) for attempt in await self._unsettled()]
        findings = await asyncio.gather(*looks, return_exceptions=True)
        settled = findings.count(True)
        failures = [finding for finding in findings if isinstance(finding, BaseException)]
        if failures and not settled:
            raise failures[0]
        return settled

    async def close(self) -> None:
        """Stop looking, at once. What is unsettled stays so until a workbench takes it up."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_up(self) -> None:
        await self._clock.sleep(TAKE_UP_AFTER_S)
        with suppress(ChatlabError):
            for attempt in await self._unsettled():
                self._follow(attempt)

    async def _unsettled(self) -> list[UnsettledAttempt]:
        since = self._clock.now() - TAKE_UP_WITHIN
        return list(await self._store.unsettled(self._gateway.name, since))

    def _follow(self, attempt: UnsettledAttempt) -> None:
        if attempt.attempt_id not in self._tasks:
            task = asyncio.create_task(self._look_again_and_again(attempt))
            self._tasks[attempt.attempt_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(attempt.attempt_id, None))

    async def _look_again_and_again(self, attempt: UnsettledAttempt) -> None:
        ended = self._clock.monotonic() - self._age_s(attempt)
        last_look: float | None = None
        while (wait := wait_before_look(self._clock.monotonic() - ended, last_look)) is not None:
            await self._clock.sleep(wait)
            last_look = self._clock.monotonic() - ended
            with suppress(ChatlabError):  # the next look, or the next workbench, will tell
                if await self._look(attempt, last_look):
                    return

    async def _look(self, attempt: UnsettledAttempt, age_s: float) -> bool:
        """Ask once and store what came; whether the attempt is settled by it. Raises ChatlabError.

        The last look leaves a row even when nothing is known: nobody asks again.
        """
        async with self._looking:
            bill = await self._gateway.generation(attempt.generation_id)
        settled = bill is not None and reported_cost(bill.charge).usd is not None
        if settled or wait_before_look(age_s, age_s) is None:
            await self._store.commit(self._report(attempt, bill))
        return settled

    def _report(self, attempt: UnsettledAttempt, bill: Bill | None) -> UsageReport:
        return UsageReport(
            attempt_id=attempt.attempt_id,
            source="generation_api",
            received_at=self._clock.now(),
            usage=bill.usage if bill is not None else Usage(),
            charge=bill.charge if bill is not None else Charge(),
            raw=bill.raw if bill is not None else None,
        )

    def _age_s(self, attempt: UnsettledAttempt) -> float:
        return max(0.0, (self._clock.now() - attempt.ended_at).total_seconds())
