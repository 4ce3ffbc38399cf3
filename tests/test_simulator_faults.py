"""Faults of the simulator, over raw sockets: what each does to the bytes, when, and in which order."""

import asyncio
import gzip
import json
import re
import socket
import subprocess
import sys
import threading
import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote_from_bytes

import httpx2
import pytest
from openai import OpenAI, RateLimitError

from chatlab.simulator import Simulator
from chatlab.simulator.manual import manual
from chatlab.simulator.refusals import Refusal
from chatlab.simulator.scenarios import SCENARIOS
from chatlab.simulator.script import parse_script, split_model
from chatlab.simulator.shapes import STORY
from chatlab.simulator.toxics import TOXICS

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
STORY_BYTES = SCENARIOS["story"].body()
FIRST, LAST = b'data: {"a":"\xc3\xa9","choices":[{"content":"x"}]}\n\n', b"data: [DONE]\n\n"
TWO_EVENTS = FIRST + LAST
PINGS = b"event: ping\n\nevent: ping\ndata: {}\n\n"
LATE = b'data: {"choices":[{"index":0,"delta":{"content":" after the end"},"finish_reason":null}]}\n\n'
COMMENT = b": OPENROUTER PROCESSING\n\n"
DELTA = {"index": 0, "delta": {"content": "", "role": "assistant"}, "finish_reason": None}
EMPTY = b"data: " + json.dumps({"choices": [DELTA]}, separators=(",", ":")).encode() + b"\n\n"


class FastClock:
    """A sleep takes no time but is noted."""

    def __init__(self):
        self.naps = []

    def now(self):
        return NOW

    def monotonic(self):
        return sum(self.naps)

    async def sleep(self, seconds):
        self.naps.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def clock():
    return FastClock()


@pytest.fixture
def simulator(clock):
    with Simulator.start(first_token_s=0, tokens_per_second=None, clock=clock) as running:
        yield running


class Reply:
    """All that came on one connection, and how it ended: "fin", "rst", or "open" after a silence."""

    def __init__(self, data, end):
        self.data, self.end = data, end
        head, blank_line, self.framed = data.partition(b"\r\n\r\n")
        self.begun = bool(blank_line)
        self.head = head.decode("latin-1")

    @property
    def status(self):
        return int(self.head.split()[1])

    def header(self, name):
        match = re.search(rf"(?m)^{name}: (.*?)\r?$", self.head)
        return match and match[1]

    @property
    def body(self):
        """The body without its chunks, as far as they are whole."""
        if self.header("transfer-encoding") != "chunked":
            return self.framed
        body, rest = b"", self.framed
        while match := re.match(rb"([0-9a-f]+)\r\n", rest):
            size = int(match[1], 16)
            body += rest[match.end() : match.end() + size]
            rest = rest[match.end() + size + 2 :]
        return body


def request_bytes(model="sim/crow", faults=None, *, prompt="hi", path="/api/v1/chat/completions", **params):
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": prompt}], **params}
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Authorization: Bearer simulator"]
    lines += [f"X-Sim-Faults: {faults}"] if faults is not None else []
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


def open_connection(simulator):
    return socket.create_connection(("127.0.0.1", simulator.port), timeout=20)


def read_reply(connection, *, until=None, then_s=0.0):
    """Read until the connection ends, or `until` (bytes, or a question about the reply), then a silence."""
    enough = until if callable(until) else lambda reply: until is not None and until in reply.data
    reply = Reply(b"", "open")
    try:
        while not enough(reply):
            reply = _read_more(connection, reply, timeout_s=10)
        while then_s and reply.end == "open":
            reply = _read_more(connection, reply, timeout_s=then_s)
    except TimeoutError:
        assert then_s, f"nothing more came after {reply.data[-100:]!r}"
    except EOFError:
        pass
    return reply


def _read_more(connection, reply, *, timeout_s):
    if reply.end != "open":
        raise EOFError
    connection.settimeout(timeout_s)
    try:
        piece = connection.recv(1024 * 1024)
    except ConnectionResetError:
        return Reply(reply.data, "rst")
    return Reply(reply.data + piece, "open" if piece else "fin")


def ask(simulator, model="sim/crow", faults=None, *, until=b"\r\n0\r\n\r\n", then_s=0.0, **params):
    """Send one request and read its answer, until the connection ends or `until` has come."""
    with open_connection(simulator) as connection:
        connection.sendall(request_bytes(model, faults, **params))
        return read_reply(connection, until=until, then_s=then_s)


