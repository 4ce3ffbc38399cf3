"""Writing rows: any number of them in a few statements, each id once.

A statement costs DuckDB about a millisecond to plan and microseconds per row to run, so all rows of a
group are folded to one per id and written by table: one statement that asks which ids exist, one that
inserts the others, one that changes the existing ones. Values travel as one list per column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb

from chatlab.errors import NotFound
from chatlab.store.records import KEYS, Row, Values, storable

Columns = Mapping[str, Mapping[str, str]]
"""DuckDB's type of every column, by table and name."""


def column_types(connection: duckdb.DuckDBPyConnection) -> Columns:
    """Read the types that the migrations gave to the columns."""
    types: dict[str, dict[str, str]] = {table: {} for table in KEYS}
    found = connection.execute("SELECT table_name, column_name, data_type FROM duckdb_columns()").fetchall()
    for table, column, data_type in found:
        if table in types:
            types[table][column] = data_type
    return types


def write(connection: duckdb.DuckDBPyConnection, written: Iterable[Row], columns: Columns) -> None:
    """Write all rows in the caller's transaction. Raises NotFound for changes to a row that never was."""
    for table, folded in _fold(written).items():
        types = columns[table]
        existing = _existing(connection, table, list(folded), types)
        new = [row for key, row in folded.items() if key not in existing]
        _insert(connection, table, new, types)
        _update(connection, table, [row for key, row in folded.items() if key in existing], types)


def _fold(written: Iterable[Row]) -> dict[str, dict[tuple[Any, ...], Row]]:
    """Merge the rows of each id, the later facts over the earlier, by table in order of appearance."""
    tables: dict[str, dict[tuple[Any, ...], Row]] = {}
    for row in written:
        table = tables.setdefault(row.table, {})
        before = table.get(row.key)
        table[row.key] = row if before is None else _merged(before, row)
    return tables


def _merged(before: Row, after: Row) -> Row:
    birth = before.birth if before.birth is not None else after.birth
    known = {name: value for name, value in after.facts.items() if value is not None}
    return Row(before.table, before.key, birth, {**before.facts, **known})


def _existing(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    keys: Sequence[tuple[Any, ...]],
    types: Mapping[str, str],
) -> set[tuple[Any, ...]]:
    first, *_ = names = KEYS[table]
    wanted = [key[0] for key in keys]
    lowest, highest = min(wanted), max(wanted)
    sql = f"SELECT {', '.join(names)} FROM {table} WHERE {first}"  # noqa: S608 - names of our own schema
    if lowest == highest:  # a lone commit, and planning this costs half as much
        return set(connection.execute(f"{sql} = ?", [lowest]).fetchall())
    sql += f" BETWEEN ? AND ? AND {first} IN (SELECT unnest(?::{types[first]}[]))"
    return set(connection.execute(sql, [lowest, highest, wanted]).fetchall())


def _insert(
    connection: duckdb.DuckDBPyConnection, table: str, new: Sequence[Row], types: Mapping[str, str]
) -> None:
    values = [_newborn(row) for row in new]
    if not values:
        return
    names = _names(values)
    connection.execute(
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {_unnested(names, types)}",
        _lists(names, values, types),
    )


def _newborn(row: Row) -> Values:
    if row.birth is None:
        what = KEYS[row.table][0]
        raise NotFound(f"the store has no row in {row.table} with {what} {row.key[0]!r} to change")
    known = {name: value for name, value in row.facts.items() if value is not None}
    return {**dict(zip(KEYS[row.table], row.key, strict=True)), **row.birth, **known}


def _update(
    connection: duckdb.DuckDBPyConnection, table: str, changed: Sequence[Row], types: Mapping[str, str]
) -> None:
    """Set what is known in at least one row: a column nobody speaks of is not rewritten."""
    known = {name for row in changed for name, value in row.facts.items() if value is not None}
    if not known:
        return
    keys = KEYS[table]
    facts = sorted(known)
    names = [*keys, *facts]
    values = [{**dict(zip(keys, row.key, strict=True)), **row.facts} for row in changed]
    first = [row.key[0] for row in changed]
    sets = ", ".join(f"{name} = coalesce(new.{name}, old.{name})" for name in facts)
    same = " AND ".join(f"old.{key} = new.{key}" for key in keys)
    sql = (
        f"UPDATE {table} AS old SET {sets} "  # noqa: S608 - names of our own schema
        f"FROM (SELECT {_unnested(names, types)}) AS new "
        f"WHERE {same} AND old.{keys[0]} BETWEEN ? AND ?"
    )
    connection.execute(sql, [*_lists(names, values, types), min(first), max(first)])


def _names(values: Sequence[Values]) -> list[str]:
    """Name the columns that any of the rows fills; each further one costs planning time."""
    return list(dict.fromkeys(name for row in values for name, value in row.items() if value is not None))


def _unnested(names: Sequence[str], types: Mapping[str, str]) -> str:
    return ", ".join(f"unnest(?::{types[name]}[]) AS {name}" for name in names)


def _lists(names: Sequence[str], values: Sequence[Values], types: Mapping[str, str]) -> list[list[Any]]:
    return [[storable(row.get(name), types[name]) for row in values] for name in names]
