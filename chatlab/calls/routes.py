"""The way to one model: every call passes through here, so that all of them together stay welcome.

A route is a gateway, a key, a model and, where one is pinned, a provider. It lets so many calls through at
once as the gateway has shown to bear, holds all of them back while the gateway asks for a pause, and stops
asking when nothing but failures comes back. Whoever has to wait is served in order: watched calls first, then
calls that come again, then new ones. The rules themselves are pure and live in `gateway`; here they meet the
event loop and the clock. A call that need not wait costs a few microseconds, no task and no turn of the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from chatlab.calls.ticket import RouteKey, Ticket
from chatlab.errors import GatewayError, InvalidValue, RateLimited, RouteUnhealthy
from chatlab.gateway.budget import RetryBudget
from chatlab.gateway.limiter import MAX_LIMIT, AdaptiveLimit
from chatlab.gateway.pacing import Gate, RateLimit
from chatlab.ports import Clock

MAX_IN_FLIGHT = 256  # requests under way at once over all routes
TICK_S = 0.001  # alarms are no finer: a wait that a clock cannot tell from none would never end


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLimits:
    """What is known beforehand about a route. None: not known, so it is learnt from refusals."""

    max_in_flight: int = MAX_LIMIT
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None  # of input and output together

    def __post_init__(self) -> None:
        for name in ("max_in_flight", "requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidValue(f"{name} must be at least 1, not {value!r}")


class Routes:
    """All routes of one event loop, made when they are first used."""

    def __init__(
        self, *, clock: Clock, random: Callable[[], float], max_in_flight: int = MAX_IN_FLIGHT
    ) -> None:
        self.clock = clock
        self.random = random
        self.in_flight = 0
        self._max_in_flight = max_in_flight
        self._routes: dict[RouteKey, Route] = {}
        self._crowded_out: dict[Route, None] = {}  # waiting for room among all, in order

    def __getitem__(self, key: RouteKey) -> Route:
        route = self._routes.get(key)
        if route is None:
            route = self._routes[key] = Route(self, key)
        return route

    def has_room(self, route: Route) -> bool:
        """Whether one more request may start; if not, the route is told when one may."""
        if self.in_flight < self._max_in_flight:
            return True
        self._crowded_out[route] = None
        return False

    def give_room(self) -> None:
        """Count a request that has ended, and let routes that waited for room go on, in turn."""
        self.in_flight -= 1
        while self._crowded_out and self.in_flight < self._max_in_flight:
            route = next(iter(self._crowded_out))
            del self._crowded_out[route]
            route.admit()


class Route:
    """One route. `enter` and `leave` belong together around every attempt; `learn` comes before `leave`."""

    def __init__(self, routes: Routes, key: RouteKey) -> None:
        self.key = key
        self.limit = AdaptiveLimit()
        self.budget = RetryBudget()
        self.gate = Gate(routes.random)
        self._requests: RateLimit | None = None
        self._tokens: RateLimit | None = None
        self._routes = routes
        self._clock = routes.clock
        self._queues: tuple[deque[_Waiting], ...] = (deque(), deque(), deque())  # in the order of their turns
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = inf

    def set_limits(self, limits: RouteLimits) -> None:
        """Take what is known beforehand; the limit that was learnt so far is forgotten."""
        in_flight = self.limit.in_flight
        self.limit = AdaptiveLimit(limits.max_in_flight)
        self.limit.in_flight = in_flight
        self._requests = RateLimit(limits.requests_per_minute) if limits.requests_per_minute else None
        self._tokens = RateLimit(limits.tokens_per_minute) if limits.tokens_per_minute else None
        if any(self._queues):
            self.admit()

    @property
    def counts_tokens(self) -> bool:
        """Whether the size of a request matters here."""
        return self._tokens is not None

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return sum(map(len, self._queues))

    # ------------------------------------------------------------------ in

    def enter_now(self, ticket: Ticket) -> bool:
        """Let a call in if it need not wait, and say whether it is in. Raises what `enter` raises."""
        now = self._clock.monotonic()
        self._refuse(ticket, now)
        if any(self._queues[: _lane(ticket) + 1]) or self._wait(ticket, now) > 0:
            return False
        self._start(ticket, now)
        return True

    async def enter(self, ticket: Ticket) -> None:
        """Let a call in when its turn has come.

        Raises RouteUnhealthy when the route is left alone for a while, and RateLimited when the gateway
        asked for a longer pause than the call is ready for; nothing is sent then. A call that is cancelled
        here is not in.
        """
        if self.enter_now(ticket):
            return
        waiting = _Waiting(ticket, asyncio.get_running_loop().create_future())
        queue = self._queues[_lane(ticket)]
        queue.append(waiting)
        self.admit()
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting in queue:
                queue.remove(waiting)
                self.admit()
            self.leave(ticket)  # its turn may have come in the same moment
            raise

    def admit(self) -> None:
        """Let in everybody whose turn has come, and set the alarm for the next one."""
        now = self._clock.monotonic()
        wait = inf
        while queue := next(filter(None, self._queues), None):
            first = queue[0]
            if not first.turn.cancelled():
                try:
                    self._refuse(first.ticket, now)
                except GatewayError as error:
                    first.turn.set_exception(error)
                else:
                    wait = self._wait(first.ticket, now)
                    if wait > 0:
                        break
                    self._start(first.ticket, now)
                    first.turn.set_result(None)
            queue.popleft()
        self._set_alarm(now + wait if queue else inf)

    def _refuse(self, ticket: Ticket, now: float) -> None:
        """Raise when it is not worth while to wait."""
        if not ticket.attempts and not ticket.policy.watched:
            probe_in = self.budget.probe_due_in(now)
            if probe_in > 0:
                raise self._unhealthy(probe_in)
        pause = self.gate.wait(now)
        if pause > ticket.policy.max_hint_s:
            raise RateLimited(
                f"{self.key.gateway} asked not to be asked for {self.key.model} before {pause:.0f} s have "
                "passed; nothing was sent. Wait so long, or use another model.",
                model=self.key.model,
                retry_after_s=pause,
                sent=False,
            )

    def _wait(self, ticket: Ticket, now: float) -> float:
        """Return the seconds until a call may start; infinite when another one has to end first."""
        if self.limit.full(watched=ticket.policy.watched) or not self._routes.has_room(self):
            return inf
        wait = self.gate.wait(now)
        if self._requests is not None:
            wait = max(wait, self._requests.wait(now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait(now, ticket.tokens))
        return wait

    def _start(self, ticket: Ticket, now: float) -> None:
        self._routes.in_flight += 1
        self.limit.start()
        self.gate.let_out(now, self.limit.limit)
        if self._requests is not None:
            self._requests.take(now)
        if self._tokens is not None:
            self._tokens.take(now, ticket.tokens)
        ticket.attempts += 1
        ticket.probe = self.budget.started(now)
        ticket.inside = True

    # ------------------------------------------------------------------ out

    def leave(self, ticket: Ticket) -> None:
        """Make room for the next call. Harmless when the call is not in."""
        if not ticket.inside:
            return
        ticket.inside = False
        self.limit.end()
        self._routes.give_room()
        if any(self._queues):
            self.admit()

    def answered(self, ticket: Ticket, tokens: int | None) -> None:
        """Learn from an answer; `tokens` is what the gateway counted, None when it did not say."""
        self.gate.answered()
        if ticket.attempts == 1:
            self.limit.succeeded()
        self.budget.succeeded(paid=ticket.paid, probe=ticket.probe)
        if self._tokens is not None and tokens is not None:
            self._tokens.take(self._clock.monotonic(), tokens - ticket.tokens)

    def failed(self, ticket: Ticket, error: GatewayError) -> None:
        """Learn from a failure: whether there were too many at once, and whether a pause was asked for."""
        now = self._clock.monotonic()
        if error.kind == "throttle":
            self.limit.throttled(ticket.call_id, now)
        if error.retry_after_s and error.kind in {"throttle", "transient"}:
            self.gate.close(now, error.retry_after_s, self.limit.limit)
        elif error.kind == "throttle":
            self.gate.refused(now, self.limit.limit)

    def pay_for_retry(self, ticket: Ticket, error: GatewayError) -> None:
        """Take a retry out of the route's budget. Raises RouteUnhealthy when there is nothing left."""
        now = self._clock.monotonic()
        paid = self.budget.pay(error.kind, now)
        if paid is None:
            self.admit()  # whoever waits is told as well
            raise self._unhealthy(self.budget.probe_due_in(now), f" The last failure: {error}")
        ticket.paid += paid

    def _unhealthy(self, probe_in: float, cause: str = "") -> RouteUnhealthy:
        return RouteUnhealthy(
            f"{self.key.gateway} fails too often for {self.key.model}: the route is unhealthy and left "
            f"alone for now. Try again in {probe_in:.0f} s, or use another model.{cause}",
            model=self.key.model,
            retry_after_s=probe_in,
            sent=False,
        )

    # ------------------------------------------------------------------ time

    def _set_alarm(self, due: float) -> None:
        if self._alarm is not None:
            if self._alarm_at <= due < inf:
                return  # it rings earlier, and looks again then
            self._alarm.cancel()
            self._alarm = None
        if due < inf:
            self._alarm_at = due
            self._alarm = asyncio.ensure_future(self._ring(due))

    async def _ring(self, due: float) -> None:
        await self._clock.sleep(max(TICK_S, due - self._clock.monotonic()))
        self._alarm = None
        self.admit()


def _lane(ticket: Ticket) -> int:
    """Return the queue of a call: somebody waits for it, it has waited already, or neither."""
    return 0 if ticket.policy.watched else 1 if ticket.attempts else 2


@dataclass(slots=True, eq=False)
class _Waiting:
    """A call that waits for its turn."""

    ticket: Ticket
    turn: asyncio.Future[None]
