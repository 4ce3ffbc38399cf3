"""Bytes to server-sent events, as leniently as the standard asks and real gateways need.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream (read 2026-11-20).
Beyond it: an event that the end of the stream left without its blank line is still dispatched, and lines
that are no field at all but look like a message (`{"error": ...}`, `error: {...}`, `<html>`) are handed on
as unframed, since gateways report failures that way. Bytes stay bytes: a line end is never part of a UTF-8
sequence, so the split needs no text.
"""

from __future__ import annotations

from typing import NamedTuple

EVENT_LIMIT = 64 * 1024 * 1024  # bytes of one event that are buffered at most

_BOM = b"\xef\xbb\xbf"


class SseEvent(NamedTuple):
    """One event. `name` is empty unless the stream gave one; `framed` is False for a bare line."""

    data: bytes
    name: bytes = b""
    framed: bool = True


class EventTooLarge(ValueError):
    """One event is larger than the limit."""


class SseDecoder:
    """Splits a byte stream that arrives in arbitrary pieces. Events without data are not reported."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self.comments = 0
        self._limit = limit
        self._pieces: list[bytes] = []  # of the line that is not complete yet
        self._pieces_size = 0
        self._lines: list[bytes] = []  # data lines of the event that is not complete yet
        self._lines_counted = 0
        self._lines_size = 0
        self._name = b""
        self._after_cr = False
        self._at_start = True

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take the next bytes and return the events they complete. Raises EventTooLarge."""
        if self._at_start:
            data = self._strip_bom(data)
        if self._after_cr or b"\r" in data:
            data = self._unify_line_ends(data)
        if b"\n" not in data:
            self._keep(data)
            return []
        if self._pieces:
            data = b"".join(self._pieces) + data
            self._pieces.clear()
            self._pieces_size = 0
        lines = data.split(b"\n")
        rest = lines.pop()
        events: list[SseEvent] = []
        for line in lines:
            if line[:5] == b"data:":
                self._lines.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line:
                self._other_line(line, events)
            elif self._lines:
                self._dispatch(events)
            else:
                self._name = b""
        if rest or self._lines:
            self._keep(rest)
        return events

    def end(self) -> list[SseEvent]:
        """Return what the end of the stream left incomplete: no line end or no blank line."""
        self._at_start = False
        return self.feed(b"\n\n")

    def _strip_bom(self, data: bytes) -> bytes:
        data = b"".join(self._pieces) + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._pieces = [data]
            return b""
        self._pieces.clear()
        self._at_start = False
        return data.removeprefix(_BOM)

    def _unify_line_ends(self, data: bytes) -> bytes:
        """Turn CRLF and CR into LF, also where CR and LF come in two pieces."""
        if not data:
            return data
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
        self._after_cr = data[-1:] == b"\r"
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._pieces.append(rest)
            self._pieces_size += len(rest)
        if self._lines:
            self._lines_size += sum(len(line) + 1 for line in self._lines[self._lines_counted :])
            self._lines_counted = len(self._lines)
        if self._pieces_size + self._lines_size > self._limit:
            raise EventTooLarge(f"an event of the stream is larger than {self._limit} bytes")

    def _dispatch(self, events: list[SseEvent]) -> None:
        lines = self._lines
        data = lines[0] if len(lines) == 1 else b"\n".join(lines)
        if data:
            events.append(SseEvent(data, self._name))
        lines.clear()
        self._lines_counted = self._lines_size = 0
        self._name = b""

    def _other_line(self, line: bytes, events: list[SseEvent]) -> None:
        field, _, value = line.partition(b":")
        if not field:
            self.comments += 1
        elif field == b"event":
            self._name = value.strip()
        elif field == b"error" and value:
            events.append(SseEvent(value.strip(), b"error", framed=False))
        elif field not in (b"data", b"id", b"retry"):
            events.append(SseEvent(line, framed=False))
