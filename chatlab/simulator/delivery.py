"""Sends one response with its faults: the pure chains say what to do, this does it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from chatlab.ports import Clock
from chatlab.simulator.acts import Act, ChunkFrames, End, Link, Unframed, Wait, run_end, run_piece
from chatlab.simulator.treatment import Framing, Treatment, transform_end, transform_piece


class Wire(Protocol):
    """A connection, as far as faults need it."""

    async def put(self, data: bytes) -> None:
        """Send bytes, waiting while the client is slower than we are."""

    async def finish(self) -> None:
        """Send what was put, then FIN, and close."""

    async def reset(self) -> None:
        """Send what was put, then RST."""


class Delivery:
    """One response on its way. `compose_head` makes a head of status and fields."""

    def __init__(
        self,
        treatment: Treatment,
        wire: Wire,
        clock: Clock,
        compose_head: Callable[[int, Mapping[str, str]], bytes],
    ) -> None:
        self._treatment = treatment
        self._wire = wire
        self._clock = clock
        self._compose_head = compose_head
        self._head: tuple[int, Mapping[str, str]] | None = None
        self._held: list[bytes] = []
        self._transforms = treatment.coding
        self._links: list[Link] = treatment.cuts

    async def send(self, status: int, fields: Mapping[str, str], body: bytes, *, bodiless: bool) -> None:
        """Send a whole response."""
        transforms = self._treatment.coding
        body = transform_piece(transforms, body) + transform_end(transforms)
        await self._send_known(status, fields, b"" if bodiless else body, len(body))

    def start(self, status: int, fields: Mapping[str, str], *, chunked: bool) -> None:
        """Begin a streamed response, in chunks when nothing else is asked for."""
        treatment = self._treatment
        treatment.framing = treatment.framing or ("chunked" if chunked else "close")
        self._transforms = [*treatment.events, *treatment.coding]
        self._head = (status, fields)

    async def write(self, data: bytes, *, last: bool) -> None:
        """Send a piece of the body of a streamed response."""
        data = transform_piece(self._transforms, data)
        if last:
            data += transform_end(self._transforms)
        if self._treatment.framing == "length":
            self._held.append(data)
            if last and self._head is not None:
                body = b"".join(self._held)
                await self._send_known(*self._head, body, len(body))
            return
        if self._head is not None:
            (status, fields), self._head = self._head, None
            await self._send_head(status, fields, self._treatment.framing or "close")
        await self._perform(run_piece(self._links, data) if data else ())
        if last:
            await self._perform(run_end(self._links))

    async def _send_known(self, status: int, fields: Mapping[str, str], body: bytes, length: int) -> None:
        framing = self._treatment.framing or "length"
        if framing == "length":
            fields = {**fields, "content-length": str(max(0, length + self._treatment.excess))}
        await self._send_head(status, fields, framing)
        await self._perform(run_piece(self._links, body) if body else ())
        await self._perform(run_end(self._links))

    async def _send_head(self, status: int, fields: Mapping[str, str], framing: Framing) -> None:
        treatment = self._treatment
        framed = {"transfer-encoding": "chunked"} if framing == "chunked" else {}
        fields = {name.lower(): value for name, value in fields.items()}
        if framing != "length":
            fields.pop("content-length", None)
        head = self._compose_head(status, {**fields, **framed, **treatment.headers})
        if framing == "http10":
            head = head.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        frames = [ChunkFrames()] if framing == "chunked" else []
        self._links = [*treatment.cuts, *frames, *treatment.wire]
        await self._perform([*treatment.before_head, head])

    async def _perform(self, acts: Iterable[Act]) -> None:
        for act in acts:
            if isinstance(act, bytes):
                await self._wire.put(act)
            elif isinstance(act, Unframed):
                await self._wire.put(act.data)
            elif isinstance(act, Wait):
                await self._clock.sleep(act.seconds)
            else:
                await self._end(act)

    async def _end(self, end: End) -> None:
        """End, and stay until the connection's end cancels the task that serves it."""
        if end is End.CLOSE:
            await self._wire.finish()
        elif end is End.RESET:
            await self._wire.reset()
        await asyncio.Event().wait()
