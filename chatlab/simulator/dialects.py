"""Scenarios that are event streams: what servers and gateways other than OpenRouter send, and broken ones.

The divergences were collected from the servers' issue trackers and recorded traffic (checked 2026-11-20).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chatlab.simulator.scenario import Scenario
from chatlab.simulator.shapes import (
    DONE,
    STORY,
    STORY_ID,
    STORY_PIECES,
    USAGE,
    call,
    choice,
    chunk,
    data,
    deltas,
    ended,
    piece,
    told,
    tool_calls,
)

_DEEP = 100_000
_ERROR = {"code": 502, "message": "Provider disconnected", "metadata": {"error_type": "provider_unavailable"}}
_CITY = '{"city":"Oslo"}'


def _broken_off(*last: bytes) -> bytes:
    return told(STORY_PIECES[:2]) + b"".join(last)


def _usage(**changed: Any) -> bytes:
    return told() + ended(usage={**USAGE, **changed})


def _counted() -> bytes:
    """Write the story with the usage so far in every chunk, as vLLM's continuous_usage_stats do."""
    pieces = enumerate(STORY_PIECES, start=1)
    counts = (
        piece(text, usage={"prompt_tokens": 9, "completion_tokens": number, "total_tokens": 9 + number})
        for number, text in pieces
    )
    last = {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15}
    return b"".join(counts) + chunk(choice({}, "stop"), usage=last) + chunk(usage=last) + DONE


def _azure() -> bytes:
    first = chunk(id="", model="", prompt_filter_results=[{"prompt_index": 0, "content_filter_results": {}}])
    filtered = chunk(choice(None, content_filter_results={"hate": {"filtered": False}}))
    return first + told() + filtered + chunk(choice({}, "stop")) + chunk(usage=USAGE) + DONE


def _ollama() -> bytes:
    return b"".join(piece(text, "") for text in STORY_PIECES) + piece("", "stop") + DONE


def _mistral() -> bytes:
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "Tides."}]}]
    parts = [[{"type": "text", "text": text}] for text in STORY_PIECES]
    return deltas(*({"role": None, "content": content} for content in (thinking, *parts)))


def _groq() -> bytes:
    return told() + chunk(choice({}, "stop"), x_groq={"id": "req_1", "usage": USAGE}) + DONE


def _gemini() -> bytes:
    signature = {"google": {"thought_signature": "c2lnbmF0dXJl"}}
    asked = call(None, "", "weather", _CITY, extra_content=signature)
    return tool_calls([asked], finish="stop")


def _choices() -> bytes:
    pieces = (choice({"content": text}, index=index) for text in STORY_PIECES for index in (1, 0))
    finishes = (choice({}, "stop", index=index) for index in (0, 1))
    return b"".join(chunk(one) for one in (*pieces, *finishes)) + chunk(usage=USAGE) + DONE


def _unescaped(text: str) -> bytes:
    return data('{"choices":[{"index":0,"delta":{"content":"' + text + '"},"finish_reason":null}]}')


def _reasoned(name: str) -> bytes:
    thoughts = ({"content": "", name: text} for text in ("The", " tides", "."))
    return deltas(*thoughts, *({"content": text} for text in STORY_PIECES))


def _reasoned_twice() -> bytes:
    detail = {"type": "reasoning.text", "text": "Tides.", "index": 0}
    return deltas({"content": "", "reasoning": "Tides.", "reasoning_content": "Tides.",
                   "reasoning_details": [detail]}, {"content": STORY})  # fmt: skip


