"""Gaps between the pieces of an answer: their percentiles, in constant memory, whatever its length.

A gap falls into one of some 400 buckets, each 5 % wider than the one before, and is reported as the
geometric middle of its bucket: within 2.5 % of the gap that stands at that rank, from 1 us to 1000 s. What
is shorter or longer counts as the shortest or longest.
"""

from __future__ import annotations

import math
from math import ceil, log

SHORTEST_S = 1e-6
LONGEST_S = 1e3
RATIO = 1.05  # between neighbouring buckets; the error is at most its square root, less one

_SCALE = 1 / log(RATIO)
_OFFSET = -log(SHORTEST_S) * _SCALE
_BUCKETS = ceil(log(LONGEST_S / SHORTEST_S) * _SCALE)


class Gaps:
    """Takes the moments at which output came; `last` is the latest of them."""

    __slots__ = ("_counts", "last")

    def __init__(self) -> None:
        self.last: float | None = None
        self._counts = [0] * _BUCKETS

    def output_at(self, moment: float) -> None:
        """Take a moment in seconds; moments never go back."""
        if self.last is not None:
            gap = moment - self.last
            place = int(log(gap) * _SCALE + _OFFSET) if gap > SHORTEST_S else 0
            self._counts[place if place < _BUCKETS else -1] += 1
        self.last = moment

    def percentile(self, percent: int) -> float | None:
        """Return the gap in seconds that `percent` of all gaps do not exceed; None without any gap."""
        rank = ceil(sum(self._counts) * percent / 100)
        if rank == 0:
            return None
        place = passed = 0
        for place, count in enumerate(self._counts):  # noqa: B007 - it is where the loop stops
            passed += count
            if passed >= rank:
                break
        return SHORTEST_S * math.pow(RATIO, place + 0.5)
