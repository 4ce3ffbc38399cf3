"""DuckStore: the durable store as one object, usable from any event loop.

All work on the file happens in threads of the store's own: one writes, a few read. Nothing here blocks an
event loop, and nothing is opened before it is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chatlab.ports import Clock, StoredMessage, StoredSession, UnsettledAttempt
from chatlab.store.reader import Reader
from chatlab.store.site import Site, closed
from chatlab.store.status import StoreStatus, read_status
from chatlab.store.writer import Writer
from chatlab.values.records import Record

if TYPE_CHECKING:  # pandas takes a third of a second to import, and a turn does not need it
    import pandas as pd

    from chatlab.store.tables import Interrupt, QueryParams, Tables

READERS = 4
BUSY_TIMEOUT_S = 30.0
QUERY_TIMEOUT_S = 60.0

T = TypeVar("T")


class DuckStore:
    """The store in one DuckDB file, shared with any number of other processes.

    `busy_timeout_s` is how long a read or write waits for other processes before StoreBusy. The file, its
    folder and its tables are made when they are first needed, by reading too.
    """

    def __init__(self, path: Path, *, clock: Clock, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._site = Site(path, clock, busy_timeout_s)
        self._writer = Writer(self._site)
        self._reader = Reader(self._site)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="chatlab-store-reader")
        self._closed = False

    @property
    def path(self) -> Path:
        """The file."""
        return self._site.path

    async def commit(self, *records: Record) -> None:
        """Write all records in one transaction; returns when they are durable.

        Committing a record twice leaves one row. When the caller is cancelled while it waits, the records
        are written all the same. Raises StoreError, and NotFound for a change to a row that never was.
        """
        await self._writer.commit(records)

    async def session(self, session_id: str) -> StoredSession | None:
        """Read a session by its id or an unambiguous beginning of at least 4 characters.

        Raises NotFound naming the candidates when the beginning is ambiguous.
        """
        return await self._run(lambda: self._reader.session(session_id))

    async def latest_session(self) -> StoredSession | None:
        """Read the session that changed last, or None."""
        return await self._run(self._reader.latest_session)

    async def thread(self, session_id: str) -> Sequence[StoredMessage]:
        """Read the active path of a session, first message first."""
        return await self._run(lambda: self._reader.thread(session_id))

    async def unsettled(self, gateway: str, since: datetime) -> Sequence[UnsettledAttempt]:
        """Read the attempts at a gateway, started since then, whose bill was not told, the latest first."""
        return await self._run(lambda: self._reader.unsettled(gateway, since))

    async def query(
        self,
        sql: str,
        params: QueryParams | None = None,
        *,
        timeout_s: float | None = QUERY_TIMEOUT_S,
        max_rows: int | None = None,
    ) -> pd.DataFrame:
        """Run one SELECT of the user's, locked down; cancelling the caller stops the query.

        `frame.attrs["truncated"]` says whether there were more than `max_rows` rows. Raises QueryRefused
        for anything but one statement that reads, QueryFailed with DuckDB's words for what does not run.
        """
        from chatlab.store.tables import Interrupt

        interrupt = Interrupt()
        return await self._run(
            lambda: self._tables().query(
                sql, params, timeout_s=timeout_s, max_rows=max_rows, interrupt=interrupt
            ),
            interrupt,
        )

    async def usage(
        self,
        by: Sequence[str] = ("model",),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Sum tokens and cost by columns of ai_usage, from `since` on and before `until`.

        `where` chooses rows by equal values of such columns. The columns are those of `by`, then those that
        queries/usage.sql defines. Raises InvalidValue for a name that is no such column.
        """
        return await self._run(lambda: self._tables().usage(by, since, until, where or {}))

    async def sessions(self) -> pd.DataFrame:
        """List all sessions, the last one changed first; columns as queries/sessions.sql defines them."""
        return await self._run(lambda: self._tables().sessions())

    async def messages(self, session_id: str) -> pd.DataFrame:
        """List a session's active path; columns as queries/messages.sql defines them."""
        return await self._run(lambda: self._tables().messages(session_id))

    async def models(self) -> pd.DataFrame:
        """List the models of each gateway's latest listing; columns as views/ai_models.sql defines them."""
        return await self._run(lambda: self._tables().models())

    async def status(self) -> StoreStatus:
        """Look at the store's state."""
        return await self._run(lambda: read_status(self._site))

    async def close(self) -> None:
        """Write what is queued, end the threads and take this process off the store; twice is fine."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._end)

    def _end(self) -> None:
        self._writer.close()
        self._threads.shutdown(wait=True)
        self._site.leave()

    def _tables(self) -> Tables:
        from chatlab.store.tables import Tables

        return Tables(self._site)

    async def _run(self, work: Callable[[], T], interrupt: Interrupt | None = None) -> T:
        """Run blocking work in a reader's thread. A cancelled caller interrupts its query, if it can be."""
        if self._closed:
            raise closed(self.path)
        future = self._threads.submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if interrupt is not None:
                interrupt.now()
            raise
