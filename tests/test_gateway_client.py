"""The client over faked HTTP (respx), over scripted time, and over real sockets."""

import asyncio
import contextlib
import gzip
import heapq
import json
import logging
import pickle
import re
import ssl
import traceback
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest
import respx

from chatlab.clock import SystemClock
from chatlab.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    EmptyStream,
    GatewayError,
    GatewayFault,
    ModelNotFound,
    ProtocolViolation,
    RateLimited,
    RedirectRefused,
    RequestRejected,
    ResponseTimedOut,
)
from chatlab.gateway.client import OpenAIGateway, Timeouts
from chatlab.values.events import HeadersReceived, TextDelta
from chatlab.values.messages import user
from chatlab.values.request import ChatRequest
from chatlab.values.secret import Secret

BASE = "https://openrouter.ai/api/v1"
CHAT = f"{BASE}/chat/completions"
KEY = "sk-or-v1-client-canary-77aa"
RECORDED = (Path(__file__).parent / "data" / "openrouter_stream.sse").read_bytes()
REQUEST = ChatRequest("acme/one", (user("Hello"),), {"temperature": 0.2, "provider": {"sort": "price"}})
SSE = {"content-type": "text/event-stream", "x-generation-id": "gen-head"}


def piece(text="", finish=None):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


HI, END, DONE = piece("Hi"), piece(finish="stop"), b"data: [DONE]\n\n"


def gateway_at(url=BASE, *, name="openrouter", key=KEY, clock=None, **more):
    secret = Secret(key) if key else None
    return OpenAIGateway(base_url=url, api_key=secret, name=name, clock=clock or SystemClock(), **more)


async def run(gateway, request=REQUEST):
    """Send one request; return its events and its result."""
    async with gateway.attempt(request) as attempt:
        events = [event async for batch in attempt for event in batch]
    await gateway.close()
    return events, attempt.result()


def send(request=REQUEST, **how):
    return asyncio.run(run(gateway_at(**how), request))


class TestRequest:
    @respx.mock
    def test_carries_key_title_and_body_as_they_are(self):
        route = respx.post(CHAT).respond(200, headers=SSE, content=HI + END + DONE)
        send()
        sent = route.calls.last.request
        assert sent.headers["authorization"] == f"Bearer {KEY}"
        assert sent.headers["x-openrouter-title"] == "chatlab"
        assert json.loads(sent.content) == {
            "model": "acme/one",
            "stream": True,
            "messages": [{"role": "user", "content": "Hello"}],
            "temperature": 0.2,
            "provider": {"sort": "price"},
        }

    @respx.mock
    def test_is_not_changed_by_variables_of_the_sdk(self, monkeypatch):
        monkeypatch.setenv("OPENAI_BASE_URL", "https://evil.example/v1")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Evil: 1")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-evil")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-evil")
        monkeypatch.setenv("HTTPS_PROXY", "http://evil.example")
        route = respx.post(CHAT).respond(200, headers=SSE, content=HI + END + DONE)
        send()
        headers = route.calls.last.request.headers
        assert "evil" not in str(sorted(headers.multi_items()))

    @respx.mock
    def test_without_key_carries_no_credentials(self):
        route = respx.post("http://localhost:1234/v1/chat/completions").respond(200, content=HI + END)
        send(url="http://localhost:1234/v1", name="localhost", key=None)
        assert "authorization" not in route.calls.last.request.headers


