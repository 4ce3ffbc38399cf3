"""What a response with faults does, act by act: it sends bytes, waits, or ends the connection in some way.

A link takes a piece of the response and gives acts; links in a row make a chain, through which every piece
goes in turn. Pure and lazy: nothing here sends or waits, and a link may go on for ever.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

RATE_STEP_S = 0.05  # a limited bandwidth is handed out in pieces that take about so long


@dataclass(frozen=True, slots=True)
class Wait:
    """Send nothing for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Unframed:
    """Bytes that go out as they are, past the framing."""

    data: bytes


class End(Enum):
    """The last act: what is left of the response is never sent."""

    CLOSE = "close"  # FIN: the connection ends, the response need not be whole
    RESET = "reset"  # RST: the connection breaks
    STALL = "stall"  # the connection stays open and silent until the client leaves


Act: TypeAlias = bytes | Unframed | Wait | End


class Link(Protocol):
    """One link of a chain; it keeps what it must remember of one response."""

    def feed(self, data: bytes) -> Iterable[Act]:
        """Give the acts for a piece, which is never empty."""

    def end(self) -> Iterable[Act]:
        """Give the acts after the last piece."""


def run_piece(links: Sequence[Link], data: bytes) -> Iterator[Act]:
    """Send a piece through a chain."""
    if not links:
        yield data
    elif data:
        yield from _run_acts(links[1:], links[0].feed(data))


def run_end(links: Sequence[Link]) -> Iterator[Act]:
    """Send the end through a chain: each link has its last word, which the links after it still see."""
    for position, link in enumerate(links):
        yield from _run_acts(links[position + 1 :], link.end())


def _run_acts(links: Sequence[Link], acts: Iterable[Act]) -> Iterator[Act]:
    for act in acts:
        if isinstance(act, bytes):
            yield from run_piece(links, act)
        else:
            yield act


class EachPiece:
    """Turns every piece into acts by a function that remembers nothing."""

    def __init__(self, treat: Callable[[bytes], Iterable[Act]]) -> None:
        self._treat = treat

    def feed(self, data: bytes) -> Iterable[Act]:
        """Give what the function gives."""
        return self._treat(data)

    def end(self) -> Iterable[Act]:
        """Add nothing."""
        return ()


class AfterBytes:
    """Lets `count` bytes pass, then acts once; what follows an `End` is never asked for.

    With `count` None it acts after the last piece; a response that is shorter than `count` is left alone.
    """

    def __init__(self, count: int | None, acts: Sequence[Act]) -> None:
        self._left = count
        self._at_end = count is None
        self._acts = acts

    def feed(self, data: bytes) -> Iterable[Act]:
        """Let bytes pass, and act when their number is reached."""
        if self._left is None or len(data) < self._left:
            self._left = None if self._left is None else self._left - len(data)
            yield data
            return
        before, after = data[: self._left], data[self._left :]
        self._left = None
        if before:
            yield before
        yield from self._acts
        if after:
            yield after

    def end(self) -> Iterable[Act]:
        """Act, when the end is the place for it."""
        return self._acts if self._at_end else ()


class Drip:
    """After the first piece with which `count` bytes are out: the same bytes for ever, `every_s` apart."""

    def __init__(self, count: int, every_s: float, drop: bytes) -> None:
        self._left = count
        self._every_s = every_s
        self._drop = drop

    def feed(self, data: bytes) -> Iterable[Act]:
        """Let a piece pass, unless it is time to drip."""
        if self._left > 0:
            self._left -= len(data)
            yield data
        while self._left <= 0:
            yield self._drop
            yield Wait(self._every_s)

    def end(self) -> Iterable[Act]:
        """Add nothing."""
        return ()


def cut_into(size: int) -> EachPiece:
    """Cut into pieces of at most `size` bytes."""
    return EachPiece(lambda data: (data[at : at + size] for at in range(0, len(data), size)))


def wait_before(seconds: float) -> EachPiece:
    """Wait before each piece."""
    return EachPiece(lambda data: (Wait(seconds), data))


def wait_at_random(seconds: float, draw: random.Random) -> EachPiece:
    """Wait between 0 and `seconds` before each piece."""
    return EachPiece(lambda data: (Wait(draw.uniform(0, seconds)), data))


def limit_rate(bytes_per_second: float) -> EachPiece:
    """Send no faster than this, in pieces of about RATE_STEP_S."""
    step = max(1, int(bytes_per_second * RATE_STEP_S))

    def treat(data: bytes) -> Iterator[Act]:
        for at in range(0, len(data), step):
            piece = data[at : at + step]
            yield Wait(len(piece) / bytes_per_second)
            yield piece

    return EachPiece(treat)


class ChunkFrames:
    """HTTP/1.1 chunked framing: each piece a chunk, and the empty chunk at the end."""

    def feed(self, data: bytes) -> Iterable[Act]:
        """Frame a piece."""
        return (b"%x\r\n%b\r\n" % (len(data), data),)

    def end(self) -> Iterable[Act]:
        """Give the mark of the end."""
        return (b"0\r\n\r\n",)
