"""Items 21-40: responses that are no success, and successes that are no stream."""

import asyncio
import threading

from chatlab.errors import (
    AccessDenied,
    AuthenticationFailed,
    EmptyStream,
    GatewayFault,
    ModelNotFound,
    PayloadTooLarge,
    PaymentRequired,
    ProtocolViolation,
    RateLimited,
    RequestTimedOut,
)
from tests.conformance.cases import PATIENT, Pace, fine, item, recovers, refused
from tests.conformance.servers import CLOSE, END, RawServer, answer, event
from tests.conformance.world import KEY, World, check_probe

SLOW = Pace(speed=10)  # a date passes while it is on its way
TEN_TO_TWELVE = ((10.0, 12.0),)
NO_HINT = "status=429+body=%7B%7D+type=application/json"
OF_ITS_OWN = ((0.0, 1.0),)  # full jitter over 1 s


def key_is_echoed(place):
    """The worst gateway: it quotes the key that it refuses."""
    body = b'{"error":{"code":401,"message":"No such key: ' + KEY.encode() + b'"}}'
    with (
        RawServer(lambda connection, _: answer(connection, 401, body)) as server,
        World(place.folder, url=server.url) as world,
    ):
        exchange = check_probe(world, refused("any", AuthenticationFailed, says=("AI_API_KEY", "***")))
        assert exchange.error.kind == "fatal"
        assert KEY.encode() in server.requests[0]
        assert len(server.requests) == 1


def herd(place):
    """64 requests at once to a gateway that refuses all for 30 s: it is left alone until then.

    People wait for these, so they are sent without feeling the way; but each is refused once at most.
    """
    seen, lock = [], threading.Lock()
    with World(place.folder, PATIENT, url="http://127.0.0.1:9/v1") as empty:
        clock = empty.clock

    def serve(connection, _number):
        with lock:
            now = clock.monotonic()
            seen.append(now)
            early = now < seen[0] + 30
        if early:
            answer(connection, 429, b"{}", headers="Retry-After: 30\r\n")
        else:
            connection.sendall(CLOSE + event("Hi") + END)

    with RawServer(serve) as server, World(place.folder, url=server.url, clock=clock) as world:

        async def one(number):
            return [event async for event in world.lab.astream(f"Why? {number}", model="any")]

        async def everybody():
            return await asyncio.gather(*(one(number) for number in range(64)))

        ends = [events[-1].reply for events in asyncio.run(everybody())]
        assert {(reply.status, reply.text) for reply in ends} == {("completed", "Hi")}
        refusals = [at for at in seen if at < seen[0] + 30]
        assert len(seen) == 64 + len(refusals)
        assert all(reply.attempts <= 2 for reply in ends)


def no_page(exchange):
    assert "<" not in str(exchange.error)


ITEMS = (
    item(21, "401 that quotes the key", play=key_is_echoed, ends="AuthenticationFailed, key hidden"),
    item(22, "402 without credits", refused("fault-402-credits", PaymentRequired, says=("Add credits",))),
    item(
        23,
        "402 in flight, Retry-After",
        recovers("fault=402-in-flight", waits=((2.0, 2.2),)),
        refused("fault=402-in-flight", PaymentRequired, attempts=3, waits=((2.0, 2.2),) * 2),
    ),
    item(24, "402 weight exceeds budget", refused("fault-402-weight", PaymentRequired, says=("max_tokens",))),
    item(
        25,
        "403 moderation, guardrail, budget",
        refused("fault-403-moderation", AccessDenied, says=("violence",)),
        refused("fault-403-guardrail", AccessDenied, says=("guardrail",)),
        refused("fault-403-budget", AccessDenied, says=("openrouter_key_limit", "2026-12-01")),
    ),
    item(
        26,
        "404 with alternatives",
        refused("fault-404-availability", ModelNotFound, says=("suggests sim/bee",)),
    ),
    item(27, "408, 409, 425", recovers("status=408"), recovers("status=409"), recovers("status=425")),
    item(28, "413 too large", refused("status=413", PayloadTooLarge, says=("attachments",))),
    item(
        29,
        "429 with every kind of hint",
        recovers("status=429+retry-after=10", waits=TEN_TO_TWELVE),
        recovers("status=429+header=retry-after-ms:10500", waits=TEN_TO_TWELVE),
        recovers("status=429+retry-date=20", waits=((5.0, 22.0),), pace=SLOW),
        recovers("status=429+retry-date=-60", waits=OF_ITS_OWN),
        recovers("status=429+retry-after=0", waits=OF_ITS_OWN),
        recovers("status=429+retry-after=soon", waits=OF_ITS_OWN),
        recovers(f"{NO_HINT}+header=x-ratelimit-reset-requests:10s", waits=TEN_TO_TWELVE),
        recovers("fault=429-capacity", waits=((2.0, 2.2),)),
        refused("status=429+retry-after=3600", RateLimited, says=("3600 s",)),
    ),
    item(
        30,
        "429 without a hint",
        recovers(NO_HINT, waits=OF_ITS_OWN),
        refused(NO_HINT, RateLimited, attempts=3, waits=((0.0, 1.0), (0.0, 2.0))),
    ),
    item(31, "429 to 64 tasks at once", play=herd, ends="completed; one pause for all, no herd"),
    item(
        32,
        "500 without detail",
        refused("fault-500-masked", GatewayFault, attempts=3),
        recovers("fault=500-masked", waits=((0.0, 0.5),)),
    ),
    item(33, "502 with an HTML page", refused("fault-502-html", GatewayFault, attempts=3, check=no_page)),
    item(
        34,
        "503 with Retry-After",
        recovers("status=503+retry-after=10", waits=((10.0, 11.0),)),
    ),
    item(
        35,
        "504, 524, 529",
        refused("status=504", RequestTimedOut, attempts=3),
        recovers("status=504"),
        recovers("status=524"),
        recovers("status=529"),
    ),
    item(
        36,
        "200 with an HTML page",
        refused("fault-200-html", ProtocolViolation, attempts=3, check=no_page),
        recovers("fault=200-html"),
    ),
    item(
        37,
        "200 with a JSON error",
        refused("fault-200-error", RateLimited, attempts=3),
        recovers("fault=200-error"),
    ),
    item(38, "200 with a whole completion", fine("fault-200-completion"), fine("fault-200-blank-lines")),
    item(
        39,
        "200 empty, 204",
        refused("fault-200-empty", EmptyStream, attempts=3),
        recovers("fault=200-empty"),
        refused("status=204", EmptyStream, attempts=3),
    ),
    item(
        40,
        "200 with choices null",
        refused("fault-200-null-choices", EmptyStream, attempts=3, basis="reported"),
        recovers("fault=200-null-choices"),
    ),
)
