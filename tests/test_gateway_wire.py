"""The wire form of requests, usage, failures and model lists."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest

from chatlab.errors import (
    AccessDenied,
    AuthenticationFailed,
    GatewayFault,
    ModelNotFound,
    PayloadTooLarge,
    PaymentRequired,
    RateLimited,
    RedirectRefused,
    RequestRejected,
    RequestTimedOut,
)
from chatlab.gateway.faults import Faults
from chatlab.gateway.hints import wait_hint
from chatlab.gateway.jsontext import dump_json, parse_json
from chatlab.gateway.usage import parse_charge, parse_usage
from chatlab.gateway.wire import gateway_name, model_cards, request_body, request_headers
from chatlab.values.messages import Message, Reasoning, Text, ToolCall, assistant, system, user
from chatlab.values.request import ChatRequest
from chatlab.values.usage import Charge, Usage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
THOUGHT = {"type": "reasoning.encrypted", "data": "E", "index": 0}
ANSWER = Message("assistant", (Reasoning("hm", (THOUGHT,)), Text("Yes."), ToolCall("c1", "look", '{"a":1}')))


class TestRequest:
    def test_holds_the_messages_as_text_and_the_parameters_as_they_are(self):
        request = ChatRequest("a/b", (system("Be kind."), user("Hi"), assistant("Ho")), {"seed": 1})
        assert request_body(request, "openrouter") == {
            "model": "a/b",
            "stream": True,
            "seed": 1,
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Ho"},
            ],
        }

    @pytest.mark.parametrize(
        ("gateway", "returned"), [("openrouter", True), ("simulator", True), ("host", False)]
    )
    def test_returns_reasoning_details_unchanged_to_openrouter_only(self, gateway, returned):
        message = request_body(ChatRequest("m", (ANSWER,)), gateway)["messages"][0]
        assert message.pop("reasoning_details", None) == ([THOUGHT] if returned else None)
        assert message == {
            "role": "assistant",
            "content": "Yes.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
            ],
        }

    @pytest.mark.parametrize(
        ("gateway", "stream", "params", "options"),
        [
            ("host", True, {}, {"include_usage": True}),
            ("host", True, {"stream_options": {"x": 1}}, {"include_usage": True, "x": 1}),
            ("host", False, {}, None),
            ("openrouter", True, {}, None),
        ],
        ids=["asked", "merged", "not without stream", "not at OpenRouter"],
    )
    def test_asks_other_gateways_for_usage(self, gateway, stream, params, options):
        body = request_body(ChatRequest("m", (user("Hi"),), params, stream), gateway)
        assert body.get("stream_options") == options

    def test_parameters_cannot_replace_model_and_messages(self):
        body = request_body(ChatRequest("m", (), {"model": "x", "messages": 1, "stream": False}), "host")
        assert (body["model"], body["messages"], body["stream"]) == ("m", [], True)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://eu.openrouter.ai/api/v1", "openrouter"),
        ("https://notopenrouter.ai/v1", "notopenrouter.ai"),
        ("http://127.0.0.1:8900/v1", "127.0.0.1"),
    ],
)
def test_a_gateway_is_named_by_its_address(url, name):
    assert gateway_name(url) == name
    assert ("X-OpenRouter-Title" in request_headers(name)) == (name == "openrouter")


class TestUsage:
    def test_is_sorted_into_disjoint_buckets(self):
        usage = parse_usage(
            {
                "prompt_tokens": 194, "completion_tokens": 50, "total_tokens": 244,
                "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 100, "audio_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0, "image_tokens": 5},
            }
        )  # fmt: skip
        assert usage == Usage(
            input_tokens=194, output_tokens=50, input_fresh=80, cache_read=10, cache_write=100, input_audio=4,
            output_visible=25, reasoning=20, output_audio=0, output_image=5,
        )  # fmt: skip

    @pytest.mark.parametrize(
        "raw",
        [
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}},
            {"completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 6}},
            {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 20},
        ],
        ids=["more cached than input", "more reasoning than output", "another total"],
    )
    def test_that_contradicts_itself_keeps_totals_and_drops_remainders(self, raw):
        usage = parse_usage(raw)
        assert (usage.consistent, usage.input_fresh, usage.output_visible) == (False, None, None)
        assert (usage.input_tokens, usage.output_tokens) == (
            raw.get("prompt_tokens"),
            raw.get("completion_tokens"),
        )

    @pytest.mark.parametrize(
        ("value", "tokens"),
        [("12", 12), (Decimal("12.0"), 12), (Decimal("1.5"), None), (-1, None), (None, None), ("x", None),
         (True, None), (10**30, None), ([], None), ("NaN", None), ("1e400", None), (0, 0)],
    )  # fmt: skip
    def test_reads_what_is_a_count_and_nothing_else(self, value, tokens):
        assert parse_usage({"prompt_tokens": value}).input_tokens == tokens

    def test_without_numbers_is_unknown_not_zero(self):
        assert parse_usage({}) == Usage()

    @pytest.mark.parametrize(
        ("raw", "charge"),
        [
            ('{"cost":0.000007765}', Charge(reported_usd=Decimal("0.000007765"))),
            (
                '{"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":0.024645}}',
                Charge(reported_usd=Decimal(0), upstream_usd=Decimal("0.024645"), is_byok=True),
            ),
            ('{"cost":"0.5","is_byok":"no"}', Charge(reported_usd=Decimal("0.5"))),
            ('{"cost":NaN,"cost_details":null}', Charge()),
            ('{"cost":-1}', Charge()),
            ('{"cost":1e400}', Charge()),
        ],
        ids=["exact", "own key", "text", "NaN", "negative", "absurd"],
    )
    def test_charge_is_exact_or_unknown(self, raw, charge):
        assert parse_charge(parse_json(raw.encode())[0]) == charge


def test_json_is_written_back_without_losing_a_digit():
    text = '{"cost":0.000007765,"a":[1,true,null,"ü\\n"],"b":{}}'
    assert dump_json(parse_json(text.encode())[0]) == text
    assert dump_json(10**5000) is None


class TestModels:
    def test_prices_per_token_become_exact_prices_per_million(self):
        (card,) = model_cards(
            {
                "data": [
                    {
                        "id": "a/b", "name": "B", "context_length": 131072,
                        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
                        "pricing": {"prompt": "0.00000015", "completion": "6e-7", "input_cache_read": "-1"},
                        "top_provider": {"max_completion_tokens": 8192},
                        "supported_parameters": ["seed"],
                    }
                ]
            }
        )  # fmt: skip
        assert (card.model, card.name, card.context_length, card.max_output_tokens) == (
            "a/b",
            "B",
            131072,
            8192,
        )
        assert (card.input_modalities, card.output_modalities) == (("text",), ("text",))
        assert card.supported_params == ("seed",)
        assert (card.input_usd_per_mtok, card.output_usd_per_mtok) == (Decimal("0.15"), Decimal("0.6"))
        assert card.cache_read_usd_per_mtok is None

    def test_a_list_of_another_gateway_has_ids_at_least(self):
        (card,) = model_cards({"data": [{"id": "llama3", "pricing": {"prompt": "0"}}, {"no": "id"}, 3]})
        assert (card.model, card.name, card.context_length) == ("llama3", "llama3", None)
        assert (card.input_usd_per_mtok, card.output_usd_per_mtok) == (Decimal(0), None)

    @pytest.mark.parametrize("listing", [{}, None, "x", {"data": None}])
    def test_what_is_no_list_is_refused(self, listing):
        with pytest.raises(ValueError, match="data"):
            model_cards(listing)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, None),
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "NaN"}, None),
        ({"x-ratelimit-reset-tokens": "1m30s"}, 90.0),
        ({"x-ratelimit-reset-requests": "20ms", "x-ratelimit-reset-tokens": "2s"}, 2.0),
        ({"x-ratelimit-reset": str(int(NOW.timestamp() * 1000) + 4000)}, 4.0),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 4)}, 4.0),
        ({}, None),
    ],
    ids=str,
)
def test_wait_hints_in_every_form(headers, wait):
    assert wait_hint(headers, NOW) == wait


def http_fault(status, error=None, *, gateway="openrouter", model="acme/one", headers=None, body=None):
    body = json.dumps({"error": error}).encode() if body is None else body
    return Faults(gateway, model).http(status, headers or {}, body, NOW)


IN_FLIGHT = {"reason": "in_flight_budget_exhausted", "limit_source": "openrouter_in_flight_budget"}
WEIGHT = {"reason": "weight_exceeds_budget", "limit_source": "openrouter_credits"}
OVERLOADED = {"error_type": "provider_overloaded"}
TOO_LONG = {"error_type": "context_length_exceeded"}


FAULTS = [
    (http_fault(307), (RedirectRefused, "fatal"), "AI_GATEWAY_URL"),
    (http_fault(400), (RequestRejected, "fatal"), "parameters"),
    (http_fault(401), (AuthenticationFailed, "fatal"), "OpenRouter keys begin with sk-or-"),
    (http_fault(401, gateway="host"), (AuthenticationFailed, "fatal"), "valid key of host"),
    (http_fault(402), (PaymentRequired, "fatal"), "Add credits"),
    (http_fault(402, {"metadata": WEIGHT}), (PaymentRequired, "fatal"), "lower max_tokens"),
    (http_fault(402, {"metadata": IN_FLIGHT}), (PaymentRequired, "throttle"), "Wait"),
    (http_fault(403, {"metadata": {"reasons": ["violence"]}}), (AccessDenied, "fatal"), "(violence)"),
    (
        http_fault(403, {"metadata": {"limit_source": "openrouter_key_limit", "resets_at": "Monday"}}),
        (AccessDenied, "fatal"),
        "wait until Monday",
    ),
    (http_fault(403), (AccessDenied, "fatal"), "guardrails"),
    (http_fault(404), (ModelNotFound, "fatal"), "`chatlab models`"),
    (http_fault(404, model="one"), (ModelNotFound, "fatal"), "provider prefix"),
    (
        http_fault(404, {"availability": {"retryable": False, "fallback_models": ["a/x"]}}),
        (ModelNotFound, "fatal"),
        "suggests a/x",
    ),
    (http_fault(408), (RequestTimedOut, "transient"), "Try again"),
    (http_fault(409), (RequestRejected, "transient"), "try again"),
    (http_fault(413), (PayloadTooLarge, "fatal"), "attachments"),
    (http_fault(422), (RequestRejected, "fatal"), "parameters"),
    (http_fault(425), (RequestRejected, "transient"), "try again"),
    (http_fault(429), (RateLimited, "throttle"), "Wait a little"),
    (http_fault(429, headers={"retry-after": "7"}), (RateLimited, "throttle"), "Wait 7 s"),
    (http_fault(429, {"availability": {"retryable": False}}), (RateLimited, "fatal"), ""),
    (http_fault(500), (GatewayFault, "transient"), "https://status.openrouter.ai"),
    (http_fault(500, gateway="host"), (GatewayFault, "transient"), "status page of host"),
    (http_fault(502, body=b"<html>Bad</html>"), (GatewayFault, "transient"), "try again"),
    (http_fault(503), (GatewayFault, "transient"), "try again"),
    (http_fault(503, {"metadata": OVERLOADED}), (GatewayFault, "throttle"), "try again"),
    (http_fault(503, {"availability": {"retryable": True}}), (GatewayFault, "transient"), "try again"),
    (http_fault(500, {"metadata": TOO_LONG}), (GatewayFault, "fatal"), ""),
    (http_fault(504), (RequestTimedOut, "transient"), "Try again"),
    (http_fault(524), (RequestTimedOut, "transient"), "Try again"),
    (http_fault(529), (GatewayFault, "throttle"), "Wait"),
    (http_fault(799), (GatewayFault, "transient"), "try again"),
]


@pytest.mark.parametrize(
    ("fault", "kind", "remedy"), FAULTS, ids=[f"{n}: {case[0].status}" for n, case in enumerate(FAULTS)]
)
def test_each_status_has_its_error_and_its_remedy(fault, kind, remedy):
    assert (type(fault), fault.kind) == kind
    assert remedy in str(fault)
    assert f"({fault.status})" in str(fault)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"No credits","code":"low"}}',
        b'{"error":"No credits"}',
        b'{"message":"No credits"}',
        b'{"detail":"No credits"}',
        b'{"detail":[{"msg":"No credits"}]}',
        b'[{"error":{"message":"No credits"}}]',
        b"No credits",
    ],
    ids=["standard", "text", "message", "detail", "FastAPI", "list of Gemini", "plain"],
)
def test_the_gateways_own_words_are_quoted(body):
    assert '"No credits"' in str(http_fault(402, body=body))


ODD_ERRORS = [
    None, 3, [], {}, {"message": 5, "code": [], "metadata": 7, "availability": "x"},
    {"code": True, "availability": {"retryable": {}, "retry_after": "x"}},
]  # fmt: skip


@pytest.mark.parametrize("error", ODD_ERRORS, ids=str)
def test_errors_of_no_known_shape_are_still_errors(error):
    assert isinstance(http_fault(400, error), RequestRejected)
    assert isinstance(Faults("g", "m").in_stream(error, provider=None, generation_id=None), GatewayFault)


def test_a_hint_in_the_body_counts_where_headers_have_none():
    error = {"availability": {"retry_after": 12, "retryable": True}}
    assert http_fault(429, error).retry_after_s == 12.0
    assert http_fault(429, error, headers={"retry-after": "3"}).retry_after_s == 3.0


def test_a_key_that_a_gateway_repeats_is_not_repeated():
    key = "my-own-key-0123456789"
    faults = Faults("host", "m", lambda text: text.replace(key, "***"))
    body = json.dumps(
        {"error": {"message": f"bad key {key} or sk-or-v1-0123456789abcdef", "code": key}}
    ).encode()
    fault = faults.http(401, {}, body, NOW)
    assert "bad key *** or sk-***" in str(fault)
    assert fault.code == "***"
