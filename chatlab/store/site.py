"""One store file as this process sees it: brought up to date once, then read and written by leases.

Lease, file and presence belong together: nobody touches the file without the lease, and nobody holds the
lease without saying so.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb

from chatlab.errors import StoreBusy, StoreError
from chatlab.ports import Clock
from chatlab.store.connection import explained, is_missing, open_reader, open_writer, translated
from chatlab.store.lease import Lease
from chatlab.store.migrations import is_current, migrate
from chatlab.store.presence import Presence
from chatlab.values.identity import new_id

PRIVATE_DIRECTORY = 0o700


class Site:
    """A store file and the lease on it. Blocks its caller: for worker threads only."""

    def __init__(self, path: Path, clock: Clock, busy_timeout_s: float) -> None:
        self.path = path
        self.presence = Presence(path, new_id(clock.now()))
        self._clock = clock
        self._busy_timeout_s = busy_timeout_s
        self._lease = Lease(path)
        self._opening = threading.Lock()
        self._open = False

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a locked-down connection under a shared lease. DuckDB's errors pass as they are."""
        self._ensure_open()
        with self._leased(exclusive=False), open_reader(self.path) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection that writes, under the exclusive lease. DuckDB's errors pass as they are."""
        self._ensure_open()
        with self._leased(exclusive=True), open_writer(self.path) as connection:
            yield connection

    def is_wanted(self) -> bool:
        """Whether somebody waits for the lease, here or in another process."""
        return self._lease.is_wanted()

    def leave(self) -> None:
        """Take this process off the store."""
        with self._opening:
            self.presence.leave()
            self._open = False

    @contextmanager
    def _leased(self, *, exclusive: bool) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(self._lease.hold(exclusive=exclusive, timeout_s=self._busy_timeout_s))
            except TimeoutError:
                raise self._busy() from None
            except OSError as error:
                raise explained(self.path, error) from error
            stack.enter_context(self.presence.note("writing" if exclusive else "reading", self._clock.now()))
            yield

    def _busy(self) -> StoreBusy:
        holders = ", ".join(map(str, self.presence.holders())) or None
        return StoreBusy(
            f"The store {str(self.path)!r} was not free within {self._busy_timeout_s:g} s: held by "
            f"{holders or 'a process that left no name'}. Let its query end or stop that process.",
            holder=holders,
        )

    def _ensure_open(self) -> None:
        """Create, migrate and tidy the store before its first use.

        A store in order is only looked at, under a shared lease, so that a command line that reads does not
        have to wait for a long query elsewhere.
        """
        with self._opening:
            if self._open and self.path.exists():  # it may have been moved away meanwhile
                return
            with translated(self.path):
                self.path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
                self.presence.announce()
                if not self._is_in_order():
                    self._put_in_order()
            self._open = True

    def _is_in_order(self) -> bool:
        with self._leased(exclusive=False):
            if is_missing(self.path):
                return False
            with open_reader(self.path) as connection:
                return is_current(connection, self.path) and not self._orphans(connection)

    def _put_in_order(self) -> None:
        with self._leased(exclusive=True), open_writer(self.path) as connection:
            is_current(connection, self.path)
            migrate(connection, self._clock.now())
            if orphans := self._orphans(connection):
                connection.execute(
                    "UPDATE attempts SET outcome = 'abandoned', t_end = ? "
                    "WHERE outcome = 'in_flight' AND process_id IN (SELECT unnest(?::VARCHAR[]))",
                    [self._clock.now(), orphans],
                )
            self.presence.bury()

    def _orphans(self, connection: duckdb.DuckDBPyConnection) -> list[str]:
        """Return the dead processes that have attempts in flight."""
        found = connection.execute("SELECT DISTINCT process_id FROM attempts WHERE outcome = 'in_flight'")
        living = self.presence.living()
        return [process_id for (process_id,) in found.fetchall() if process_id not in living]


def closed(path: Path) -> StoreError:
    """Say that a store was used after it was closed."""
    return StoreError(f"The store {str(path)!r} is closed; open it anew.")
