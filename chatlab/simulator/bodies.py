"""What faults do to the bytes of a body before it is framed: other ways to write the same events, gzip, cuts.

An event stream is rewritten event by event, whatever the pieces it comes in. Each transform takes pieces and
gives pieces, and keeps what it must remember of one response.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Protocol

_GZIP_WINDOW = 31  # zlib's way to ask for a gzip header, whose time is then always 0
_DONE = b"data: [DONE]"
_LATE = b'data: {"choices":[{"index":0,"delta":{"content":" after the end"},"finish_reason":null}]}\n\n'
_SOME_CONTENT = re.compile(rb'"content":"(?=[^"])')


class Transform(Protocol):
    """Rewrites a body."""

    def feed(self, data: bytes) -> bytes:
        """Return what can be sent after this piece."""

    def end(self) -> bytes:
        """Return what is left."""


class EachEvent:
    """Rewrites whole events: the function gets one without the blank line after it, and its number from 1."""

    def __init__(self, write: Callable[[bytes, int], bytes]) -> None:
        self._write = write
        self._rest = b""
        self._count = 0

    def feed(self, data: bytes) -> bytes:
        """Rewrite the events that are whole by now."""
        *events, self._rest = (self._rest + data).split(b"\n\n")
        return b"".join(self._next(event) for event in events)

    def end(self) -> bytes:
        """Return the rest, which is no whole event, as it is."""
        return self._rest

    def _next(self, event: bytes) -> bytes:
        self._count += 1
        return self._write(event, self._count)


class ByteOrderMark:
    """Puts the mark of UTF-8 before everything."""

    def __init__(self) -> None:
        self._mark = b"\xef\xbb\xbf"

    def feed(self, data: bytes) -> bytes:
        """Let a piece pass, the first after the mark."""
        mark, self._mark = self._mark, b""
        return mark + data

    def end(self) -> bytes:
        """Add nothing."""
        return b""


class NoLastBlankLine:
    """Holds back the line ends after the last event."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Let a piece pass but for the line ends that may be the last."""
        data = self._held + data
        kept = data.rstrip(b"\n")
        self._held = data[len(kept) :]
        return kept

    def end(self) -> bytes:
        """Forget what was held."""
        return b""


class Gzip:
    """Content coding gzip; without `flush` most of it comes out at the end only."""

    def __init__(self, *, flush: bool) -> None:
        self._coder = zlib.compressobj(wbits=_GZIP_WINDOW)
        self._flush = flush

    def feed(self, data: bytes) -> bytes:
        """Code a piece."""
        coded = self._coder.compress(data)
        return coded + self._coder.flush(zlib.Z_SYNC_FLUSH) if self._flush else coded

    def end(self) -> bytes:
        """Return what the coder still has, and its checksum."""
        return self._coder.flush()


class Limit:
    """Drops everything after so many bytes."""

    def __init__(self, count: int) -> None:
        self._left = count

    def feed(self, data: bytes) -> bytes:
        """Return what is below the limit."""
        kept = data[: self._left]
        self._left -= len(kept)
        return kept

    def end(self) -> bytes:
        """Add nothing."""
        return b""


class Corrupt:
    """Inverts the bits of one byte, counted from 0."""

    def __init__(self, position: int) -> None:
        self._left = position

    def feed(self, data: bytes) -> bytes:
        """Invert the byte when it is in this piece."""
        at, self._left = self._left, self._left - len(data)
        if not 0 <= at < len(data):
            return data
        return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]

    def end(self) -> bytes:
        """Add nothing."""
        return b""


def without_space(event: bytes, _number: int) -> bytes:
    """Write `data:x` instead of `data: x`."""
    return re.sub(rb"(?m)^data: ", b"data:", event) + b"\n\n"


def over_lines(event: bytes, _number: int) -> bytes:
    """Break the JSON of an event where it allows a line end, into two `data:` lines."""
    return event.replace(b',"choices":', b',\ndata: "choices":', 1) + b"\n\n"


def with_ids(event: bytes, number: int) -> bytes:
    """Number the events, and put a comment between them."""
    if not event.startswith(b"data:"):
        return event + b"\n\n"
    return b"id: %d\n%b\n\n: ping\n\n" % (number, event)


def with_pings(event: bytes, _number: int) -> bytes:
    """Put a ping before each event, in turn without and with data."""
    return b"event: ping\n\nevent: ping\ndata: {}\n\n" + event + b"\n\n"


def with_retry(event: bytes, _number: int) -> bytes:
    """Put a reconnection time before each event."""
    return b"retry: 3000\n\n" + event + b"\n\n"


def with_empty_data(event: bytes, _number: int) -> bytes:
    """Put an event with no data before each event."""
    return b"data:\n\ndata\n\n" + event + b"\n\n"


def with_comments(event: bytes, _number: int) -> bytes:
    """Put comments before each event and into it."""
    return b": between\n\n: inside\n" + event + b"\n:\n\n"


def without_done(event: bytes, _number: int) -> bytes:
    """Leave out the mark of the end."""
    return b"" if event == _DONE else event + b"\n\n"


def with_late_data(event: bytes, _number: int) -> bytes:
    """Go on after the mark of the end."""
    return event + b"\n\n" + (_LATE if event == _DONE else b"")


def with_bad_utf8(event: bytes, _number: int) -> bytes:
    """Begin each piece of text with a byte that no UTF-8 has."""
    return _SOME_CONTENT.sub(b'"content":"\xff', event, count=1) + b"\n\n"


def with_crlf(event: bytes, _number: int) -> bytes:
    """End lines with CR LF."""
    return (event + b"\n\n").replace(b"\n", b"\r\n")


def with_cr(event: bytes, _number: int) -> bytes:
    """End lines with CR."""
    return (event + b"\n\n").replace(b"\n", b"\r")


def with_mixed_lines(event: bytes, number: int) -> bytes:
    """End the lines of one event with LF, of the next with CR LF, of the next with CR."""
    return (event + b"\n\n").replace(b"\n", (b"\n", b"\r\n", b"\r")[number % 3])
