"""Items 41-56: how server-sent events are written, and how badly."""

from chatlab.errors import EmptyStream, GatewayFault, ProtocolViolation
from chatlab.gateway.reply import NO_END_MARK
from chatlab.simulator.shapes import STORY_PIECES, piece
from tests.conformance.cases import breaks, fine, item, recovers, refused

BEGUN = "".join(STORY_PIECES[:2])
BAD = "".join("\ufffd" + piece for piece in STORY_PIECES)
MOON = "é€🌙"


def warned(exchange):
    assert NO_END_MARK in exchange.reply.warnings


def framed(faults, **more):
    return fine(f"fault-story+{faults}", **more)


ITEMS = (
    item(41, "CRLF, CR, mixed", *map(framed, ("sse-crlf", "sse-cr", "sse-mixed", "sse-crlf+slice=1"))),
    item(42, "byte order mark", framed("sse-bom"), framed("sse-bom+slice=1")),
    item(43, "comments before and inside events", framed("sse-comments")),
    item(44, "ids and ': ping'", framed("sse-ids")),
    item(
        45,
        "ping, retry, empty data",
        framed("sse-ping"),
        framed("sse-retry"),
        framed("sse-empty"),
        fine("fault-data-ping"),
    ),
    item(46, "data without space, multi-line", framed("sse-nospace"), framed("sse-multiline")),
    item(
        47,
        "UTF-8 split at every offset",
        *(fine(f"fault-text-emoji+slice={size}", text=MOON) for size in (1, 2, 3, 5)),
    ),
    item(48, "invalid UTF-8", framed("sse-badutf8", text=BAD)),
    item(49, "no final blank line", framed("sse-unended"), framed("sse-unended+sse-nodone")),
    item(50, "finish but no [DONE]", framed("sse-nodone", check=warned)),
    item(51, "[DONE] only", refused("fault-done-only", EmptyStream, attempts=3), recovers("fault=done-only")),
    item(52, "data after [DONE]", framed("sse-afterdone")),
    item(
        53,
        "events of 8 MB and 65 MiB",
        fine("huge=8000000", text="x" * (8_000_000 - len(piece("")))),
        recovers("huge=68157440", valid=True),
    ),
    item(
        54,
        "JSON 100 000 deep, number of 6 000 digits",
        breaks("fault-json-deep", ProtocolViolation, text=BEGUN),
        breaks("fault-json-huge-number", ProtocolViolation, text=BEGUN),
    ),
    item(
        55,
        "JSON cut, event within an event",
        breaks("fault-json-cut", ProtocolViolation, text=BEGUN),
        breaks("fault-json-in-json", ProtocolViolation, text=BEGUN),
    ),
    item(
        56,
        "error: line",
        breaks("fault-error-line", GatewayFault, text=BEGUN, says=("It broke",)),
        breaks("fault-error-bare", GatewayFault, text=BEGUN, says=("It broke",)),
    ),
)
