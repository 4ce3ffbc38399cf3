"""What the processes of test_store_processes.py do: `python store_worker.py WORK STORE [ARGUMENTS]`.

Each says a line when it has got somewhere and waits for a line before it goes on.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from chatlab.clock import SystemClock
from chatlab.store import DuckStore
from chatlab.values.identity import new_id
from chatlab.values.messages import user
from chatlab.values.records import AttemptStarted, CallOpened, MessageAdded, SessionOpened

CLOCK = SystemClock()


def say(word: str) -> None:
    print(word, flush=True)


def hear() -> str:
    return sys.stdin.readline().strip()


def message(session_id: str, seq: int, text: str) -> MessageAdded:
    now = CLOCK.now()
    return MessageAdded(
        message_id=new_id(now),
        session_id=session_id,
        parent_id=None,
        seq=seq,
        message=user(text),
        status="complete",
        created_at=now,
    )


async def write_rows(store: DuckStore, count: str) -> None:
    """Write rows one by one, each in a commit of its own."""
    say("ready")
    hear()
    session_id = new_id(CLOCK.now())
    await store.commit(SessionOpened(session_id=session_id, created_at=CLOCK.now()))
    for number in range(int(count)):
        await store.commit(message(session_id, number + 1, f"row {number}"))
    await store.close()
    say("done")


async def write_groups(store: DuckStore, count: str) -> None:
    """Write rows from ten tasks at once, which the writer groups."""
    say("ready")
    hear()

    async def some() -> None:
        for number in range(int(count) // 10):
            await store.commit(message("s", number + 1, f"row {number}"))

    await asyncio.gather(*(some() for _ in range(10)))
    await store.close()
    say("done")


async def start_attempt(store: DuckStore, session_id: str) -> None:
    """Commit a question and an attempt in flight, then wait to be killed or told to end."""
    now = CLOCK.now()
    call_id, attempt_id = new_id(now), new_id(now)
    await store.commit(
        SessionOpened(session_id=session_id, created_at=now),
        message(session_id, 1, "Why is the sky blue?"),
        CallOpened(
            call_id=call_id,
            purpose="chat",
            created_at=now,
            gateway="simulator",
            model="sim/crow",
            params={},
            request_sha256="sha256:0",
            session_id=session_id,
        ),
        AttemptStarted(attempt_id=attempt_id, call_id=call_id, attempt_no=1, t_start=now),
    )
    say(attempt_id)
    hear()
    await store.close()
    say("done")


async def count_rows(store: DuckStore) -> None:
    """Count messages again and again until told to stop; the counts may only grow."""
    say("ready")
    stop = asyncio.create_task(asyncio.to_thread(hear))
    seen = [0]
    while not stop.done():
        frame = await store.query("SELECT count(*) AS n FROM messages")
        seen.append(int(frame["n"][0]))
    await store.close()
    say(f"{len(seen)} {seen == sorted(seen)}")


async def hold_lease(store: DuckStore) -> None:
    """Hold a shared lease in the middle of a query."""
    await store.status()
    query = asyncio.create_task(
        store.query("SELECT count(*) FROM range(1000000000000) a, range(1000000) b", timeout_s=None)
    )
    presence = store._site.presence
    while not presence.holders():  # noqa: ASYNC110 - the query runs in a thread that tells nobody
        await asyncio.sleep(0)
    say("holding")
    await asyncio.to_thread(hear)
    query.cancel()
    await asyncio.gather(query, return_exceptions=True)
    await store.close()
    say("done")


if __name__ == "__main__":
    work, path, *arguments = sys.argv[1:]
    asyncio.run(globals()[work](DuckStore(Path(path), clock=CLOCK), *arguments))
