"""How fast answers come: a wait for the first token, then a steady rate, both scaled by the model family.

The simulator stands for a machine elsewhere, so it has a clock of its own; tests pass one that does not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from chatlab.errors import InvalidValue
from chatlab.ports import Clock
from chatlab.simulator.models import Family

KEEP_ALIVE_S = 0.5  # between two comments while the first token is awaited
UNPACED_BATCH = 256  # tokens handed out at once when there is no rate


class ServerClock:
    """Real time."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds until the first token, and tokens per second after it (None: all at once)."""

    first_token_s: float
    tokens_per_second: float | None
    clock: Clock

    def __post_init__(self) -> None:
        if self.first_token_s < 0:
            raise InvalidValue(f"first_token_s must be 0 or more seconds, not {self.first_token_s!r}")
        if self.tokens_per_second is not None and self.tokens_per_second <= 0:
            raise InvalidValue(
                f"tokens_per_second must be more than 0, or None for no limit, not {self.tokens_per_second!r}"
            )

    def of(self, family: Family) -> Pace:
        """Return the pace at which this family answers."""
        rate = None if self.tokens_per_second is None else self.tokens_per_second * family.speed
        return Pace(self.first_token_s * family.delay, rate, self.clock)

    async def await_first(self, keep_alive: Callable[[], Awaitable[None]]) -> None:
        """Wait until the first token is due, calling `keep_alive` from time to time."""
        remaining = self.first_token_s
        while remaining > 0:
            step = min(remaining, KEEP_ALIVE_S)
            await self.clock.sleep(step)
            remaining -= step
            if remaining > 0:
                await keep_alive()

    async def await_all(self, tokens: int) -> None:
        """Wait as long as a whole answer of `tokens` takes."""
        rate = self.tokens_per_second
        seconds = self.first_token_s + (tokens / rate if rate else 0.0)
        if seconds > 0:
            await self.clock.sleep(seconds)


class Meter:
    """Hands out the tokens of one answer as they fall due; created when the first one is."""

    def __init__(self, pace: Pace, total: int) -> None:
        self._rate = pace.tokens_per_second
        self._clock = pace.clock
        self._total = total
        self._begun = pace.clock.monotonic()

    async def due(self, sent: int) -> int:
        """Wait until more than `sent` tokens are due; return how many are due by then."""
        if self._rate is None:
            return min(self._total, sent + UNPACED_BATCH)
        while (count := self._elapsed_tokens()) <= sent:
            await self._clock.sleep(self._begun + sent / self._rate - self._clock.monotonic())
        return min(self._total, count)

    def _elapsed_tokens(self) -> int:
        rate = self._rate or 0.0
        # The tiny addition keeps rounding from asking for one more wait of almost nothing.
        return int((self._clock.monotonic() - self._begun) * rate + 1e-6) + 1
