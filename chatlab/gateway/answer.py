"""What an answer says, gathered from its chunks: texts, tool calls, usage, and why it ended.

A stream's chunk and a whole completion have the same shape, with `delta` in the one for `message` in the
other. Nothing in them is trusted to have its type: what is not as expected is left out.
"""

from __future__ import annotations

from typing import Any

from chatlab.gateway.reasoning import ReasoningDetails, plain_reasoning, split_content
from chatlab.gateway.toolcalls import ToolCallAssembler
from chatlab.gateway.usage import find_usage, parse_usage
from chatlab.values.events import GatewayEvent, ReasoningDelta, TextDelta, UsageReported

_OVERRIDING = frozenset({"error", "content_filter"})  # finish reasons that count even when not the first
_FACTS = ("model", "provider", "id")
_MAX_FACT = 200  # characters of a name or an id
_TELLING = frozenset({"usage", "error", "x_groq"})
_PLAIN_CHUNK = 6  # keys of a chunk that has only an id, its kind, time, model, provider and choices


class Answer:
    """Collects chunks. Only the first of several choices is kept."""

    def __init__(self) -> None:
        self.progress = 0  # grows with everything that is more than a sign of life, texts by their length
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.details = ReasoningDetails()
        self.tools = ToolCallAssembler()
        self.finish: str | None = None
        self.native_finish: str | None = None
        self.facts: dict[str, str] = {}  # model, provider and id as they were first named; service_tier
        self.usage: dict[str, Any] | None = None
        self.failure: Any = None  # the gateway's own error value
        self.other_choices = False  # more than one answer came
        self._choice: int | None = None

    def take(self, chunk: dict[str, Any], out: list[GatewayEvent]) -> None:
        """Take one chunk or completion and add what it says to `out`."""
        facts = self.facts
        if len(facts) < len(_FACTS):
            for key in _FACTS:
                value = chunk.get(key)
                if value and key not in facts and isinstance(value, str):
                    facts[key] = value[:_MAX_FACT]
        choices = chunk.get("choices")
        if type(choices) is list:
            for choice in choices:
                if type(choice) is dict:
                    self._take_choice(choice, out)
        if len(chunk) > _PLAIN_CHUNK or not chunk.keys().isdisjoint(_TELLING):
            self._take_rest(chunk, out)

    def take_text(self, text: str, out: list[GatewayEvent]) -> None:
        """Add visible text."""
        self.text.append(text)
        self.progress += len(text)
        out.append(TextDelta(text))

    def take_reasoning(self, text: str, out: list[GatewayEvent]) -> None:
        """Add reasoning."""
        self.reasoning.append(text)
        self.progress += len(text)
        out.append(ReasoningDelta(text))

    def has_output(self) -> bool:
        """Whether anything a reader could see has come."""
        return bool(self.text or self.reasoning or self.refusal or self.tools)

    def finish_reason(self) -> str | None:
        """Return why it ended. Gemini says `stop` where it asks for tools."""
        return "tool_calls" if self.finish == "stop" and self.tools else self.finish

    def _take_choice(self, choice: dict[str, Any], out: list[GatewayEvent]) -> None:
        index = choice.get("index")
        if index != self._choice and isinstance(index, int):
            if self._choice is not None:
                self.other_choices = True
                return
            self._choice = index
        delta = choice.get("delta") or choice.get("message")
        if type(delta) is dict:
            self._take_delta(delta, out)
        finish = choice.get("finish_reason")
        if finish and isinstance(finish, str):
            self._take_finish(finish, choice.get("native_finish_reason"))
        if error := choice.get("error"):
            self.failure = error

    def _take_finish(self, finish: str, native: Any) -> None:
        """The first reason counts; OpenRouter repeats it with the usage."""
        if self.finish is None or (finish in _OVERRIDING and self.finish not in _OVERRIDING):
            self.finish = finish[:_MAX_FACT]
            self.native_finish = native[:_MAX_FACT] if isinstance(native, str) else None
            self.progress += 1

    def _take_delta(self, delta: dict[str, Any], out: list[GatewayEvent]) -> None:
        content = delta.get("content")
        keys = len(delta)
        rich = keys > 2 or "content" not in delta or (keys == 2 and "role" not in delta)
        thought = self._thought(delta) if rich else ""
        if content and type(content) is not str:
            content, thinking = split_content(content) if isinstance(content, list) else ("", "")
            thought = thought or thinking
        if thought:
            self.take_reasoning(thought, out)
        if content:
            self.take_text(content, out)
        if rich:
            self._take_rare(delta, out)

    def _thought(self, delta: dict[str, Any]) -> str:
        details = delta.get("reasoning_details")
        text = self.details.feed(details) if details and isinstance(details, list) else ""
        return text or plain_reasoning(delta)

    def _take_rare(self, delta: dict[str, Any], out: list[GatewayEvent]) -> None:
        refusal = delta.get("refusal")
        if refusal and isinstance(refusal, str):
            self.refusal.append(refusal)
            self.progress += len(refusal)
        if calls := delta.get("tool_calls"):
            for piece in self.tools.feed(calls):
                self.progress += 1 + len(piece.arguments)
                out.append(piece)

    def _take_rest(self, chunk: dict[str, Any], out: list[GatewayEvent]) -> None:
        tier = chunk.get("service_tier")
        if isinstance(tier, str):
            self.facts["service_tier"] = tier[:_MAX_FACT]
        usage = find_usage(chunk)
        if usage is not None and (self.usage is None or "cost" in usage or "cost" not in self.usage):
            self.usage = dict(usage)
            self.progress += 1
            out.append(UsageReported(parse_usage(usage)))
        error = chunk.get("error")
        if not error and isinstance(groq := chunk.get("x_groq"), dict):
            error = groq.get("error")
        if error:
            self.failure = error
