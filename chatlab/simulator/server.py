"""The server's life: a thread with an event loop of its own, a loopback port, and a clean end."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from chatlab.errors import InvalidValue
from chatlab.ports import Clock
from chatlab.simulator.api import PREFIX, Api
from chatlab.simulator.connection import Connection
from chatlab.simulator.pace import Pace, ServerClock

HOST = "127.0.0.1"  # never another: whoever reaches the port may use it
DEFAULT_PORT = 8900
FIRST_TOKEN_S = 0.25
TOKENS_PER_SECOND = 60.0
TURNS_TO_OPEN = 4  # of the event loop, until a connection that was just accepted is open


class Simulator:
    """A running simulator. Any number of them may run at once, each with its own port and bills."""

    def __init__(self, port: int, pace: Pace) -> None:
        self.port = port
        self._pace = pace
        self._opened: set[Connection] = set()
        self._ready = threading.Event()
        self._failure: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="chatlab-simulator", daemon=True)

    @classmethod
    def start(
        cls,
        port: int = 0,
        *,
        first_token_s: float = FIRST_TOKEN_S,
        tokens_per_second: float | None = TOKENS_PER_SECOND,
        clock: Clock | None = None,
    ) -> Self:
        """Start one and return when it listens; port 0 takes a free one.

        Each model waits `first_token_s` and then sends `tokens_per_second`, both times its own factor; None
        sends all at once. `clock` is a seam: its `sleep` is awaited on the server's loop.
        Raises InvalidValue when the port cannot be had.
        """
        if not 0 <= port <= 65_535:
            raise InvalidValue(f"port must be between 0 and 65535, not {port!r}")
        simulator = cls(port, Pace(first_token_s, tokens_per_second, clock or ServerClock()))
        simulator._begin()
        return simulator

    @property
    def url(self) -> str:
        """The base URL to give to a client."""
        return f"http://{HOST}:{self.port}{PREFIX}"

    def stop(self) -> None:
        """Close every connection and the port, and wait for the thread. Streams in progress are cut off."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "" if self._thread.is_alive() else ", stopped"
        return f"Simulator({self.url!r}{state})"

    def _begin(self) -> None:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise InvalidValue(_port_message(self.port, self._failure)) from None

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        api = Api(self._pace)
        try:
            server = await loop.create_server(lambda: Connection(api.serve, self._opened), HOST, self.port)
        except OSError as failure:
            self._failure = failure
            return
        listener = server.sockets[0]
        self.port = listener.getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        # A connection that asyncio has accepted but not yet opened when its server closes would never be
        # closed (CPython 3.11), so first accept no more, and let the accepted ones open.
        loop.remove_reader(listener.fileno())
        for _ in range(TURNS_TO_OPEN):
            await asyncio.sleep(0)
        server.close()
        for connection in list(self._opened):
            await connection.close()
        await server.wait_closed()


def serve_forever(
    port: int = DEFAULT_PORT,
    *,
    first_token_s: float = FIRST_TOKEN_S,
    tokens_per_second: float | None = TOKENS_PER_SECOND,
    on_ready: Callable[[Simulator], None] | None = None,
) -> None:
    """Serve until Ctrl-C, which ends it quietly. `on_ready` is called once it listens.

    Raises InvalidValue when the port cannot be had.
    """
    simulator = Simulator.start(port, first_token_s=first_token_s, tokens_per_second=tokens_per_second)
    with simulator:
        try:
            if on_ready is not None:
                on_ready(simulator)
            threading.Event().wait()
        except KeyboardInterrupt:
            return


def _port_message(port: int, failure: OSError) -> str:
    if failure.errno == errno.EADDRINUSE:
        return f"port {port} is in use by another program: choose another one, or 0 for any free port"
    return f"port {port} cannot be opened on {HOST}: {failure.strerror}"
