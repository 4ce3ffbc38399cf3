"""A budget for retries, so that a route in trouble is not buried under second attempts. Pure.

Every retry takes something out of a bucket; it is put back when the request is answered after all, and an
answer at once adds a little. An empty bucket means that much of what is sent fails: the route is then left
alone but for one probe now and then, and the first probe that is answered opens it again. Size and costs are
those of botocore's standard retry mode, which puts back the last retry only:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html (checked 2026-11-20).
"""

from __future__ import annotations

from collections.abc import Mapping

from chatlab.errors import FailureKind

SIZE = 500
COSTS: Mapping[FailureKind, int] = {"transient": 14, "truncated": 14, "throttle": 5}
GAIN = 1  # for an answer that needed no retry
AFTER_PROBE = 100  # at least so much is there again once a probe was answered
PROBE_EVERY_S = 30.0


class RetryBudget:
    """The bucket of one route. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self.balance = SIZE
        self._next_probe: float | None = None  # None: the route is healthy

    @property
    def healthy(self) -> bool:
        """Whether requests are sent as usual."""
        return self._next_probe is None

    def pay(self, kind: FailureKind, now: float) -> int | None:
        """Take out what a retry after such a failure costs; None when it is not there: no retry then."""
        cost = COSTS[kind]
        if cost > self.balance:
            if self._next_probe is None:
                self._next_probe = now + PROBE_EVERY_S
            return None
        self.balance -= cost
        return cost

    def probe_due_in(self, now: float) -> float:
        """Return the seconds until a request may be sent; 0 when the route is healthy or a probe is due."""
        return 0.0 if self._next_probe is None else max(0.0, self._next_probe - now)

    def started(self, now: float) -> bool:
        """Note that a request is sent; return whether it is a probe. The next probe is due after a while."""
        if self._next_probe is None:
            return False
        self._next_probe = now + PROBE_EVERY_S
        return True

    def succeeded(self, *, paid: int, probe: bool) -> None:
        """Put back what the retries of an answered request cost, or the gain if it needed none."""
        self.balance = min(SIZE, self.balance + (paid or GAIN))
        if probe:
            self.balance = max(self.balance, AFTER_PROBE)
            self._next_probe = None
