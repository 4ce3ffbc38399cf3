"""The table of toxics: the one place that says which there are, what they take and what they do.

`chatlab simulator --help` prints it, the parser reads by it, the treatment of a response is built from it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, Literal, TypeAlias

from chatlab.simulator import acts, arguments, bodies
from chatlab.simulator.scenarios import SCENARIOS
from chatlab.simulator.shapes import huge_story
from chatlab.simulator.treatment import Treatment

Group: TypeAlias = Literal["Script", "Answer", "Events", "Coding", "Framing and cuts", "Timing"]
GROUPS: tuple[Group, ...] = ("Script", "Answer", "Events", "Coding", "Framing and cuts", "Timing")

_COMMENT = b": OPENROUTER PROCESSING\n\n"
_EMPTY_DELTA = (
    b'data: {"choices":[{"index":0,"delta":{"content":"","role":"assistant"},"finish_reason":null}]}\n\n'
)
_BAD_CHUNK = acts.Unframed(b"ZZ\r\n")


@dataclass(frozen=True, slots=True)
class Toxic:
    """One kind of fault. `apply` adds it to the treatment of a response."""

    group: Group
    name: str
    argument: str  # as the help shows it; empty when it takes none
    does: str
    read: arguments.Reader
    apply: Callable[[Treatment, Any], None]


def _inert(_treatment: Treatment, _value: Any) -> None:
    """Do nothing to a response."""


def _seed(treatment: Treatment, seed: int) -> None:
    treatment.draw = random.Random(f"{seed}/{treatment.attempt}")  # noqa: S311 -- no secret


def _fault(treatment: Treatment, name: str) -> None:
    scenario = SCENARIOS[name]
    treatment.status, treatment.body = scenario.status, scenario.body()
    treatment.headers |= {"content-type": scenario.content_type, **scenario.headers}


def _status(treatment: Treatment, status: int) -> None:
    treatment.status = status


def _body(treatment: Treatment, body: bytes) -> None:
    treatment.body = body


def _huge(treatment: Treatment, size: int) -> None:
    treatment.body = huge_story(size)


def _redirect(treatment: Treatment, url: str) -> None:
    treatment.status, treatment.body = treatment.status or 307, b""
    treatment.headers["location"] = url


def _header(name: str) -> Callable[[Treatment, str], None]:
    def apply(treatment: Treatment, value: str) -> None:
        treatment.headers[name] = value

    return apply


def _any_header(treatment: Treatment, header: tuple[str, str]) -> None:
    treatment.headers[header[0]] = header[1]


def _retry_date(treatment: Treatment, seconds: float) -> None:
    moment = treatment.now + timedelta(seconds=seconds)
    treatment.headers["retry-after"] = format_datetime(moment, usegmt=True)


def _events(write: Callable[[bytes, int], bytes]) -> Callable[[Treatment, None], None]:
    return lambda treatment, _: treatment.events.append(bodies.EachEvent(write))


def _gzip(treatment: Treatment, how: str) -> None:
    treatment.coding.append(bodies.Gzip(flush=how == "flushed"))
    treatment.headers["content-encoding"] = "gzip"


def _chunked(treatment: Treatment, link: acts.Link) -> None:
    treatment.framing = "chunked"
    treatment.cuts.append(link)


def _length(treatment: Treatment, excess: int) -> None:
    treatment.framing, treatment.excess = "length", excess


def _framing(treatment: Treatment, framing: Any) -> None:
    treatment.framing = framing


def _end(end: acts.End) -> Callable[[Treatment, int | str], None]:
    def apply(treatment: Treatment, place: int | str) -> None:
        if place == "head":
            treatment.before_head.append(end)
        else:
            treatment.cuts.append(acts.AfterBytes(None if isinstance(place, str) else place, [end]))

    return apply


def _drip(drop: bytes) -> Callable[[Treatment, tuple[int, float]], None]:
    return lambda treatment, place: treatment.cuts.append(acts.Drip(*place, drop))


def _head_delay(treatment: Treatment, seconds: float) -> None:
    treatment.before_head.insert(0, acts.Wait(seconds))


_PLACE = arguments.place("head", "end")
_ONCE = arguments.nothing

_ALL = (
    Toxic("Script", "ok", "", "Nothing: the request is answered as always.", _ONCE, _inert),
    Toxic("Script", "times", "N", "This step is for N attempts.", arguments.count(1, 1_000_000), _inert),
    Toxic("Script", "seed", "N", "Seeds the random numbers of jitter.", arguments.count(0), _seed),
    Toxic("Script", "run", "NAME", "Nothing, but attempts are counted apart.", arguments.content, _inert),
    Toxic("Answer", "fault", "NAME", "The answer of that name, below.", arguments.one_of(*SCENARIOS), _fault),
    Toxic("Answer", "status", "N", "This status, with the error body usual for it.",
          arguments.count(200, 599), _status),
    Toxic("Answer", "redirect", "URL", "Status 307 to there.", arguments.header_value, _redirect),
    Toxic("Answer", "body", "BYTES", "These bytes as an event stream (see type).", arguments.content, _body),
    Toxic("Answer", "huge", "N", "A stream with one event of N bytes.", arguments.count(1024), _huge),
    Toxic("Answer", "type", "TYPE", "This content type.", arguments.header_value, _header("content-type")),
    Toxic("Answer", "header", "NAME:VALUE", "One more header.", arguments.header, _any_header),
    Toxic("Answer", "retry-after", "VALUE", "Retry-After with this value.", arguments.header_value,
          _header("retry-after")),
    Toxic("Answer", "retry-date", "SECONDS", "Retry-After with the date in so many seconds.",
          arguments.signed_seconds, _retry_date),
    Toxic("Events", "sse-nospace", "", "data:x instead of data: x.", _ONCE, _events(bodies.without_space)),
    Toxic("Events", "sse-multiline", "", "JSON over two data: lines.", _ONCE, _events(bodies.over_lines)),
    Toxic("Events", "sse-badutf8", "", "A byte 0xFF in every text.", _ONCE, _events(bodies.with_bad_utf8)),
    Toxic("Events", "sse-nodone", "", "No [DONE].", _ONCE, _events(bodies.without_done)),
    Toxic("Events", "sse-afterdone", "", "More data after [DONE].", _ONCE, _events(bodies.with_late_data)),
    Toxic("Events", "sse-ids", "", "id: on each event, ': ping' after it.", _ONCE, _events(bodies.with_ids)),
    Toxic("Events", "sse-ping", "", "event: ping, without and with data.", _ONCE, _events(bodies.with_pings)),
    Toxic("Events", "sse-retry", "", "retry: before each event.", _ONCE, _events(bodies.with_retry)),
    Toxic("Events", "sse-empty", "", "Empty data: before events.", _ONCE, _events(bodies.with_empty_data)),
    Toxic("Events", "sse-comments", "", "Comments between events and inside them.", _ONCE,
          _events(bodies.with_comments)),
    Toxic("Events", "sse-unended", "", "No blank line after the last event.", _ONCE,
          lambda treatment, _: treatment.events.append(bodies.NoLastBlankLine())),
    Toxic("Events", "sse-crlf", "", "Lines end with CR LF.", _ONCE, _events(bodies.with_crlf)),
    Toxic("Events", "sse-cr", "", "Lines end with CR.", _ONCE, _events(bodies.with_cr)),
    Toxic("Events", "sse-mixed", "", "Line ends differ from event to event.", _ONCE,
          _events(bodies.with_mixed_lines)),
    Toxic("Events", "sse-bom", "", "A byte order mark first.", _ONCE,
          lambda treatment, _: treatment.events.append(bodies.ByteOrderMark())),
    Toxic("Coding", "gzip", "[flushed]", "Content coding gzip; flushed: after every write.",
          arguments.one_of("", "flushed"), _gzip),
    Toxic("Coding", "limit", "N", "The body has N bytes, and ends as if that were all.", arguments.count(0),
          lambda treatment, size: treatment.coding.append(bodies.Limit(size))),
    Toxic("Coding", "corrupt", "N", "Byte N of the body, from 0, is inverted.", arguments.count(0),
          lambda treatment, at: treatment.coding.append(bodies.Corrupt(at))),
    Toxic("Framing and cuts", "framing", "KIND", "chunked, length, close (end of connection), http10.",
          arguments.one_of("chunked", "length", "close", "http10"), _framing),
    Toxic("Framing and cuts", "length", "N", "Content-Length, wrong by N: more is promised, or less.",
          arguments.count(-arguments.MAX_COUNT), _length),
    Toxic("Framing and cuts", "chunk", "N", "HTTP chunks of at most N bytes.", arguments.count(1),
          lambda treatment, size: _chunked(treatment, acts.cut_into(size))),
    Toxic("Framing and cuts", "badchunk", "N", "A chunk size that is no number after N bytes.",
          arguments.count(0),
          lambda treatment, size: _chunked(treatment, acts.AfterBytes(size, [_BAD_CHUNK]))),
    Toxic("Framing and cuts", "drip", "N[:SECONDS]", "After N bytes comments for ever, one in 0.5 s.",
          arguments.drip_place, _drip(_COMMENT)),
    Toxic("Framing and cuts", "drip-empty", "N[:SECONDS]", "After N bytes empty deltas for ever.",
          arguments.drip_place, _drip(_EMPTY_DELTA)),
    Toxic("Framing and cuts", "stall", "PLACE", "Silence for ever from there.", _PLACE, _end(acts.End.STALL)),
    Toxic("Framing and cuts", "close", "PLACE", "The connection ends there (FIN).", _PLACE,
          _end(acts.End.CLOSE)),
    Toxic("Framing and cuts", "reset", "PLACE", "The connection breaks there (RST).", _PLACE,
          _end(acts.End.RESET)),
    Toxic("Timing", "head-delay", "SECONDS", "A wait before the head.", arguments.seconds, _head_delay),
    Toxic("Timing", "delay", "SECONDS", "A wait before each piece of the body.", arguments.seconds,
          lambda treatment, wait: treatment.wire.append(acts.wait_before(wait))),
    Toxic("Timing", "jitter", "SECONDS", "A random wait up to this before each piece.", arguments.seconds,
          lambda treatment, wait: treatment.wire.append(acts.wait_at_random(wait, treatment.draw))),
    Toxic("Timing", "slice", "N", "Pieces of at most N bytes.", arguments.count(1),
          lambda treatment, size: treatment.wire.append(acts.cut_into(size))),
    Toxic("Timing", "rate", "N", "At most N bytes a second.", arguments.bytes_per_second,
          lambda treatment, rate: treatment.wire.append(acts.limit_rate(rate))),
)  # fmt: skip

TOXICS: Mapping[str, Toxic] = {toxic.name: toxic for toxic in _ALL}
_RANKS = {toxic.name: rank for rank, toxic in enumerate(_ALL)}


def rank(toxic: Toxic) -> tuple[int, int]:
    """Tell where a toxic stands among others: as in the table, those of timing as they are written."""
    return GROUPS.index(toxic.group), 0 if toxic.group == "Timing" else _RANKS[toxic.name]
