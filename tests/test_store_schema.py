"""The schema over time, and files that cannot be used."""

from __future__ import annotations

import asyncio
import hashlib
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import duckdb
import pytest

from chatlab.clock import ManualClock
from chatlab.errors import StoreBusy, StoreDamaged, StoreTooNew, StoreUnwritable
from chatlab.store import DuckStore
from chatlab.store.migrations import VIEWS, migrations
from chatlab.values.records import AttemptEnded, SessionOpened
from chatlab.values.reply import StreamCounts

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lab.duckdb"


@pytest.fixture
def use(path):
    """Run `work(store)` on a store object of its own."""

    def use(work=lambda store: store.status(), at=path):
        async def main():
            store = DuckStore(at, clock=ManualClock(NOW), busy_timeout_s=5)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(main())

    return use


def change(path, sql):
    with duckdb.connect(str(path)) as connection:
        return connection.execute(sql).fetchall()


def write(store):
    return store.commit(SessionOpened(session_id="s-1", created_at=NOW))


def test_a_fresh_store_records_its_migrations(use):
    found = use(lambda store: store.query("SELECT * FROM schema_migrations ORDER BY version"))
    [first, *_] = migrations()
    assert list(found["version"]) == list(range(1, len(migrations()) + 1))
    assert found["name"][0] == first.name == "0001_core"
    assert found["sha256"][0] == hashlib.sha256(first.sql.encode()).hexdigest()
    assert found["applied_at"][0] == NOW


def test_a_store_of_the_first_version_keeps_its_rows_and_gains_columns(use, path):
    first = migrations()[0]
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE schema_migrations "
            "(version BIGINT, name VARCHAR, sha256 VARCHAR, applied_at TIMESTAMPTZ)"
        )
        connection.execute(first.sql)
        connection.execute("INSERT INTO schema_migrations VALUES (1, ?, 'x', ?)", [first.name, NOW])
        connection.execute("CREATE VIEW ai_usage AS SELECT * FROM attempts")
        connection.execute("INSERT INTO schema_views VALUES ('ai_usage', 'older')")
        connection.execute(
            "INSERT INTO attempts (attempt_id, call_id, outcome, wire_bytes, t_start, t_end) "
            "SELECT 'a-' || i, 'c-' || i, 'completed', i, $now, $now FROM range(3) AS numbers (i)",
            {"now": NOW},
        )

    async def work(store):
        known = {"attempt_id": "a-1", "outcome": "completed", "t_end": NOW, "t_last_token": NOW}
        await store.commit(AttemptEnded(**known, inter_token_p50_s=0.5, counts=StreamCounts(chunks=7)))
        columns = "attempt_id, wire_bytes, wire_chunks, inter_token_p50_s, last_token_s"
        found = await store.query(f"SELECT {columns} FROM ai_usage ORDER BY attempt_id")
        return found.astype(object).where(found.notna(), None).to_numpy().tolist()

    assert use(work) == [["a-0", 0, None, None, None], ["a-1", 0, 7, 0.5, 0.0], ["a-2", 2, None, None, None]]
    assert use().schema_version == migrations()[-1].version


def test_the_schema_runs_where_there_are_no_keys_and_indexes():
    for migration in migrations():
        words = re.findall(r"[A-Z]+", re.sub(r"--.*", "", migration.sql).upper())
        assert not {"PRIMARY", "UNIQUE", "REFERENCES", "SEQUENCE", "INDEX", "CHECK"} & set(words)


def test_every_view_file_is_created():
    folder = files("chatlab.store") / "views"
    assert {file.name for file in folder.iterdir()} == {f"{view}.sql" for view in VIEWS}


def test_a_store_of_a_newer_chatlab_is_refused_and_left_alone(use, path):
    use(write)
    change(path, "INSERT INTO schema_migrations VALUES (99, '0099_future', 'x', now())")
    for work in (write, lambda store: store.sessions()):
        with pytest.raises(
            StoreTooNew, match=f"version 99.* up to {migrations()[-1].version}: install a newer"
        ):
            use(work)
    assert change(path, "SELECT count(*) FROM sessions") == [(1,)]


def test_a_view_is_renewed_when_its_text_has_changed_and_only_then(use, path):
    use()
    change(path, "CREATE OR REPLACE VIEW usage_by_day AS SELECT 1 AS other")
    use(write)
    assert change(path, "FROM usage_by_day") == [(1,)]
    change(path, "UPDATE schema_views SET sha256 = 'older' WHERE name = 'usage_by_day'")
    use()
    assert change(path, "FROM usage_by_day") == []


def test_an_empty_file_becomes_a_store(use, path):
    path.touch()
    use(write)
    assert use().rows["sessions"] == 1


def test_a_migration_that_was_interrupted_starts_over(use, path):
    change(path, "CREATE TABLE unrelated (i INT)")  # a file, and no record of any migration
    assert use().schema_version == migrations()[-1].version


@pytest.mark.parametrize("content", [b"this is no database", b"\x00" * 100_000], ids=["text", "zeros"])
def test_a_file_that_is_no_store_is_refused_and_left_alone(use, path, content):
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"lab\.duckdb"):
        use(write)
    assert path.read_bytes() == content


def test_a_damaged_write_ahead_log_is_refused_and_left_alone(use, path):
    use(write)
    script = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]);"
        "c.execute(\"INSERT INTO sessions (session_id) SELECT 's' || range FROM range(1000)\"); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    wal = Path(f"{path}.wal")
    broken = bytearray(wal.read_bytes())
    broken[len(broken) // 2] ^= 0xFF
    wal.write_bytes(broken)
    with pytest.raises(StoreDamaged, match="aside"):
        use(write)
    assert wal.read_bytes() == broken


def test_a_log_left_by_a_killed_process_is_taken_up(use, path):
    use(write)
    script = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]);"
        "c.execute(\"INSERT INTO sessions (session_id) VALUES ('s-2')\"); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert use(lambda store: store.status()).rows["sessions"] == 2
    use(write)
    assert use(lambda store: store.status()).rows["sessions"] == 2


@pytest.mark.parametrize(
    "place",
    ["/proc/chatlab/lab.duckdb", "/dev/null/lab.duckdb"],
    ids=["a folder that cannot be made", "a file in place of a folder"],
)
def test_a_place_that_cannot_be_written_is_named(use, place):
    with pytest.raises(StoreUnwritable, match=place):
        use(write, at=Path(place))


def test_a_full_disk_loses_nothing_that_was_acknowledged(use, path):
    use(write)
    script = """
import asyncio, resource, sys
from pathlib import Path
from chatlab.clock import SystemClock
from chatlab.errors import StoreUnwritable
from chatlab.store import DuckStore
from chatlab.values.records import SessionOpened

async def main():
    path = Path(sys.argv[1])
    store = DuckStore(path, clock=SystemClock())
    await store.status()
    limit = path.stat().st_size + 200_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    now = SystemClock().now()
    try:
        await store.commit(SessionOpened(session_id="big", created_at=now, title="x" * 50_000_000))
    except StoreUnwritable:
        print("refused")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.commit(SessionOpened(session_id="s-2", created_at=now))
    await store.close()

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True
    )
    assert done.stdout == "refused\n"
    found = use(lambda store: store.query("SELECT session_id FROM sessions ORDER BY 1"))
    assert list(found["session_id"]) == ["s-1", "s-2"]


def test_a_connection_past_the_lease_is_named(use, path):
    use(write)
    with duckdb.connect(str(path)):
        for work in (write, lambda store: store.sessions()):
            with pytest.raises(StoreBusy, match=r"duckdb\.connect in this same process"):
                use(work)
    use(write)