class TestAnswer:
    @respx.mock
    def test_recorded_stream(self):
        respx.post(CHAT).respond(200, headers=SSE, content=RECORDED)
        events, result = send()
        assert events[0] == HeadersReceived(200, "gen-head")
        assert (result.outcome, result.finish_reason) == ("completed", "length")
        assert result.reasoning.endswith("🙂")
        assert (result.http_status, result.generation_id) == (200, "gen-head")
        assert 0 <= result.timings.headers_s <= result.timings.first_token_s <= result.timings.total_s

    @respx.mock
    def test_without_stream_is_the_same_reply(self):
        body = {
            "id": "gen-1", "model": "acme/one-0926", "provider": "Acme",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi", "reasoning": "hm"},
                         "finish_reason": "stop", "native_finish_reason": "end"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.25},
        }  # fmt: skip
        respx.post(CHAT).respond(200, json=body)
        events, result = send(ChatRequest("acme/one", (user("Hello"),), stream=False))
        assert TextDelta("Hi") in events
        assert (result.outcome, result.text, result.reasoning) == ("completed", "Hi", "hm")
        assert (result.served_model, result.provider) == ("acme/one-0926", "Acme")
        assert (result.finish_reason, result.native_finish_reason) == ("stop", "end")
        assert (result.usage.total_tokens, result.charge.reported_usd) == (5, Decimal("0.25"))

    @respx.mock
    @pytest.mark.parametrize(
        ("response", "error"),
        [
            ({"status_code": 200, "html": "<html>Login</html>"}, ProtocolViolation),
            ({"status_code": 200, "json": {"error": {"code": 429}}}, RateLimited),
            ({"status_code": 200, "content": b""}, EmptyStream),
            ({"status_code": 204}, EmptyStream),
            ({"status_code": 502, "html": "<html>Bad gateway</html>"}, GatewayFault),
            ({"status_code": 307, "headers": {"location": "https://evil.example/"}}, RedirectRefused),
        ],
        ids=["HTML page", "JSON error", "empty", "no content", "HTML error", "redirect"],
    )
    def test_that_is_none_is_an_error_before_output(self, response, error):
        evil = respx.route(host="evil.example").respond(200)
        respx.post(CHAT).respond(**response)
        _, result = send()
        assert type(result.error) is error
        assert (result.outcome, result.text) == ("error_before", "")
        assert not evil.called

    @respx.mock
    def test_an_error_status_keeps_facts_for_store_and_retry(self):
        respx.post(CHAT).respond(
            429,
            headers={"retry-after": "7", "x-generation-id": "gen-9"},
            json={"error": {"message": "slow down"}},
        )
        events, result = send()
        assert events == []
        assert (result.http_status, result.generation_id, result.error.retry_after_s) == (429, "gen-9", 7.0)
        assert (result.error.model, result.error.kind) == ("acme/one", "throttle")
        assert "slow down" in str(result.error)

    @respx.mock
    @pytest.mark.parametrize(
        ("failure", "error", "kind", "sent"),
        [
            (httpx2.ConnectError("refused"), ConnectionFailed, "transient", False),
            (httpx2.ConnectTimeout(""), ResponseTimedOut, "transient", False),
            (httpx2.WriteTimeout(""), ResponseTimedOut, "transient", True),
            (httpx2.ReadError("reset"), ConnectionFailed, "transient", True),
            (httpx2.RemoteProtocolError("hung up"), ConnectionFailed, "transient", True),
            (httpx2.UnsupportedProtocol("ftp"), ConnectionFailed, "fatal", False),
            (RuntimeError("surprise"), ConnectionFailed, "transient", True),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
    )
    def test_transport_failures_say_whether_anything_was_sent(self, failure, error, kind, sent):
        respx.post(CHAT).mock(side_effect=failure)
        result = send()[1]
        assert (type(result.error), result.error.kind, result.error.sent) == (error, kind, sent)

    @pytest.mark.parametrize("value", [{1, 2}, float("nan"), "\ud83d"], ids=["set", "NaN", "half an emoji"])
    def test_a_request_that_is_no_json_is_not_sent(self, value):
        with respx.mock(assert_all_called=False) as router:
            route = router.post(CHAT).respond(200, content=HI + END)
            error = send(ChatRequest("m", (user("Hi"),), {"x": value}))[1].error
        assert (type(error), error.kind, error.sent) == (RequestRejected, "fatal", False)
        assert not route.called

    def test_an_untrusted_certificate_is_never_tried_again(self):
        class Untrusted(httpx2.AsyncBaseTransport):
            async def handle_async_request(self, request):
                raise httpx2.ConnectError("ssl") from ssl.SSLCertVerificationError("self-signed")

        error = send(transport=Untrusted())[1].error
        assert (error.kind, error.sent) == ("fatal", False)
        assert "certificate" in str(error)


class TestModels:
    @respx.mock
    def test_are_read(self):
        respx.get(f"{BASE}/models").respond(json={"data": [{"id": "a/b", "pricing": {"prompt": "0.000001"}}]})
        (card,) = asyncio.run(gateway_at().models())
        assert (card.model, card.input_usd_per_mtok) == ("a/b", Decimal(1))

    @respx.mock
    @pytest.mark.parametrize(
        ("response", "error"),
        [
            ({"status_code": 401, "json": {"error": {"message": "no"}}}, AuthenticationFailed),
            ({"status_code": 404, "html": "<html></html>"}, ModelNotFound),
            ({"status_code": 200, "html": "<html></html>"}, ProtocolViolation),
            ({"status_code": 200, "json": {}}, ProtocolViolation),
        ],
        ids=["refused", "no such page", "HTML", "no list"],
    )
    def test_that_do_not_come_raise_a_gateway_error(self, response, error):
        respx.get(f"{BASE}/models").respond(**response)
        with pytest.raises(error):
            asyncio.run(gateway_at().models())


def every_way_out(error):
    """Return all texts and bytes that an error can leave a process by."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    return " ".join([str(error), repr(error), repr(vars(error)), *shown.format()]).encode() + pickle.dumps(
        error
    )


def failure_of_models():
    """Return the error that fetching the models raises, without a frame of a test in its traceback."""
    try:
        asyncio.run(gateway_at().models())
    except GatewayError as error:
        return error


class TestKey:
    @respx.mock
    @pytest.mark.parametrize(
        "failure",
        [
            {
                "return_value": httpx2.Response(
                    401, json={"error": {"message": f"bad key {KEY}", "code": KEY}}
                )
            },
            {"return_value": httpx2.Response(401, text=f"Bearer {KEY}")},
            {"return_value": httpx2.Response(200, json={"error": {"message": KEY}})},
            {"side_effect": httpx2.ReadError(f"sending Bearer {KEY}")},
            {"side_effect": RuntimeError(KEY)},
        ],
        ids=["error body", "plain body", "in-stream error", "transport error", "unknown error"],
    )
    def test_is_in_no_way_out_of_any_error(self, failure, caplog):
        caplog.set_level(logging.DEBUG)
        respx.post(CHAT).mock(**failure)
        respx.get(f"{BASE}/models").mock(**failure)
        gateway = gateway_at()
        for error in [asyncio.run(run(gateway))[1].error, failure_of_models()]:
            assert error.__cause__ is None
            assert error.__context__ is None
            assert KEY.encode() not in every_way_out(error)
        assert KEY not in repr(gateway) + caplog.text

    def test_an_error_survives_pickling_with_its_facts(self):
        error = pickle.loads(pickle.dumps(RateLimited("slow", status=429, retry_after_s=7.0)))
        assert (str(error), error.status, error.retry_after_s, error.kind) == ("slow", 429, 7.0, "throttle")


class VirtualClock:
    """Jumps to the next sleeper whenever the loop has nothing else to do."""

    IDLE_TURNS = 100

    def __init__(self):
        self.time = 0.0
        self.sleepers = []
        self.order = 0

    def now(self):
        return datetime(2026, 11, 20, tzinfo=UTC)

    def monotonic(self):
        return self.time

    async def sleep(self, seconds):
        loop = asyncio.get_running_loop()
        self.order += 1
        waiter = loop.create_future()
        heapq.heappush(self.sleepers, (self.time + seconds, self.order, waiter))
        loop.call_soon(self.turn, self.order, self.IDLE_TURNS)
        await waiter

    def turn(self, order, left):
        if left:
            asyncio.get_running_loop().call_soon(self.turn, order, left - 1)
        elif order == self.order:
            self.wake()

    def wake(self):
        while self.sleepers:
            when, _, waiter = heapq.heappop(self.sleepers)
            if not waiter.done():
                self.time = max(self.time, when)
                waiter.set_result(None)
                self.order += 1
                asyncio.get_running_loop().call_soon(self.turn, self.order, self.IDLE_TURNS)
                return


class ScriptedTransport(httpx2.AsyncBaseTransport):
    """Answers chat requests by a script of bytes and of seconds to wait, the first of them before headers."""

    def __init__(self, clock, script):
        self.clock = clock
        self.script = script
        self.closed_at = None

    async def handle_async_request(self, request):
        if request.url.path.endswith("/models"):
            return httpx2.Response(200, json={"data": []})
        await self.clock.sleep(self.script[0])
        return httpx2.Response(200, headers=SSE, stream=ScriptedBody(self))


class ScriptedBody(httpx2.AsyncByteStream):
    def __init__(self, transport):
        self.transport = transport

    async def __aiter__(self):
        for step in self.transport.script[1:]:
            if isinstance(step, bytes):
                yield step
            else:
                await self.transport.clock.sleep(step)

    async def aclose(self):
        if self.transport.closed_at is None:
            self.transport.closed_at = self.transport.clock.time


def play(*script, request=REQUEST, pause=0.0):
    """Run a script in virtual time; return the result, the time, and when the body was closed."""
    clock = VirtualClock()
    transport = ScriptedTransport(clock, script)

    async def main():
        gateway = gateway_at(clock=clock, transport=transport)
        await (
            gateway.models()
        )  # the SDK's first request waits for a thread, which virtual time would overtake
        async with gateway.attempt(request) as attempt:
            async for _ in attempt:
                if pause:
                    await clock.sleep(pause)
        return attempt.result()

    return asyncio.run(main()), clock.time, transport.closed_at


class TestClocks:
    @pytest.mark.parametrize(
        ("script", "at", "outcome", "words"),
        [
            ((1000.0,), 60.0, "error_before", "within 60 s"),
            ((50.0, 1000.0), 60.0, "error_before", "within 60 s"),
            ((0.0, *(b": ping\n\n", 5.0) * 100), 60.0, "error_before", "within 60 s"),
            ((0.0, HI, 1000.0), 90.0, "error_during", "not a byte came for 90 s"),
            ((0.0, HI, *(b": ping\n\n", 5.0) * 100), 180.0, "error_during", "did not go on for 180 s"),
            ((0.0, HI, *(piece(""), 5.0) * 100), 180.0, "error_during", "did not go on for 180 s"),
            ((0.0, *(HI, 50.0) * 100), 900.0, "error_during", "within 900 s"),
        ],
        ids=[
            "no headers",
            "no body",
            "comments before the answer",
            "stall",
            "comments",
            "empty deltas",
            "total",
        ],
    )
    def test_run_out_when_they_must(self, script, at, outcome, words):
        result, time, _ = play(*script)
        assert (time, result.timings.total_s) == (at, at)
        assert result.outcome == outcome
        assert isinstance(result.error, ResponseTimedOut)
        assert words in str(result.error)

    def test_a_body_that_stalls_is_closed_at_once(self):
        assert play(0.0, HI, 1000.0)[2] == 90.0

    def test_slow_but_steady_answers_are_complete(self):
        result, _, _ = play(50.0, *(HI, 80.0) * 10, END, DONE)
        assert (result.outcome, result.text) == ("completed", "Hi" * 10)
        assert (result.timings.headers_s, result.timings.first_token_s) == (50.0, 50.0)

    def test_output_is_timed_by_the_reads_that_brought_it(self):
        usage = b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 3}}\n\n'
        ping = b": ping\n\n"
        result, _, _ = play(1.0, 1.0, HI, 2.0, ping, 2.0, HI, *(1.0, HI) * 10, 7.0, END, 7.0, usage, DONE)
        times, counts = result.timings, result.counts
        assert (times.headers_s, times.first_token_s, times.last_token_s, times.total_s) == (1, 2, 16, 30)
        assert times.inter_token_p50_s == pytest.approx(1.0, rel=0.025)
        assert times.inter_token_p95_s == pytest.approx(4.0, rel=0.025)
        assert (counts.chunks, counts.events, counts.comments) == (16, 14, 1)
        assert counts.bytes == 12 * len(HI) + len(ping + END + usage + DONE)

    def test_one_piece_of_output_has_no_gap(self):
        times = play(0.0, HI, 5.0, END, DONE)[0].timings
        assert (times.last_token_s, times.inter_token_p50_s, times.inter_token_p95_s) == (0.0, None, None)

    def test_a_finished_answer_that_never_closes_is_complete(self):
        result, time, _ = play(0.0, HI, END, 1000.0)
        assert (result.outcome, time) == ("completed", 90.0)

    def test_time_that_the_reader_takes_is_not_the_gateways(self):
        result, _, _ = play(0.0, HI, HI, END, DONE, pause=200.0)
        assert (result.outcome, result.text) == ("completed", "HiHi")

    def test_without_stream_only_the_whole_counts(self):
        request = ChatRequest("m", (user("Hi"),), stream=False)
        body = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'
        assert play(500.0, body, request=request)[0].outcome == "completed"
        assert play(1000.0, body, request=request)[1] == 900.0

    def test_a_cancellation_of_the_reader_stays_one(self):
        clock = VirtualClock()

        async def main():
            gateway = gateway_at(clock=clock, transport=ScriptedTransport(clock, (0.0, HI, 50.0)))
            await gateway.models()
            attempt = gateway.attempt(REQUEST)
            task = asyncio.create_task(self.read(attempt))
            await clock.sleep(20.0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return attempt.result()

        result = asyncio.run(main())
        assert (result.outcome, result.text, result.error) == ("stopped", "Hi", None)
        assert result.timings.total_s == 20.0

    @staticmethod
    async def read(attempt):
        async with attempt:
            async for _ in attempt:
                pass


class WireServer:
    """A real socket that sends bytes as told and notes when clients leave."""

    def __init__(self, *steps, head=b"transfer-encoding: chunked\r\n"):
        self.steps = steps
        self.head = head
        self.connections = 0
        self.serving = []
        self.left = asyncio.Event()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *exception):
        self.server.close()
        await asyncio.gather(*self.serving)

    async def serve(self, reader, writer):
        self.connections += 1
        self.serving.append(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(re.search(rb"content-length: (\d+)", head.lower())[1]))
                self.answer(writer)
                await writer.drain()
                if b"chunked" not in self.head:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def answer(self, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n" + self.head + b"\r\n")
        for step in self.steps:
            if b"chunked" not in self.head:
                writer.write(step)
            else:
                writer.write(b"0\r\n\r\n" if step == b"END" else b"%x\r\n%b\r\n" % (len(step), step))


def over_wire(*steps, **how):
    async def main():
        async with WireServer(*steps, **how) as server:
            return await run(gateway_at(server.url, name="host"), ChatRequest("m", (user("Hi"),)))

    return asyncio.run(main())[1]


class TestSockets:
    def test_a_stream_ends_complete(self):
        assert over_wire(HI, HI, END, DONE, b"END").outcome == "completed"

    def test_a_body_that_the_connection_ends_is_truncated(self):
        result = over_wire(HI, head=b"connection: close\r\n")
        assert (result.outcome, result.text) == ("truncated", "Hi")

    def test_a_body_shorter_than_promised_is_a_broken_connection(self):
        result = over_wire(HI, head=b"content-length: 9999\r\n")
        assert (result.outcome, result.text) == ("error_during", "Hi")
        assert isinstance(result.error, ConnectionFailed)

    @pytest.mark.parametrize(
        ("keep", "outcome"), [(1.0, "completed"), (0.5, "truncated")], ids=["whole", "truncated"]
    )
    def test_a_packed_body_is_unpacked(self, keep, outcome):
        packed = gzip.compress(HI + HI * 2000 + END + DONE)
        packed = packed[: int(len(packed) * keep)]
        result = over_wire(packed, head=b"content-encoding: gzip\r\nconnection: close\r\n")
        assert result.outcome == outcome

    def test_a_body_that_cannot_be_unpacked_is_a_violation(self):
        result = over_wire(b"no gzip", head=b"content-encoding: gzip\r\nconnection: close\r\n")
        assert isinstance(result.error, ProtocolViolation)

    def test_leaving_closes_the_socket_at_once(self):
        async def main():
            async with WireServer(HI) as server:
                gateway = gateway_at(server.url, name="host")
                async with gateway.attempt(ChatRequest("m", (user("Hi"),))) as attempt:
                    async for batch in attempt:
                        if any(isinstance(event, TextDelta) for event in batch):
                            break
                await asyncio.wait_for(server.left.wait(), 5)
                return attempt.result()

        result = asyncio.run(main())
        assert (result.outcome, result.text) == ("stopped", "Hi")

    def test_a_complete_stream_gives_its_connection_back(self):
        async def main():
            async with WireServer(HI, END, DONE, b"END") as server:
                gateway = gateway_at(server.url, name="host")
                for _ in range(3):
                    async with gateway.attempt(ChatRequest("m", (user("Hi"),))) as attempt:
                        async for _ in attempt:
                            pass
                await gateway.close()
                return server.connections

        assert asyncio.run(main()) == 1

    def test_a_refused_connection_says_so(self):
        result = send(url="http://127.0.0.1:9/v1", name="host", timeouts=Timeouts(connect=5.0))
        assert (result[1].outcome, result[1].error.sent) == ("error_before", False)


def test_closing_ends_a_lookup_that_runs_and_leaves_no_connection():
    async def scene():
        asked = asyncio.Event()
        left = asyncio.Event()

        async def silent(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await reader.read()  # until the client is gone
            left.set()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            gateway = gateway_at(f"http://127.0.0.1:{port}/v1")
            lookup = asyncio.ensure_future(gateway.models())
            await asked.wait()
            await gateway.close()
            with pytest.raises(ConnectionFailed, match="closed meanwhile"):
                await lookup
            await left.wait()

    asyncio.run(asyncio.wait_for(scene(), 10))
