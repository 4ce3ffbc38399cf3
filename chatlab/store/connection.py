"""DuckDB connections: one kind for the writer, one locked-down kind for every reader, and DuckDB's errors
in chatlab's words.

Inside one process DuckDB allows one configuration per file, so all readers share one: read-only, no access
to other files, no extension, no Python object by its name, UTC, and locked so that no SQL can change it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from chatlab.errors import ChatlabError, StoreBusy, StoreDamaged, StoreError, StoreTooNew, StoreUnwritable
from chatlab.store.lease import OWNER_ONLY

SHUT: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
}


@contextmanager
def open_reader(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file for reading only, locked down. The caller holds a shared lease."""
    with translated(path):
        connection = duckdb.connect(str(path), read_only=True, config=dict(SHUT))
    try:
        with translated(path):
            _lock_down(connection)
        yield connection
    finally:
        connection.close()


def _lock_down(connection: duckdb.DuckDBPyConnection) -> None:
    """Set the time zone to UTC and lock the configuration.

    Readers of one process that overlap share DuckDB's instance, and its settings with it: if they are
    locked already, an earlier reader has run these same lines.
    """
    try:
        connection.execute("SET enable_progress_bar = false")  # in a notebook it would draw into any cell
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        connection.execute("SET GLOBAL lock_configuration = true")
    except duckdb.InvalidInputException:
        settings = connection.execute(
            "SELECT current_setting('TimeZone'), current_setting('lock_configuration')"
        ).fetchone()
        if settings != ("UTC", True):
            raise


def is_missing(path: Path) -> bool:
    """Whether there is no store yet. A file without a byte is one whose making was cut off."""
    return not path.exists() or path.stat().st_size == 0


@contextmanager
def open_writer(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file for writing, creating it when it is missing. The caller holds an exclusive lease."""
    fresh = is_missing(path)
    with translated(path):
        if fresh:
            path.unlink(missing_ok=True)
        # One thread: its statements are small, and handing them around costs a third on top.
        connection = duckdb.connect(str(path), config={**SHUT, "threads": 1})
    try:
        with translated(path):
            if fresh:
                path.chmod(OWNER_ONLY)
            _make_private_wal(path)
            connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def _make_private_wal(path: Path) -> None:
    """Create the write-ahead log before DuckDB does, which would let everybody read it."""
    os.close(os.open(f"{path}.wal", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn DuckDB's and the system's errors into StoreErrors that name the file and the remedy."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise explained(path, error) from error


def explained(path: Path, error: Exception) -> ChatlabError:
    """Put any error in chatlab's words; one of chatlab's own stays as it is."""
    if isinstance(error, ChatlabError):
        return error
    if isinstance(error, OSError):
        return StoreUnwritable(f"The store {str(path)!r} cannot be written: {error}.")
    said = f"{type(error).__name__}: {error}"
    for sign, kind, meaning in _MEANINGS:
        if sign in said.lower():
            return kind(f"The store {str(path)!r} {meaning}. DuckDB said: {error}")
    return StoreError(f"The store {str(path)!r} failed: {said}")


# First match wins: what DuckDB 1.5 and 2.0 say, and what it means here.
_MEANINGS: tuple[tuple[str, type[ChatlabError], str], ...] = (
    (
        "could not set lock",
        StoreBusy,
        "is open in a program that does not use chatlab's lease; close it there and try again",
    ),
    (
        "different configuration",
        StoreBusy,
        "is open through duckdb.connect in this same process; close that connection and try again",
    ),
    ("version number", StoreTooNew, "was written by another version of DuckDB; install that one"),
    ("no space left", StoreUnwritable, "cannot grow: the disk is full. What was acknowledged is safe"),
    ("file too large", StoreUnwritable, "cannot grow: the file size limit is reached"),
    ("permission denied", StoreUnwritable, "cannot be opened: no permission for the file or its folder"),
    ("read-only file system", StoreUnwritable, "cannot be written: the file system is read-only"),
    ("not a valid duckdb", StoreDamaged, "is not a DuckDB file; move it aside or name another store"),
    ("corrupt", StoreDamaged, "is damaged; copy it and its .wal file aside before anything else"),
    ("checksum", StoreDamaged, "is damaged; copy it and its .wal file aside before anything else"),
    ("serialization error", StoreDamaged, "is damaged; copy it and its .wal file aside before anything else"),
)
