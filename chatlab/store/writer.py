"""The one writer of a process: commits from any number of tasks, written in groups.

While one group is being written, the next one gathers. A lease is kept as long as work keeps coming, and
LINGER_S beyond the last commit, because a turn's next commit often follows at once and opening the file
costs twenty times as much as writing to it. After HOLD_S it goes to whoever waits for it, if anybody does.

`commit` returns when its records are durable, so whoever awaits it is slowed to the pace of the disk; the
queue is never longer than the number of tasks that wait. What is queued is written even when its task is
cancelled, and before the interpreter exits.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import duckdb

from chatlab.errors import ChatlabError
from chatlab.store.connection import explained
from chatlab.store.records import Row, Values, rows
from chatlab.store.rows import Columns, column_types, write
from chatlab.store.site import Site, closed
from chatlab.values.records import Record

HOLD_S = 0.2
LINGER_S = 0.003
GROUP_RECORDS = 5_000  # bounds the memory of one transaction


@dataclass(eq=False, slots=True)
class _Commit:
    """One caller's records and where its answer goes."""

    records: tuple[Record, ...]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]
    error: ChatlabError | None = None


class Writer:
    """Queues commits and writes them in a thread that lives as long as there is work."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="chatlab-store-writer")
        self._queue: deque[_Commit] = deque()
        self._changed = threading.Condition()
        self._running = False
        self._closed = False
        me = site.presence.me
        self._process: Values = {"process_id": me.process_id, "pid": me.pid, "host": me.host}
        self._columns: Columns | None = None

    async def commit(self, records: tuple[Record, ...]) -> None:
        """Write the records in one transaction; returns when they are durable."""
        if not records:
            return
        loop = asyncio.get_running_loop()
        commit = _Commit(records, loop, loop.create_future())
        with self._changed:
            if self._closed:
                raise closed(self._site.path)
            self._queue.append(commit)
            if self._running:
                self._changed.notify()
            else:
                self._running = True
                self._thread.submit(self._work)
        await commit.done

    def close(self) -> None:
        """Write what is queued and end the thread. Blocks."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.shutdown(wait=True)

    def _work(self) -> None:
        while self._has_work():
            try:
                with self._site.writing() as connection:
                    self._use(connection)
            except Exception as error:  # noqa: BLE001 - no commit may wait for ever, whatever went wrong
                self._fail_all(explained(self._site.path, error))

    def _has_work(self) -> bool:
        with self._changed:
            self._running = bool(self._queue)
            return self._running

    def _use(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Write groups until nothing comes any more, or others have waited for long enough."""
        until = time.monotonic() + HOLD_S
        if self._columns is None:
            self._columns = column_types(connection)
        while group := self._next_group():
            self._write_group(connection, group, self._columns)
            if time.monotonic() > until and self._site.is_wanted():
                return

    def _next_group(self) -> list[_Commit]:
        with self._changed:
            if not self._queue and not self._closed:
                self._changed.wait(LINGER_S)
            group: list[_Commit] = []
            records = 0
            while self._queue and records < GROUP_RECORDS:
                group.append(self._queue.popleft())
                records += len(group[-1].records)
            return group

    def _write_group(
        self, connection: duckdb.DuckDBPyConnection, group: Sequence[_Commit], columns: Columns
    ) -> None:
        """Write a group in one transaction; if that fails, each commit in one of its own, so that one
        commit's trouble stays its own."""
        try:
            self._write(connection, group, columns)
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for the answer
            if len(group) > 1:
                for commit in group:
                    self._write_group(connection, [commit], columns)
                return
            group[0].error = explained(self._site.path, error)
        _answer(group)

    def _write(
        self, connection: duckdb.DuckDBPyConnection, group: Iterable[_Commit], columns: Columns
    ) -> None:
        spelled = [row for commit in group for record in commit.records for row in self._spell(record)]
        connection.begin()
        try:
            write(connection, spelled, columns)
            connection.commit()
        except BaseException:
            with suppress(duckdb.Error):  # DuckDB has rolled back by itself when the commit failed
                connection.rollback()
            raise

    def _spell(self, record: Record) -> Iterable[Row]:
        return rows(record, self._process)

    def _fail_all(self, error: ChatlabError) -> None:
        with self._changed:
            group = list(self._queue)
            self._queue.clear()
        for commit in group:
            commit.error = error
        _answer(group)


def _answer(group: Iterable[_Commit]) -> None:
    """Wake the waiting tasks, each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[_Commit]] = {}
    for commit in group:
        loops.setdefault(commit.loop, []).append(commit)
    for loop, commits in loops.items():
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, commits)


def _settle(commits: Iterable[_Commit]) -> None:
    for commit in commits:
        if commit.done.done():  # its task was cancelled; the records are written all the same
            continue
        if commit.error is None:
            commit.done.set_result(None)
        else:
            commit.done.set_exception(commit.error)
