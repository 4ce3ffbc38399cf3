"""The bytes on the wire, as OpenRouter sends them, and how requests are read from a socket."""

import json
import re
import socket

import pytest

from chatlab.simulator import Simulator

PATH = "/api/v1/chat/completions"


@pytest.fixture(scope="module")
def simulator():
    with Simulator.start(first_token_s=0, tokens_per_second=None) as running:
        yield running


def request_bytes(method="POST", path=PATH, *, content=b"", version="1.1", headers=()):
    lines = [
        f"{method} {path} HTTP/{version}",
        "Host: localhost",
        "Authorization: Bearer simulator",
        *headers,
    ]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


def chat(prompt, *, model="sim/ant", **params):
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], **params}
    return json.dumps(body).encode()


def exchange(simulator, *pieces):
    """Send the pieces on one connection and return all that comes back until it is closed."""
    with socket.create_connection(("127.0.0.1", simulator.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        data = b""
        while received := connection.recv(65_536):
            data += received
        return data


def dechunk(data):
    """Undo chunked framing by the letter."""
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            assert data == b"\r\n"
            return body
        body += data[:length]
        assert data[length : length + 2] == b"\r\n"
        data = data[length + 2 :]


def anonymous(text):
    """Replace what differs from run to run."""
    return re.sub(r"gen-\d+-\w{20}", "gen-X", re.sub(r'"created":\d+', '"created":1', text))


CLOSE = ("Connection: close",)

OWL_STREAM = """\
: OPENROUTER PROCESSING

data: {"id":"gen-X","object":"chat.completion.chunk","created":1,"model":"sim/owl","provider":"Simulator",\
"choices":[{"index":0,"delta":{"content":"","role":"assistant","reasoning":"The","reasoning_details":\
[{"type":"reasoning.text","text":"The","format":"unknown","index":0}]},"finish_reason":null,\
"native_finish_reason":null}]}

data: {"id":"gen-X","object":"chat.completion.chunk","created":1,"model":"sim/owl","provider":"Simulator",\
"choices":[{"index":0,"delta":{"content":"","role":"assistant","reasoning":" user","reasoning_details":\
[{"type":"reasoning.text","text":" user","format":"unknown","index":0}]},"finish_reason":null,\
"native_finish_reason":null}]}

data: {"id":"gen-X","object":"chat.completion.chunk","created":1,"model":"sim/owl","provider":"Simulator",\
"choices":[{"index":0,"delta":{"content":"","role":"assistant","reasoning":null},"finish_reason":"length",\
"native_finish_reason":"MAX_TOKENS"}]}

data: {"id":"gen-X","object":"chat.completion.chunk","created":1,"model":"sim/owl","provider":"Simulator",\
"service_tier":null,"choices":[{"index":0,"delta":{"content":"","role":"assistant"},"finish_reason":"length",\
"native_finish_reason":"MAX_TOKENS"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,\
"cost":0.000075,"is_byok":false,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,\
"audio_tokens":0,"video_tokens":0},"cost_details":{"upstream_inference_cost":0.000075,\
"upstream_inference_prompt_cost":0.000025,"upstream_inference_completions_cost":0.00005},\
"completion_tokens_details":{"reasoning_tokens":2,"image_tokens":0,"audio_tokens":0}}}

data: [DONE]

"""

ANT_CHUNK = (
    'data: {"id":"gen-X","object":"chat.completion.chunk","created":1,"model":"sim/ant",'
    '"provider":"Simulator",'
    '"choices":[{"index":0,"delta":{"content":"Hello","role":"assistant"},"finish_reason":null,'
    '"native_finish_reason":null}]}'
)


def test_a_stream_is_openrouters_byte_for_byte(simulator):
    content = chat("hello", model="sim/owl", stream=True, max_tokens=2)
    head, _, body = exchange(simulator, request_bytes(content=content, headers=CLOSE)).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert {"content-type: text/event-stream", "transfer-encoding: chunked"} <= set(lines)
    generation_id = re.search(r"x-generation-id: (gen-\d+-\w{20})", head.decode())[1]
    text = dechunk(body).decode()
    assert text.count(generation_id) == 4
    assert anonymous(text) == OWL_STREAM


def test_role_and_content_stand_in_every_chunk(simulator):
    data = exchange(simulator, request_bytes(content=chat("hello", stream=True), headers=CLOSE))
    text = anonymous(dechunk(data.partition(b"\r\n\r\n")[2]).decode())
    assert text.split("\n\n")[1] == ANT_CHUNK
    chunks = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
    assert all(set(chunk["choices"][0]["delta"]) >= {"role", "content"} for chunk in chunks)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-3:]] == [None, "stop", "stop"]
    assert ["usage" in chunk for chunk in chunks[-2:]] == [False, True]


