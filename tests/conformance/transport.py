"""Items 1-20: what happens below HTTP, or to its framing."""

import asyncio
import socket
import ssl
import subprocess

from chatlab.errors import (
    ConnectionFailed,
    ProtocolViolation,
    RedirectRefused,
    ResponseTimedOut,
    StreamTruncated,
)
from chatlab.gateway.attempt import Timeouts
from chatlab.simulator.shapes import STORY
from tests.conformance.cases import USUAL, Pace, Probe, breaks, fine, item, recovers, refused
from tests.conformance.servers import CLOSE, END, RawServer, event
from tests.conformance.world import World, check_probe

HURRIED = Pace(timeouts=Timeouts(connect=0.2))
LIMITED = Pace(
    speed=1000, timeouts=Timeouts(first_token=9000, byte_idle=9000, progress_idle=9000, total=2000)
)
SHORT = "body=" + "".join(f"%{byte:02x}" for byte in event("Hi") + END)


def unsent(exchange):
    """Nothing had been sent, so none of the attempts can have been billed."""
    assert exchange.error.sent is False


def sent(exchange):
    """The request had been sent: another attempt may be billed twice."""
    assert exchange.error.sent is True


def no_such_host(place):
    with World(place.folder, url="https://gateway.invalid/v1") as world:
        check_probe(world, refused("any", ConnectionFailed, attempts=3, check=unsent))


def nobody_listens(place):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with World(place.folder, url=f"http://127.0.0.1:{port}/v1") as world:
        check_probe(world, refused("any", ConnectionFailed, attempts=3, check=unsent))


def black_hole(place):
    """The queue of connections to be accepted is full, so further ones are not answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with World(place.folder, HURRIED, url=url) as world:
            check_probe(
                world,
                refused(
                    "any", ResponseTimedOut, attempts=3, check=unsent, says=("no connection within 0.2 s",)
                ),
            )
        for one in waiting:
            one.close()


def untrusted_certificate(place):
    key, certificate = place.folder / "key.pem", place.folder / "cert.pem"
    place.folder.mkdir(parents=True, exist_ok=True)
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run(make, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def wrap(connection):
        return context.wrap_socket(connection, server_side=True)

    with RawServer(lambda *_: None, wrap=wrap) as server:
        with World(place.folder, url=f"https://127.0.0.1:{server.port}/v1") as world:
            check_probe(
                world,
                refused("any", ConnectionFailed, check=unsent, says=("certificate is not trusted",)),
            )
        assert server.requests == []


def redirect_elsewhere(place):
    with RawServer(lambda *_: None) as elsewhere, World(place.folder) as world:
        check_probe(world, refused(f"redirect=http:%2F%2F127.0.0.1:{elsewhere.port}", RedirectRefused))
        assert elsewhere.connections == 0


def proxy_in_the_environment(place):
    with RawServer(lambda *_: None) as proxy, World(place.folder) as world:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            place.monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("NO_PROXY", "no_proxy"):
            place.monkeypatch.delenv(name, raising=False)
        check_probe(world, fine("fault-story"))
        assert proxy.connections == 0


def five_hundred_at_once(place):
    with World(place.folder) as world:

        async def one(number):
            return [event async for event in world.lab.astream(f"Why? {number}", model="sim/fault-story")]

        async def everybody():
            return await asyncio.gather(*(one(number) for number in range(500)))

        replies = [events[-1].reply for events in asyncio.run(everybody())]
        assert {(reply.status, reply.text) for reply in replies} == {("completed", STORY)}
        rows = world.sql("select count(*) as n, count(distinct call_id) as calls from attempts")
        assert list(rows.iloc[0]) == [500, 500]


def close_framed(connection, _number):
    connection.sendall(CLOSE + event("Hi") + event(" there"))


ITEMS = (
    item(1, "DNS failure", play=no_such_host, ends="ConnectionFailed, 3 attempts, nothing sent"),
    item(2, "connection refused", play=nobody_listens, ends="ConnectionFailed, 3 attempts, nothing sent"),
    item(3, "connect into a black hole", play=black_hole, ends="ResponseTimedOut, 3 attempts, nothing sent"),
    item(
        4,
        "untrusted TLS certificate",
        play=untrusted_certificate,
        ends="ConnectionFailed at once, nothing sent",
    ),
    item(
        5,
        "reset before headers",
        refused("reset=head", ConnectionFailed, attempts=3, check=sent),
        recovers("reset=head"),
    ),
    item(
        6,
        "headers never come",
        refused("stall=head", ResponseTimedOut, attempts=3, pace=USUAL, within=600, says=("within 60 s",)),
    ),
    item(
        7,
        "reset after headers",
        refused("fault-story+reset=0", ConnectionFailed, attempts=3, check=sent),
        recovers("fault=story+reset=0"),
    ),
    item(8, "reset mid-stream", breaks("fault-story+reset=900", ConnectionFailed, check=sent)),
    item(
        9,
        "clean close mid-stream",
        breaks("fault-story+framing=close+close=900", StreamTruncated, outcome="truncated"),
    ),
    item(10, "chunked without terminator", breaks("fault-story+close=900", ConnectionFailed)),
    item(11, "short content-length", breaks("fault-story+limit=900+length=50", ConnectionFailed)),
    item(12, "bad chunk header", breaks("fault-story+badchunk=900", ConnectionFailed)),
    item(
        13,
        "slow loris, a byte a second",
        fine(f"{SHORT}+slice=1+delay=1", text="Hi", basis="unknown", pace=LIMITED),
        breaks(
            "fault-story+slice=1+delay=2", ResponseTimedOut, pace=LIMITED, valid=True, says=("within 2000 s",)
        ),
    ),
    item(14, "1 KB a second", fine("fault-story+rate=1024")),
    item(15, "pieces of one byte", fine("fault-story+slice=1")),
    item(
        16,
        "gzip: whole, flushed, cut, corrupt",
        fine("fault-story+gzip"),
        fine("fault-story+gzip=flushed"),
        breaks("fault-story+gzip=flushed+limit=240", StreamTruncated, outcome="truncated"),
        Probe(
            model="fault-story+gzip+corrupt=30",
            outcome="error_before",
            error=ProtocolViolation,
            text="",
            attempts=3,
        ),
    ),
    item(
        17, "redirect to another origin", play=redirect_elsewhere, ends="RedirectRefused, nothing sent there"
    ),
    item(18, "proxy in the environment", play=proxy_in_the_environment, ends="ignored: nobody configured it"),
    item(
        19,
        "HTTP/1.0, end by close",
        fine("fault-story+framing=http10"),
        breaks("fault-story+framing=http10+limit=900", StreamTruncated, outcome="truncated"),
    ),
    item(20, "500 tasks at once", play=five_hundred_at_once, ends="all completed, no PoolTimeout"),
)
