"""When to try again, and how long to wait before it: a pure decision.

While somebody watches, only failures before any visible output are tried again, since the reader has already
seen the rest. An evaluation is more patient: nobody reads along, and a gateway that is merely busy is waited
for. Waits are random over their whole range (full jitter), so that clients that failed together do not
return together: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/. A gateway that
names a wait is never asked earlier. A call as a whole has a deadline over all its attempts and waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from chatlab.errors import FailureKind, GatewayError


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts, in seconds: random up to `base_s` doubled per attempt, at most `cap_s`."""

    base_s: float
    cap_s: float

    def wait(self, attempts_made: int, random: Callable[[], float]) -> float:
        """Return the wait after so many attempts, at least one."""
        return random() * min(self.cap_s, self.base_s * 2.0 ** min(attempts_made - 1, 60))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """How many attempts of one call have failed so far, by kind."""

    fatal: int = 0
    throttle: int = 0
    transient: int = 0
    truncated: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.fatal + self.throttle + self.transient + self.truncated

    def and_one(self, kind: FailureKind) -> Failures:
        """Return the count with one more."""
        counts: dict[str, int] = {kind: getattr(self, kind) + 1}
        return replace(self, **counts)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a request is tried again; by default while somebody watches."""

    max_attempts: int = 3
    max_hint_s: float = 120.0  # a gateway that asks for more is not waited for
    deadline_s: float = 1800.0  # of the call as a whole, over all attempts and waits
    watched: bool = True  # somebody reads along: what was seen stays, and nothing is refused unasked
    throttles_count: bool = True  # whether an attempt that the gateway asked to postpone counts as one
    max_truncated: int = 0  # how many answers that broke off are asked for again
    backoffs: Mapping[FailureKind, Backoff] = field(
        default_factory=lambda: {
            "throttle": Backoff(1.0, 60.0),
            "transient": Backoff(0.5, 20.0),
            "truncated": Backoff(0.5, 20.0),
        }
    )

    def decide(
        self,
        error: GatewayError,
        *,
        failures: Failures,
        visible_output: bool,
        random: Callable[[], float],
        elapsed_s: float = 0.0,
    ) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        `failures` includes the attempt that ended in `error`; `elapsed_s` is the time since the call began.
        `random()` gives numbers from 0 up to 1.
        """
        if self._is_final(error, failures, visible_output=visible_output):
            return None
        wait = self._wait(error, failures, random)
        return wait if wait is not None and elapsed_s + wait < self.deadline_s else None

    def _is_final(self, error: GatewayError, failures: Failures, *, visible_output: bool) -> bool:
        if error.kind not in self.backoffs or (visible_output and self.watched):
            return True
        if error.kind == "truncated" and failures.truncated > self.max_truncated:
            return True
        counted = failures.total if self.throttles_count else failures.total - failures.throttle
        return counted >= self.max_attempts

    def _wait(self, error: GatewayError, failures: Failures, random: Callable[[], float]) -> float | None:
        hint = error.retry_after_s
        if hint is None or hint <= 0:
            return self.backoffs[error.kind].wait(failures.total, random)
        if hint > self.max_hint_s:
            return None
        return hint + random() * min(0.1 * hint, 5.0)


INTERACTIVE = RetryPolicy()
"""Somebody waits for the answer."""

EVALUATION = RetryPolicy(
    max_attempts=6, max_hint_s=900.0, watched=False, throttles_count=False, max_truncated=2
)
"""Nobody waits. A gateway that asks for more than 15 minutes is left to the run, which can pause."""
