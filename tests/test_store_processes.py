"""Many processes, one file: real ones, started, synchronised over pipes, and killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from chatlab.clock import SystemClock
from chatlab.errors import StoreBusy
from chatlab.store import DuckStore
from chatlab.store.migrations import migrations
from chatlab.values.records import AttemptEnded, SessionOpened

WORKER = Path(__file__).with_name("store_worker.py")
CLOCK = SystemClock()


class Worker:
    """A process that runs one function of store_worker.py."""

    def __init__(self, work: str, store: Path, *arguments: str) -> None:
        command = [sys.executable, str(WORKER), work, str(store), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def hear(self) -> str:
        return self.process.stdout.readline().strip()

    def tell(self, word: str = "go") -> None:
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lab" / "lab.duckdb"


def read(path, sql):
    async def run():
        store = DuckStore(path, clock=CLOCK)
        try:
            return (await store.query(sql)).to_dict("records")
        finally:
            await store.close()

    return asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("repeat", range(3))
@pytest.mark.parametrize("work", ["write_rows", "write_groups"])
def test_four_processes_write_150_rows_each_and_none_is_lost(path, work, repeat):
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(work, path, "150")) for _ in range(4)]
        assert [worker.hear() for worker in workers] == ["ready"] * 4
        for worker in workers:
            worker.tell()
        assert [worker.hear() for worker in workers] == ["done"] * 4
    [counts] = read(path, "SELECT count(*) AS n, count(DISTINCT message_id) AS ids FROM messages")
    assert counts == {"n": 600, "ids": 600}
    assert read(path, "SELECT count(*) AS n FROM message_parts") == [{"n": 600}]


def test_processes_that_open_a_fresh_store_together_all_succeed(path):
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker("write_rows", path, "1")) for _ in range(3)]
        assert [worker.hear() for worker in workers] == ["ready"] * 3
        for worker in workers:
            worker.tell()
        assert [worker.hear() for worker in workers] == ["done"] * 3
    assert read(path, "SELECT count(*) AS n FROM schema_migrations") == [{"n": len(migrations())}]


def test_a_killed_process_leaves_its_question_and_an_abandoned_attempt(path):
    with Worker("start_attempt", path, "s-1") as worker:
        attempt_id = worker.hear()
        worker.kill()
    assert read(path, "SELECT text FROM message_parts") == [{"text": "Why is the sky blue?"}]
    [attempt] = read(
        path,
        "SELECT attempt_id, a.outcome, t_end, cost_basis FROM attempts AS a JOIN ai_usage USING (attempt_id)",
    )
    assert (attempt["attempt_id"], attempt["outcome"], attempt["cost_basis"]) == (
        attempt_id,
        "abandoned",
        "unknown",
    )
    assert attempt["t_end"] is not None
    assert list(Path(f"{path}.processes").iterdir()) == []


def test_an_attempt_of_a_living_process_stays_in_flight(path):
    with Worker("start_attempt", path, "s-1") as living, Worker("start_attempt", path, "s-2") as dead:
        in_flight, abandoned = living.hear(), dead.hear()
        dead.kill()
        found = read(path, "SELECT attempt_id, outcome FROM attempts")
        assert {row["attempt_id"]: row["outcome"] for row in found} == {
            in_flight: "in_flight",
            abandoned: "abandoned",
        }
        living.tell()
        assert living.hear() == "done"


def test_an_attempt_taken_for_abandoned_is_put_right_by_its_end(path):
    async def run(attempt_id):
        store = DuckStore(path, clock=CLOCK)
        await store.commit(AttemptEnded(attempt_id=attempt_id, outcome="completed", t_end=CLOCK.now()))
        await store.close()

    with Worker("start_attempt", path, "s-1") as worker:
        attempt_id = worker.hear()
        worker.kill()
    asyncio.run(run(attempt_id))
    assert read(path, "SELECT outcome FROM attempts") == [{"outcome": "completed"}]


def test_readers_in_another_process_see_rows_appear_while_a_writer_works(path):
    with Worker("count_rows", path) as reader, Worker("write_groups", path, "300") as writer:
        assert (reader.hear(), writer.hear()) == ("ready", "ready")
        writer.tell()
        assert writer.hear() == "done"
        reader.tell()
        reads, only_grew = reader.hear().split()
    assert int(reads) > 1
    assert only_grew == "True"
    assert read(path, "SELECT count(*) AS n FROM messages") == [{"n": 300}]


def test_store_busy_names_the_process_that_holds_the_store_and_gives_the_lock_back(path):
    async def run(worker):
        store = DuckStore(path, clock=CLOCK, busy_timeout_s=0.05)
        session = SessionOpened(session_id="s-1", created_at=CLOCK.now())
        with pytest.raises(StoreBusy, match=f"pid {worker.process.pid} on .* \\(reading since 20") as caught:
            await store.commit(session)
        assert f"pid {worker.process.pid}" in caught.value.holder
        await store.close()
        worker.tell()
        assert worker.hear() == "done"
        patient = DuckStore(path, clock=CLOCK)
        await patient.commit(session)  # the wait that was given up does not keep the lock
        assert (await patient.session("s-1")).opened == session
        await patient.close()

    with Worker("hold_lease", path) as worker:
        assert worker.hear() == "holding"
        asyncio.run(run(worker))
