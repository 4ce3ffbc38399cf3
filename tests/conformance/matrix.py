"""All items by their numbers."""

from tests.conformance import cancellation, framing, persistence, semantics, statuses, timing, transport

GROUPS = {
    "Transport and HTTP": transport.ITEMS,
    "HTTP status": statuses.ITEMS,
    "SSE framing": framing.ITEMS,
    "Semantics": semantics.ITEMS,
    "Timing": timing.ITEMS,
    "Cancellation": cancellation.ITEMS,
    "Persistence and runs": persistence.ITEMS,
}
ITEMS = tuple(one for items in GROUPS.values() for one in items)
