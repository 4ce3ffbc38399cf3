"""Bytes of one answer to events, and to the state it ended in.

    waiting -> streaming -> finishing -> completed | truncated | error_before | error_during

An answer is complete only when a finish reason was seen: a stream that just ends is truncated, however
politely. One body can be an event stream or one JSON document, whatever was asked for and whatever the
header says, so the first bytes decide. The assembler does no I/O and knows no clock; what it is fed can be
cut anywhere.
"""

from __future__ import annotations

from typing import Any

from chatlab.errors import GatewayError
from chatlab.gateway.faults import Faults
from chatlab.gateway.jsontext import MALFORMED, SurrogateJoiner, clean, dump_json, parse_json
from chatlab.gateway.reasoning import ReasoningDetails, plain_reasoning, split_content
from chatlab.gateway.sse import EventTooLarge, SseDecoder, SseEvent
from chatlab.gateway.toolcalls import ToolCallAssembler
from chatlab.gateway.usage import find_usage, parse_charge, parse_usage
from chatlab.values.events import GatewayEvent, ReasoningDelta, TextDelta, UsageReported
from chatlab.values.reply import AttemptResult, Outcome, StreamCounts, Timings
from chatlab.values.usage import Charge

KEPT_LIMIT = 64 * 1024 * 1024  # characters of text, reasoning and arguments, or bytes of one JSON document
_SNIFFED = 512  # bytes of white space before the first one that tells what a body is
_OVERRIDING = frozenset({"error", "content_filter"})