def test_hostile_text_is_escaped_and_never_breaks_an_event(simulator):
    name = "A\\u2028\\n\\ndata: [DONE]\\n\\n\\ud83d"
    prompt = f'{{"role":"user","content":"My name is {name}"}}'
    question = '{"role":"user","content":"What did I just say?"}'
    content = f'{{"model":"sim/ant","stream":true,"messages":[{prompt},{question}]}}'.encode()
    data = exchange(simulator, request_bytes(content=content, headers=CLOSE))
    body = dechunk(data.partition(b"\r\n\r\n")[2]).decode()
    assert body.count("\ndata: [DONE]\n") == 1
    events = [json.loads(line[6:]) for line in body.split("\n") if line.startswith("data: {")]
    text = "".join(event["choices"][0]["delta"]["content"] for event in events)
    assert "A\u2028\n\ndata: [DONE]\n\n?" in text


def test_a_request_may_come_in_single_bytes(simulator):
    whole = request_bytes(content=chat("hello"), headers=CLOSE)
    data = exchange(simulator, *(whole[at : at + 1] for at in range(len(whole))))
    assert b"Hello! What shall we work on?" in data


def test_requests_may_be_pipelined_and_come_back_in_order(simulator):
    first = request_bytes(content=chat("count to 3"))
    second = request_bytes("GET", "/api/v1/key")
    last = request_bytes(content=chat("count to 5"), headers=CLOSE)
    data = exchange(simulator, first + second + last)
    places = [data.index(mark) for mark in (b'"1, 2, 3"', b'"limit":null', b'"1, 2, 3, 4, 5"')]
    assert places == sorted(places)
    assert data.count(b"HTTP/1.1 200 OK") == 3


def test_http_1_0_gets_a_stream_that_ends_with_the_connection(simulator):
    data = exchange(simulator, request_bytes(content=chat("hello", stream=True), version="1.0"))
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body.startswith(b": OPENROUTER PROCESSING\n\n")
    assert body.endswith(b"data: [DONE]\n\n")


def test_a_client_that_asks_first_is_told_to_go_on(simulator):
    content = chat("hello")
    request = request_bytes(content=content, headers=(*CLOSE, "Expect: 100-continue"))
    data = exchange(simulator, request.removesuffix(content), content)
    assert data.count(b"HTTP/1.1 100 Continue\r\n") <= 1
    assert b"HTTP/1.1 200 OK" in data


@pytest.mark.parametrize(
    "rubbish",
    [b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"hello\r\n\r\n", b"GET /" + b"a" * 100_000],
    ids=["tls", "no host", "no request", "long line"],
)
def test_what_is_no_request_is_a_400_and_ends_the_connection(simulator, rubbish):
    data = exchange(simulator, rubbish)
    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert json.loads(data.partition(b"\r\n\r\n")[2])["error"]["code"] == 400


def test_a_model_list_has_string_prices_per_token(simulator):
    data = exchange(simulator, request_bytes("GET", "/api/v1/models", headers=CLOSE))
    cards = json.loads(data.partition(b"\r\n\r\n")[2])["data"]
    assert [card["id"] for card in cards] == ["sim/ant", "sim/bee", "sim/crow", "sim/dolphin", "sim/owl"]
    assert all(isinstance(price, str) for card in cards for price in card["pricing"].values())
    assert cards[0]["pricing"]["prompt"] == "0.00000002"
    assert cards[4]["top_provider"]["max_completion_tokens"] < cards[4]["context_length"]
