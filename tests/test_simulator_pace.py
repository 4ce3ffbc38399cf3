"""When tokens come, on a clock that is only told to have moved on."""

import asyncio
from datetime import UTC, datetime

import httpx2
import pytest

from chatlab.simulator import FAMILIES, Simulator
from chatlab.simulator.pace import KEEP_ALIVE_S, Meter, Pace


class FastClock:
    """A sleep takes no time but counts it."""

    def __init__(self):
        self.seconds = 0.0
        self.naps = []

    def now(self):
        return datetime(2026, 11, 20, tzinfo=UTC)

    def monotonic(self):
        return self.seconds

    async def sleep(self, seconds):
        self.naps.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


async def _schedule(pace, total):
    """Return the time at which each batch of tokens is due, and its size."""
    meter, sent, batches = Meter(pace, total), 0, []
    while sent < total:
        due = await meter.due(sent)
        batches.append((round(pace.clock.monotonic(), 6), due - sent))
        sent = due
    return batches


@pytest.mark.parametrize("rate", [1.0, 3.0, 7.0, 60.0, 333.0])
def test_tokens_come_one_by_one_at_the_rate(rate):
    batches = asyncio.run(_schedule(Pace(0.0, rate, FastClock()), 50))
    assert batches == [(round(number / rate, 6), 1) for number in range(50)]


def test_a_late_server_catches_up_in_one_batch():
    clock = FastClock()

    async def oversleep(seconds):
        clock.seconds += seconds + 0.25

    clock.sleep = oversleep
    batches = asyncio.run(_schedule(Pace(0.0, 20.0, clock), 20))
    assert batches[0] == (0.0, 1)
    assert {size for _, size in batches[1:-1]} == {6}
    assert sum(size for _, size in batches) == 20


def test_without_a_rate_nothing_waits():
    clock = FastClock()
    batches = asyncio.run(_schedule(Pace(0.0, None, clock), 1000))
    assert sum(size for _, size in batches) == 1000
    assert clock.naps == []


def test_each_family_has_a_pace_of_its_own():
    paces = [Pace(1.0, 100.0, FastClock()).of(family) for family in FAMILIES.values()]
    assert paces[0].tokens_per_second == 400.0
    assert paces[0].first_token_s == pytest.approx(0.3)
    assert paces[-1].tokens_per_second == 60.0
    assert paces[-1].first_token_s == 2.0


def ask(clock, *, stream):
    body = {"model": "sim/crow", "messages": [{"role": "user", "content": "Count to 20"}], "stream": stream}
    headers = {"Authorization": "Bearer simulator"}
    with Simulator.start(first_token_s=2.2, tokens_per_second=10.0, clock=clock) as simulator:
        reply = httpx2.post(f"{simulator.url}/chat/completions", json=body, headers=headers)
        generation_id = reply.headers["x-generation-id"]
        url = f"{simulator.url}/generation?id={generation_id}"
        return reply, httpx2.get(url, headers=headers).json()["data"]


def test_a_stream_is_kept_alive_until_its_first_token_and_then_keeps_the_rate():
    clock = FastClock()
    reply, generation = ask(clock, stream=True)
    comments = reply.text.partition("data: ")[0].count(": OPENROUTER PROCESSING\n\n")
    assert comments == 1 + int(2.2 / KEEP_ALIVE_S)
    tokens = generation["native_tokens_completion"]
    assert clock.seconds == pytest.approx(2.2 + (tokens - 1) / 10)
    assert generation["latency"] == 2200
    assert generation["generation_time"] == round(clock.seconds * 1000)


def test_a_whole_answer_takes_as_long_as_its_stream():
    clock = FastClock()
    _, generation = ask(clock, stream=False)
    assert clock.seconds == pytest.approx(2.2 + generation["native_tokens_completion"] / 10)
    assert generation["streamed"] is False
