"""SQL from outside: one statement that reads and reaches nothing else; its result as an exact frame."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from decimal import Decimal

import pandas as pd
import pytest

from chatlab.clock import ManualClock
from chatlab.errors import QueryFailed, QueryRefused
from chatlab.store import DuckStore
from chatlab.values.messages import user
from chatlab.values.records import MessageAdded, SessionOpened

NOW = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lab" / "lab.duckdb"


@pytest.fixture
def run(path):
    """Run `work(store)` on a store with one session and one message."""

    async def main(work):
        store = DuckStore(path, clock=ManualClock(NOW))
        message = MessageAdded(
            message_id="m-1",
            session_id="s-1",
            parent_id=None,
            seq=1,
            message=user("Hello"),
            status="complete",
            created_at=NOW,
        )
        await store.commit(SessionOpened(session_id="s-1", created_at=NOW), message)
        try:
            return await work(store)
        finally:
            await store.close()

    return lambda work: asyncio.run(main(work))


def frame(run, sql, params=None, **limits):
    return run(lambda store: store.query(sql, params, **limits))


REFUSED = [
    "",
    "-- nothing",
    "SELECT 1; SELECT 2",
    "COMMIT; INSERT INTO sessions (session_id) VALUES ('x')",
    "SELECT 1; COMMIT; DELETE FROM sessions",
    "INSERT INTO sessions (session_id) VALUES ('x')",
    "UPDATE sessions SET title = 'x'",
    "DELETE FROM sessions",
    "TRUNCATE sessions",
    "MERGE INTO sessions USING (SELECT 'x' AS i) ON session_id = i WHEN MATCHED THEN DELETE",
    "DROP TABLE sessions",
    "CREATE TABLE x (i INT)",
    "CREATE TEMP TABLE x AS SELECT 1",
    "CREATE OR REPLACE VIEW ai_usage AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "CREATE SECRET (TYPE s3)",
    "ALTER TABLE sessions ADD COLUMN x INT",
    "COPY sessions TO 'OUT'",
    "COPY (SELECT 1) TO 'OUT' (FORMAT csv)",
    "COPY sessions FROM '/etc/passwd'",
    "EXPORT DATABASE 'OUT'",
    "IMPORT DATABASE 'OUT'",
    "ATTACH ':memory:' AS m",
    "ATTACH 'OUT' AS m",
    "DETACH lab",
    "USE memory",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET TimeZone = 'Asia/Tokyo'",
    "SET VARIABLE x = 1",
    "RESET ALL",
    "PRAGMA enable_profiling",
    "PRAGMA profiling_output='OUT'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "BEGIN",
    "CHECKPOINT",
    "VACUUM",
    "CALL pragma_version()",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "\ud800",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_anything_but_one_statement_that_reads_is_refused(run, path, sql):
    outside = path.with_name("outside")
    with pytest.raises((QueryRefused, QueryFailed)) as caught:
        frame(run, sql.replace("OUT", str(outside)))
    assert not outside.exists()
    if ";" in sql or sql.startswith(("INSERT", "SET", "COPY", "ATTACH", "PRAGMA")):
        assert isinstance(caught.value, QueryRefused)
        assert "SELECT" in str(caught.value)


FAILED = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_parquet('/etc/passwd')",
    "SELECT * FROM read_csv('https://example.org/x.csv')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM '/etc/*.csv'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_text('STORE')",
    "SELECT * FROM query('COPY sessions TO ''OUT''')",
    "SELECT * FROM python_object",
    "WITH gone AS (DELETE FROM sessions RETURNING *) SELECT * FROM gone",
    "WITH new AS (INSERT INTO sessions (session_id) VALUES ('x') RETURNING *) SELECT * FROM new",
    "EXPLAIN ANALYZE INSERT INTO sessions (session_id) VALUES ('x')",
    "EXPLAIN ANALYZE COPY sessions TO 'OUT'",
    "SELECT nonsense FROM sessions",
    "SELECT * FROM sessions WHERE",
    "SELECT ?",
]


@pytest.mark.parametrize("sql", FAILED)
def test_a_select_reaches_no_file_no_python_object_and_changes_nothing(run, path, sql):
    outside = path.with_name("outside")
    python_object = pd.DataFrame({"secret": [1]})

    async def work(store):
        asked = sql.replace("OUT", str(outside)).replace("STORE", str(path))
        with pytest.raises((QueryFailed, QueryRefused)):
            await store.query(asked)
        return (await store.status()).rows["sessions"]

    assert run(work) == 1
    assert not outside.exists()
    assert len(python_object) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS x",
        "SELECT 1 AS x;",
        "-- why\nSELECT 1 AS x -- because",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
        "FROM sessions",
        "TABLE sessions",
        "VALUES (1), (2)",
        "DESCRIBE sessions",
        "SUMMARIZE sessions",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
    ],
)
def test_all_ways_of_reading_are_taken(run, sql):
    assert len(frame(run, sql)) >= 1


def test_parameters_are_bound_and_never_read_as_sql(run):
    hostile = "'; DROP TABLE sessions; --"
    assert frame(run, "SELECT ? AS x", [hostile])["x"][0] == hostile
    assert frame(run, "SELECT $who AS x", {"who": hostile})["x"][0] == hostile
    assert frame(run, "SELECT count(*) AS n FROM sessions WHERE session_id = $1", ["s-1"])["n"][0] == 1


def test_settings_are_locked_and_in_utc_also_for_readers_that_overlap(run):
    sql = (
        "SELECT current_setting('TimeZone') AS zone, current_setting('lock_configuration') AS locked, "
        "current_setting('enable_external_access') AS outside FROM range(1000) GROUP BY ALL"
    )

    async def work(store):
        return pd.concat(await asyncio.gather(*(store.query(sql) for _ in range(12))))

    assert run(work).drop_duplicates().to_dict("records") == [
        {"zone": "UTC", "locked": True, "outside": False}
    ]


@pytest.fixture
def in_new_york():
    before = os.environ.get("TZ")
    os.environ["TZ"] = "America/New_York"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("in_new_york")
def test_times_are_utc_whatever_the_zone_of_the_machine(run):
    sql = (
        "SELECT created_at, created_at::VARCHAR AS words, created_at::DATE AS day, now()::VARCHAR AS n "
        "FROM messages"
    )
    row = frame(run, sql).iloc[0]
    assert row["created_at"] == pd.Timestamp(NOW)
    assert (row["words"], row["day"]) == ("2026-11-20 23:30:00+00", pd.Timestamp("2026-11-20"))
    assert row["n"].endswith("+00")


@pytest.mark.parametrize(
    ("expression", "dtype", "value"),
    [
        ("1.10::DECIMAL(18,12)", "object", Decimal("1.1")),
        ("sum(0.1::DECIMAL(18,12))", "object", Decimal("0.1")),
        ("1::TINYINT", "Int64", 1),
        ("9223372036854775807", "Int64", 2**63 - 1),
        ("sum(1::BIGINT)", "Int64", 1),
        ("170141183460469231731687303715884105727::HUGEINT", "object", 2**127 - 1),
        ("1.5::DOUBLE", "float64", 1.5),
        ("true", "boolean", True),
        ("'a'", "str", "a"),
        ("'{\"a\":1}'::JSON", "str", '{"a":1}'),
        ("'c0ffee00-0000-0000-0000-000000000000'::UUID", "str", "c0ffee00-0000-0000-0000-000000000000"),
        (
            "TIMESTAMPTZ '2026-11-20 12:00:00+02'",
            "datetime64[us, UTC]",
            pd.Timestamp("2026-11-20 10:00", tz="UTC"),
        ),
        ("TIMESTAMP '2026-11-20 12:00:00'", "datetime64[us]", pd.Timestamp("2026-11-20 12:00")),
        ("DATE '2026-11-20'", "datetime64[us]", pd.Timestamp("2026-11-20")),
        ("DATE '9999-12-31'", "datetime64[us]", pd.Timestamp("9999-12-31").as_unit("us")),
        ("[1, 2]", "object", [1, 2]),
        ("{'a': 1}", "object", {"a": 1}),
        ("TIME '12:00:00'", "object", None),
    ],
)
def test_each_type_has_its_dtype_and_its_exact_value(run, expression, dtype, value):
    column = frame(run, f"SELECT {expression} AS x")["x"]
    assert str(column.dtype) == dtype
    if value is not None:
        assert column[0] == value


def test_dtypes_do_not_depend_on_the_rows(run):
    every = (
        "SELECT 1 AS i, 1.5::DECIMAL(18,12) AS d, 'a' AS s, true AS b, now() AS t, current_date AS day, "
        "1.5::DOUBLE AS f"
    )

    async def work(store):
        return [
            await store.query(every),
            await store.query(f"SELECT * FROM ({every}) WHERE false"),
            await store.query(f"SELECT a.* FROM (SELECT 1) LEFT JOIN ({every}) AS a ON false"),
        ]

    some, none, nulls = run(work)
    assert some.dtypes.equals(none.dtypes)
    assert some.dtypes.equals(nulls.dtypes)
    assert nulls.isna().all(axis=None)
    assert nulls["d"][0] is None


def test_columns_of_one_name_are_numbered(run):
    assert list(frame(run, "SELECT 1 AS x, 2 AS x, 3 AS x_1").columns) == ["x", "x_1", "x_1_1"]


def test_a_row_limit_says_that_there_was_more(run):
    cut = frame(run, "SELECT * FROM range(10)", max_rows=4)
    whole = frame(run, "SELECT * FROM range(10)", max_rows=10)
    assert (len(cut), cut.attrs["truncated"]) == (4, True)
    assert (len(whole), whole.attrs["truncated"]) == (10, False)


ENDLESS = "SELECT count(*) FROM range(1000000000) AS a, range(1000000000) AS b WHERE a.range + b.range = 7"


def test_a_query_that_runs_too_long_is_stopped(run):
    with pytest.raises(QueryFailed, match=r"limit of 0\.05 s"):
        frame(run, ENDLESS, timeout_s=0.05)


def test_a_cancelled_query_ends_and_lets_the_writer_in(run):
    async def work(store):
        query = asyncio.create_task(store.query(ENDLESS, timeout_s=None))
        await asyncio.sleep(0)
        query.cancel()
        with pytest.raises(asyncio.CancelledError):
            await query
        await store.commit(SessionOpened(session_id="s-2", created_at=NOW))
        return (await store.status()).rows["sessions"]

    assert run(work) == 2
