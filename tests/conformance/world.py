"""A small world for one item: a simulator, a workbench on it with a store on disk, and time that runs faster.

What leaves the workbench is looked at from outside: events, rows, sockets, tasks, files, and every word.
"""

import asyncio
import contextlib
import gc
import io
import logging
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from chatlab.blocking import BackgroundLoop
from chatlab.errors import ChatlabError, GatewayError
from chatlab.settings import Settings
from chatlab.simulator import Simulator
from chatlab.values.events import Done, Failed, Retrying, TextDelta
from chatlab.workbench import Workbench
from tests.conformance.cases import PATIENT

KEPT = 2  # both ends of one connection, for the next request
HALF_OPEN = {
    "01",
    "08",
}  # established, close-wait: https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html
KEY = "canary-5e1d7b02c94f6a38"  # of no real gateway's form, so that the simulator takes it
ROWS = """
    select a.attempt_no, a.outcome, a.cost_basis, a.generation_id, a.served_model, a.provider, a.cost_usd,
        a.input_tokens, a.output_tokens, a.finish_reason, a.http_status, t.error_message,
        (
            select string_agg(p.text, '' order by p.position)
            from messages m join message_parts p using (message_id)
            where m.call_id = a.call_id and m.role = 'assistant' and p.kind = 'text'
        ) as text
    from ai_usage a join attempts t using (attempt_id)
    where a.call_id = $call order by a.attempt_no
"""


class FastClock:
    """A clock that runs `speed` times as fast as the machine's, and can be set."""

    def __init__(self, speed):
        self._speed = speed
        self._wall = datetime.now(UTC)
        self._began = time.monotonic()
        self._leapt = 0.0

    def now(self):
        return self._wall + timedelta(seconds=self.monotonic())

    def monotonic(self):
        return (time.monotonic() - self._began) * self._speed + self._leapt

    async def sleep(self, seconds):
        await asyncio.sleep(seconds / self._speed)

    def set_wall(self, seconds):
        """Set the wall clock forward or back, as somebody who corrects it would."""
        self._wall += timedelta(seconds=seconds)

    def suspend(self, seconds):
        """Let time pass at once, as for a machine that slept."""
        self._leapt += seconds


class Exchange:
    """One request with everything that came of it."""

    def __init__(self, world, events, seconds):
        self.world = world
        self.events = events
        self.seconds = seconds
        last = events[-1]
        assert isinstance(last, Done | Failed), f"the last event is {last!r}"
        self.reply = last.reply
        self.error = last.error if isinstance(last, Failed) else None
        self.attempts = world.lab.sql(ROWS, {"call": self.reply.call_id})
        text = self.attempts["text"].iloc[-1]
        self.stored = "" if pd.isna(text) else text

    @property
    def text(self):
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def row(self):
        """The last attempt."""
        return self.attempts.iloc[-1]

    @property
    def waits(self):
        return [event.wait_s for event in self.events if isinstance(event, Retrying)]


class World:
    """Open it in a `with` block; at its end everything must be as it was before."""

    def __init__(self, folder, pace=PATIENT, *, url=None, clock=None, shared=False):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pace = pace
        self.clock = clock or FastClock(pace.speed)
        self._url = url
        self._key = KEY
        self._shared = shared
        self._cleanup = contextlib.ExitStack()
        self.words = []  # whatever was shown to anybody

    def __enter__(self):
        self._before = descriptors(), set(threading.enumerate())
        self._log = self._cleanup.enter_context(captured_log())
        self.loop = BackgroundLoop()
        self.loop.loop()
        if self._url is None:
            simulator = Simulator.start(first_token_s=0, tokens_per_second=None, clock=self.clock)
            self._url = self._cleanup.enter_context(simulator).url
        self.settings = Settings.load(
            gateway=self._url,
            api_key=self._key,
            store=self.folder / "lab.duckdb",
            model="sim/crow",
            environ={},
            directory=self.folder,
        )
        self.lab = Workbench(self.settings, clock=self.clock, timeouts=self.pace.timeouts, loop=self.loop)
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.settle()
            self.lab.close(drain_s=0)
        finally:
            self.loop.stop()
            self._cleanup.close()
        if kind is None:
            if self._shared:
                wait_for_none(lambda: named(self.folder) | connections(self.port))
            else:
                files, threads = self._before
                wait_for_none(lambda: (descriptors() - files) | (set(threading.enumerate()) - threads))
            self.check_silence()

    @contextlib.contextmanager
    def case(self):
        """Run one case in a world that others use too: it leaves no task, socket or file behind.

        One connection may stay open for the next request; both of its ends are in this process.
        """
        before = open_files()
        yield
        self.settle()
        wait_for_none(lambda: open_files() - before - named(self.folder))
        wait_for_none(lambda: connections(self.port) if len(connections(self.port)) > KEPT else set())
        self.check_silence()

    @property
    def port(self):
        return urlsplit(self._url).port

    def check_silence(self):
        """Look for the key in everything that was shown, logged or stored, and forget it."""
        shown = "\n".join([*self.words, self._log.getvalue()])
        assert self._key not in shown, "the key was shown"
        stored = [path for path in self.folder.rglob("*") if path.is_file()]
        assert not [path for path in stored if self._key.encode() in path.read_bytes()], "the key was stored"
        self.words.clear()
        self._log.truncate(0)

    def enter(self, context):
        """Keep a context open until the world ends."""
        return self._cleanup.enter_context(context)

    def ask(self, model, prompt="Why?", *, on_own_loop=False, **params):
        """Send one request and read it to its end, from plain Python or from an event loop."""
        began = self.clock.monotonic()
        model = model_name(model)
        if on_own_loop:
            events = asyncio.run(self._read(model, prompt, params))
        else:
            events = list(self.lab.stream(prompt, model=model, **params))
        return self.exchange(events, began)

    async def _read(self, model, prompt, params):
        return [event async for event in self.lab.astream(prompt, model=model, **params)]

    def exchange(self, events, began=0.0):
        """Take the events of a request that has ended, and note what they show."""
        exchange = Exchange(self, events, self.clock.monotonic() - began)
        self.words += [repr(events), repr(vars(exchange.error)) if exchange.error else ""]
        if exchange.error is not None:
            told = traceback.TracebackException.from_exception(exchange.error, capture_locals=True)
            self.words.append("".join(told.format()))
        return exchange

    def sql(self, query):
        return self.lab.sql(query)

    def settle(self, seconds=5.0):
        """Wait until nothing runs on the background loop; what is left then is a leak."""

        async def others():
            return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

        until = time.monotonic() + seconds
        while left := self.loop.run(others()):
            assert time.monotonic() < until, f"tasks were left over: {left}"
            time.sleep(0.005)


