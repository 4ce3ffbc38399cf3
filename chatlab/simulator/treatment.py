"""All that the faults chosen for one response do to it, collected before its first byte is sent."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from chatlab.simulator.acts import Act, Link
from chatlab.simulator.bodies import Transform

Framing: TypeAlias = Literal["chunked", "length", "close", "http10"]


@dataclass(slots=True)
class Treatment:
    """What one response goes through, in this order.

    An answer of its own takes the place of the real one when `status` or `body` is set. Its events are
    rewritten by `events` when it is an event stream, then its bytes by `coding`; `cuts` work on what is to be
    framed, `wire` on what was framed. The head goes out in one piece.
    """

    attempt: int  # from 1
    draw: random.Random
    now: datetime
    status: int | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)  # lower case; they replace those of the answer
    events: list[Transform] = field(default_factory=list)
    coding: list[Transform] = field(default_factory=list)
    cuts: list[Link] = field(default_factory=list)
    wire: list[Link] = field(default_factory=list)
    before_head: list[Act] = field(default_factory=list)
    framing: Framing | None = None  # None: the usual one
    excess: int = 0  # bytes by which a content-length is wrong


def transform_piece(transforms: list[Transform], data: bytes) -> bytes:
    """Send a piece through transforms in a row."""
    for transform in transforms:
        data = transform.feed(data) if data else data
    return data


def transform_end(transforms: list[Transform]) -> bytes:
    """Return what the transforms still have; what one has left goes through those after it."""
    left = b""
    for transform in transforms:
        left = (transform.feed(left) if left else left) + transform.end()
    return left
