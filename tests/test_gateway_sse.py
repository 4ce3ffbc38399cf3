"""Bytes to events, at every cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.gateway.sse import EventTooLarge, SseDecoder, SseEvent

DIALECTS = {
    "lf": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "cr": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "mixed line ends": (b"data: a\r\n\ndata: b\r\r\n", [b"a", b"b"]),
    "no space after the colon": (b"data:a\n\n", [b"a"]),
    "two spaces keep one": (b"data:  a\n\n", [b" a"]),
    "several data lines": (b"data: a\ndata: b\n\n", [b"a\nb"]),
    "comment inside an event": (b"data: a\n: ping\ndata: b\n\n", [b"a\nb"]),
    "line separators are text": ("data: a\u2028b\u0085c\n\n".encode(), ["a\u2028b\u0085c".encode()]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    "last event without blank line": (b"data: a\n\ndata: b\n", [b"a", b"b"]),
    "last event without line end": (b"data: a\n\ndata: b", [b"a", b"b"]),
    "ids and a ping": (b"id: 1\ndata: a\n\nid: 2\n\n: ping\n\ndata: b\n\n", [b"a", b"b"]),
    "retry alone": (b"retry: 3000\n\ndata: a\n\n", [b"a"]),
    "event without data": (b"event: ping\n\ndata: a\n\n", [b"a"]),
    "empty data": (b"data:\n\ndata: \n\ndata\n\ndata: a\n\n", [b"a"]),
    "nothing but blank lines": (b"\n\n\r\n", []),
}


def decode(*pieces):
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [*events, *decoder.end()], decoder


@pytest.mark.parametrize(("body", "expected"), DIALECTS.values(), ids=DIALECTS)
def test_every_dialect_gives_its_events_wherever_it_is_cut(body, expected):
    whole, _ = decode(body)
    assert [event.data for event in whole] == expected
    assert decode(*(bytes([byte]) for byte in body))[0] == whole
    for cut in range(len(body)):
        assert decode(body[:cut], body[cut:])[0] == whole


def test_an_event_keeps_its_name_and_the_next_one_has_none():
    events, _ = decode(b"event: error\ndata: x\n\ndata: y\n\n")
    assert events == [SseEvent(b"x", b"error"), SseEvent(b"y")]


def test_the_name_of_an_event_without_data_is_not_inherited():
    events, _ = decode(b"event: error\n\ndata: y\n\n")
    assert events == [SseEvent(b"y")]


def test_comments_are_counted():
    _, decoder = decode(b": one\n\n:two\ndata: a\n\n")
    assert decoder.comments == 2


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b'{"error":"x"}', SseEvent(b'{"error":"x"}', framed=False)),
        (b"<html>", SseEvent(b"<html>", framed=False)),
        (b'error: {"a":1}', SseEvent(b'{"a":1}', b"error", framed=False)),
    ],
    ids=["bare JSON", "HTML", "error line of llama.cpp"],
)
def test_a_line_that_is_no_field_is_handed_on_unframed(line, event):
    events, _ = decode(line + b"\n\n")
    assert events == [event]


@pytest.mark.parametrize(
    "pieces",
    [[b"data: " + b"x" * 200], [b"data: xxxxxxxxxx\n"] * 20, [b"x"] * 200],
    ids=["one long line", "many data lines", "byte by byte"],
)
def test_an_event_over_the_limit_is_refused_before_it_is_whole(pieces):
    decoder = SseDecoder(limit=100)
    with pytest.raises(EventTooLarge, match="100 bytes"):
        list(map(decoder.feed, pieces))


def test_the_limit_is_for_one_event_not_for_the_stream():
    decoder = SseDecoder(limit=100)
    assert sum(len(decoder.feed(b"data: " + b"x" * 50 + b"\n\n")) for _ in range(100)) == 100


@given(
    st.lists(
        st.sampled_from(
            [b"data: a", b"data:", b"\r", b"\n", b"\r\n", b":", b"event: e", b"\xef\xbb\xbf", b"{"]
        )
    ),
    st.lists(st.integers(0, 80)),
)
def test_cuts_never_change_the_events(words, cuts):
    body = b"".join(words)
    bounds = [0, *sorted(cut for cut in cuts if cut <= len(body)), len(body)]
    pieces = [body[start:stop] for start, stop in pairwise(bounds)]
    assert decode(*pieces)[0] == decode(body)[0]
