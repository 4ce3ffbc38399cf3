"""The body of POST /chat/completions, checked and turned into a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chatlab.simulator.models import FAMILIES, Family
from chatlab.simulator.refusals import Refusal, scripted_refusal
from chatlab.simulator.tokens import TOKENS_PER_ATTACHMENT, TOKENS_PER_MESSAGE, count_tokens

ROLES = ("system", "developer", "user", "assistant", "tool")
MAX_STOPS = 4
LONG_PROMPT = 1_000  # characters; a longer one is a question with material


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the prompt: its text, and how many parts of it were no text."""

    role: str
    text: str
    tokens: int  # that it adds to the prompt
    attachments: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """What a client asked for. `json_fields` are the top-level names of a JSON schema, when it sent one."""

    family: Family
    turns: tuple[Turn, ...]
    stream: bool = False
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    seed: int | None = None
    temperature: float = 0.0
    wants_json: bool = False
    json_fields: tuple[str, ...] = ()
    reasons: bool = False
    shows_reasoning: bool = False
    user: str | None = None

    @property
    def system(self) -> str:
        """All system texts, joined."""
        return "\n".join(turn.text for turn in self.turns if turn.role in {"system", "developer"})

    @property
    def prompt(self) -> str:
        """The last user text."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def asked(self) -> str:
        """The part of the prompt that is the question: of a long one its first or last paragraph."""
        if len(self.prompt) <= LONG_PROMPT:
            return self.prompt
        paragraphs = self.prompt.strip().split("\n\n")
        return min(paragraphs[0], paragraphs[-1], key=len)

    @property
    def earlier_prompts(self) -> tuple[str, ...]:
        """The user texts before the last one, oldest first."""
        return tuple(turn.text for turn in self.turns if turn.role == "user")[:-1]


def parse_completion_request(data: Mapping[str, Any]) -> CompletionRequest:
    """Check a request body. Raises Refusal with the status and message OpenRouter would send."""
    family = _family(data.get("model"))
    reasons, shows_reasoning = _reasoning(data, family)
    wants_json, json_fields = _response_format(data.get("response_format"))
    request = CompletionRequest(
        family=family,
        turns=_turns(data.get("messages")),
        stream=bool(data.get("stream")),
        max_tokens=_max_tokens(data),
        stops=_stops(data.get("stop")),
        seed=_optional(data, "seed", int),
        temperature=_optional(data, "temperature", float) or 0.0,
        wants_json=wants_json,
        json_fields=json_fields,
        reasons=reasons,
        shows_reasoning=shows_reasoning,
        user=_optional(data, "user", str),
    )
    _check_context(request)
    return request


def json_object(body: bytes) -> dict[str, Any]:
    """Read a request body as a JSON object. Raises Refusal."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "The request body is not valid JSON.") from None
    if not isinstance(data, dict):
        raise Refusal(400, "The request body must be a JSON object.")
    return data


def _family(model: Any) -> Family:
    if not isinstance(model, str) or not model:
        raise Refusal(400, "No models provided")
    if model in FAMILIES:
        return FAMILIES[model]
    refusal = scripted_refusal(model)
    if refusal is not None:
        raise refusal
    known = ", ".join(FAMILIES)
    raise Refusal(404, f"{model} is not a valid model ID. The simulator has {known}.")


def _turns(messages: Any) -> tuple[Turn, ...]:
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "Input required: specify 'messages' as a list with at least one message.")
    return tuple(_turn(position, message) for position, message in enumerate(messages))


def _turn(position: int, message: Any) -> Turn:
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ROLES:
        raise Refusal(400, f"messages[{position}].role must be one of {', '.join(ROLES)}.")
    content = message.get("content")
    if content is None or isinstance(content, str):
        return Turn(role, content or "", TOKENS_PER_MESSAGE + count_tokens(content or ""))
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise Refusal(400, f"messages[{position}].content must be a text or a list of parts.")
    texts = [part["text"] for part in content if isinstance(part.get("text"), str)]
    text, attachments = "\n".join(texts), len(content) - len(texts)
    tokens = TOKENS_PER_MESSAGE + count_tokens(text) + TOKENS_PER_ATTACHMENT * attachments
    return Turn(role, text, tokens, attachments)


def _optional(data: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    value = data.get(name)
    accepted = (int, float) if kind is float else kind
    if value is None or (isinstance(value, accepted) and not isinstance(value, bool)):
        return value
    raise Refusal(400, f"{name} must be of type {kind.__name__}, not {type(value).__name__}.")


def _max_tokens(data: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value: int | None = _optional(data, name, int)
        if value is not None:
            if value < 1:
                raise Refusal(400, f"{name} must be at least 1, not {value}.")
            return value
    return None


def _stops(stop: Any) -> tuple[str, ...]:
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or not all(isinstance(item, str) for item in stops):
        raise Refusal(400, "stop must be a text or a list of texts.")
    if len(stops) > MAX_STOPS:
        raise Refusal(400, f"stop takes at most {MAX_STOPS} sequences, not {len(stops)}.")
    return tuple(stops)


def _reasoning(data: Mapping[str, Any], family: Family) -> tuple[bool, bool]:
    """Return whether the model reasons before it answers, and whether the client wants to see it."""
    wish = data.get("reasoning")
    if not isinstance(wish, dict):
        wish = {}
    effort = wish.get("effort", data.get("reasoning_effort"))
    reasons = family.reasons and wish.get("enabled") is not False and effort != "none"
    hidden = wish.get("exclude") or data.get("include_reasoning") is False
    return reasons, reasons and not hidden


def _response_format(wish: Any) -> tuple[bool, tuple[str, ...]]:
    if not isinstance(wish, dict) or wish.get("type") not in {"json_object", "json_schema"}:
        return False, ()
    schema = wish.get("json_schema")
    if isinstance(schema, dict):
        schema = schema.get("schema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return True, tuple(properties) if isinstance(properties, dict) else ()


def _check_context(request: CompletionRequest) -> None:
    limit = request.family.context_length
    needed = sum(turn.tokens for turn in request.turns)
    if needed >= limit:
        raise Refusal(
            400,
            f"This endpoint's maximum context length is {limit} tokens. However, you requested about "
            f"{needed} tokens. Please reduce the length of the messages.",
            "context_length_exceeded",
        )