_STREAMS: Mapping[str, tuple[str, Callable[[], bytes]]] = {
    "story": ("A plain stream as OpenRouter sends it.", lambda: told() + ended()),
    # The end
    "no-finish": ("No finish reason; the end mark comes all the same.", lambda: told() + DONE),
    "no-end": ("Text, then a clean end: no finish, no end mark.", told),
    "done-only": ("Nothing but the end mark.", lambda: DONE),
    "finish-twice": ("Two different finish reasons.", lambda: told() + piece("", "stop") + ended("length")),
    "finish-empty": ("Finish reason '' on every chunk.", _ollama),
    "finish-unknown": ("A finish reason nobody knows.", lambda: told() + ended("tired")),
    "finish-length": ("The token limit was reached.", lambda: told() + ended("length")),
    "finish-filter": ("A content filter stopped it.", lambda: _broken_off(ended("content_filter"))),
    "finish-error": ("Finish reason error, no error object.", lambda: _broken_off(ended("error"))),
    "finish-with-text": ("The finish comes with the last text.",
        lambda: told(STORY_PIECES[:-1]) + piece(STORY_PIECES[-1], "stop") + DONE),
    # Errors within the stream
    "error": ("An error in mid-stream, as OpenRouter writes it.",
        lambda: _broken_off(chunk(choice({"content": ""}, "error"), error=_ERROR))),
    "error-first": ("The same error before any text.",
        lambda: chunk(choice({"content": ""}, "error"), error=_ERROR)),
    "error-text-code": ("Its code is a text.",
        lambda: _broken_off(data({"error": {"code": "server_error", "message": "It broke."}}))),
    "error-throttle": ("It says rate_limit_exceeded.",
        lambda: _broken_off(data({"error": {"code": "rate_limit_exceeded", "message": "Slow down."}}))),
    "error-plain": ("It is only a text.", lambda: _broken_off(data({"error": "boom"}))),
    "error-in-choice": ("It is in the choice.",
        lambda: _broken_off(chunk(choice({"content": ""}, "error", error=_ERROR)))),
    "error-event": ("event: error, with an error object.",
        lambda: _broken_off(data({"error": {"message": "It broke."}}, name="error"))),
    "error-event-bare": ("event: error, with a message only.",
        lambda: _broken_off(data({"message": "It broke."}, name="error"))),
    "error-line": ("error: and JSON instead of data: (llama.cpp).",
        lambda: _broken_off(b'error: {"code":500,"message":"It broke."}\n\n', DONE)),
    "error-bare": ("JSON on a line of its own.",
        lambda: _broken_off(b'{"error":{"message":"It broke."}}\n\n')),
    "error-vllm": ("An error object with type and code.",
        lambda: _broken_off(data({"error": {"type": "InternalServerError", "code": 500}}), DONE)),
    "error-groq": ("x_groq.error.", lambda: _broken_off(chunk(x_groq={"error": "It broke."}))),
    "error-lmstudio": ("An error without type.",
        lambda: _broken_off(data({"error": {"message": "Compute error."}, "message": "Compute error."}))),
    # JSON
    "json-deep": ("An event nested 100 000 deep.",
        lambda: _broken_off(data("[" * _DEEP + "]" * _DEEP), ended())),
    "json-huge-number": ("A number of 6 000 digits.",
        lambda: _broken_off(data('{"choices":[],"n":' + "9" * 6000 + "}"), ended())),
    "json-cut": ("An event ends in the middle of its JSON.",
        lambda: _broken_off(piece(" pulls")[:-30] + b"\n\n", ended())),
    "json-in-json": ("An event begins within another (GLM).",
        lambda: _broken_off(piece(" pulls")[:-30] + piece(" at the"), ended())),
    "json-scalars": ("Events that are null, a number, a list and a text.",
        lambda: _broken_off(data("null"), data("7"), data("[1]"), data('"a"'),
        told(STORY_PIECES[2:]), ended())),
    "json-no-choices": ("Chunks without choices, or with null.",
        lambda: _broken_off(data({"id": "x"}), data({"choices": None}), told(STORY_PIECES[2:]), ended())),
    "data-ping": ("data: ping.", lambda: _broken_off(data("ping"), told(STORY_PIECES[2:]), ended())),
    # Usage
    "usage-alone": ("Usage in a chunk with no choices.",
        lambda: told() + piece("", "stop") + chunk(usage=USAGE) + DONE),
    "usage-running": ("Usage so far in every chunk (vLLM).", _counted),
    "usage-none": ("No usage at all.", lambda: told() + piece("", "stop") + DONE),
    "usage-texts": ("Counts and cost are texts.",
        lambda: _usage(prompt_tokens="9", completion_tokens="6", cost="0.0000135")),
    "usage-nulls": ("Counts and cost are null.",
        lambda: _usage(prompt_tokens=None, completion_tokens=None, total_tokens=None, cost=None)),
    "usage-negative": ("Negative counts and cost.",
        lambda: _usage(prompt_tokens=-9, completion_tokens=-6, cost=-1)),
    "usage-nan": ("NaN and Infinity.", lambda: _usage(completion_tokens=float("inf"), cost=float("nan"))),
    "usage-byok": ("A key of one's own: cost 0, upstream cost set.", lambda: _usage(cost=0, is_byok=True,
        cost_details={"upstream_inference_cost": 0.024645, "upstream_inference_prompt_cost": 0})),
    "usage-zero": ("All zero: a hit of the response cache.",
        lambda: _usage(prompt_tokens=0, completion_tokens=0, total_tokens=0, cost=0)),
    "usage-cached": ("Tokens read from the prompt cache.",
        lambda: _usage(prompt_tokens_details={"cached_tokens": 8, "cache_write_tokens": 1})),
    "usage-late": ("Usage after the end mark.",
        lambda: told() + piece("", "stop") + DONE + chunk(usage=USAGE)),
    # Deltas
    "role-only": ("Only the role, then a stop.", lambda: deltas({"role": "assistant"})),
    "content-null": ("Content null throughout.",
        lambda: deltas(*[{"role": "assistant", "content": None}] * 3)),
    "content-list": ("Content as a list, thinking included (Mistral).", _mistral),
    "delta-null": ("Delta null.", lambda: deltas(None, *({"content": text} for text in STORY_PIECES))),
    "refusal": ("A refusal only.", lambda: deltas({"role": "assistant", "content": None, "refusal": "No."})),
    "reasoning": ("reasoning, then the text.", lambda: _reasoned("reasoning")),
    "reasoning-content": ("reasoning_content (DeepSeek).", lambda: _reasoned("reasoning_content")),
    "reasoning-twice": ("The same reasoning in three fields.", _reasoned_twice),
    "reasoning-only": ("Reasoning and no text.", lambda: deltas({"content": "", "reasoning": "Tides."})),
    "choices": ("Two choices, interleaved.", _choices),
    "other-model": ("Another model and provider answered.",
        lambda: told(model="sim/bee", provider="Other") + ended(model="sim/bee", provider="Other")),
    "text-surrogate": ("A lone surrogate in the text.", lambda: told(["a\ud83d", "b"]) + ended()),
    "text-nul": ("NUL in the text.", lambda: told(["a\0", "b"]) + ended()),
    "text-separators": ("U+2028 and U+0085 in the text, unescaped.",
        lambda: _unescaped("a\u2028b\x85c") + ended()),
    "text-emoji": ("Characters of two to four bytes, unescaped.",
        lambda: _unescaped("é€🌙") + ended()),
    # Tool calls
    "tools": ("One tool call, its arguments in pieces.",
        lambda: tool_calls([call(0, "call_1", "weather", "")], [call(0, arguments=_CITY[:6])],
        [call(0, arguments=_CITY[6:])])),
    "tools-interleaved": ("Two calls, their pieces mixed.",
        lambda: tool_calls([call(0, "call_1", "weather", _CITY[:6]), call(1, "call_2", "time", "{")],
        [call(1, arguments="}")], [call(0, arguments=_CITY[6:])])),
    "tools-no-index": ("Two calls without index (Gemini).",
        lambda: tool_calls([call(None, "call_1", "weather", _CITY)], [call(None, "call_2", "time", "{}")])),
    "tools-same-index": ("Two calls, both with index 0 (Ollama).",
        lambda: tool_calls([call(0, "call_1", "weather", _CITY)], [call(0, "call_2", "time", "{}")])),
    "tools-object": ("Arguments as an object.",
        lambda: tool_calls([call(0, "call_1", "weather", {"city": "Oslo"})])),
    "tools-bad-json": ("Arguments that are no JSON.",
        lambda: tool_calls([call(0, "call_1", "weather", '{"city":')])),
    "tools-gemini": ("Finish stop, empty id, a thought signature.", _gemini),
    # Servers
    "azure": ("Azure: filter results, empty choices, delta null.", _azure),
    "groq": ("Groq: usage in x_groq.", _groq),
    "deepseek": ("DeepSeek: comments while queued, reasoning_content.",
        lambda: b": keep-alive\n\n" * 3 + _reasoned("reasoning_content")),
    "llama-cpp": ("llama.cpp: content null first, no last blank line.",
        lambda: piece(None) + told() + piece("", "stop") + DONE.rstrip()),
}  # fmt: skip

DIALECTS: Mapping[str, Scenario] = {
    name: Scenario(does, body, headers={"x-generation-id": STORY_ID})
    for name, (does, body) in _STREAMS.items()
}
