"""Clocks: the machine's own, and one that a test moves by hand. Both fill `ports.Clock`."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, whatever happens to the wall clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for real."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until `advance` or `sleep` moves it; nothing waits for real.

    `now()` starts at `start`, `monotonic()` at 0. `slept` lists every wait that was asked for, in seconds.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError(f"start must be an aware time, not {start!r}")
        self._start = start.astimezone(UTC)
        self._elapsed_s = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Return the start plus everything that has passed."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        """Return the seconds that have passed since the start."""
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        """Let time pass at once. `seconds` must not be negative."""
        if seconds < 0:
            raise ValueError(f"time does not go back: advance({seconds!r})")
        self._elapsed_s += seconds

    async def sleep(self, seconds: float) -> None:
        """Note the wait, let it pass at once, and give other tasks a turn."""
        self.slept.append(seconds)
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)
