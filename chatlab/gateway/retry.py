"""When to try again, and how long to wait before it: a pure decision.

Only failures before any visible output are tried again, since the reader has already seen the rest. Waits
are random over their whole range (full jitter), so that clients that failed together do not return
together: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/. A gateway that names a
wait is never asked earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chatlab.errors import FailureKind, GatewayError


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts, in seconds: random up to `base_s` doubled per attempt, at most `cap_s`."""

    base_s: float
    cap_s: float

    def wait(self, attempts_made: int, random: Callable[[], float]) -> float:
        """Return the wait after so many attempts, at least one."""
        return random() * min(self.cap_s, self.base_s * 2.0 ** min(attempts_made - 1, 60))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a request is tried again while somebody watches."""

    max_attempts: int = 3
    max_hint_s: float = 120.0  # a gateway that asks for more is not waited for
    backoffs: Mapping[FailureKind, Backoff] = field(
        default_factory=lambda: {"throttle": Backoff(1.0, 60.0), "transient": Backoff(0.5, 20.0)}
    )

    def decide(
        self, error: GatewayError, *, attempts_made: int, visible_output: bool, random: Callable[[], float]
    ) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        `random()` gives numbers from 0 up to 1.
        """
        backoff = self.backoffs.get(error.kind)
        if backoff is None or visible_output or attempts_made >= self.max_attempts:
            return None
        hint = error.retry_after_s
        if hint is None or hint <= 0:
            return backoff.wait(attempts_made, random)
        if hint > self.max_hint_s:
            return None
        return hint + random() * min(0.1 * hint, 5.0)