class ReplyAssembler:
    """Turns the bytes of one answer into events; `result` says at any time what has come so far."""

    def __init__(self, faults: Faults) -> None:
        self.done = False  # nothing that may follow would change the result
        self.progress = 0  # grows with everything that is more than a sign of life
        self._faults = faults
        self._sse = SseDecoder()
        self._document: bytearray | None = None  # a body that is not an event stream
        self._start: bytes | None = b""  # None: it is decided which of both the body is
        self._bytes = self._events = self._malformed = 0
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._details = ReasoningDetails()
        self._tools = ToolCallAssembler()
        self._joiners: dict[str, SurrogateJoiner] = {}
        self._finish: str | None = None
        self._native_finish: str | None = None
        self._facts: dict[str, str] = {}  # model, provider, id, service_tier: first non-empty one each
        self._usage: dict[str, Any] | None = None
        self._choice: int | None = None
        self._warnings: dict[str, None] = {}
        self._error: GatewayError | None = None
        self._ended = False
        self._http_status: int | None = None
        self._generation_id: str | None = None

    def headers(self, status: int, content_type: str, generation_id: str | None) -> None:
        """Take the response's head. A content type of its own decides at once that a stream is one."""
        self._http_status = status
        self._generation_id = generation_id
        if content_type.partition(";")[0].strip().lower() == "text/event-stream":
            self._start = None

    def feed(self, data: bytes) -> list[GatewayEvent]:
        """Take the next bytes of the body and return what they say. Never raises."""
        out: list[GatewayEvent] = []
        if self.done:
            return out
        self._bytes += len(data)
        if self._start is not None:
            data = self._decide(data)
        if self._document is not None:
            self._collect(data)
            return out
        try:
            for event in self._sse.feed(data):
                self._take(event, out)
                if self.done:
                    break
        except EventTooLarge as error:
            self.fail(self._faults.protocol(str(error)))
        return out

    def end(self) -> list[GatewayEvent]:
        """The body ended as HTTP says it should. Decides the terminal state; never raises."""
        out: list[GatewayEvent] = []
        if self._ended:
            return out
        if not self.done:
            if self._document is not None:
                self._read_document(bytes(self._document), out)
            else:
                self._flush(self._sse, out)
        self._settle(out)
        return out

    def fail(self, error: GatewayError) -> None:
        """The answer ended in an error: ours, the connection's or the gateway's.

        After a finish reason only the gateway's own word makes a failure; a connection that breaks then has
        lost nothing but, perhaps, the usage.
        """
        if self._ended or self._error is not None:
            return
        if self._finish is not None and self._finish != "error" and error.status is None:
            self._warn("The connection broke after the end of the answer.")
        else:
            self._error = error
        self.done = True

    def result(self, timings: Timings) -> AttemptResult:
        """Return the state by now: `stopped` while the answer has not ended."""
        text, reasoning, refusal = "".join(self._text), "".join(self._reasoning), "".join(self._refusal)
        tools = self._tools.result()
        error = self._error
        if error is not None:
            error.partial_text = text
            error.generation_id = error.generation_id or self._handle
        finish = self._finish
        return AttemptResult(
            outcome=self._outcome(bool(text or reasoning or refusal or tools)),
            timings=timings,
            text=text,
            reasoning=reasoning,
            reasoning_details=self._details.result(),
            refusal=refusal,
            tool_calls=tools,
            finish_reason="tool_calls" if finish == "stop" and tools else finish,
            native_finish_reason=self._native_finish,
            served_model=self._facts.get("model"),
            provider=self._facts.get("provider"),
            service_tier=self._facts.get("service_tier"),
            generation_id=self._handle,
            http_status=self._http_status if error is None else self._http_status or error.status,
            usage=parse_usage(self._usage) if self._usage else None,
            usage_raw=dump_json(self._usage) if self._usage else None,
            charge=parse_charge(self._usage) if self._usage else Charge(),
            counts=StreamCounts(
                bytes=self._bytes,
                events=self._events,
                comments=self._sse.comments,
                malformed=self._malformed,
            ),
            warnings=tuple(self._warnings),
            error=error,
        )

    @property
    def _handle(self) -> str | None:
        return self._generation_id or self._facts.get("id")

    def _outcome(self, output: bool) -> Outcome:
        error = self._error
        if error is not None:
            if error.kind == "truncated":
                return "truncated"
            return "error_during" if output else "error_before"
        return "completed" if self._ended else "stopped"

    # Which body is it?

    def _decide(self, data: bytes) -> bytes:
        """Hold bytes back until one of them is no white space, and decide by it."""
        held = (self._start or b"") + data
        first = held.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if not first and len(held) < _SNIFFED:
            self._start = held
            return b""
        self._start = None
        if first in {b"{", b"[", b"<"}:
            self._document = bytearray()
        return held

    def _collect(self, data: bytes) -> None:
        assert self._document is not None  # noqa: S101 - narrows the type
        self._document += data
        if len(self._document) > KEPT_LIMIT:
            self.fail(self._faults.protocol(f"a body of more than {KEPT_LIMIT} bytes"))

    def _read_document(self, body: bytes, out: list[GatewayEvent]) -> None:
        """Read a whole body that is one JSON document, or an event stream in disguise, or neither."""
        body = body.removeprefix(b"\xef\xbb\xbf").strip()
        if body[:1] == b"<":
            self.fail(self._faults.protocol("an HTML page instead of a chat completion"))
            return
        try:
            value = parse_json(body)[0]
        except MALFORMED:
            self._flush(SseDecoder(), out, body)
            if not self.done and self._finish is None and not self.progress:
                self.fail(self._faults.protocol("JSON that is incomplete or broken"))
            return
        if not isinstance(value, dict | list):
            return
        if isinstance(value, list):
            value = value[0] if value and isinstance(value[0], dict) else {}
        if not ("choices" in value or "error" in value) and isinstance(value.get("provider"), dict):
            value = value["provider"]  # some completions come nested under the provider
        self._chunk(clean(value), out)
        if not self.done and "choices" not in value and "error" not in value:
            self.fail(self._faults.in_stream(value, provider=None, generation_id=self._handle))

    def _flush(self, decoder: SseDecoder, out: list[GatewayEvent], body: bytes = b"") -> None:
        try:
            events = [*decoder.feed(body), *decoder.end()] if body else decoder.end()
        except EventTooLarge as error:
            self.fail(self._faults.protocol(str(error)))
            return
        for event in events:
            if not self.done:
                self._take(event, out, last=event is events[-1])

    # One event

    def _take(self, event: SseEvent, out: list[GatewayEvent], *, last: bool = False) -> None:
        data = event.data
        if data[:6] == b"[DONE]":
            self.done = True
            return
        try:
            chunk, plain = parse_json(data)
        except MALFORMED:
            self._unreadable(event, last=last)
            return
        if not isinstance(chunk, dict):
            self._malformed += 1
            return
        if not plain:
            chunk = self._repair(chunk)
        if event.name == b"error" and "error" not in chunk:
            chunk = {"error": chunk}
        if not event.framed:
            self._malformed += 1
        self._events += 1
        self._chunk(chunk, out)

    def _unreadable(self, event: SseEvent, *, last: bool) -> None:
        """Bytes that are no JSON: a sign of life, a broken piece of the answer, or a page."""
        self._malformed += 1
        start = event.data.lstrip()[:1]
        if event.name == b"error":
            error = event.data.decode("utf-8", "replace")
            self._gateway_error(error)
        elif event.framed and start in {b"{", b"["}:
            if not last:  # the last event of a body that broke off is cut, not wrong
                self.fail(self._faults.protocol("a piece of the answer that is no valid JSON"))
        elif start == b"<" and not self.progress:
            self.fail(self._faults.protocol("an HTML page instead of a chat stream"))
        else:
            self._warn("The stream contained lines that are no part of an answer; they were ignored.")

    def _repair(self, chunk: dict[str, Any]) -> dict[str, Any]:
        """Join surrogate halves of the visible texts across chunks; clean everything else."""
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            delta = choice.get("delta") if isinstance(choice, dict) else None
            if isinstance(delta, dict):
                for key in ("content", "reasoning", "reasoning_content"):
                    if isinstance(piece := delta.get(key), str):
                        delta[key] = self._joiners.setdefault(key, SurrogateJoiner()).feed(piece)
        self._warn("The stream contained text that is not valid Unicode; it was replaced.")
        repaired: dict[str, Any] = clean(chunk)
        return repaired

    def _chunk(self, chunk: dict[str, Any], out: list[GatewayEvent]) -> None:
        """Take one chunk, or a whole completion, which has the same shape with `message` for `delta`."""
        facts = self._facts
        if len(facts) < 3:
            for key in ("model", "provider", "id"):
                value = chunk.get(key)
                if value and key not in facts and isinstance(value, str):
                    facts[key] = value
        choices = chunk.get("choices")
        if type(choices) is list:
            for choice in choices:
                if type(choice) is dict:
                    self._take_choice(choice, out)
        if len(chunk) > 6 or "usage" in chunk or "error" in chunk:
            self._take_rest(chunk, out)

    def _take_rest(self, chunk: dict[str, Any], out: list[GatewayEvent]) -> None:
        tier = chunk.get("service_tier")
        if isinstance(tier, str):
            self._facts["service_tier"] = tier
        usage = find_usage(chunk)
        if usage is not None and (self._usage is None or "cost" in usage or "cost" not in self._usage):
            self._usage = dict(usage)
            self.progress += 1
            out.append(UsageReported(parse_usage(usage)))
        error = chunk.get("error")
        if not error and isinstance(groq := chunk.get("x_groq"), dict):
            error = groq.get("error")
        if error:
            self._gateway_error(error)

    # One choice

    def _take_choice(self, choice: dict[str, Any], out: list[GatewayEvent]) -> None:
        index = choice.get("index")
        if index != self._choice and isinstance(index, int):
            if self._choice is not None:
                self._warn("The gateway sent more than one answer; only the first is kept.")
                return
            self._choice = index
        delta = choice.get("delta") or choice.get("message")
        if type(delta) is dict:
            self._take_delta(delta, out)
        finish = choice.get("finish_reason")
        if finish and isinstance(finish, str):
            self._take_finish(finish, choice)
        error = choice.get("error")
        if error:
            self._gateway_error(error)

    def _take_finish(self, finish: str, choice: dict[str, Any]) -> None:
        if self._finish is None or (finish in _OVERRIDING and self._finish not in _OVERRIDING):
            self._finish = finish
            native = choice.get("native_finish_reason")
            self._native_finish = native if isinstance(native, str) else None
            self.progress += 1

    def _take_delta(self, delta: dict[str, Any], out: list[GatewayEvent]) -> None:
        content = delta.get("content")
        thought = ""
        details = delta.get("reasoning_details")
        if details and isinstance(details, list):
            thought = self._details.feed(details)
        if not thought and len(delta) > 2:
            thought = plain_reasoning(delta)
        if content and type(content) is not str:
            content, thinking = split_content(content) if isinstance(content, list) else ("", "")
            thought = thought or thinking
        if thought:
            self._reasoning.append(thought)
            self._grow(len(thought))
            out.append(ReasoningDelta(thought))
        if content:
            self._text.append(content)
            self._grow(len(content))
            out.append(TextDelta(content))
        if len(delta) > 2:
            self._take_rare(delta, out)

    def _take_rare(self, delta: dict[str, Any], out: list[GatewayEvent]) -> None:
        refusal = delta.get("refusal")
        if refusal and isinstance(refusal, str):
            self._refusal.append(refusal)
            self._grow(len(refusal))
        calls = delta.get("tool_calls")
        if calls:
            for piece in self._tools.feed(calls):
                self._grow(1 + len(piece.arguments))
                out.append(piece)

    def _grow(self, size: int) -> None:
        self.progress += size
        if self.progress > KEPT_LIMIT:
            self.fail(self._faults.protocol(f"an answer of more than {KEPT_LIMIT} characters"))

    # How it ends

    def _gateway_error(self, error: Any) -> None:
        self._finish = self._finish or "error"
        facts = self._facts
        self.fail(
            self._faults.in_stream(
                clean(error),
                provider=facts.get("provider"),
                generation_id=self._generation_id or facts.get("id"),
            )
        )

    def _settle(self, out: list[GatewayEvent]) -> None:
        """Decide the terminal state once everything has come."""
        for key, joiner in self._joiners.items():
            if rest := joiner.end():
                self._take_delta({key: rest, "role": "", "": ""}, out)
        if self._finish == "error" and self._error is None:
            self._gateway_error("The provider ended the answer with an error.")
        if self._error is None and self._finish is None:
            fault = self._faults.truncated if self._has_output() else self._faults.empty
            self._error = fault()
        self._ended = self.done = True

    def _has_output(self) -> bool:
        return bool(self._text or self._reasoning or self._refusal or self._tools.result())

    def _warn(self, sentence: str) -> None:
        self._warnings[sentence] = None