def model_name(script):
    """Name the simulated model that carries a script out."""
    return f"sim/{script}" if script.startswith("fault-") else f"sim/crow+{script}"


def open_files():
    """Name the open files of this process, with their numbers; sockets are counted by themselves."""
    return {pair for pair in descriptors() if not pair[1].startswith(("/proc/", "socket:"))}


def descriptors():
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add((entry.name, str(entry.readlink())))
    return found


def named(folder):
    """Name the open files below a folder: the store's own."""
    return {pair for pair in descriptors() if pair[1].startswith(str(folder))}


def connections(port):
    """Find both ends of the connections to a port that are established, or closed by one side only."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    ends = f":{port:04X}"
    return {(row[1], row[2]) for row in rows if row[3] in HALF_OPEN and ends in {row[1][-5:], row[2][-5:]}}


def wait_for_none(find, seconds=5.0):
    """Wait until nothing is found any more."""
    until = time.monotonic() + seconds
    while left := find():
        assert time.monotonic() < until, f"left over: {left}"
        gc.collect()
        time.sleep(0.01)


@contextlib.contextmanager
def captured_log():
    """Collect everything that is logged, at every level."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def check_exchange(exchange, probe):
    """Hold an exchange against the rule that every case has to pass."""
    reply, error = exchange.reply, exchange.error
    kinds = [type(event) for event in exchange.events]
    assert sum(kind in (Done, Failed) for kind in kinds) == 1
    outcomes = list(exchange.attempts["outcome"])
    told = f"{error!r}, {outcomes}"
    assert reply.status == probe.outcome, told
    assert outcomes[-1] == probe.outcome, told
    assert type(error) is (probe.error or type(None)), told
    assert len(outcomes) == reply.attempts == probe.attempts, told
    assert "completed" not in outcomes[:-1]
    check_text(exchange, probe)
    assert (exchange.row["cost_basis"], reply.cost.basis) == (probe.basis, probe.basis)
    assert (reply.cost.usd is None) == (probe.basis == "unknown") == pd.isna(exchange.row["cost_usd"])
    missing = [word for word in probe.says if word not in str(error)]
    assert not missing, f"{missing} not in {error}"
    assert len(exchange.waits) == probe.attempts - 1
    for wait, (least, most) in zip(exchange.waits, probe.waits, strict=False):
        assert least <= wait <= most, f"waited {exchange.waits} for {probe.model}"
    assert exchange.seconds <= probe.within
    if probe.check is not None:
        probe.check(exchange)


def check_text(exchange, probe):
    """What was shown, returned and stored is the same, and nothing but what was sent."""
    text = exchange.reply.text
    assert exchange.text == text
    assert exchange.stored == text or not text
    if probe.outcome == "completed":
        assert text == probe.text
    else:
        assert probe.text.startswith(text)
        assert len(text) >= probe.least
    if isinstance(exchange.error, GatewayError):
        assert exchange.error.partial_text == text
    assert exchange.error is None or isinstance(exchange.error, ChatlabError)


def check_probe(world, probe, prompt="Why?", *, on_own_loop=False):
    """Send a probe's request and check how it ends."""
    exchange = world.ask(probe.model, prompt, on_own_loop=on_own_loop)
    check_exchange(exchange, probe)
    return exchange
