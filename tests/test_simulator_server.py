"""The simulator over real sockets: routes, refusals, the OpenAI SDK, disconnects, and a clean end."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest
from openai import AsyncOpenAI, AuthenticationError, NotFoundError, OpenAI

from chatlab.errors import InvalidValue
from chatlab.simulator import DEFAULT_MODEL, FAMILIES, SIMULATOR_KEY, Simulator, serve_forever

HEADERS = {"Authorization": f"Bearer {SIMULATOR_KEY}"}
HELLO = [{"role": "user", "content": "What is 17 times 23?"}]


class StuckClock:
    """Time stands still: a sleep lasts until its task is cancelled, but the first `lets_pass` end at once."""

    def __init__(self, lets_pass):
        self.lets_pass = lets_pass
        self.seconds = 0.0

    def now(self):
        return datetime(2026, 11, 20, tzinfo=UTC)

    def monotonic(self):
        return self.seconds

    async def sleep(self, seconds):
        self.seconds += seconds
        self.lets_pass -= 1
        if self.lets_pass < 0:
            await asyncio.Event().wait()


@pytest.fixture(scope="module")
def simulator():
    with Simulator.start(first_token_s=0, tokens_per_second=None) as running:
        yield running


@pytest.fixture(scope="module")
def http(simulator):
    with httpx2.Client(base_url=simulator.url, headers=HEADERS) as client:
        yield client


def body(prompt="What is 17 times 23?", *, model=DEFAULT_MODEL, **params):
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **params}


def exact(response):
    """Read a JSON response with every number exact."""
    return json.loads(response.text, parse_float=Decimal)


def stream_events(response):
    """Return the JSON of the events of a stream that ended as it should."""
    events = [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    return [json.loads(event, parse_float=Decimal) for event in events]


def streamed_text(events):
    return "".join(event["choices"][0]["delta"]["content"] for event in events)


def open_stream(simulator, prompt, **params):
    """Send a streaming request on a socket of its own."""
    connection = socket.create_connection(("127.0.0.1", simulator.port), timeout=10)
    data = json.dumps(body(prompt, stream=True, **params)).encode()
    head = f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
    connection.sendall(f"{head}Authorization: Bearer {SIMULATOR_KEY}\r\n\r\n".encode() + data)
    return connection


def read_until(connection, mark):
    data = b""
    while mark not in data:
        piece = connection.recv(65_536)
        assert piece, f"the connection ended before {mark!r}"
        data += piece
    return data


def read_to_end(connection):
    data = b""
    while piece := connection.recv(65_536):
        data += piece
    return data


def count_open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


# Answers


@pytest.mark.parametrize("model", FAMILIES)
def test_a_stream_and_a_whole_answer_are_the_same_text_and_bill(http, model):
    request = body("Explain the tides", model=model)
    whole = exact(http.post("/chat/completions", json=request))
    events = stream_events(http.post("/chat/completions", json={**request, "stream": True}))
    assert streamed_text(events) == whole["choices"][0]["message"]["content"]
    assert events[-1]["usage"] == whole["usage"]


@pytest.mark.parametrize("model", FAMILIES)
def test_the_cost_is_tokens_times_price_to_the_last_digit(http, model):
    prices = {card["id"]: card["pricing"] for card in http.get("/models").json()["data"]}[model]
    response = http.post("/chat/completions", json=body(model=model))
    usage = exact(response)["usage"]
    prompt = usage["prompt_tokens"] * Decimal(prices["prompt"])
    completion = usage["completion_tokens"] * Decimal(prices["completion"])
    assert usage["cost"] == prompt + completion > 0
    assert usage["cost_details"]["upstream_inference_prompt_cost"] == prompt
    assert usage["cost_details"]["upstream_inference_completions_cost"] == completion
    generation = exact(http.get("/generation", params={"id": response.headers["x-generation-id"]}))["data"]
    assert generation["total_cost"] == usage["cost"]
    assert generation["native_tokens_completion"] == usage["completion_tokens"]
    assert generation["cancelled"] is False


def test_a_repeated_long_prompt_is_cheaper_by_its_cached_prefix(http):
    history = [{"role": "user", "content": "tea and toast " * 600}]
    first = exact(http.post("/chat/completions", json={"model": DEFAULT_MODEL, "messages": history}))["usage"]
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    longer = [*history, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "More?"}]
    usage = exact(http.post("/chat/completions", json={"model": DEFAULT_MODEL, "messages": longer}))["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert cached == first["prompt_tokens"]
    family = FAMILIES[DEFAULT_MODEL]
    fresh = usage["prompt_tokens"] - cached
    expected = fresh * Decimal(family.prompt_price) + cached * Decimal(family.cache_price)
    assert usage["cost_details"]["upstream_inference_prompt_cost"] == expected


def test_the_key_reports_what_was_spent(http):
    before = exact(http.get("/key"))["data"]["usage"]
    cost = exact(http.post("/chat/completions", json=body()))["usage"]["cost"]
    assert exact(http.get("/key"))["data"]["usage"] == before + cost


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_ends_the_answer_with_length(http, limit):
    request = body("Count to 500", stream=True, **{limit: 7})
    events = stream_events(http.post("/chat/completions", json=request))
    assert streamed_text(events) == "1, 2, 3, 4"
    assert [event["choices"][0]["finish_reason"] for event in events] == [None] * 7 + ["length"] * 2
    assert events[-1]["usage"]["completion_tokens"] == 7


def test_an_answer_stops_before_a_stop_sequence(http):
    reply = http.post("/chat/completions", json=body("Count to 500", stop=["9", " 6,"])).json()
    assert reply["choices"][0]["message"]["content"] == "1, 2, 3, 4, 5,"
    assert reply["choices"][0]["finish_reason"] == "stop"


def test_the_owl_reasons_first_and_its_reasoning_is_counted(http):
    events = stream_events(http.post("/chat/completions", json=body(model="sim/owl", stream=True)))
    deltas = [event["choices"][0]["delta"] for event in events]
    thinking = [position for position, delta in enumerate(deltas) if delta.get("reasoning")]
    speaking = [position for position, delta in enumerate(deltas) if delta["content"]]
    assert thinking[-1] < speaking[0]
    assert all(deltas[at]["reasoning_details"][0]["text"] == deltas[at]["reasoning"] for at in thinking)
    usage = events[-1]["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == len(thinking)
    assert usage["completion_tokens"] == len(thinking) + len(speaking)


@pytest.mark.parametrize(
    ("params", "seen", "counted"),
    [
        ({}, True, True),
        ({"reasoning": {"exclude": True}}, False, True),
        ({"include_reasoning": False}, False, True),
        ({"reasoning": {"enabled": False}}, False, False),
        ({"reasoning": {"effort": "none"}}, False, False),
        ({"reasoning_effort": "none"}, False, False),
    ],
)
def test_reasoning_can_be_hidden_or_turned_off(http, params, seen, counted):
    whole = http.post("/chat/completions", json=body(model="sim/owl", **params)).json()
    assert bool(whole["choices"][0]["message"]["reasoning"]) == seen
    assert bool(whole["usage"]["completion_tokens_details"]["reasoning_tokens"]) == counted
    response = http.post("/chat/completions", json=body(model="sim/owl", stream=True, **params))
    assert ('"reasoning":"' in response.text) == seen


# Other clients


def test_the_openai_client_works_unchanged(simulator):
    with OpenAI(base_url=simulator.url, api_key=SIMULATOR_KEY) as client:
        assert [model.id for model in client.models.list()] == list(FAMILIES)
        whole = client.chat.completions.create(model=DEFAULT_MODEL, messages=HELLO)
        assert "391" in whole.choices[0].message.content
        chunks = list(client.chat.completions.create(model=DEFAULT_MODEL, messages=HELLO, stream=True))
        text = "".join(chunk.choices[0].delta.content for chunk in chunks)
        assert text == whole.choices[0].message.content
        assert chunks[-1].usage == whole.usage
        with pytest.raises(NotFoundError, match="sim/none is not a valid model ID"):
            client.chat.completions.create(model="sim/none", messages=HELLO)


async def _ask_in_parallel(url):
    async with AsyncOpenAI(base_url=url, api_key=SIMULATOR_KEY) as client:
        asked = [
            client.chat.completions.create(
                model=DEFAULT_MODEL, messages=[{"role": "user", "content": f"count to {n}"}]
            )
            for n in range(1, 40)
        ]
        return [reply.choices[0].message.content for reply in await asyncio.gather(*asked)]


def test_many_requests_are_served_at_once(simulator):
    answers = asyncio.run(_ask_in_parallel(simulator.url))
    assert [answer.replace("\n", " ").count(",") for answer in answers] == list(range(39))


# Refusals


@pytest.mark.parametrize("key", ["sk-or-v1-0123456789abcdef", "sk-proj-0123456789", "sk-"])
def test_real_looking_keys_are_refused_with_the_reason_and_never_echoed(http, simulator, key):
    for path in ("/models", "/key"):
        response = http.get(path, headers={"Authorization": f"Bearer {key}"})
        assert response.status_code == 401
        assert "takes no real API key" in response.json()["error"]["message"]
        assert key == "sk-" or key not in response.text
    with (
        OpenAI(base_url=simulator.url, api_key=key, max_retries=0) as client,
        pytest.raises(AuthenticationError),
    ):
        client.chat.completions.create(model=DEFAULT_MODEL, messages=HELLO)


def test_any_other_key_will_do_but_none_will_not(http, simulator):
    assert http.get("/key", headers={"Authorization": "Bearer whatever"}).status_code == 200
    assert httpx2.get(f"{simulator.url}/key").status_code == 401
    refused = httpx2.post(f"{simulator.url}/chat/completions", json=body())
    assert refused.json()["error"]["metadata"] == {"error_type": "authentication"}
    assert httpx2.get(f"{simulator.url}/models").status_code == 200


def test_an_unknown_model_is_a_404_that_names_the_known_ones(http):
    response = http.post("/chat/completions", json=body(model="openai/gpt-4o"))
    assert response.status_code == 404
    assert response.json() == {
        "error": {
            "code": 404,
            "message": "openai/gpt-4o is not a valid model ID. The simulator has sim/ant, sim/bee, sim/crow, "
            "sim/dolphin, sim/owl.",
            "metadata": {"error_type": "not_found"},
        }
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "No models provided"),
        (b'{"model":"sim/ant"}', "at least one message"),
        (b'{"model":"sim/ant","messages":[]}', "at least one message"),
        (b'{"model":"sim/ant","messages":["hi"]}', r"messages[0].role"),
        (b'{"model":"sim/ant","messages":[{"role":"user","content":7}]}', r"messages[0].content"),
        (b'{"model":"sim/ant","messages":[{"role":"user","content":"hi"}],"max_tokens":0}', "at least 1"),
        (b'{"model":"sim/ant","messages":[{"role":"user","content":"hi"}],"max_tokens":"9"}', "max_tokens"),
        (b'{"model":"sim/ant","messages":[{"role":"user","content":"hi"}],"seed":1.5}', "seed"),
        (b'{"model":"sim/ant","messages":[{"role":"user","content":"hi"}],"stop":[1]}', "stop"),
        (
            b'{"model":"sim/ant","messages":[{"role":"user","content":"hi"}],"stop":["a","b","c","d","e"]}',
            "4",
        ),
    ],
)
def test_a_bad_request_is_a_400_that_says_what_is_wrong(http, content, expected):
    response = http.post("/chat/completions", content=content)
    assert response.status_code == 400
    assert expected in response.json()["error"]["message"]


def test_a_prompt_beyond_the_context_names_both_numbers(http):
    response = http.post("/chat/completions", json=body("word " * 20_000, model="sim/ant"))
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["metadata"]["error_type"] == "context_length_exceeded"
    assert "16384 tokens" in error["message"]
    assert "20005 tokens" in error["message"]


def test_a_body_over_the_limit_is_a_413_and_the_server_goes_on(http):
    response = http.post("/chat/completions", content=b" " * (33 * 1024 * 1024))
    assert response.status_code == 413
    assert response.json()["error"]["metadata"]["error_type"] == "payload_too_large"
    assert http.get("/models").status_code == 200


@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 524, 529]
)
def test_each_error_status_can_be_asked_for_by_model_name(http, status):
    response = http.post("/chat/completions", json=body(model=f"sim/error-{status}", stream=True))
    assert response.status_code == status
    error = response.json()["error"]
    assert error["code"] == status
    assert error["message"]
    assert ("retry-after" in response.headers) == (status in {429, 503})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/chat/completions", 405),
        ("POST", "/models", 405),
        ("HEAD", "/models", 405),
        ("OPTIONS", "/chat/completions", 405),
        ("GET", "/generation", 400),
        ("GET", "/generation?id=gen-unknown", 404),
    ],
)
def test_wrong_paths_and_methods_are_refused_in_json(http, method, path, status):
    response = http.request(method, path)
    assert response.status_code == status
    assert method == "HEAD" or response.json()["error"]["code"] == status
    assert ("allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8900", "[::1]:8900"])
def test_names_of_this_machine_are_answered(simulator, host):
    assert httpx2.get(f"{simulator.url}/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1"]
)
def test_a_page_that_rebinds_its_name_to_this_machine_gets_nothing(simulator, host):
    response = httpx2.get(f"{simulator.url}/models", headers={"Host": host})
    assert response.status_code == 403
    assert "sim/ant" not in response.text


# Leaving and ending


def test_a_client_that_leaves_a_stream_ends_it_and_pays_for_what_was_sent():
    with Simulator.start(first_token_s=0, tokens_per_second=10, clock=StuckClock(lets_pass=4)) as simulator:
        connection = open_stream(simulator, "Count to 500")
        received = read_until(connection, b'"content":" 3"')
        generation_id = re.search(rb"x-generation-id: (\S+)", received)[1].decode()
        with httpx2.Client(base_url=simulator.url, headers=HEADERS) as http:
            assert http.get("/generation", params={"id": generation_id}).status_code == 404
            connection.close()
            for _ in range(2_000):
                response = http.get("/generation", params={"id": generation_id})
                if response.status_code == 200:
                    break
            generation = exact(response)["data"]
    assert generation["cancelled"] is True
    assert generation["finish_reason"] is None
    assert generation["native_tokens_completion"] == 5
    family = FAMILIES[DEFAULT_MODEL]
    prompt = generation["native_tokens_prompt"] * Decimal(family.prompt_price)
    assert generation["total_cost"] == prompt + 5 * Decimal(family.completion_price)


def test_stopping_cuts_streams_off_and_leaves_nothing_behind():
    threads, files = threading.active_count(), count_open_files()
    simulator = Simulator.start(first_token_s=0, tokens_per_second=10, clock=StuckClock(lets_pass=2))
    connection = open_stream(simulator, "Count to 500")
    idle = socket.create_connection(("127.0.0.1", simulator.port), timeout=10)
    idle.sendall(b"GET /api/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
    read_until(idle, b"sim/owl")
    read_until(connection, b'"content":","')
    simulator.stop()
    simulator.stop()
    with connection, idle:
        assert b"[DONE]" not in read_to_end(connection)
        read_to_end(idle)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", simulator.port))
    assert (threading.active_count(), count_open_files()) == (threads, files)
    assert "stopped" in repr(simulator)


def test_clients_that_connect_while_it_stops_are_closed_too():
    for _ in range(10):
        simulator = Simulator.start(first_token_s=0, tokens_per_second=None)
        clients = [socket.create_connection(("127.0.0.1", simulator.port), timeout=10) for _ in range(8)]
        simulator.stop()
        for client in clients:
            with client, suppress(ConnectionResetError):
                assert client.recv(1) == b""


def test_several_run_at_once_with_bills_of_their_own():
    with (
        Simulator.start(first_token_s=0, tokens_per_second=None) as one,
        Simulator.start(first_token_s=0, tokens_per_second=None) as two,
    ):
        assert one.url != two.url
        httpx2.post(f"{one.url}/chat/completions", json=body(), headers=HEADERS)
        spent = [
            httpx2.get(f"{each.url}/key", headers=HEADERS).json()["data"]["usage"] for each in (one, two)
        ]
    assert spent[0] > 0
    assert spent[1] == 0


@pytest.mark.parametrize("start", [Simulator.start, serve_forever])
def test_a_port_in_use_is_named(simulator, start):
    with pytest.raises(InvalidValue, match=f"port {simulator.port} is in use"):
        start(simulator.port)


@pytest.mark.parametrize(
    "arguments", [{"port": -1}, {"port": 65_536}, {"first_token_s": -1}, {"tokens_per_second": 0}]
)
def test_values_that_cannot_be_used_are_refused(arguments):
    with pytest.raises(InvalidValue, match=next(iter(arguments))):
        Simulator.start(**arguments)


def test_ctrl_c_ends_a_server_of_its_own_quietly():
    program = (
        "from chatlab.simulator import serve_forever\n"
        "serve_forever(0, on_ready=lambda simulator: print(simulator.url, flush=True))"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        assert httpx2.get(f"{url}/models").status_code == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
