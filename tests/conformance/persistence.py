"""Items 87-100: processes that die, stores that cannot be written, and runs."""

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

from chatlab.clock import SystemClock
from chatlab.errors import QueryFailed, StoreBusy, StoreDamaged, StoreTooNew, StoreUnwritable
from chatlab.simulator.shapes import STORY
from chatlab.store import DuckStore
from tests.conformance.cases import fine, item
from tests.conformance.world import World, check_probe

DYING = """
import os, signal, sys
import chatlab
from chatlab.simulator import Simulator
from chatlab.store import DuckStore

last, after = int(sys.argv[2]), sys.argv[3] == "after"
commit, commits = DuckStore.commit, []

async def dying(self, *records):
    commits.append(records)
    if len(commits) == last and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    await commit(self, *records)
    if len(commits) == last:
        os.kill(os.getpid(), signal.SIGKILL)

DuckStore.commit = dying
simulator = Simulator.start(first_token_s=0, tokens_per_second=None)
chatlab.open(sys.argv[1], gateway=simulator.url, api_key="its-own-key").ask("Why?", model="sim/fault-story")
"""
HOLDING = """
import duckdb, sys, time
with duckdb.connect(sys.argv[1]):
    print("holding", flush=True)
    time.sleep(float(sys.argv[2]))
"""
ASKING = """
import resource, sys
import chatlab
from chatlab.simulator import Simulator
simulator = Simulator.start(first_token_s=0, tokens_per_second=None)
lab = chatlab.open(sys.argv[1], gateway=simulator.url, api_key="its-own-key")
lab.ask("Why?", model="sim/fault-story")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    lab.ask("Why? " + "x" * 20_000_000, model="sim/fault-story")
except chatlab.ChatlabError as error:
    print(type(error).__name__)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(lab.ask("Why?", model="sim/fault-story").status)
"""
EVALUATIONS = "evaluations, which run and resume many items"


