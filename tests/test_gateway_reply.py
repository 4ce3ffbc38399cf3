"""Bytes of an answer to the reply and its terminal state: recorded traffic, every dialect, every cut."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.errors import (
    EmptyStream,
    GatewayFault,
    ProtocolViolation,
    RateLimited,
    RequestRejected,
    StreamTruncated,
)
from chatlab.gateway import reply as reply_module
from chatlab.gateway.faults import Faults
from chatlab.gateway.reply import BROKE_AFTER_END, NO_END_MARK, ReplyAssembler
from chatlab.values.events import ReasoningDelta, TextDelta, ToolCallDelta, UsageReported
from chatlab.values.messages import ToolCall
from chatlab.values.reply import Timings
from chatlab.values.usage import Charge, Usage

RECORDED = (Path(__file__).parent / "data" / "openrouter_stream.sse").read_bytes()
TIMINGS = Timings(started_at=datetime(2026, 10, 7, tzinfo=UTC))
OUTCOMES = {"completed", "truncated", "error_before", "error_during"}


def assemble(*pieces, fail=None):
    assembler = ReplyAssembler(Faults("openrouter", "m"))
    assembler.headers(200, "gen-head")
    events = [event for piece in pieces for event in assembler.feed(piece)]
    if fail is not None:
        assembler.fail(fail)
    events += assembler.end()
    return events, assembler.result(TIMINGS)


def facts(result):
    """Everything in a result that can be compared; errors by class and message."""
    error = result.error
    return {
        **{name: getattr(result, name) for name in result.__dataclass_fields__ if name != "error"},
        "error": error and (type(error), str(error), error.kind, error.partial_text),
    }


def chunk(content=None, finish=None, delta=None, **more):
    choice = {"index": 0, "delta": {"content": content} if delta is None else delta, "finish_reason": finish}
    return sse({"id": "c1", "model": "served", "choices": [choice], **more})


def sse(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


HI, END, DONE = chunk("Hi"), chunk(finish="stop"), b"data: [DONE]\n\n"


class TestRecordedStream:
    def test_gives_reasoning_usage_and_charge(self):
        events, result = assemble(RECORDED)
        assert result.outcome == "completed"
        assert result.reasoning == "The user wants the café in Zürich 🙂"
        assert result.text == ""
        assert result.finish_reason == result.native_finish_reason == "length"
        assert result.served_model == "deepseek/deepseek-v4.1-flash"
        assert result.provider == "InferenceNet"
        assert result.generation_id == "gen-head"
        assert result.charge == Charge(
            reported_usd=Decimal("0.000007765"), upstream_usd=Decimal("0.000007765"), is_byok=False
        )
        assert result.usage == Usage(
            input_tokens=37, output_tokens=8, input_fresh=37, cache_read=0, cache_write=0, input_audio=0,
            output_visible=0, reasoning=8, output_audio=0, output_image=0,
        )  # fmt: skip
        assert '"cost":0.000007765' in result.usage_raw
        assert (result.counts.events, result.counts.comments, result.counts.malformed) == (10, 2, 0)
        assert result.warnings == ()
        assert events[-1] == UsageReported(result.usage)

    def test_merges_the_pieces_of_its_reasoning_details(self):
        _, result = assemble(RECORDED)
        assert result.reasoning_details == (
            {"type": "reasoning.text", "text": result.reasoning, "format": "unknown", "index": 0},
        )

    def test_is_the_same_in_every_cut_and_byte_by_byte(self):
        events, result = assemble(RECORDED)
        for cut in range(len(RECORDED)):
            cut_events, cut_result = assemble(RECORDED[:cut], RECORDED[cut:])
            assert cut_events == events
            assert cut_result == result
        byte_events, byte_result = assemble(*(bytes([byte]) for byte in RECORDED))
        assert (byte_events, byte_result) == (events, result)

    @settings(max_examples=60)
    @given(st.lists(st.integers(0, len(RECORDED)), max_size=30))
    def test_is_the_same_in_many_pieces(self, cuts):
        bounds = [0, *sorted(cuts), len(RECORDED)]
        pieces = [RECORDED[start:stop] for start, stop in pairwise(bounds)]
        assert assemble(*pieces) == assemble(RECORDED)

    def test_has_a_known_end_after_any_prefix(self):
        for stop in range(len(RECORDED)):
            _, result = assemble(RECORDED[:stop])
            assert result.outcome in OUTCOMES
            assert (result.outcome == "completed") == (result.error is None) == bool(result.finish_reason)
            assert "The user wants the café in Zürich 🙂".startswith(result.reasoning)


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [b"data: ", b"\n\n", HI, END, DONE, b'{"error":', b"{", b"[", b"<", b"null", b"\r"]
            ),
        )
    )
)
def test_no_bytes_raise_and_all_have_an_end(pieces):
    events, result = assemble(*pieces)
    assert result.outcome in OUTCOMES
    assert (result.outcome == "completed") == (result.error is None)
    json.dumps([event.text for event in events if isinstance(event, TextDelta)]).encode()
    result.text.encode()


COMPLETION = {"model": "served", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}

# Every way in which OpenAI-compatible servers were seen to answer, with how it must end.
# name: (body, outcome, text, error class)
SCENARIOS = {
    "plain": (HI + END + DONE, "completed", "Hi", None),
    "crlf": ((HI + END + DONE).replace(b"\n", b"\r\n"), "completed", "Hi", None),
    "cr": ((HI + END + DONE).replace(b"\n", b"\r"), "completed", "Hi", None),
    "byte order mark": (b"\xef\xbb\xbf" + HI + END + DONE, "completed", "Hi", None),
    "invalid UTF-8": (HI.replace(b"Hi", b"H\xffi") + END + DONE, "completed", "H\ufffdi", None),
    "comments and pings": (
        b": x\n\nevent: ping\n\nid: 1\n\nretry: 5\n\ndata:\n\n" + HI + END + DONE,
        "completed",
        "Hi",
        None,
    ),
    "ping with empty object": (b"event: ping\ndata: {}\n\n" + HI + END + DONE, "completed", "Hi", None),
    "data that is a word": (b"data: ping\n\n" + HI + END + DONE, "completed", "Hi", None),
    "finish without end mark": (HI + END, "completed", "Hi", None),
    "end mark without line end": (HI + END + b"data: [DONE]", "completed", "Hi", None),
    "end mark with spaces": (HI + END + b"data: [DONE]  \n\n", "completed", "Hi", None),
    "end mark with two spaces before": (HI + END + b"data:  [DONE]\n\n", "completed", "Hi", None),
    "last event without blank line": (HI + END.rstrip(), "completed", "Hi", None),
    "end without finish": (HI, "truncated", "Hi", StreamTruncated),
    "end in the middle of an event": (HI + END[:30], "truncated", "Hi", StreamTruncated),
    "end mark without finish": (HI + DONE, "truncated", "Hi", StreamTruncated),
    "nothing": (b"", "error_before", "", EmptyStream),
    "end mark only": (DONE, "error_before", "", EmptyStream),
    "comments only": (b": OPENROUTER PROCESSING\n\n" * 3, "error_before", "", EmptyStream),
    "choices null": (sse({"choices": None}) + DONE, "error_before", "", EmptyStream),
    "no choices, arrays and scalars": (
        sse({"id": "x"}) + sse([1]) + sse(3) + sse(None) + HI + END,
        "completed",
        "Hi",
        None,
    ),
    "first chunk of Azure": (
        sse({"id": "", "model": "", "choices": [], "prompt_filter_results": [{}]}) + HI + END,
        "completed",
        "Hi",
        None,
    ),
    "delta null": (
        sse({"choices": [{"index": 0, "delta": None, "finish_reason": None}]}) + HI + END,
        "completed",
        "Hi",
        None,
    ),
    "finish empty, then repeated": (chunk("Hi", "") + END + END + DONE, "completed", "Hi", None),
    "finish with the last text": (chunk("Hi", "stop") + DONE, "completed", "Hi", None),
    "unknown finish": (HI + chunk(finish="sleepy") + DONE, "completed", "Hi", None),
    "text after the end mark": (HI + END + DONE + HI, "completed", "Hi", None),
    "error object": (sse({"error": {"code": 502, "message": "gone"}}), "error_before", "", GatewayFault),
    "error text": (HI + sse({"error": "boom"}), "error_during", "Hi", GatewayFault),
    "error code as a word": (
        HI + sse({"error": {"code": "rate_limit_exceeded"}}),
        "error_during",
        "Hi",
        RateLimited,
    ),
    "error of vLLM": (
        sse({"error": {"type": "BadRequestError", "code": 400}}),
        "error_before",
        "",
        RequestRejected,
    ),
    "error in the choice": (
        HI + sse({"choices": [{"index": 0, "delta": {}, "error": {"code": 429}}]}),
        "error_during",
        "Hi",
        RateLimited,
    ),
    "error of OpenRouter in mid stream": (
        HI + chunk("", "error", error={"code": 502, "message": "Provider disconnected"}),
        "error_during",
        "Hi",
        GatewayFault,
    ),
    "error of Groq": (HI + sse({"x_groq": {"error": "over capacity"}}), "error_during", "Hi", GatewayFault),
    "error after finish": (HI + END + sse({"error": "late"}), "error_during", "Hi", GatewayFault),
    "finish error without words": (HI + chunk(finish="error"), "error_during", "Hi", GatewayFault),
    "error event": (HI + b'event: error\ndata: {"message":"no"}\n\n', "error_during", "Hi", GatewayFault),
    "error event in words": (HI + b"event: error\ndata: it broke\n\n", "error_during", "Hi", GatewayFault),
    "error line of llama.cpp": (HI + b'error: {"code":500}\n\n' + DONE, "error_during", "Hi", GatewayFault),
    "bare error line": (HI + b'{"error":{"message":"no"}}\n', "error_during", "Hi", GatewayFault),
    "HTML": (b"<!doctype html><html>Login</html>", "error_before", "", ProtocolViolation),
    "HTML after a comment": (b": x\n<html></html>\n", "error_before", "", ProtocolViolation),
    "plain words": (b"upstream connect error", "error_before", "", ProtocolViolation),
    "JSON completion": (b"\n\n " + json.dumps(COMPLETION).encode() + b"\n", "completed", "Hi", None),
    "JSON completion cut": (b'{"choices":[{"message":{"content":"Hi"', "error_before", "", ProtocolViolation),
    "JSON completion inside its provider": (
        b'{"provider":{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}}',
        "completed",
        "Hi",
        None,
    ),
    "JSON completion with choices null": (b'{"choices":null}', "error_before", "", EmptyStream),
    "JSON completion with error": (
        b'{"choices":[{"message":{"content":"Hi"},"error":{"code":502},"finish_reason":"error"}]}',
        "error_during",
        "Hi",
        GatewayFault,
    ),
    "JSON error": (b'{"error":{"code":429,"message":"slow"}}', "error_before", "", RateLimited),
    "JSON error over many lines": (
        b'{\n "error": {\n  "code": 429\n }\n}\n',
        "error_before",
        "",
        RateLimited,
    ),
    "JSON error without key": (b'{"message":"Compute error."}', "error_before", "", GatewayFault),
    "JSON scalar": (b"[]", "error_before", "", EmptyStream),
    "bare error line first, then end mark": (
        b'{"error":"boom"}\n\n' + DONE,
        "error_before",
        "",
        GatewayFault,
    ),
    "lines of JSON without data": (HI[6:] + END[6:], "completed", "Hi", None),
    "frame in frame": (
        HI + b'data: {"choices":[{"delta":{"co' + HI + END,
        "error_during",
        "Hi",
        ProtocolViolation,
    ),
    "broken frame": (HI + b'data: {"choices":\n\n' + END, "error_during", "Hi", ProtocolViolation),
    "JSON too deep": (
        HI + b"data: " + b"[" * 100_000 + b"\n\n" + END,
        "error_during",
        "Hi",
        ProtocolViolation,
    ),
    "number too long": (HI + b'data: {"a":' + b"9" * 6000 + b"}\n\n" + END, None, "Hi", None),
    "NaN": (
        sse({"choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": float("nan")}]}) + END,
        "completed",
        "Hi",
        None,
    ),
    "lone surrogate": (chunk("a\ud83d") + END, "completed", "a\ufffd", None),
    "surrogate pair in two chunks": (chunk("a\ud83d") + chunk("\ude42b") + END, "completed", "a🙂b", None),
    "lone surrogate, then plain text": (chunk("a\ud83d") + chunk("b") + END, "completed", "a\ufffdb", None),
    "content in parts (Mistral)": (
        chunk(
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "Hi"},
            ]
        )
        + END,
        "completed",
        "Hi",
        None,
    ),
    "role null": (chunk(delta={"role": None, "content": "Hi"}) + END, "completed", "Hi", None),
    "refusal only": (
        chunk(delta={"role": "assistant", "content": None, "refusal": "No."}) + END,
        "completed",
        "",
        None,
    ),
    "two answers at once": (
        HI + sse({"choices": [{"index": 1, "delta": {"content": "Ho"}, "finish_reason": "stop"}]}) + END,
        "completed",
        "Hi",
        None,
    ),
    "wrong types everywhere": (
        sse(
            {
                "id": 1,
                "model": [],
                "choices": [
                    {
                        "index": "0",
                        "delta": {"content": 5, "reasoning": [1], "tool_calls": {"a": 1}, "refusal": {}},
                        "finish_reason": 7,
                    },
                    3,
                ],
                "usage": "x",
            }
        )
        + HI
        + END,
        "completed",
        "Hi",
        None,
    ),
}


@pytest.mark.parametrize(("body", "outcome", "text", "error"), SCENARIOS.values(), ids=SCENARIOS)
def test_every_known_dialect_ends_as_it_must(body, outcome, text, error):
    events, result = assemble(body)
    if outcome is None:  # parsers may differ on it
        assert result.outcome in OUTCOMES
        assert result.text == text
        return
    assert (result.outcome, result.text) == (outcome, text)
    assert type(result.error) is (error or type(None))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text
    assert result.error is None or result.error.partial_text == text
    assert facts(assemble(*(bytes([byte]) for byte in body[:3000]), body[3000:])[1]) == facts(result)


def test_a_finished_answer_survives_a_connection_that_breaks():
    _, result = assemble(HI + END, fail=Faults("g", "m").connection("reset", sent=True))
    assert (result.outcome, result.error) == ("completed", None)
    assert result.warnings == (BROKE_AFTER_END,)


def test_a_connection_that_breaks_keeps_the_partial_text():
    fault = Faults("g", "m").connection("reset", sent=True)
    _, result = assemble(HI, fail=fault)
    assert (result.outcome, result.text, result.error) == ("error_during", "Hi", fault)


def test_before_its_end_the_result_is_stopped():
    assembler = ReplyAssembler(Faults("g", "m"))
    assembler.feed(HI)
    result = assembler.result(TIMINGS)
    assert (result.outcome, result.text, result.error) == ("stopped", "Hi", None)


def test_whoever_stops_an_answer_that_came_to_its_end_mark_has_the_whole_of_it():
    assembler = ReplyAssembler(Faults("g", "m"))
    assembler.feed(HI + END + b"data: [DONE]\n\n")
    result = assembler.result(TIMINGS)
    assert (result.outcome, result.text, result.finish_reason) == ("completed", "Hi", "stop")


def test_a_missing_end_mark_is_told():
    assert assemble(HI + END)[1].warnings == (NO_END_MARK,)


def test_an_error_in_the_stream_keeps_the_gateways_words_provider_and_handle():
    body = chunk("Hi", provider="Acme") + sse(
        {
            "error": {
                "code": 529,
                "message": "busy\x1b[31m\n now",
                "metadata": {"error_type": "provider_overloaded"},
            }
        }
    )
    error = assemble(body)[1].error
    assert (error.status, error.kind, error.provider, error.generation_id) == (
        529,
        "throttle",
        "Acme",
        "gen-head",
    )
    assert 'It said: "busy [31m now".' in str(error)


class TestReasoning:
    @pytest.mark.parametrize(
        ("delta", "reasoning"),
        [
            ({"reasoning": "a", "reasoning_content": "b", "content": ""}, "a"),
            ({"reasoning_content": "b", "content": ""}, "b"),
            ({"reasoning": "a", "reasoning_details": [{"type": "reasoning.text", "text": "c"}]}, "c"),
            ({"reasoning": "a", "reasoning_details": [{"type": "reasoning.encrypted", "data": "xx"}]}, "a"),
            ({"reasoning_details": [{"type": "reasoning.summary", "summary": "s"}]}, "s"),
            ({"content": [{"type": "thinking", "thinking": "t"}]}, "t"),
            ({"reasoning": "only key"}, "only key"),
        ],
        ids=[
            "reasoning first",
            "DeepSeek",
            "details first",
            "encrypted details",
            "summary",
            "Mistral",
            "alone",
        ],
    )
    def test_is_taken_from_one_source(self, delta, reasoning):
        events, result = assemble(chunk(delta=delta) + END)
        assert result.reasoning == reasoning
        assert [e.text for e in events if isinstance(e, ReasoningDelta)] == [reasoning]

    def test_details_of_one_type_and_index_are_merged_and_others_kept_whole(self):
        pieces = [
            {"type": "reasoning.text", "index": 0, "text": "a"},
            {"type": "reasoning.encrypted", "index": 0, "data": "E1", "id": "1"},
            {"type": "reasoning.text", "index": 0, "text": "b", "signature": "S"},
            {"type": "reasoning.text", "index": 1, "text": "c"},
        ]
        body = b"".join(chunk(delta={"reasoning_details": [piece]}) for piece in pieces)
        assert assemble(body + END)[1].reasoning_details == (
            {"type": "reasoning.text", "index": 0, "text": "ab", "signature": "S"},
            {"type": "reasoning.encrypted", "index": 0, "data": "E1", "id": "1"},
            {"type": "reasoning.text", "index": 1, "text": "c"},
        )


def call_piece(index=None, call_id=None, name=None, arguments=None):
    piece = {"function": {"name": name, "arguments": arguments}, "id": call_id, "index": index}
    return {key: value for key, value in piece.items() if value is not None}


class TestToolCalls:
    @pytest.mark.parametrize(
        ("pieces", "calls"),
        [
            (
                [
                    call_piece(0, "a", "f", ""),
                    call_piece(0, None, None, '{"x"'),
                    call_piece(0, None, None, ":1}"),
                ],
                [("a", "f", '{"x":1}')],
            ),
            (
                [
                    call_piece(0, "a", "f", "{"),
                    call_piece(1, "b", "g", "["),
                    call_piece(0, None, None, "}"),
                    call_piece(1, None, None, "]"),
                ],
                [("a", "f", "{}"), ("b", "g", "[]")],
            ),
            (
                [call_piece(0, "a", "f", '{"x":1}'), call_piece(0, "b", "f", '{"x":2}')],
                [("a", "f", '{"x":1}'), ("b", "f", '{"x":2}')],
            ),
            (
                [
                    call_piece(None, "", "f", '{"x"'),
                    call_piece(None, "", None, ":1}"),
                    call_piece(None, "", "g", "{}"),
                ],
                [("call_0", "f", '{"x":1}'), ("call_1", "g", "{}")],
            ),
            ([call_piece(0, "a", "f", {"x": 1.5})], [("a", "f", '{"x":1.5}')]),
            ([call_piece(0, "a", "f", "{oops")], [("a", "f", "{oops")]),
            ([call_piece(0, "a", "f", "{}"), call_piece(0, "a", "f", "")], [("a", "f", "{}")]),
        ],
        ids=[
            "by index",
            "interleaved",
            "all at index 0 (Ollama)",
            "no index (Gemini)",
            "arguments as object",
            "invalid arguments",
            "name repeated",
        ],
    )
    def test_are_put_together(self, pieces, calls):
        body = b"".join(chunk(delta={"role": "assistant", "tool_calls": [piece]}) for piece in pieces)
        events, result = assemble(body + chunk(finish="stop") + DONE)
        assert result.tool_calls == tuple(ToolCall(*call) for call in calls)
        assert result.finish_reason == "tool_calls"
        for position, (_, name, arguments) in enumerate(calls):
            mine = [e for e in events if isinstance(e, ToolCallDelta) and e.position == position]
            assert "".join(event.arguments for event in mine) == arguments
            assert [event.name for event in mine if event.name] == [name]


class TestFinish:
    @pytest.mark.parametrize(
        ("reasons", "finish"),
        [
            (["stop", "length"], "stop"),
            (["stop", "content_filter"], "content_filter"),
            (["", "stop"], "stop"),
        ],
        ids=["first wins", "filter overrides", "empty is none"],
    )
    def test_reason(self, reasons, finish):
        body = HI + b"".join(chunk(finish=reason) for reason in reasons)
        assert assemble(body)[1].finish_reason == finish


class TestUsage:
    @pytest.mark.parametrize(
        ("usages", "tokens", "cost"),
        [
            ([{"prompt_tokens": 5, "completion_tokens": n} for n in (1, 2, 3)], 8, None),
            ([{"prompt_tokens": 5, "completion_tokens": 3, "cost": 0.5}, {"prompt_tokens": 1}], 8, "0.5"),
        ],
        ids=["a later one replaces", "one with cost stays"],
    )
    def test_is_replaced_never_added(self, usages, tokens, cost):
        body = HI + b"".join(chunk("", usage=usage) for usage in usages) + END
        _, result = assemble(body)
        assert result.usage.total_tokens == tokens
        assert result.charge.reported_usd == (Decimal(cost) if cost else None)

    def test_comes_from_an_empty_choices_chunk_or_from_groq(self):
        usage = {"prompt_tokens": 2, "completion_tokens": 1}
        assert assemble(HI + END + sse({"choices": [], "usage": usage}))[1].usage.total_tokens == 3
        assert (
            assemble(HI + END + sse({"choices": [], "x_groq": {"usage": usage}}))[1].usage.total_tokens == 3
        )


def test_an_answer_without_end_is_refused_at_the_limit(monkeypatch):
    monkeypatch.setattr(reply_module, "KEPT_LIMIT", 100)
    assembler = ReplyAssembler(Faults("g", "m"))
    for _ in range(1000):
        assembler.feed(chunk("0123456789"))
    assembler.end()
    result = assembler.result(TIMINGS)
    assert isinstance(result.error, ProtocolViolation)
    assert len(result.text) == 110


def test_a_document_without_end_is_refused_at_the_limit(monkeypatch):
    monkeypatch.setattr(reply_module, "KEPT_LIMIT", 100)
    _, result = assemble(b'{"choices":', b" " * 200)
    assert isinstance(result.error, ProtocolViolation)