def whole(simulator, model="sim/crow", faults=None, **params):
    """Ask for an answer with a content-length, and read it."""
    with httpx2.Client() as client:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **params}
        headers = {"Authorization": "Bearer simulator"} | ({"X-Sim-Faults": faults} if faults else {})
        return client.post(f"{simulator.url}/chat/completions", json=body, headers=headers)


def body_toxic(content):
    return "body=" + quote_from_bytes(content, safe="")


def chunks(*pieces):
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def in_slices(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


# Events, byte for byte


@pytest.mark.parametrize(
    ("toxic", "expected"),
    [
        ("sse-nospace", FIRST.replace(b"data: ", b"data:") + b"data:[DONE]\n\n"),
        ("sse-multiline", FIRST.replace(b',"choices"', b',\ndata: "choices"') + LAST),
        ("sse-badutf8", FIRST.replace(b'"content":"x', b'"content":"\xffx') + LAST),
        ("sse-nodone", FIRST),
        ("sse-ids", b"id: 1\n" + FIRST + b": ping\n\nid: 2\n" + LAST + b": ping\n\n"),
        ("sse-retry", b"retry: 3000\n\n" + FIRST + b"retry: 3000\n\n" + LAST),
        ("sse-empty", b"data:\n\ndata\n\n" + FIRST + b"data:\n\ndata\n\n" + LAST),
        ("sse-unended", TWO_EVENTS[:-2]),
        ("sse-crlf", TWO_EVENTS.replace(b"\n", b"\r\n")),
        ("sse-cr", TWO_EVENTS.replace(b"\n", b"\r")),
        ("sse-mixed", FIRST.replace(b"\n", b"\r\n") + LAST.replace(b"\n", b"\r")),
        ("sse-bom", b"\xef\xbb\xbf" + TWO_EVENTS),
        ("sse-ping", PINGS + FIRST + PINGS + LAST),
        (
            "sse-comments",
            b"".join(b": between\n\n: inside\n" + event[:-1] + b":\n\n" for event in (FIRST, LAST)),
        ),
        ("sse-afterdone", TWO_EVENTS + LATE),
        ("sse-bom, sse-crlf, sse-unended, sse-nodone", b"\xef\xbb\xbf" + FIRST[:-2].replace(b"\n", b"\r\n")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("cut", ["", ", chunk=7", ", slice=1"])
def test_events_are_written_otherwise(simulator, toxic, expected, cut):
    assert ask(simulator, faults=f"{body_toxic(TWO_EVENTS)}, {toxic}{cut}").body == expected


EVENT_TOXICS = [name for name, toxic in TOXICS.items() if toxic.group == "Events"]


@pytest.mark.parametrize("name", EVENT_TOXICS)
def test_events_are_rewritten_whole_whatever_pieces_they_come_in(name):
    content = TWO_EVENTS + b'data: {"rest":1}'
    written = {_rewritten(name, content[:at], content[at:]) for at in range(len(content) + 1)}
    written |= {_rewritten(name, *in_slices(content, 1))}
    assert len(written) == 1


def _rewritten(name, *pieces):
    from chatlab.simulator.treatment import Treatment, transform_end, transform_piece

    treatment = Treatment(attempt=1, draw=None, now=NOW)
    parse_script(name).step(1).apply(treatment)
    transforms = treatment.events
    return b"".join(transform_piece(transforms, piece) for piece in pieces) + transform_end(transforms)


def test_events_of_a_real_answer_are_rewritten_too(simulator):
    plain = ask(simulator).body
    nospace = ask(simulator, "sim/crow+sse-nospace").body
    assert plain.count(b"data: {") == nospace.count(b"data:{") > 3
    assert b"data: " not in nospace


def test_an_answer_that_is_no_stream_has_no_events_to_rewrite(simulator):
    assert whole(simulator, faults="sse-ids, sse-bom, sse-crlf").json()["object"] == "chat.completion"


# Coding


@pytest.mark.parametrize("faults", ["gzip", "gzip=flushed", "gzip, slice=1", "gzip=flushed, chunk=3"])
def test_gzip_is_gzip(simulator, faults):
    reply = ask(simulator, "sim/fault-story", faults)
    assert reply.header("content-encoding") == "gzip"
    assert gzip.decompress(reply.body) == STORY_BYTES
    assert whole(simulator, faults=faults).json()["object"] == "chat.completion"


def test_flushed_gzip_can_be_read_as_it_comes_and_plain_gzip_cannot(simulator):
    read = {}
    for how in ("gzip", "gzip=flushed"):
        coded = ask(simulator, f"sim/fault-story+{how}+limit=200").body
        read[how] = zlib.decompressobj(31).decompress(coded)
    assert STORY_BYTES.startswith(read["gzip=flushed"])
    assert len(read["gzip=flushed"]) > 223


def test_a_limit_counts_coded_bytes_and_ends_as_if_that_were_all(simulator):
    coded = ask(simulator, "sim/fault-story+gzip=flushed").body
    reply = ask(simulator, "sim/fault-story+gzip=flushed+limit=100")
    assert reply.body == coded[:100]
    assert reply.framed.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("limit", [0, 1, 222, 223, 224, len(STORY_BYTES), len(STORY_BYTES) + 1])
def test_a_limit_is_exact(simulator, limit):
    assert ask(simulator, f"sim/fault-story+limit={limit}", until=b"0\r\n\r\n").body == STORY_BYTES[:limit]


def test_a_limited_whole_answer_has_the_length_that_it_says(simulator):
    response = whole(simulator, faults="limit=20")
    assert len(response.content) == int(response.headers["content-length"]) == 20


@pytest.mark.parametrize("at", [0, 5, 300, len(STORY_BYTES) - 1])
def test_one_byte_is_inverted(simulator, at):
    body = ask(simulator, f"sim/fault-story+corrupt={at}").body
    wrong = [index for index, (one, other) in enumerate(zip(STORY_BYTES, body, strict=True)) if one != other]
    assert wrong == [at]
    assert body[at] == STORY_BYTES[at] ^ 0xFF


# Framing


@pytest.mark.parametrize(
    ("faults", "framed", "end"),
    [
        ("ok", chunks(FIRST, LAST) + b"0\r\n\r\n", "open"),
        ("chunk=1000", chunks(FIRST, LAST) + b"0\r\n\r\n", "open"),
        ("chunk=20", chunks(*in_slices(FIRST, 20), *in_slices(LAST, 20)) + b"0\r\n\r\n", "open"),
        ("badchunk=0", b"ZZ\r\n" + chunks(FIRST, LAST) + b"0\r\n\r\n", "open"),
        ("badchunk=46", chunks(FIRST) + b"ZZ\r\n" + chunks(LAST) + b"0\r\n\r\n", "open"),
        ("badchunk=10", chunks(FIRST[:10]) + b"ZZ\r\n" + chunks(FIRST[10:], LAST) + b"0\r\n\r\n", "open"),
        ("close=end", chunks(FIRST, LAST), "fin"),
        ("close=10", chunks(FIRST[:10]), "fin"),
        ("close=10, chunk=4", chunks(FIRST[:4], FIRST[4:8], FIRST[8:10]), "fin"),
        ("framing=close", TWO_EVENTS, "fin"),
        ("framing=http10", TWO_EVENTS, "fin"),
        ("framing=length", TWO_EVENTS, "open"),
        ("length=0", TWO_EVENTS, "open"),
        ("length=7", TWO_EVENTS, "fin"),
        ("length=-7", TWO_EVENTS, "fin"),
    ],
)
def test_framing_is_as_asked_for_to_the_byte(simulator, faults, framed, end):
    until = framed if end == "open" else None
    reply = ask(simulator, faults=f"{body_toxic(TWO_EVENTS)}, {faults}", until=until, then_s=0.03)
    assert reply.framed == framed
    assert reply.end == end
    version = "1.0" if "http10" in faults else "1.1"
    assert reply.head.startswith(f"HTTP/{version} 200 OK\r\n")
    lengths = {"framing=length": 0, "length=0": 0, "length=7": 7, "length=-7": -7}
    expected = str(len(TWO_EVENTS) + lengths[faults]) if faults in lengths else None
    assert reply.header("content-length") == expected
    assert (reply.header("transfer-encoding") == "chunked") == (expected is None and "framing=" not in faults)


def test_a_whole_answer_can_come_in_chunks(simulator):
    reply = ask(simulator, faults="framing=chunked", stream=False)
    assert json.loads(reply.body)["object"] == "chat.completion"
    assert reply.header("content-length") is None


def test_a_connection_goes_on_after_faults_that_leave_it_whole(simulator):
    with open_connection(simulator) as connection:
        for faults in ("limit=30", "slice=50", "gzip", "sse-crlf", "chunk=9", "status=429", "redirect=/x"):
            connection.sendall(request_bytes("sim/fault-story", faults))
            until = b"}}}" if "status" in faults else b"/x\r\n" if "redirect" in faults else b"0\r\n\r\n"
            assert read_reply(connection, until=until).end == "open", faults


# Cuts


@pytest.mark.parametrize(("toxic", "end"), [("reset", "rst"), ("close", "fin"), ("stall", "open")])
@pytest.mark.parametrize("place", ["head", "0", "1", "400", "end"])
@pytest.mark.parametrize("cut", ["", "+slice=1", "+chunk=1"])
def test_a_connection_ends_after_exactly_so_many_bytes(simulator, toxic, end, place, cut):
    count = {"head": 0, "end": len(STORY_BYTES)}
    expected = STORY_BYTES[: count[place] if place in count else int(place)]

    def has_all(reply):
        return end == "open" and reply.begun == (place != "head") and reply.body == expected

    reply = ask(simulator, f"sim/fault-story+{toxic}={place}{cut}", until=has_all, then_s=0.03)
    assert reply.end == end
    assert reply.begun == (place != "head")
    assert reply.body == expected
    assert not reply.framed.endswith(b"\r\n0\r\n\r\n")


def test_the_first_of_several_ends_is_the_one(simulator):
    reply = ask(simulator, "sim/fault-story+reset=300+close=200+stall=400", until=None)
    assert (reply.end, reply.body) == ("fin", STORY_BYTES[:200])


def test_a_reset_does_not_lose_what_was_sent_before_it(simulator):
    for faults in ("huge=3000000+reset=2500000", "huge=300000+slice=997+reset=250000"):
        assert len(ask(simulator, f"sim/crow+{faults}", until=None).body) == int(faults.rpartition("=")[2])


def test_an_end_beyond_the_end_never_comes(simulator):
    reply = ask(simulator, "sim/fault-story+reset=100000")
    assert (reply.end, reply.body) == ("open", STORY_BYTES)


def test_a_whole_answer_is_cut_short_of_its_length(simulator):
    reply = ask(simulator, faults="close=50", stream=False, until=None)
    assert len(reply.body) == 50 < int(reply.header("content-length"))


@pytest.mark.parametrize(
    ("toxic", "drop"),
    [("drip", COMMENT), ("drip-empty", EMPTY)],
    ids=["comments", "empty deltas"],
)
@pytest.mark.parametrize(("place", "before"), [("0", 0), ("1", 223), ("223", 223), ("224", 448)])
def test_a_drip_never_ends_and_never_breaks_an_event(simulator, clock, toxic, drop, place, before):
    drops = chunks(drop) * 5
    reply = ask(simulator, f"sim/fault-story+{toxic}={place}:0.25", until=drops)
    assert reply.body.startswith(STORY_BYTES[:before] + drop * 5)
    assert set(clock.naps) == {0.25}


# Timing, on a clock that takes no time


def test_the_head_can_be_late(simulator, clock):
    ask(simulator, "sim/fault-story+head-delay=30")
    assert clock.naps == [30.0]


def test_timing_works_in_the_order_in_which_it_is_written(simulator, clock):
    body = body_toxic(b"0123456789")
    ask(simulator, faults=f"{body}, slice=5, delay=1")
    pieces_then_waits = list(clock.naps)
    clock.naps.clear()
    ask(simulator, faults=f"{body}, delay=1, slice=5")
    framed = len(chunks(b"0123456789"))
    assert len(pieces_then_waits) == framed / 5 + 1  # the chunk, and the end mark
    assert len(clock.naps) == 2
    assert set(pieces_then_waits + clock.naps) == {1.0}


def test_slices_are_written_one_by_one(simulator, clock):
    """Told by the wait after each of them: how many reads a client needs, its machine decides."""
    reply = ask(simulator, "sim/fault-story+slice=100+delay=1")
    assert reply.body == STORY_BYTES
    assert len(clock.naps) >= len(STORY_BYTES) / 100


@pytest.mark.parametrize("rate", [1, 10, 1000, 7777.5])
def test_a_rate_is_exact_over_the_whole_body(simulator, clock, rate):
    reply = ask(simulator, f"sim/fault-story+rate={rate}")
    assert sum(clock.naps) == pytest.approx(len(reply.framed) / rate)
    assert max(clock.naps) <= max(0.0501, 1 / rate)


def _waits(simulator, clock, faults, prompt):
    clock.naps.clear()
    ask(simulator, "sim/fault-story", faults, prompt=prompt)
    return list(clock.naps)


def test_jitter_is_the_same_for_the_same_seed_and_attempt(clock, simulator):
    first, second = (_waits(simulator, clock, "jitter=1, seed=7", prompt) for prompt in ("a", "b"))
    again = _waits(simulator, clock, "jitter=1, seed=7", "b")
    other = _waits(simulator, clock, "jitter=1, seed=8", "b")
    assert first == second
    assert len(first) > 5
    assert all(0 <= wait <= 1 for wait in first)
    assert len({tuple(waits) for waits in (second, again, other)}) == 3  # a second attempt draws anew


def test_pace_and_faults_share_the_clock():
    clock = FastClock()
    with Simulator.start(first_token_s=2, tokens_per_second=10, clock=clock) as slow:
        ask(slow, "sim/crow+head-delay=5")
    assert clock.naps[:2] == [5.0, 0.5]


# Answers


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_named_answer_is_sent_as_it_is(simulator, name):
    scenario = SCENARIOS[name]
    streamed = scenario.content_type == "text/event-stream"
    reply = ask(simulator, f"sim/fault-{name}+close=end", until=None)
    assert reply.body == scenario.body()
    assert (reply.status, reply.header("content-type")) == (scenario.status, scenario.content_type)
    assert (reply.header("transfer-encoding") == "chunked") == streamed
    assert all(reply.header(header) == value for header, value in scenario.headers.items())


def test_the_story_is_a_stream_that_the_openai_client_reads(simulator):
    with OpenAI(base_url=simulator.url, api_key="simulator") as client:
        chunks = client.chat.completions.create(model="sim/fault-story+slice=3", messages=[], stream=True)
        assert "".join(chunk.choices[0].delta.content for chunk in chunks) == STORY


@pytest.mark.parametrize("status", [*range(400, 430), 500, 502, 503, 504, 520, 524, 529, 599])
def test_any_status_comes_with_an_error_body(simulator, status):
    response = whole(simulator, f"sim/crow+status={status}")
    assert response.status_code == response.json()["error"]["code"] == status


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(simulator, status):
    response = whole(simulator, f"sim/crow+status={status}")
    assert (response.status_code, response.content) == (status, b"")


@pytest.mark.parametrize(
    ("faults", "header", "value"),
    [
        ("status=429, retry-after=2", "retry-after", "2"),
        ("status=429, retry-after=soon%2C or later", "retry-after", "soon, or later"),
        ("status=429, header=Retry-After-Ms:1500", "retry-after-ms", "1500"),
        ("status=429, retry-date=30", "retry-after", "Fri, 20 Nov 2026 12:00:30 GMT"),
        ("status=429, retry-date=-3600", "retry-after", "Fri, 20 Nov 2026 11:00:00 GMT"),
        ("header=x-one:1, header=x-two:2", "x-two", "2"),
        ("type=text/plain", "content-type", "text/plain"),
        ("redirect=http://other.example/v1%2Cx", "location", "http://other.example/v1,x"),
    ],
)
def test_headers_are_as_asked_for(simulator, faults, header, value):
    response = whole(simulator, faults=faults)
    assert response.headers.get_list(header) == [value]
    if faults.startswith("retry-date"):
        assert parsedate_to_datetime(value)


@pytest.mark.parametrize(("faults", "status"), [("redirect=/x", 307), ("redirect=/x, status=302", 302)])
def test_a_redirect_is_not_followed_by_a_body(simulator, faults, status):
    response = whole(simulator, faults=faults)
    assert (response.status_code, response.content) == (status, b"")


def test_a_body_may_be_any_bytes(simulator):
    content = bytes(range(256))
    reply = ask(simulator, faults=f"{body_toxic(content)}, type=application/octet-stream", until=content)
    assert (reply.header("content-length"), reply.body) == ("256", content)
    assert ask(simulator, f"sim/crow+{body_toxic(content)}").body == content


@pytest.mark.parametrize("size", [1024, 65_536, 8 * 1024 * 1024])
def test_a_huge_event_has_the_size_asked_for(simulator, size):
    assert ask(simulator, f"sim/crow+huge={size}").body.index(b"\n\n") + 2 == size


# Scripts


def statuses(simulator, model, count, **params):
    return [whole(simulator, model, **params).status_code for _ in range(count)]


def test_a_script_goes_on_with_each_attempt_and_stays_at_its_last_step(simulator):
    model = "sim/crow+status=429+retry-after=2|status=503+times=2|ok"
    assert statuses(simulator, model, 6) == [429, 503, 503, 200, 200, 200]


def test_attempts_are_counted_apart_for_each_request_script_and_run(simulator):
    assert statuses(simulator, "sim/crow+status=500+run=a|ok", 2) == [500, 200]
    assert statuses(simulator, "sim/crow+status=500+run=b|ok", 1) == [500]
    assert statuses(simulator, "sim/crow+status=500+run=a|ok", 1, user="other") == [500]
    assert statuses(simulator, "sim/crow+status=500+run=a|ok", 1) == [200]


def test_the_openai_client_retries_into_the_second_step(simulator):
    messages = [{"role": "user", "content": "once more"}]
    with OpenAI(base_url=simulator.url, api_key="simulator", max_retries=0) as client:
        with pytest.raises(RateLimitError):
            client.chat.completions.create(model="sim/crow+status=429|ok", messages=messages)
        assert client.chat.completions.create(model="sim/crow+status=429|ok", messages=messages).choices


def test_a_header_reaches_every_path(simulator):
    headers = {"X-Sim-Faults": "status=404|ok"}
    answers = [httpx2.get(f"{simulator.url}/models", headers=headers).status_code for _ in range(2)]
    assert answers == [404, 200]


def test_header_and_model_add_up(simulator, clock):
    reply = ask(simulator, "sim/fault-story+limit=300", "delay=1, chunk=10")
    assert reply.body == STORY_BYTES[:300]
    assert reply.framed.startswith(b"a\r\n")
    assert set(clock.naps) == {1.0}


def test_a_fault_may_meet_a_refusal(simulator):
    reply = ask(simulator, "sim/error-503+close=20", until=None)
    assert (reply.status, reply.end, len(reply.body)) == (503, "fin", 20)


def test_what_was_sent_before_a_cut_is_billed_and_what_was_limited_is_billed_whole(simulator):
    shown = {}
    for faults in ("reset=900", "limit=900", "ok"):
        reply = ask(
            simulator, f"sim/crow+{faults}", until=None if "reset" in faults else b"0\r\n\r\n", prompt="z"
        )
        query = {"id": reply.header("x-generation-id")}
        headers = {"Authorization": "Bearer simulator"}
        shown[faults] = httpx2.get(f"{simulator.url}/generation", params=query, headers=headers).json()[
            "data"
        ]
    assert [shown[faults]["cancelled"] for faults in shown] == [True, False, False]
    assert shown["limit=900"]["total_cost"] == shown["ok"]["total_cost"]


# The language


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slcie=1", "There is no toxic 'slcie'. The nearest is 'slice'."),
        ("slice=1, Reset=4", "There is no toxic 'Reset'. The nearest is 'reset'."),
        ("fault=storey", "There is no fault 'storey'. The nearest is 'story'."),
        ("ok|fault=", "There is no fault ''."),
        ("slice", "The toxic slice takes a whole number from 1 to 134217728, not ''."),
        ("slice=0", "not '0'"),
        ("slice=1.5", "not '1.5'"),
        ("slice=9999999999999", "from 1 to 134217728"),
        ("slice=١", "whole number"),
        ("delay=-1", "The toxic delay takes a number of seconds from 0 to 86400, not '-1'."),
        ("delay=nan", "not 'nan'"),
        ("delay=inf", "not 'inf'"),
        ("rate=0", "bytes per second"),
        ("reset=middle", "The toxic reset takes head or end or a whole number"),
        ("sse-bom=1", "The toxic sse-bom takes no value, not '1'."),
        ("gzip=broken", "one of no value, flushed"),
        ("framing=none", "one of chunked, length, close, http10"),
        ("status=99", "from 200 to 599"),
        ("header=x", "NAME:VALUE"),
        ("header=a b:c", "NAME:VALUE"),
        ("header=x:a%0d%0aset-cookie:b", "one line"),
        ("redirect=%0a", "one line"),
        ("drip=1:x", "seconds"),
        ("slice=1, slice=2", "The toxic slice is given twice"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_would_be_right(text, message):
    with pytest.raises(Refusal) as caught:
        parse_script(text)
    assert caught.value.status == 400
    assert message in caught.value.message


def test_a_mistake_is_a_400_of_the_server_and_nothing_else_happens(simulator):
    for reply in (whole(simulator, "sim/crow+slcie=1"), whole(simulator, faults="slcie=1")):
        assert reply.status_code == 400
        assert "The nearest is 'slice'" in reply.json()["error"]["message"]


def test_a_real_key_is_refused_before_any_fault(simulator):
    headers = {"Authorization": "Bearer sk-or-v1-real", "X-Sim-Faults": "status=200, body=ok"}
    response = httpx2.get(f"{simulator.url}/models", headers=headers)
    assert response.status_code == 401
    assert "sk-or-v1-real" not in response.text


@pytest.mark.parametrize(
    ("model", "base", "script"),
    [
        ("sim/crow", "sim/crow", None),
        ("sim/crow+", "sim/crow", None),
        ("sim/crow+slice=1+reset=4", "sim/crow", "slice=1+reset=4"),
        ("sim/owl|ok", "sim/owl", "|ok"),
        ("sim/fault-story", "sim/crow", "fault=story"),
        ("sim/fault-story+slice=1|ok", "sim/crow", "fault=story+slice=1|ok"),
        ("openai/gpt+slice=1", "openai/gpt+slice=1", None),
        ("", "", None),
    ],
)
def test_a_model_name_carries_its_faults_behind_it(model, base, script):
    assert split_model(model) == (base, script)


def test_but_for_timing_faults_take_effect_in_the_order_of_the_table():
    written = "delay=1 + reset=4 + slice=2 + gzip + sse-bom + jitter=1 + sse-nodone + seed=3 + status=500"
    names = [toxic.name for toxic, _ in parse_script(written).step(1).doses]
    timing = ["delay", "slice", "jitter"]
    assert names == ["seed", "status", "sse-nodone", "sse-bom", "gzip", "reset", *timing]


# Help


def test_the_help_lists_every_toxic_and_every_named_answer_in_lines_that_fit():
    listed = {
        line.split()[0].partition("=")[0]: line for line in manual().splitlines() if line.startswith("  ")
    }
    assert listed.keys() >= TOXICS.keys() | SCENARIOS.keys()
    assert max(len(line) for line in manual().splitlines()) <= 80


def test_the_command_prints_the_list_and_the_program_does_not_even_load_it():
    code = "import sys; from chatlab.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", code]
    with_list = subprocess.run([*command, "simulator", "--help"], capture_output=True, text=True, check=True)
    assert manual() in with_list.stdout
    without = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "simulator" in without.stdout
    assert not {"chatlab.simulator", "h11"} & set(without.stdout.split())


# Nothing is left behind


def count_open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    "faults",
    ["stall=head", "stall=100", "stall=end", "drip=0", "drip-empty=300:0", "rate=1", "head-delay=86400"],
)
def test_a_server_that_stops_ends_what_would_never_end(faults):
    threads, files = threading.active_count(), count_open_files()
    with Simulator.start(first_token_s=0, tokens_per_second=None) as simulator:
        connections = [open_connection(simulator) for _ in range(5)]
        for connection in connections:
            connection.sendall(request_bytes("sim/fault-story", faults))
        read_reply(connections[0], until=lambda reply: "head" in faults or b"\n" in reply.data)
    for connection in connections:
        with connection:
            assert read_reply(connection).end in {"fin", "rst"}
    assert (threading.active_count(), count_open_files()) == (threads, files)


@pytest.mark.parametrize("faults", ["stall=400", "drip=400:0", "drip=400:0.01", "reset=400", "close=400"])
def test_a_connection_that_is_over_ends_its_task(faults):
    with Simulator.start(first_token_s=0, tokens_per_second=None) as simulator:
        with open_connection(simulator) as connection:
            connection.sendall(request_bytes("sim/crow", faults))
            generation = read_reply(connection, until=b"}\n\n").header("x-generation-id")
        headers, params = {"Authorization": "Bearer simulator"}, {"id": generation}
        with httpx2.Client(base_url=simulator.url, headers=headers) as client:
            answers = (client.get("/generation", params=params) for _ in range(2_000))
            found = next(answer for answer in answers if answer.status_code == 200)
    assert found.json()["data"]["cancelled"] is True
