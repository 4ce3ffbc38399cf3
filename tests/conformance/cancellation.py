"""Items 80-86: readers that leave, in every way a reader can."""

import asyncio
import signal
import threading
import time
from contextlib import contextmanager

import pytest

from chatlab.simulator.shapes import STORY
from chatlab.values.events import Done, HeadersReceived, TextDelta
from tests.conformance.cases import fine, item
from tests.conformance.servers import CLOSE, RawServer, closed_within, event
from tests.conformance.world import World, check_exchange, check_probe

AT_ONCE_S = 0.5  # 0.1 s, and what a busy machine may add


@contextmanager
def endless(place):
    """A gateway that goes on and on, and notes the moment at which its client is gone."""
    gone = []

    def serve(connection, _number):
        connection.sendall(CLOSE)
        until = time.monotonic() + 20
        while not closed_within(connection, 0.004):
            connection.settimeout(10)
            connection.sendall(event("more "))
            assert time.monotonic() < until, "nobody closed the connection"
        gone.append(time.monotonic())

    with RawServer(serve) as server, World(place.folder, url=server.url) as world:
        yield world, gone


def stopped(world, stream, seen, gone, at):
    """Check what a stream left that was stopped at a moment."""
    reply = stream.result()
    told = "".join(event.text for event in seen if isinstance(event, TextDelta))
    assert reply.status == "stopped"
    assert reply.text.startswith(told)
    [row] = world.lab.sql(
        "select outcome, generation_id, cost_basis from ai_usage where call_id = $call",
        {"call": reply.call_id},
    ).itertuples()
    assert (row.outcome, row.cost_basis) == ("stopped", "unknown")
    if any(isinstance(event, HeadersReceived) for event in seen):
        assert row.generation_id == reply.generation_id == "gen-raw"
        until = time.monotonic() + 5
        while not gone and time.monotonic() < until:
            time.sleep(0.005)
        assert gone.pop() - at < AT_ONCE_S


def cancelled_anywhere(place):
    async def cancel(world, events_first, seconds):
        stream, seen, enough = world.lab.astream("Why?", model="any"), [], asyncio.Event()

        async def read():
            async for one in stream:
                seen.append(one)
                if len(seen) == events_first:
                    enough.set()

        task = asyncio.create_task(read())
        await (enough.wait() if events_first else asyncio.sleep(seconds))
        at = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return stream, seen, at

    with endless(place) as (world, gone):
        moments = [(count, 0) for count in range(1, 6)]
        moments += [(0, seconds) for seconds in (0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032)]
        for events_first, seconds in moments:
            gone.clear()
            stream, seen, at = asyncio.run(cancel(world, events_first, seconds))
            stopped(world, stream, seen, gone, at)


def loop_left_by_break(place):
    with World(place.folder) as world:
        stream = world.lab.stream("Why?", model="sim/fault-story+delay=0.5")
        for one in stream:
            if isinstance(one, TextDelta):
                break
        assert stream.result().text == STORY
        rest = list(stream)
        assert isinstance(rest[-1], Done)
        [row] = world.sql("select outcome, cost_basis from ai_usage").itertuples()
        assert (row.outcome, row.cost_basis) == ("completed", "reported")


def interrupted(place):
    """The interrupt comes while the cell waits for the next event, as nearly always."""
    main, moment = threading.get_ident(), []

    def interrupt():
        moment.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGINT)

    with endless(place) as (world, gone):
        stream, seen = world.lab.stream("Why?", model="any"), []
        first = next(iter(stream))
        threading.Timer(0.1, interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            seen.extend(stream)
        stopped(world, stream, [first, *seen], gone, *moment)
        assert world.sql("select 1 as one")["one"][0] == 1


def slow_reader(place):
    with World(place.folder) as world:
        stream, events = world.lab.stream("Why?", model="sim/fault-story+slice=1"), []
        for one in stream:
            events.append(one)
            time.sleep(0.02)
        check_exchange(world.exchange(events), fine("fault-story+slice=1"))
        [row] = world.sql("select total_s from ai_usage").itertuples()
        assert row.total_s < 60, "the reader held the network up"


def callback_raises(place):
    def give_up(_text):
        raise ZeroDivisionError

    with endless(place) as (world, gone):
        with pytest.raises(ZeroDivisionError):
            world.lab.ask("Why?", model="any", on_text=give_up)
        at = time.monotonic()
        world.settle()
        assert list(world.sql("select outcome from attempts")["outcome"]) == ["stopped"]
        world_closed = time.monotonic() + 5
        while not gone and time.monotonic() < world_closed:
            time.sleep(0.005)
        assert gone[0] - at < AT_ONCE_S


def two_readers(place):
    with World(place.folder) as world:
        stream, shares = world.lab.stream("Why?", model="sim/fault-story+delay=0.5"), ([], [])
        readers = [threading.Thread(target=lambda share=share: share.extend(stream)) for share in shares]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(20)
        assert not any(reader.is_alive() for reader in readers)
        both = [*shares[0], *shares[1]]
        assert sum(isinstance(one, Done) for one in both) == 1
        assert sorted(one.text for one in both if isinstance(one, TextDelta)) == sorted(
            ("The", " moon", " pulls", " at the", " sea", ".")
        )
        check_probe(world, fine("fault-story"))


ITEMS = (
    item(80, "task cancelled anywhere", play=cancelled_anywhere, ends="stopped, socket closed at once"),
    item(81, "loop left by break", play=loop_left_by_break, ends="drained and saved: completed"),
    item(82, "Ctrl-C", play=interrupted, ends="stopped, socket closed at once, the loop goes on"),
    item(83, "client of our server leaves", missing="the server, which passes streams on to browsers"),
    item(84, "slow reader", play=slow_reader, ends="completed; the network is not held up"),
    item(85, "callback raises", play=callback_raises, ends="stopped, the exception is raised"),
    item(86, "two readers", play=two_readers, ends="each event reaches one of them, both end"),
)
