"""The cross-process lock beside a store: shared for readers, exclusive for the writer.

The lock is the kernel's own advisory lock on `<store>.lock`, so it ends with its process whatever happens.
Whoever has to wait does so inside the kernel, in a thread of its own, and never polls: polling lets the
lucky overtake the patient. Before the lock itself everybody takes a turnstile, `<store>.turn.lock`, and
keeps it only until the lock is theirs; without it, readers that overlap would keep a writer out for good.

A lock belongs to one open file, not to one process, so two leases inside one process exclude each other
exactly as two processes do.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import portalocker
from portalocker import LockFlags

OWNER_ONLY = 0o600


class Lease:
    """One lock of one store, to be held by any thread of this process."""

    def __init__(self, store: Path) -> None:
        self._turnstile = store.with_name(f"{store.name}.turn.lock")
        self._lock = store.with_name(f"{store.name}.lock")

    @contextmanager
    def hold(self, *, exclusive: bool, timeout_s: float) -> Iterator[None]:
        """Hold the lock; raises TimeoutError when it did not come in time, OSError when it cannot exist."""
        claim = _Claim(self._turnstile, self._lock, LockFlags.EXCLUSIVE if exclusive else LockFlags.SHARED)
        claim.take(timeout_s)
        try:
            yield
        finally:
            claim.release()

    def is_wanted(self) -> bool:
        """Whether somebody waits for the lock right now: whoever does stands in the turnstile."""
        descriptor = open_lock_file(self._turnstile)
        try:
            if not try_lock(descriptor, LockFlags.EXCLUSIVE):
                return True
            portalocker.unlock(descriptor)
            return False
        finally:
            os.close(descriptor)


class _Claim:
    """One attempt to get the lock, with descriptors of its own."""

    def __init__(self, turnstile: Path, lock: Path, mode: LockFlags) -> None:
        self._mode = mode
        self._turnstile = open_lock_file(turnstile)
        self._lock = open_lock_file(lock)
        self._decision = threading.Lock()
        self._taken = threading.Event()
        self._given_up = False
        self._failure: OSError | None = None

    def take(self, timeout_s: float) -> None:
        """Take the lock, waiting for it if need be. A claim that failed holds nothing."""
        try:
            if self._take_at_once():
                return
        except OSError:
            self.release()
            raise
        self._wait(timeout_s)
        if self._failure is not None:
            self.release()
            raise self._failure

    def _take_at_once(self) -> bool:
        """Take the lock if nobody holds it or waits for it."""
        if not try_lock(self._turnstile, LockFlags.EXCLUSIVE):
            return False
        taken = try_lock(self._lock, self._mode)
        portalocker.unlock(self._turnstile)
        return taken

    def _wait(self, timeout_s: float) -> None:
        """Let a thread block. A claim given up releases the lock in that thread, whenever it still comes."""
        threading.Thread(target=self._block, name="chatlab-store-lock", daemon=True).start()
        self._taken.wait(timeout_s)
        with self._decision:
            if not self._taken.is_set():
                self._given_up = True
                raise TimeoutError

    def _block(self) -> None:
        try:
            lock(self._turnstile, LockFlags.EXCLUSIVE)
            lock(self._lock, self._mode)
            portalocker.unlock(self._turnstile)
        except OSError as error:
            self._failure = error
        with self._decision:
            self._taken.set()
            given_up = self._given_up
        if given_up:
            self.release()

    def release(self) -> None:
        # Unlocked by name: a forked child that inherited the descriptors would keep a merely closed lock.
        for descriptor in (self._lock, self._turnstile):
            portalocker.unlock(descriptor)
            os.close(descriptor)


def open_lock_file(path: Path) -> int:
    """Open a file to lock, for its owner only, and return the descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)


def lock(descriptor: int, mode: LockFlags) -> None:
    """Lock a file, blocking until it is free. Raises OSError where files cannot be locked."""
    try:
        portalocker.lock(descriptor, mode)
    except portalocker.LockException as error:
        raise OSError(f"its lock file cannot be locked: {error}") from error


def try_lock(descriptor: int, mode: LockFlags) -> bool:
    """Lock a file without waiting; False when another holds it."""
    try:
        portalocker.lock(descriptor, mode | LockFlags.NON_BLOCKING)
    except portalocker.AlreadyLocked:
        return False
    except portalocker.LockException as error:
        raise OSError(f"its lock file cannot be locked: {error}") from error
    return True
