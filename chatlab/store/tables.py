"""Dataframes out of the store: the user's own SQL and the named tables. Blocks: for worker threads only."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias

import duckdb
import pandas as pd

from chatlab.errors import InvalidValue, QueryFailed
from chatlab.store.connection import translated
from chatlab.store.frames import fetch_frame
from chatlab.store.site import Site
from chatlab.store.sql import named
from chatlab.store.statement import only_select
from chatlab.values.usage import USAGE_GROUPS

QueryParams: TypeAlias = Sequence[Any] | Mapping[str, Any]
"""Values for ? and $1 (a sequence) or for $name (a mapping)."""

# The columns of ai_usage by which usage can be grouped and chosen.


class Interrupt:
    """Stops a running query from another thread, by the clock or by hand."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._wanted = False

    def now(self) -> None:
        """Stop the query, or keep it from starting."""
        with self._mutex:
            self._wanted = True
            if self._connection is not None:
                self._connection.interrupt()

    @contextmanager
    def over(self, connection: duckdb.DuckDBPyConnection, timeout_s: float | None) -> Iterator[None]:
        """Watch over a query on this connection for at most `timeout_s` seconds."""
        with self._mutex:
            if self._wanted:
                raise duckdb.InterruptException("cancelled before it began")
            self._connection = connection
        timer = threading.Timer(timeout_s, self.now) if timeout_s is not None else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            with self._mutex:
                self._connection = None


class Tables:
    """Reads dataframes, each in a shared lease of its own."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def query(
        self,
        sql: str,
        params: QueryParams | None,
        *,
        timeout_s: float | None,
        max_rows: int | None,
        interrupt: Interrupt,
    ) -> pd.DataFrame:
        """Run the user's SQL. Raises QueryRefused, QueryFailed."""
        with self._site.reading() as connection:
            statement = only_select(connection, sql)
            try:
                with interrupt.over(connection, timeout_s):
                    return fetch_frame(connection.execute(statement, params), max_rows)
            except duckdb.InterruptException:
                raise QueryFailed(
                    f"The query was stopped: it was cancelled or ran into its limit of {timeout_s} s. "
                    "Narrow it, or give it a longer timeout_s."
                ) from None
            except duckdb.PermissionException as error:
                raise QueryFailed(
                    f"SQL here reaches the tables of the store and nothing else. {error}"
                ) from error
            except (duckdb.Error, UnicodeEncodeError, RuntimeError) as error:
                raise QueryFailed(f"DuckDB could not run the query. {error}") from error

    def usage(
        self,
        by: Sequence[str],
        since: datetime | None,
        until: datetime | None,
        where: Mapping[str, Any],
    ) -> pd.DataFrame:
        """Sum tokens and cost of ai_usage; see queries/usage.sql for the columns."""
        for name in (*by, *where):
            if name not in USAGE_GROUPS:
                raise InvalidValue(
                    f"Usage has no column {name!r} to group or choose by: use {', '.join(USAGE_GROUPS)}."
                )
        conditions = ["($since IS NULL OR started_at >= $since)", "($until IS NULL OR started_at < $until)"]
        conditions += [f"{name} IS NOT DISTINCT FROM $where_{name}" for name in where]
        sql = named("usage").replace("{where}", " AND ".join(conditions))
        sql = sql.replace("{by}", "".join(f"{name}, " for name in by))
        values = {f"where_{name}": value for name, value in where.items()}
        return self._frame(sql, {"since": since, "until": until, **values})

    def sessions(self) -> pd.DataFrame:
        """List all sessions; see queries/sessions.sql for the columns."""
        return self._frame(named("sessions"), {})

    def messages(self, session_id: str) -> pd.DataFrame:
        """List the messages of a session's active path; see queries/messages.sql for the columns."""
        with self._site.reading() as connection, translated(self._site.path):
            path = connection.execute(named("path"), {"session_id": session_id}).fetchall()
            result = connection.execute(named("messages"), {"message_ids": [row[0] for row in path]})
            return fetch_frame(result, None)

    def models(self) -> pd.DataFrame:
        """List the models that gateways listed; see views/ai_models.sql for the columns."""
        return self._frame(named("models"), {})

    def _frame(self, sql: str, params: dict[str, Any]) -> pd.DataFrame:
        with self._site.reading() as connection, translated(self._site.path):
            return fetch_frame(connection.execute(sql, params), None)
