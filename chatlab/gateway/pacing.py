"""When the next request of a route may be sent: not before a gateway's hint, not faster than a known rate.

Pure: times are monotonic seconds that are passed in. Each part answers `wait(now)`, the seconds until a
request may start, and is told when one has started.
"""

from __future__ import annotations

from collections.abc import Callable

LONGEST_GATE_S = 900.0  # longer hints are for people: their requests may ask again after this
FIRST_PAUSE_S = 1.0  # after a refusal without a hint; doubled with every further one
LONGEST_PAUSE_S = 60.0
SPREAD_S = 1.0  # after a gate has opened, requests are let out one by one for so long
BURST = 0.1  # of what a minute allows that may be taken at once


class Gate:
    """Holds back every request of a route while the gateway has asked for a pause.

    Whoever waited is let out one by one, at random distances, so that no herd arrives when it opens.
    `random()` gives numbers from 0 up to 1.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._opens_at = self._next = float("-inf")
        self._pause = FIRST_PAUSE_S

    def answered(self) -> None:
        """Note that the gateway answers again."""
        self._pause = FIRST_PAUSE_S

    def refused(self, now: float, limit: int) -> None:
        """Pause for a while of our own choice, since the gateway named none; once for all that were out."""
        if now >= self._opens_at:
            self.close(now, self._random() * self._pause, limit)
            self._pause = min(LONGEST_PAUSE_S, 2 * self._pause)

    def close(self, now: float, hint_s: float, limit: int) -> None:
        """Let nothing out for `hint_s` seconds. A gate that opens later anyway stays as it is."""
        opens_at = now + min(hint_s, LONGEST_GATE_S)
        if opens_at > self._opens_at:
            self._opens_at = opens_at
            self._next = opens_at + self._random() / limit

    def wait(self, now: float) -> float:
        """Return the seconds until the next request may be let out; 0 for now."""
        return max(0.0, self._next - now)

    def let_out(self, now: float, limit: int) -> None:
        """Note that a request was let out; soon after an opening the next one keeps a distance to it."""
        if now < self._opens_at + SPREAD_S:
            self._next = now + self._random() / limit


class RateLimit:
    """A number of requests or tokens per minute that is known beforehand, as a bucket that fills steadily.

    Small amounts never add up to more than `per_minute` in any minute, wherever it begins. An amount larger
    than the bucket waits until it is full and then leaves a debt.
    """

    def __init__(self, per_minute: int) -> None:
        self._size = max(1.0, per_minute * BURST)
        # Whoever takes the full bucket at once and all that flows in during a minute has the whole minute's.
        self._per_second = (per_minute - self._size + 1.0) / 60.0
        self._level = self._size
        self._filled_at = float("-inf")

    def wait(self, now: float, amount: float = 1.0) -> float:
        """Return the seconds until so much may be taken."""
        missing = min(amount, self._size) - self._level_at(now)
        return max(0.0, missing / self._per_second)

    def take(self, now: float, amount: float = 1.0) -> None:
        """Take so much out, into debt if need be; less than nothing puts back what was not used."""
        self._level = min(self._size, self._level_at(now) - amount)
        self._filled_at = now

    def _level_at(self, now: float) -> float:
        if self._level >= self._size:
            return self._size
        return min(self._size, self._level + (now - self._filled_at) * self._per_second)
