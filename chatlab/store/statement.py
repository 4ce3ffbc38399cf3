"""Which SQL a reader may run: exactly one statement that only reads.

The connection is read-only and locked down in any case (see connection.py); this check exists because a
second statement could end the transaction or change the session, and because an error that says what is
allowed helps more than DuckDB's refusal of a write.
"""

from __future__ import annotations

import duckdb

from chatlab.errors import QueryFailed, QueryRefused

_READS = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN})


def only_select(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """Parse the SQL and return its one statement. Raises QueryRefused or QueryFailed."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryFailed(f"This is not SQL that DuckDB understands. {error}") from error
    except TypeError:  # no text at all, or text with half of a surrogate pair in it
        raise QueryRefused(f"Expected SQL as text, got {sql!r:.80}.") from None
    if len(statements) != 1:
        raise QueryRefused(f"Expected one SELECT, got {len(statements)} statements: send them one at a time.")
    [statement] = statements
    if statement.type not in _READS:
        kind = str(statement.type).rpartition(".")[2]
        raise QueryRefused(
            f"Expected a SELECT, got {kind}: the store is only read by SQL. Begin with SELECT, WITH, FROM, "
            "DESCRIBE, SUMMARIZE, SHOW or EXPLAIN; copy the file to work on it with duckdb."
        )
    return statement
