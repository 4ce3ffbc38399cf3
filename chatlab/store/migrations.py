"""The schema: numbered migrations, each in one transaction with its record, and the views on top.

A migration is a file `schema/NNNN_name.sql`, run once and never edited after its release. The views are
not migrated: each is created anew when the text of any of them has changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb

from chatlab.errors import StoreTooNew

# In the order of creation: a view stands after those it reads.
VIEWS = ("ai_usage", "ai_models", "usage_by_day", "usage_by_model", "usage_by_session", "thread")

_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT, name VARCHAR, sha256 VARCHAR, applied_at TIMESTAMPTZ
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; `version` counts from 1 without gaps."""

    version: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """Read all migrations, first one first."""
    found = sorted((files(__package__) / "schema").iterdir(), key=lambda file: file.name)
    return tuple(
        Migration(int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text("utf-8"))
        for file in found
        if file.name.endswith(".sql")
    )


@cache
def view_texts() -> dict[str, str]:
    """Read the SQL of every view, in the order of creation."""
    folder = files(__package__) / "views"
    return {name: (folder / f"{name}.sql").read_text("utf-8") for name in VIEWS}


def schema_version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the version of the open store; 0 for an empty file."""
    known = connection.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_name = 'schema_migrations'"
    ).fetchone()
    if known is None:
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM schema_migrations").fetchone()
    return int(row[0]) if row else 0


def is_current(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Whether the schema and the views are this code's. Raises StoreTooNew."""
    version = schema_version(connection)
    newest = migrations()[-1].version
    if version > newest:
        raise StoreTooNew(
            f"The store {str(path)!r} has schema version {version}, and this chatlab knows versions up to "
            f"{newest}: install a newer chatlab-workbench, or name another store."
        )
    return version == newest and _stored_views(connection) == _view_hashes()


def migrate(connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Bring schema and views up to date. The caller has checked that the store is not too new."""
    done = schema_version(connection)
    for migration in migrations():
        if migration.version > done:
            _apply(connection, migration, now)
    if _stored_views(connection) != _view_hashes():
        _create_views(connection)


def _apply(connection: duckdb.DuckDBPyConnection, migration: Migration, now: datetime) -> None:
    connection.begin()
    try:
        connection.execute(_RECORD)
        connection.execute(migration.sql)
        connection.execute(
            "INSERT INTO schema_migrations VALUES (?, ?, ?, ?)",
            [migration.version, migration.name, _sha256(migration.sql), now],
        )
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _create_views(connection: duckdb.DuckDBPyConnection) -> None:
    connection.begin()
    try:
        for sql in view_texts().values():
            connection.execute(sql)
        connection.execute("DELETE FROM schema_views")
        connection.executemany("INSERT INTO schema_views VALUES (?, ?)", sorted(_view_hashes().items()))
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _stored_views(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    return dict(connection.execute("SELECT name, sha256 FROM schema_views").fetchall())


def _view_hashes() -> dict[str, str]:
    return {name: _sha256(sql) for name, sql in view_texts().items()}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
