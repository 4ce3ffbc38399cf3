"""One call on its way: when its attempts may be sent, whether it is sent again, and when it has to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from chatlab.calls.routes import Route
from chatlab.calls.ticket import Ticket
from chatlab.errors import GatewayError, ResponseTimedOut
from chatlab.gateway.retry import Failures
from chatlab.ports import Clock
from chatlab.values.reply import AttemptResult


class Passage:
    """The state of one call between its attempts. `random()` gives numbers from 0 up to 1."""

    def __init__(self, route: Route, ticket: Ticket, *, clock: Clock, random: Callable[[], float]) -> None:
        self._route = route
        self._ticket = ticket
        self._clock = clock
        self._random = random
        self._began = clock.monotonic()
        self._failures = Failures()

    def enter_now(self) -> bool:
        """Send the next attempt now, if it need not wait; say whether it may. Raises what `enter` raises."""
        return self._route.enter_now(self._ticket)

    async def enter(self) -> None:
        """Wait for the turn of the next attempt.

        Raises RouteUnhealthy or RateLimited when waiting is not worth while, ResponseTimedOut when the call
        as a whole has taken too long.
        """
        try:
            async with self.deadline():
                await self._route.enter(self._ticket)
        except TimeoutError:
            raise self.too_late(sent=False) from None

    def deadline(self) -> asyncio.Timeout:
        """Return what cuts off, by TimeoutError, whatever is done inside when the call takes too long."""
        return asyncio.timeout(self._ticket.policy.deadline_s - self._elapsed_s())

    def too_late(self, *, sent: bool) -> ResponseTimedOut:
        """Make the error of a call that was cut off."""
        return ResponseTimedOut(
            f"{self._route.key.gateway} took too long: the call with all its attempts and waits did not end "
            f"within {self._ticket.policy.deadline_s:g} s. Try again later, or another model.",
            model=self._route.key.model,
            sent=sent,
        )

    def learn(self, result: AttemptResult) -> None:
        """Tell the route how an attempt that was sent has ended. One that the reader stopped says nothing."""
        if result.error is not None:
            self._route.failed(self._ticket, result.error)
        elif result.outcome == "completed":
            self._route.answered(self._ticket, result.usage.total_tokens if result.usage else None)

    def leave(self) -> None:
        """Make room for others. Harmless when no attempt is under way."""
        self._route.leave(self._ticket)

    def wait_before_retry(self, result: AttemptResult) -> float | None:
        """Return the seconds to wait before the next attempt, or None when there is none.

        Raises RouteUnhealthy when there would be one, but for what other calls have met with here.
        """
        error = result.error
        if error is None:
            return None
        self._failures = self._failures.and_one(error.kind)
        wait = self._ticket.policy.decide(
            error,
            failures=self._failures,
            visible_output=result.has_output,
            random=self._random,
            elapsed_s=self._elapsed_s(),
        )
        if wait is not None:
            self._route.pay_for_retry(self._ticket, error)
        return wait

    def _elapsed_s(self) -> float:
        return self._clock.monotonic() - self._began


def cut_off(result: AttemptResult, error: GatewayError) -> AttemptResult:
    """Make the result of an attempt that `error` of our own kept from its end; one that had ended stays."""
    if result.outcome != "stopped":
        return result
    return replace(result, outcome="error_during" if result.has_output else "error_before", error=error)
