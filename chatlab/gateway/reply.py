"""Bytes of one answer to events, and to the state it ended in.

    waiting -> streaming -> finishing -> completed | truncated | error_before | error_during

An answer is complete only when a finish reason was seen: a stream that just ends is truncated, however
politely. A body can be an event stream or one JSON document, whatever was asked for and whatever its header
says, so its first byte decides. The assembler does no I/O and knows no clock; what it is fed can be cut
anywhere.
"""

from __future__ import annotations

from typing import Any

from chatlab.errors import GatewayError
from chatlab.gateway.answer import Answer
from chatlab.gateway.faults import Faults
from chatlab.gateway.jsontext import MALFORMED, SurrogateJoiner, clean, dump_json, parse_json
from chatlab.gateway.sse import EventTooLarge, SseDecoder, SseEvent
from chatlab.gateway.usage import parse_charge, parse_usage
from chatlab.values.events import GatewayEvent
from chatlab.values.reply import AttemptResult, Outcome, StreamCounts, Timings
from chatlab.values.usage import Charge

KEPT_LIMIT = 64 * 1024 * 1024  # characters of an answer, or bytes of one JSON document
_BOM = b"\xef\xbb\xbf"
_SNIFFED = 512  # bytes of white space before the byte that tells what a body is
_SMALL_DOCUMENT = 64 * 1024  # bytes; an error that is complete is read although the body has not ended
_ERROR_KEY = b'"error"'
_HTML = "an HTML page instead of a chat completion"
_JOINED = ("content", "reasoning", "reasoning_content")

BROKE_AFTER_END = "The connection broke after the end of the answer; its usage may be missing."
NO_END_MARK = "The stream ended without its end mark [DONE]."
IGNORED_LINES = "The stream contained lines that are no part of an answer; they were ignored."
REPAIRED_TEXT = "The stream contained text that is not valid Unicode; it was repaired."
OTHER_CHOICES = "The gateway sent more than one answer; only the first is kept."


