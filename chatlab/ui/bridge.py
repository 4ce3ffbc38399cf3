"""The way from a transcript to one front end: numbered batches, at most 25 a second.

Messages out, all JSON-able:

    {"t": "snap", "seq": n, "to": name, "state": {...}}    everything; the next batch has number n
    {"t": "ops", "seq": n, "ops": [...]}                   batch number n

A front end that begins, or that misses a number, says `ready` with a name of its own choice and gets a
snapshot; views with other names ignore it. A Jupyter server silently drops messages above 1,000 a second,
so batches are few and their loss is noticed. A front end in Python, as reference and for tests, is `front`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from chatlab.chat.transcript import Op, Transcript
from chatlab.ui.projection import Projection, Scope

BATCHES_PER_SECOND = 25

Publish: TypeAlias = Callable[[dict[str, Any]], None]
Later: TypeAlias = Callable[[float, Callable[[], None]], object]
"""Calls a function once after some seconds; returns at once. In which thread does not matter."""


class Bridge:
    """Collects operations and publishes what the front end needs for them.

    Operations are collected under the transcript's lock; rendering, numbering and publishing happen under a
    lock of the bridge, so that no stream ever waits for Markdown. Always taken in this order: bridge,
    transcript.
    """

    def __init__(
        self, transcript: Transcript, publish: Publish, later: Later, *, scope: Scope | None = None
    ) -> None:
        self._transcript = transcript
        self._publish = publish
        self._later = later
        self._sending = threading.Lock()
        self._projection = Projection(scope)
        self._next = 0  # the number of the next batch
        self._pending: list[Op] = []
        self._armed = False
        with self._sending:
            with transcript.lock:  # no operation between the state and those that follow it
                state = transcript.state()
                self._stop_listening = transcript.listen(self._collect)
            self._projection.load(state)

    def flush(self) -> None:
        """Publish what has been collected, if anything."""
        with self._sending:
            self._flush()

    def sync(self, name: str) -> None:
        """Send a snapshot to the front end of that name."""
        with self._sending:
            self._flush()  # the other front ends need what was pending as a batch
            self._publish({"t": "snap", "seq": self._next, "to": name, "state": self._projection.state()})

    def state(self) -> dict[str, Any]:
        """Return what the front end has or is about to have."""
        with self._sending:
            self._flush()
            return self._projection.state()

    def close(self) -> None:
        """Follow the transcript no longer."""
        self._stop_listening()

    def _collect(self, op: Op) -> None:
        """Note an operation; called under the transcript's lock."""
        if not self._merged(op):
            self._pending.append(list(op))
        if not self._armed:
            self._armed = True
            self._later(1 / BATCHES_PER_SECOND, self.flush)

    def _merged(self, op: Op) -> bool:
        """Add text to a pending delta of the same field, but never move it across another operation."""
        for old in reversed(self._pending if op[0] == "delta" else []):
            if old[0] != "delta":
                return False
            if old[1:3] == op[1:3]:
                old[3] += op[3]
                return True
        return False

    def _flush(self) -> None:
        with self._transcript.lock:
            ops, self._pending, self._armed = self._pending, [], False
        out = self._projection.project(ops)
        if out:
            self._publish({"t": "ops", "seq": self._next, "ops": out})
            self._next += 1
