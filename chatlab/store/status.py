"""The state of a store, for people who ask whether it is well. Blocks: for worker threads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from chatlab.store.connection import translated
from chatlab.store.migrations import schema_version
from chatlab.store.records import KEYS
from chatlab.store.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """What stands where. `holder` names the processes that hold a lease beside this look, or is None."""

    path: Path
    size_bytes: int  # the file and its write-ahead log
    schema_version: int
    duckdb_version: str
    rows: Mapping[str, int]  # by table
    holder: str | None


def read_status(site: Site) -> StoreStatus:
    """Look at the store. Raises StoreError."""
    me = site.presence.me.process_id
    with site.reading() as connection, translated(site.path):
        others = [str(holder) for holder in site.presence.holders() if holder.process_id != me]
        return StoreStatus(
            path=site.path,
            size_bytes=_size(site.path) + _size(site.path.with_name(f"{site.path.name}.wal")),
            schema_version=schema_version(connection),
            duckdb_version=duckdb.__version__,
            rows={table: _count(connection, table) for table in KEYS},
            holder=", ".join(others) or None,
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - a name of our own
    return int(row[0]) if row else 0
