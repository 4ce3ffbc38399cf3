"""Which processes use a store, which of them are alive, and who holds it now.

Every open store keeps one file in `<store>.processes/`, named by an id minted when it was opened, and
locked as long as its process lives: the kernel takes the lock away from a dead one, so a lock that can be
had is a death certificate that survives kill -9, a reused pid and a container of its own pids. The file
says whose it is and, while a lease is held, since when; that is what StoreBusy reports.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from portalocker import LockFlags

from chatlab.store.lease import lock, open_lock_file, try_lock

Holding = Literal["reading", "writing"]


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that uses the store. Without a lease `holding` and `since` (ISO 8601, UTC) are None."""

    process_id: str
    pid: int
    host: str
    holding: Holding | None = None
    since: str | None = None

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host} ({self.holding} since {self.since})"


class Presence:
    """This process's own file, from `announce` to `leave`."""

    def __init__(self, store: Path, process_id: str) -> None:
        self._directory = store.with_name(f"{store.name}.processes")
        self._path = self._directory / process_id
        self._descriptor: int | None = None
        self._mutex = threading.Lock()
        self._leases = 0
        self.me = Holder(process_id, os.getpid(), socket.gethostname())

    def announce(self) -> None:
        """Make and lock the file; anew when a cleaner took it for a dead one before it was locked."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        if self._descriptor is not None and not _is_at(self._descriptor, self._path):
            self._forget()
        while self._descriptor is None:
            descriptor = open_lock_file(self._path)
            lock(descriptor, LockFlags.EXCLUSIVE)
            if _is_at(descriptor, self._path):
                self._descriptor = descriptor
            else:
                os.close(descriptor)
        self._write(self.me)

    @contextmanager
    def note(self, holding: Holding, now: datetime) -> Iterator[None]:
        """Say in the file that this process holds a lease; among overlapping reads the first one counts."""
        with self._mutex:
            self._leases += 1
            if self._leases == 1:
                self._write(replace(self.me, holding=holding, since=now.isoformat(timespec="seconds")))
        try:
            yield
        finally:
            with self._mutex:
                self._leases -= 1
                if self._leases == 0:
                    self._write(self.me)

    def leave(self) -> None:
        """Remove the file: whatever this process left in flight is abandoned from now on."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            self._forget()

    def living(self) -> set[str]:
        """Return the ids of all processes that are alive, this one included."""
        return {path.name for path in self._files() if _is_locked(path)}

    def holders(self) -> list[Holder]:
        """Return the living processes that hold a lease, this one included."""
        found = [_read(path) for path in self._files() if _is_locked(path)]
        return [holder for holder in found if holder is not None and holder.holding is not None]

    def bury(self) -> None:
        """Remove the files of dead processes."""
        for path in self._files():
            descriptor = os.open(path, os.O_RDWR)
            if try_lock(descriptor, LockFlags.EXCLUSIVE):
                path.unlink(missing_ok=True)
            os.close(descriptor)

    def _forget(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _files(self) -> list[Path]:
        return sorted(self._directory.iterdir()) if self._directory.is_dir() else []

    def _write(self, holder: Holder) -> None:
        if self._descriptor is not None:
            text = json.dumps(asdict(holder)).encode()
            os.pwrite(self._descriptor, text.ljust(400), 0)  # one length, one write: never read half


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True  # left in this moment: neither dead nor to be buried
    try:
        return not try_lock(descriptor, LockFlags.SHARED)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Holder | None:
    """Read one file; None when its process is only just writing it, or gone."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