def run(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def store_of(place):
    place.folder.mkdir(parents=True, exist_ok=True)
    return place.folder / "lab.duckdb"


def killed_at_every_commit(place):
    """Commits: question and attempt, headers, answer."""
    folder = store_of(place).parent
    points = [(number, when) for number in (1, 2, 3) for when in ("before", "after")]
    dying = [run(DYING, folder / f"{n}-{when}" / "lab.duckdb", n, when) for n, when in points]
    for process in dying:
        process.communicate(timeout=60)
        assert process.returncode == -9
    for number, when in points:
        with World(folder / f"{number}-{when}") as world:
            found = list(world.sql("select outcome from attempts")["outcome"])
            expected = [] if (number, when) == (1, "before") else ["abandoned"]
            assert found == (["completed"] if (number, when) == (3, "after") else expected), (
                number,
                when,
                found,
            )
            check_probe(world, fine("fault-story"))


def unwritable(place):
    path = store_of(place)
    process = run(ASKING, path)
    told, _ = process.communicate(timeout=60)
    assert told.split() == [StoreUnwritable.__name__, "completed"]
    with World(place.folder) as world:
        found = list(world.sql("select outcome from attempts")["outcome"])
        assert found == ["completed"] * 2, found
    nowhere = DuckStore(Path("/proc/chatlab/lab.duckdb"), clock=SystemClock())
    with pytest.raises(StoreUnwritable, match="/proc/chatlab"):
        asyncio.run(nowhere.status())


def damaged_log(place):
    path = store_of(place)
    with World(place.folder) as world:
        check_probe(world, fine("fault-story"))
    script = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]);"
        "c.execute(\"INSERT INTO sessions (session_id) SELECT 's' || range FROM range(1000)\"); os._exit(0)"
    )
    run(script, path).communicate(timeout=60)
    log = Path(f"{path}.wal")
    broken = bytearray(log.read_bytes())
    broken[len(broken) // 2] ^= 0xFF
    log.write_bytes(broken)
    kept = path.read_bytes()
    with World(place.folder) as world, pytest.raises(StoreDamaged, match="aside"):
        world.sql("select 1")
    assert (path.read_bytes(), log.read_bytes()) == (kept, bytes(broken))


def held_by_another(place):
    with World(place.folder) as world:
        check_probe(world, fine("fault-story"))
        path = store_of(place)
        world.lab.close()
        holder = run(HOLDING, path, 60)
        assert holder.stdout.readline() == "holding\n"

        async def look():
            store = DuckStore(path, clock=SystemClock(), busy_timeout_s=0.3)
            with pytest.raises(StoreBusy, match=str(holder.pid)):
                await store.status()
            await store.close()

        asyncio.run(look())
        holder.kill()
        holder.communicate()


def other_versions(place):
    with World(place.folder) as world:
        check_probe(world, fine("fault-story"))
    path = store_of(place)
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (99, '0099_future', 'x', now())")
    kept = path.read_bytes()
    with World(place.folder) as world, pytest.raises(StoreTooNew, match="99"):
        world.sql("select 1")
    assert path.read_bytes() == kept


def slower_than_the_network(place):
    """Fifty answers end while another process keeps the file: they wait for it, and none is lost."""
    with World(place.folder) as world:
        check_probe(world, fine("fault-story"))
        world.settle()

        async def one(number):
            return [event async for event in world.lab.astream(f"Why? {number}", model="sim/fault-story")]

        async def everybody():
            return await asyncio.gather(*(one(number) for number in range(50)))

        command = [sys.executable, "-m", "tests.store_worker", "hold_lease", str(store_of(place))]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert holder.stdout.readline() == "holding\n"
        threading.Timer(1.0, lambda: (holder.stdin.write("\n"), holder.stdin.flush())).start()
        replies = [events[-1].reply for events in asyncio.run(everybody())]
        assert holder.wait(20) == 0
        holder.stdin.close()
        holder.stdout.close()
        assert {(reply.status, reply.text) for reply in replies} == {("completed", STORY)}
        assert list(world.sql("select count(*) as n from attempts where outcome = 'completed'")["n"]) == [51]


def endless_query(place):
    with World(place.folder) as world:
        check_probe(world, fine("fault-story"))

    async def query():
        store = DuckStore(store_of(place), clock=SystemClock())
        try:
            with pytest.raises(QueryFailed, match=r"0\.2 s"):
                await store.query("select count(*) from range(1000000000000), range(1000)", timeout_s=0.2)
            assert list((await store.query("select count(*) as n from attempts"))["n"]) == [1]
        finally:
            await store.close()

    began = time.monotonic()
    asyncio.run(query())
    assert time.monotonic() - began < 10


ITEMS = (
    item(
        87, "killed at every commit", play=killed_at_every_commit, ends="abandoned on reopening; nothing torn"
    ),
    item(88, "killed between answer and commit", missing=EVALUATIONS),
    item(89, "disk full, folder read-only", play=unwritable, ends="StoreUnwritable; what was saved stays"),
    item(90, "flipped bit in the log", play=damaged_log, ends="StoreDamaged with steps; files untouched"),
    item(91, "file held by another process", play=held_by_another, ends="StoreBusy with its PID"),
    item(92, "resume with other settings", missing=EVALUATIONS),
    item(93, "resume again and again", missing=EVALUATIONS),
    item(94, "errors kept until tried again", missing=EVALUATIONS),
    item(95, "budget ends a run", missing=EVALUATIONS),
    item(96, "answers in any order", missing=EVALUATIONS),
    item(97, "schema of another version", play=other_versions, ends="older: migrated; newer: StoreTooNew"),
    item(98, "ten thousand items", missing=EVALUATIONS),
    item(99, "store slower than the network", play=slower_than_the_network, ends="all saved, later"),
    item(100, "endless SQL of a user", play=endless_query, ends="QueryFailed in time; the store goes on"),
)
