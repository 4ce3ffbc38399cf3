"""How many requests may be under way at once on one route, learnt from what the gateway says. Pure.

Additive increase, multiplicative decrease: the limit grows after rounds that went well and were really used,
and shrinks when the gateway asks for less. It doubles until the first such word, then grows by a twentieth.
Failures that say nothing about load leave it as it is, and so do answers that needed a second attempt. The
rules are those of inspect_ai's adaptive concurrency, with a deeper cut when several requests are hit:
https://inspect.aisi.org.uk/models-concurrency.html (checked 2026-11-20).
"""

from __future__ import annotations

MIN_LIMIT = 1
START_LIMIT = 8
MAX_LIMIT = 64

GROWTH = 0.05  # of the limit, once the gateway has asked for less
CUT_ONE = 0.8  # when one request was refused
CUT_MANY = 0.7  # when several were
DEBOUNCE_S = 15.0  # refusals within so long of the first belong to the same cut
MIN_ROUND = 4  # successes that make a round, at least
USED = 0.8  # of the limit that a round must have used before it says anything


class AdaptiveLimit:
    """The limit of one route and what it has learnt so far. `now` is monotonic seconds, never going back."""

    def __init__(self, maximum: int = MAX_LIMIT) -> None:
        self.maximum = max(MIN_LIMIT, maximum)
        self.limit = min(START_LIMIT, self.maximum)
        self.in_flight = 0
        self.cuts = 0
        self._slow_start = True
        self._successes = 0  # of this round
        self._peak = 0  # most requests under way during this round
        self._cut_at: float | None = None
        self._before_cut = self.limit
        self._refused: set[str] = set()  # requests that the last cut was made for

    def full(self, *, watched: bool = False) -> bool:
        """Whether no further request may start. After a cut more may be under way than may start.

        Requests that somebody waits for need not feel their way: until the gateway has refused one, only the
        maximum holds them back.
        """
        return self.in_flight >= (self.maximum if watched and self._slow_start else self.limit)

    def start(self) -> None:
        """Count a request that starts now."""
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)

    def end(self) -> None:
        """Count a request that has ended, in whatever way."""
        self.in_flight -= 1

    def succeeded(self) -> None:
        """Learn from a request that was answered at its first attempt; called before its `end`."""
        self._successes += 1
        if self._successes < max(self.limit, MIN_ROUND):
            return
        if self._peak >= USED * self.limit:
            more = self.limit if self._slow_start else max(1, int(self.limit * GROWTH))
            self.limit = min(self.maximum, self.limit + more)
        self._new_round()

    def throttled(self, request: str, now: float) -> None:
        """Learn from a refusal for load. `request` tells apart one refused twice from two refused once."""
        if self._cut_at is None or now - self._cut_at >= DEBOUNCE_S:
            self._cut_at = now
            self._before_cut = self.limit
            self._refused.clear()
            self._slow_start = False
            self.cuts += 1
        self._refused.add(request)
        factor = CUT_MANY if len(self._refused) > 1 else CUT_ONE
        # Never up: a round may have gone well between the first refusal and the second.
        self.limit = min(self.limit, max(MIN_LIMIT, int(self._before_cut * factor)))
        self._new_round()

    def _new_round(self) -> None:
        self._successes = 0
        self._peak = self.in_flight
