"""Query results as dataframes, with a dtype per SQL type and no number bent on the way.

    BOOLEAN                     boolean               (nullable)
    whole numbers               Int64                 (nullable); object of int where 64 bits do not suffice
    FLOAT, DOUBLE               float64               (NULL is NaN)
    DECIMAL                     object of Decimal     (NULL is None): exact, as money has to be
    VARCHAR, JSON, UUID, ENUM   str                   (NULL is missing)
    TIMESTAMPTZ                 datetime64[us, UTC]
    TIMESTAMP, DATE             datetime64[us]        (a date is its midnight)
    anything else               object                as DuckDB's Python client gives it

The same query gives the same dtypes whatever its rows are, also without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pandas as pd

_DTYPES = {
    "BOOLEAN": "boolean",
    "TINYINT": "Int64",
    "SMALLINT": "Int64",
    "INTEGER": "Int64",
    "BIGINT": "Int64",
    "UTINYINT": "Int64",
    "USMALLINT": "Int64",
    "UINTEGER": "Int64",
    "UBIGINT": "Int64",
    "HUGEINT": "Int64",
    "UHUGEINT": "Int64",
    "FLOAT": "float64",
    "DOUBLE": "float64",
    "VARCHAR": "str",
    "JSON": "str",
    "UUID": "str",
    "TIMESTAMP WITH TIME ZONE": "datetime64[us, UTC]",
    "TIMESTAMP": "datetime64[us]",
    "DATE": "datetime64[us]",
}


def fetch_frame(result: duckdb.DuckDBPyConnection, max_rows: int | None) -> pd.DataFrame:
    """Fetch a result or its first `max_rows` rows; `attrs["truncated"]` says whether there were more."""
    rows = result.fetchall() if max_rows is None else result.fetchmany(max_rows + 1)
    truncated = max_rows is not None and len(rows) > max_rows
    del rows[max_rows if truncated else len(rows) :]
    description = result.description or []
    names = _distinct([column[0] for column in description])
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    frame = pd.DataFrame(
        {
            name: _series(values, str(column[1]))
            for name, values, column in zip(names, columns, description, strict=True)
        },
        columns=pd.Index(names, dtype="str"),
    )
    frame.attrs["truncated"] = truncated
    return frame


def _distinct(names: Sequence[str]) -> list[str]:
    """Number the repeated names, as DuckDB's own dataframes do: id, id_1."""
    distinct: list[str] = []
    for name in names:
        fresh = (f"{name}_{count}" if count else name for count in range(len(names)))
        distinct.append(next(candidate for candidate in fresh if candidate not in distinct))
    return distinct


def _series(values: Sequence[Any], sql_type: str) -> pd.Series[Any]:
    dtype = "str" if sql_type.startswith("ENUM") else _DTYPES.get(sql_type, "object")
    if sql_type == "UUID":
        values = [None if value is None else str(value) for value in values]
    try:
        return pd.Series(list(values), dtype=dtype)
    except (OverflowError, ValueError, TypeError):
        # Beyond the dtype's range (a 128-bit number, the year 294247, infinity): the values as they are.
        return pd.Series(list(values), dtype="object")
