"""One HTTP/1.1 connection: h11 reads the requests, the bytes of the responses are written here.

h11 only parses: a fresh parser per request, fed with what the one before left over. Responses are composed
by hand, head, chunk frames and all, because every byte of them passes through `Response` and nothing else
decides about framing; a response that was given faults leaves through its `Delivery` instead. When the client
goes away, the task that serves it is cancelled at once.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias

import h11

from chatlab.ports import Clock
from chatlab.simulator.delivery import Delivery
from chatlab.simulator.treatment import Treatment

MAX_HEADER_BYTES = 64 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_DROPPED_BYTES = 4 * MAX_BODY_BYTES  # a larger body is cut off instead of being read to its end
MAX_UNREAD_BYTES = 1024 * 1024
RESET_PATIENCE_MS = 1_000  # a reset drops what is still on its way, so it waits for it, but not for ever

_log = logging.getLogger(__name__)

_CANNOT_PARSE = b'{"error":{"code":400,"message":"This is no HTTP/1.1 request.","metadata":{}}}'
_BROKEN = b'{"error":{"code":500,"message":"Internal Server Error","metadata":{"error_type":"server"}}}'


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Header names are lower case; `too_large` bodies were dropped."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    version: str = "1.1"
    too_large: bool = False


class Response:
    """Writes one response: either `send` once, or `start`, any number of `write`, `end`."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self._connection = connection
        self._chunked = request.version != "1.0"
        asked = request.headers.get("connection", "").lower()
        self.keeps_alive = self._chunked and "close" not in asked
        self._bodiless = request.method == "HEAD"
        self.started = False
        self._head = b""
        self.treatment: Treatment | None = None
        self._delivery: Delivery | None = None

    def treat(self, treatment: Treatment, clock: Clock) -> None:
        """Let faults have the response; to be called before it is started."""
        if treatment.framing in {"close", "http10"} or treatment.excess:
            self.keeps_alive = False
        self.treatment = treatment
        self._delivery = Delivery(treatment, self._connection, clock, self._compose_head)

    async def send(
        self,
        status: int,
        body: bytes,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a whole response."""
        fields = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
        self.started = True
        if self._delivery is not None:
            await self._delivery.send(status, fields, body, bodiless=self._bodiless)
            return
        await self._connection.put(self._compose_head(status, fields) + (b"" if self._bodiless else body))

    def start(self, status: int, *, content_type: str, headers: Mapping[str, str]) -> None:
        """Begin a streamed response; its head leaves with the first bytes of the body."""
        self.started = True
        if self._delivery is not None:
            self._delivery.start(status, {"content-type": content_type, **headers}, chunked=self._chunked)
            return
        framing = {"transfer-encoding": "chunked"} if self._chunked else {}
        self._head = self._compose_head(status, {"content-type": content_type, **framing, **headers})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the body at once, as one HTTP chunk; `last` ends the response with it."""
        if self._delivery is not None:
            await self._delivery.write(data, last=last)
            return
        if self._chunked and data:  # an empty chunk would be the end
            data = b"%x\r\n%b\r\n" % (len(data), data) + (b"0\r\n\r\n" if last else b"")
        head, self._head = self._head, b""
        await self._connection.put(head + data)

    def _compose_head(self, status: int, fields: Mapping[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        lines += ["cache-control: no-store", "x-content-type-options: nosniff"]
        lines += [] if self.keeps_alive else ["connection: close"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


Handler: TypeAlias = Callable[[Request, Response], Awaitable[None]]


class Connection(asyncio.Protocol):
    """Serves the requests of one client, one after the other. `closed` is done when the socket is."""

    def __init__(self, handle: Handler, opened: set[Connection]) -> None:
        self._handle = handle
        self._opened = opened
        self._unread = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Begin to serve."""
        self._transport: asyncio.Transport = transport
        self._opened.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        """Keep what arrived until it is read."""
        self._unread += data
        self._arrived.set()
        if len(self._unread) > MAX_UNREAD_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Stop serving a client that has hung up."""
        self._task.cancel()  # the transport closes itself after this

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- named by asyncio
        """Stop serving a client that is gone."""
        self._task.cancel()
        self._writable.set()
        self._opened.discard(self)
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """Hold writers: the client reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    async def put(self, data: bytes) -> None:
        """Write bytes, waiting while the client is slower than we are."""
        self._transport.write(data)
        # Also without waiting, give a client's going away and other clients a turn.
        await asyncio.sleep(0)
        await self._writable.wait()

    async def finish(self) -> None:
        """End the connection once the client's system has all that was put."""
        await self._flush()
        self._transport.close()

    async def reset(self) -> None:
        """Break the connection once the client's system has all that was put, or does not take it."""
        await self._flush()
        handle = self._transport.get_extra_info("socket")
        for _ in range(RESET_PATIENCE_MS):
            if not count_unacknowledged(handle):
                break
            await asyncio.sleep(0.001)
        # A socket that is closed without lingering sends RST instead of FIN (socket(7), SO_LINGER).
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def _flush(self) -> None:
        self._transport.set_write_buffer_limits(0)  # from now on writable means that nothing is left
        await self._writable.wait()

    async def close(self) -> None:
        """End whatever is being served and close the socket."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._transport.abort()
        await self.closed

    async def _serve(self) -> None:
        try:
            while await self._serve_one():
                pass
        finally:
            self._transport.close()

    async def _serve_one(self) -> bool:
        try:
            request = await self._receive()
        except h11.RemoteProtocolError:
            request = Request(method="GET", target="", headers={"connection": "close"}, body=b"")
            await Response(self, request).send(400, _CANNOT_PARSE)
            return False
        response = Response(self, request)
        try:
            await self._handle(request, response)
        except Exception:  # noqa: BLE001 -- the boundary: a fault of ours must not take the server down
            _log.exception("the simulator failed on %s %s", request.method, request.target)
            if not response.started:
                await response.send(500, _BROKEN)
            return False
        return response.keeps_alive

    async def _receive(self) -> Request:
        """Read one request. A body over the limit is read and dropped, so that the client sees why."""
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        head = await self._next_event(parser)
        if not isinstance(head, h11.Request):
            raise h11.RemoteProtocolError("expected the head of a request")
        pieces: list[bytes] = []
        size = 0
        while isinstance(event := await self._next_event(parser), h11.Data):
            size += len(event.data)
            if size > MAX_DROPPED_BYTES:
                raise h11.RemoteProtocolError("the body does not end")
            if size <= MAX_BODY_BYTES:
                pieces.append(bytes(event.data))
        self._unread[:0] = parser.trailing_data[0]
        return Request(
            method=head.method.decode(),
            target=head.target.decode(),
            headers={name.decode(): value.decode("latin-1") for name, value in head.headers},
            body=b"".join(pieces),
            version=head.http_version.decode(),
            too_large=size > MAX_BODY_BYTES,
        )

    async def _next_event(self, parser: h11.Connection) -> Any:
        while (event := parser.next_event()) is h11.NEED_DATA:
            if parser.they_are_waiting_for_100_continue:
                go_on = parser.send(h11.InformationalResponse(status_code=100, headers=[], reason="Continue"))
                await self.put(go_on or b"")
            parser.receive_data(await self._take())
        return event

    async def _take(self) -> bytes:
        while not self._unread:
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._unread)
        self._unread.clear()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data


def count_unacknowledged(handle: socket.socket) -> int:
    """Return how many bytes are on their way to the client; 0 where the system does not say (Windows)."""
    try:
        import fcntl
        import termios

        return int.from_bytes(fcntl.ioctl(handle.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (ImportError, OSError):
        return 0


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # 524 and 529 are no registered statuses
        return "Unknown"
