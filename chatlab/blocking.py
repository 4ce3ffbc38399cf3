"""The background loop and the bridges to it: one async core for scripts, notebooks and other event loops.

All network and store work lives on one event loop in a daemon thread, so streams go on while a notebook
cell is busy, and the blocking API works where a loop is already running. Work is submitted in an empty
context: in a kernel, output of a background task would otherwise land in whatever cell started it.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias, TypeVar

from chatlab.calls.stopping import StopSignal
from chatlab.errors import ChatlabError, RequestError
from chatlab.ports import Emit
from chatlab.values.events import Done, Failed, StreamEvent
from chatlab.values.reply import Reply

T = TypeVar("T")
StartAnswer: TypeAlias = Callable[[Emit, StopSignal], Coroutine[Any, Any, Reply]]

INTERRUPT_TICK_S = 0.1  # how late an interrupted cell may notice while it awaits the background loop
STOP_WAIT_S = 10.0  # how long an interrupted caller waits for the partial answer to be saved


class BackgroundLoop:
    """An event loop in a daemon thread, started on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, starting it when needed."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="chatlab", daemon=True)
                self._thread.start()
            return self._loop

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop, from any thread."""
        return contextvars.Context().run(asyncio.run_coroutine_threadsafe, work, self.loop())

    def post(self, callback: Callable[[], object]) -> None:
        """Run a callback on the loop, from any thread."""
        self.loop().call_soon_threadsafe(callback, context=contextvars.Context())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it here. An interrupt cancels it."""
        self.refuse_here(work)
        future = self.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and await it on the caller's loop. Cancellation cancels it."""
        future = self.submit(work)
        try:
            await ended(future)
        except asyncio.CancelledError:
            future.cancel()
            raise
        return future.result()

    def refuse_here(self, work: Coroutine[Any, Any, T] | None = None) -> None:
        """Raise instead of waiting for ever when the caller is the loop's own thread."""
        if threading.current_thread() is self._thread:
            if work is not None:
                work.close()
            raise RequestError("a blocking call was made on chatlab's own loop: await the async form there")

    def stop(self) -> None:
        """End the loop and its thread; the next use starts new ones."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def forget(self) -> None:
        """Drop a loop whose thread stayed in the parent of a forked process; the next use starts anew."""
        self._lock = threading.Lock()  # the old one may have been held at that moment
        self._loop = self._thread = None


async def ended(future: Future[T]) -> None:
    """Return when a future of the background loop is done, whatever came of it."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    future.add_done_callback(lambda _: _wake_reader(loop, waiter))
    awake = _KeepAwake(loop)
    try:
        await waiter
    finally:
        awake.cancel()


class Stream:
    """The events of one answer, for a blocking `for` or an `async for`, whichever the caller has.

    The last event is `Done` or `Failed`; an exception that is no ChatlabError, a fault in chatlab, is raised
    instead. Leaving the iteration does not end the answer: it is drained and saved. `stop()`, an interrupt or
    a cancellation while waiting here does: the socket closes at once and the partial text is kept. `future`
    ends with the answer: its reply or its error.
    """

    def __init__(self, loop: BackgroundLoop, start: StartAnswer) -> None:
        self._loop = loop
        self._batches: deque[Sequence[StreamEvent]] = deque()
        self._waiting: list[Callable[[], object]] = []  # what wakes each reader that waits
        self._told = False  # the reader has been told how it ended
        self._ended = False  # nothing more will come
        self._signal = StopSignal()
        self.future = loop.submit(self._answer(start))

    def stop(self) -> None:
        """Stop the answer now; what has come is kept. From any thread; harmless when it has ended."""
        self._loop.post(self._signal.stop)

    @property
    def done(self) -> bool:
        """Whether the answer has ended and is saved: true for whoever has read `Done` or `Failed`."""
        return self._told or self._ended

    def result(self) -> Reply:
        """Wait for the end and return the reply. Raises what `Failed` carried."""
        self._loop.refuse_here()
        try:
            return self.future.result()
        except KeyboardInterrupt:
            self._stop_and_save()
            raise

    async def wait(self) -> Reply:
        """Await the end and return the reply. Raises what `Failed` carried. Cancellation stops the answer."""
        try:
            await ended(self.future)
        except asyncio.CancelledError:
            self.stop()
            raise
        return self.future.result()

    def __iter__(self) -> Iterator[StreamEvent]:
        self._loop.refuse_here()
        try:
            while batch := self._next_batch():
                yield from batch
            if not self._told:
                self.future.result()
        except KeyboardInterrupt:
            self._stop_and_save()
            raise

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        awake = _KeepAwake(asyncio.get_running_loop())
        try:
            while batch := await self._next_batch_async():
                for event in batch:
                    yield event
            if not self._told:
                await ended(self.future)
                self.future.result()
        except asyncio.CancelledError:
            self.stop()
            raise
        finally:
            awake.cancel()

    async def _answer(self, start: StartAnswer) -> Reply:
        try:
            return await start(self._put, self._signal)
        except ChatlabError as error:
            if not self._told:
                self._put([Failed(error)])
            raise
        finally:
            self._ended = True
            self._put(())

    def _put(self, batch: Sequence[StreamEvent]) -> None:
        """Hand over events, on the background loop; an empty batch ends the iteration.

        A waiting reader announces itself in `_waiting` and then looks at the queue once more, so one of the
        two sides always sees the other, and a reader that keeps up costs no thread switch for each event.
        """
        if batch and isinstance(batch[-1], Done | Failed):
            self._told = True
        self._batches.append(batch)
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for wake in waiting:
                wake()

    def _next_batch(self) -> Sequence[StreamEvent]:
        while True:
            if self._batches:
                return self._batches.popleft()
            if self._ended:
                return ()
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate.release)
            if not self._batches:
                gate.acquire()

    async def _next_batch_async(self) -> Sequence[StreamEvent]:
        loop = asyncio.get_running_loop()
        while True:
            if self._batches:
                return self._batches.popleft()
            if self._ended:
                return ()
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiting.append(partial(_wake_reader, loop, waiter))
            if not self._batches:
                await waiter

    def _stop_and_save(self) -> None:
        """Stop and give the partial answer the time to reach the store, since the process may end next."""
        self.stop()
        wait_for_futures([self.future], timeout=STOP_WAIT_S)


def _wake_reader(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # the reader's loop has been closed: nobody is waiting any more
        loop.call_soon_threadsafe(_resolve, waiter)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class _KeepAwake:
    """Wakes a loop now and then: only a loop that wakes notices that its cell was interrupted."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tick()

    def _tick(self) -> None:
        self._handle = self._loop.call_later(INTERRUPT_TICK_S, self._tick)

    def cancel(self) -> None:
        self._handle.cancel()
