"""The bridge between the background loop and its callers: threads, other loops, interrupts."""

import asyncio
import signal
import threading
from datetime import UTC, datetime

import pytest

from chatlab.blocking import BackgroundLoop, Stream
from chatlab.errors import GatewayFault, RequestError
from chatlab.values.events import Done, Failed, TextDelta
from chatlab.values.reply import Reply, Timings


def reply(text, status="completed"):
    timings = Timings(started_at=datetime(2026, 11, 20, tzinfo=UTC))
    return Reply(text=text, status=status, model="a/b", timings=timings)


@pytest.fixture
def loop():
    background = BackgroundLoop()
    yield background
    background.stop()


def answering(*texts):
    """Make an answer of these texts that gives way after each."""

    async def answer(emit, stop):
        for text in texts:
            emit([TextDelta(text)])
            await asyncio.sleep(0)
        done = reply("".join(texts))
        emit([Done(done)])
        return done

    return answer


def endless(started):
    """Make an answer that says one word and then waits until it is stopped."""

    async def answer(emit, stop):
        emit([TextDelta("Once")])
        started.set()
        await stop.run(asyncio.Event().wait())
        done = reply("Once", "stopped")
        emit([Done(done)])
        return done

    return answer


def texts(events):
    return [event.text for event in events if isinstance(event, TextDelta)]


def test_a_blocking_loop_gets_every_event_in_order_and_the_end_last(loop):
    events = list(Stream(loop, answering("a", "b", "c")))
    assert texts(events) == ["a", "b", "c"]
    assert events[-1] == Done(reply("abc"))


def test_another_event_loop_gets_the_same(loop):
    async def read():
        return [event async for event in Stream(loop, answering("a", "b", "c"))]

    events = asyncio.run(read())
    assert texts(events) == ["a", "b", "c"]
    assert isinstance(events[-1], Done)


def test_ten_thousand_events_reach_a_reader_on_another_loop(loop):
    words = [str(number) for number in range(10_000)]

    async def read():
        return [event async for event in Stream(loop, answering(*words))]

    assert texts(asyncio.run(read())) == words


def test_leaving_the_loop_does_not_stop_the_answer(loop):
    stream = Stream(loop, answering("a", "b", "c"))
    for _ in stream:
        break
    assert stream.result().text == "abc"


def test_an_error_is_the_last_event_and_is_raised_by_result(loop):
    async def answer(emit, stop):
        error = GatewayFault("broken")
        emit([Failed(error, None)])
        raise error

    stream = Stream(loop, answer)
    assert [type(event) for event in stream] == [Failed]
    with pytest.raises(GatewayFault):
        stream.result()


def test_an_error_before_the_first_event_is_told_too(loop):
    async def answer(emit, stop):
        raise RequestError("no")

    stream = Stream(loop, answer)
    [failed] = list(stream)
    assert isinstance(failed.error, RequestError)
    with pytest.raises(RequestError, match="no"):
        asyncio.run(stream.wait())


def test_a_stop_from_another_thread_ends_the_answer_and_keeps_what_came(loop):
    started = threading.Event()
    stream = Stream(loop, endless(started))
    started.wait(10)
    threading.Thread(target=stream.stop).start()
    assert stream.result() == reply("Once", "stopped")
    assert texts(stream) == ["Once"]


def test_an_interrupt_while_waiting_stops_the_answer_and_saves_it(loop):
    started = threading.Event()
    stream = Stream(loop, endless(started))

    def interrupt():
        while not (started.is_set() and stream._waiting):  # until the reader waits for the next event
            threading.Event().wait(0.001)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        for _ in stream:
            pass
    assert stream.done
    assert stream.result().status == "stopped"


def test_cancelling_the_reader_stops_the_answer(loop):
    started = threading.Event()
    stream = Stream(loop, endless(started))

    async def read():
        async def consume():
            async for _ in stream:
                pass

        task = asyncio.ensure_future(consume())
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(read())
    assert stream.result().status == "stopped"


def test_a_reader_whose_loop_is_gone_does_not_hurt_the_answer(loop):
    go_on = threading.Event()

    async def answer(emit, stop):
        emit([TextDelta("a")])
        await asyncio.to_thread(go_on.wait, 10)
        emit([TextDelta("b")])
        return reply("ab")

    stream = Stream(loop, answer)

    async def read_one():
        async for _ in stream:
            return

    asyncio.run(read_one())
    go_on.set()
    assert stream.result().text == "ab"


def test_blocking_on_the_loops_own_thread_is_refused_instead_of_waiting_for_ever(loop):
    async def work():
        loop.run(asyncio.sleep(0))

    with pytest.raises(RequestError, match="own loop"):
        loop.run(work())


def test_a_coroutine_runs_from_a_thread_and_from_another_loop(loop):
    async def where():
        return threading.current_thread().name

    assert loop.run(where()) == "chatlab"
    assert asyncio.run(loop.wait(where())) == "chatlab"


def test_a_stopped_loop_starts_again_on_next_use(loop):
    async def one():
        return 1

    assert loop.run(one()) == 1
    loop.stop()
    assert loop.run(one()) == 1


def test_what_is_no_error_of_ours_is_raised_instead_of_a_silent_end(loop):
    async def broken(emit, stop):
        emit([TextDelta("so far")])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Stream(loop, broken))

    async def read():
        return [event async for event in Stream(loop, broken)]

    with pytest.raises(ZeroDivisionError):
        asyncio.run(read())


def test_of_two_readers_of_one_stream_none_waits_for_ever(loop):
    started, go = threading.Event(), threading.Event()

    async def answer(emit, stop):
        started.set()
        await asyncio.to_thread(go.wait)
        return await answering("a", "b")(emit, stop)

    stream = Stream(loop, answer)
    read = []
    readers = [threading.Thread(target=lambda: read.extend(stream), daemon=True) for _ in range(2)]
    for reader in readers:
        reader.start()
    started.wait()
    while len(stream._waiting) < 2:  # both wait for the first event
        pass
    go.set()
    for reader in readers:
        reader.join(10)
    assert [reader.is_alive() for reader in readers] == [False, False]
    assert sorted(texts(read)) == ["a", "b"]