class ReplyAssembler:
    """Turns the bytes of one answer into events; `result` says at any time what has come so far."""

    def __init__(self, faults: Faults) -> None:
        self.done = False  # nothing that may follow would change the result
        self._faults = faults
        self._answer = Answer()
        self._sse = SseDecoder()
        self._document: bytearray | None = None  # the body so far, when it is no event stream
        self._start: bytes | None = b""  # first bytes; None when it is decided which of both the body is
        self._bytes = self._events = self._malformed = 0
        self._joiners: dict[str, SurrogateJoiner] = {}
        self._warnings: dict[str, None] = {}
        self._error: GatewayError | None = None
        self._ended = self._saw_end_mark = False
        self._http_status: int | None = None
        self._generation_id: str | None = None

    def headers(self, status: int, generation_id: str | None) -> None:
        """Take what the response's head says."""
        self._http_status = status
        self._generation_id = generation_id

    @property
    def progress(self) -> int:
        """A number that grows with everything that is more than a sign of life."""
        return self._answer.progress

    def feed(self, data: bytes) -> list[GatewayEvent]:
        """Take the next bytes of the body and return what they say. Never raises."""
        out: list[GatewayEvent] = []
        self._bytes += len(data)
        if self.done:
            return out
        if self._start is not None:
            data = self._decide(data)
        if self._document is not None:
            self._collect(data, out)
            return out
        try:
            events = self._sse.feed(data)
        except EventTooLarge as error:
            self.fail(self._faults.protocol(str(error)))
            return out
        self._take_all(events, out)
        return out

    def end(self) -> list[GatewayEvent]:
        """Decide the terminal state: the body has ended, or `fail` has said why not. Never raises."""
        out: list[GatewayEvent] = []
        if self._ended:
            return out
        if not self.done:
            if self._document is not None:
                self._read_document(out)
            else:
                self._take_all(self._sse.end(), out, at_end=True)
        for key, joiner in self._joiners.items():
            if rest := joiner.end():
                take = self._answer.take_text if key == "content" else self._answer.take_reasoning
                take(rest, out)
        self._settle()
        return out

    def fail(self, error: GatewayError) -> None:
        """The answer ended in an error: ours, the connection's or the gateway's.

        After a finish reason only the gateway's own word makes a failure; a connection that breaks then has
        lost nothing but, perhaps, the usage.
        """
        if self._ended or self._error is not None:
            return
        self.done = True
        if self._answer.finish in {None, "error"} or self._answer.failure is not None:
            self._error = error
        else:
            self._warn(BROKE_AFTER_END)

    def result(self, timings: Timings, *, chunks: int = 0) -> AttemptResult:
        """Return the state by now: `stopped` while the answer has not ended.

        When and in how many pieces the bytes came is only passed on.
        """
        answer, error, usage = self._answer, self._error, self._answer.usage
        text = "".join(answer.text)
        generation_id = self._generation_id or answer.facts.get("id")
        if error is not None:
            error.partial_text = text
            error.generation_id = error.generation_id or generation_id
        return AttemptResult(
            outcome=self._outcome(),
            timings=timings,
            text=text,
            reasoning="".join(answer.reasoning),
            reasoning_details=answer.details.result(),
            refusal="".join(answer.refusal),
            tool_calls=answer.tools.result(),
            finish_reason=answer.finish_reason(),
            native_finish_reason=answer.native_finish,
            served_model=answer.facts.get("model"),
            provider=answer.facts.get("provider"),
            service_tier=answer.facts.get("service_tier"),
            generation_id=generation_id or (error.generation_id if error is not None else None),
            http_status=self._http_status or (error.status if error is not None else None),
            usage=parse_usage(usage) if usage else None,
            usage_raw=dump_json(usage) if usage else None,
            charge=parse_charge(usage) if usage else Charge(),
            counts=self._counts(chunks),
            warnings=tuple(self._warnings) + ((OTHER_CHOICES,) if answer.other_choices else ()),
            error=error,
        )

    def _counts(self, chunks: int) -> StreamCounts:
        return StreamCounts(
            bytes=self._bytes,
            chunks=chunks,
            events=self._events,
            comments=self._sse.comments,
            malformed=self._malformed,
        )

    def _outcome(self) -> Outcome:
        if self._error is None:
            whole = self._ended or (self._saw_end_mark and self._answer.finish not in (None, "error"))
            return "completed" if whole else "stopped"
        if self._error.kind == "truncated":
            return "truncated"
        return "error_during" if self._answer.has_output() else "error_before"

    def _settle(self) -> None:
        answer = self._answer
        if answer.finish == "error":
            self._gateway_failed(answer.failure or "The provider ended the answer with an error.")
        elif answer.finish is None and self._error is None:
            self._error = self._no_finish()
        elif self._document is None and not self._saw_end_mark and not self.done:
            self._warn(NO_END_MARK)
        self._ended = self.done = True

    def _no_finish(self) -> GatewayError:
        if self._answer.has_output():
            return self._faults.truncated()
        if self._malformed and not self._events:
            return self._faults.protocol("something that is no chat completion")
        return self._faults.empty()

    # A body that is one document

    def _decide(self, data: bytes) -> bytes:
        """Hold bytes back until one of them is no white space, and decide by it."""
        held = (self._start or b"") + data
        first = held.removeprefix(_BOM).lstrip()[:1]
        if len(held) < _SNIFFED and (not first or _BOM.startswith(held)):
            self._start = held
            return b""
        self._start = None
        if first in {b"{", b"[", b"<"}:
            self._document = bytearray()
        return held

    def _collect(self, data: bytes, out: list[GatewayEvent]) -> None:
        document = self._document = (self._document or bytearray()) + data
        if len(document) > KEPT_LIMIT:
            self.fail(self._faults.protocol(f"a body of more than {KEPT_LIMIT} bytes"))
        elif len(document) < _SMALL_DOCUMENT and _ERROR_KEY in document and document.endswith((b"}", b"}\n")):
            self._try_document(bytes(document), out, errors_only=True)

    def _read_document(self, out: list[GatewayEvent]) -> None:
        """Read the body as a whole: one document, or an event stream in disguise, or neither."""
        body = bytes(self._document or b"").removeprefix(_BOM).strip()
        if body[:1] == b"<":
            self.fail(self._faults.protocol(_HTML))
        elif not self._try_document(body, out):
            decoder = SseDecoder()
            self._take_all([*decoder.feed(body), *decoder.end()], out, at_end=True)
            if not self.done and not self._events:
                self.fail(self._faults.protocol("JSON that is incomplete or broken"))

    def _try_document(self, body: bytes, out: list[GatewayEvent], *, errors_only: bool = False) -> bool:
        """Read the body if it is one JSON value by now; `errors_only`, and if that is an error."""
        try:
            value = clean(parse_json(body.removeprefix(_BOM))[0])
        except MALFORMED:
            return False
        if isinstance(value, list) and value:
            value = value[0]
        if errors_only and not (isinstance(value, dict) and value.get("error")):
            return False
        self._events += 1
        if isinstance(value, dict):
            nested = value.get("provider")
            if isinstance(nested, dict) and "choices" in nested:
                value = nested  # some completions come inside their provider
            if "choices" not in value and "error" not in value:
                self._gateway_failed(value)
            self._take_chunk(value, out)
        self.done = True
        return True

    # A body that is a stream

    def _take_all(self, events: list[SseEvent], out: list[GatewayEvent], *, at_end: bool = False) -> None:
        for event in events:
            self._take(event, out, at_end=at_end)
            if self.done:
                break

    def _take(self, event: SseEvent, out: list[GatewayEvent], *, at_end: bool) -> None:
        if event.data[:6] == b"[DONE]":
            self.done = self._saw_end_mark = True
            return
        try:
            chunk, plain = parse_json(event.data)
        except MALFORMED:
            self._unreadable(event, at_end=at_end)
            return
        if type(chunk) is not dict:
            self._malformed += 1
            return
        if self._joiners or not plain:
            chunk = self._repair(chunk, plain=plain)
        if event.name == b"error" and "error" not in chunk:
            chunk = {"error": chunk}
        self._events += 1
        self._take_chunk(chunk, out)

    def _take_chunk(self, chunk: dict[str, Any], out: list[GatewayEvent]) -> None:
        answer = self._answer
        answer.take(chunk, out)
        if answer.failure is not None:
            self._gateway_failed(clean(answer.failure))
        elif answer.progress > KEPT_LIMIT:
            self.fail(self._faults.protocol(f"an answer of more than {KEPT_LIMIT} characters"))

    def _unreadable(self, event: SseEvent, *, at_end: bool) -> None:
        """Bytes that are no JSON: a failure in words, a broken piece of the answer, a page, or nothing."""
        self._malformed += 1
        start = event.data.lstrip()[:1]
        if event.name == b"error":
            self._gateway_failed(event.data.decode("utf-8", "replace"))
        elif event.framed and start in {b"{", b"["}:
            if not at_end:  # at the end of a body that broke off it is cut, not wrong
                self.fail(self._faults.protocol("a piece of the answer that is no valid JSON"))
        elif start == b"<" and not self._events:
            self.fail(self._faults.protocol(_HTML))
        else:
            self._warn(IGNORED_LINES)

    def _repair(self, chunk: dict[str, Any], *, plain: bool) -> dict[str, Any]:
        """Join surrogate halves of the texts across chunks; replace them everywhere else."""
        if not plain:
            self._warn(REPAIRED_TEXT)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            delta = choice.get("delta") if isinstance(choice, dict) else None
            if not isinstance(delta, dict):
                continue
            for key in _JOINED:
                if isinstance(piece := delta.get(key), str):
                    delta[key] = self._joiners.setdefault(key, SurrogateJoiner()).feed(piece)
        repaired: dict[str, Any] = clean(chunk)
        return repaired

    def _gateway_failed(self, failure: Any) -> None:
        answer = self._answer
        answer.failure = failure
        handle = self._generation_id or answer.facts.get("id")
        self.fail(
            self._faults.in_stream(failure, provider=answer.facts.get("provider"), generation_id=handle)
        )

    def _warn(self, sentence: str) -> None:
        self._warnings[sentence] = None
