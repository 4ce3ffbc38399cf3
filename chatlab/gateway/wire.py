"""The wire form of requests and model lists, apart from the values: OpenAI's chat completions as OpenRouter
and most other gateways speak it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from chatlab.gateway.usage import count, usd
from chatlab.values.messages import Message, Reasoning, ToolCall
from chatlab.values.request import ChatRequest, ModelCard

OPENROUTER_DIALECT = frozenset({"openrouter", "simulator"})
"""Gateways, by name, that understand OpenRouter's own fields."""


def gateway_name(base_url: str) -> str:
    """Name a gateway by its address: `openrouter`, or the host."""
    host = urlsplit(base_url).hostname or base_url
    return "openrouter" if host == "openrouter.ai" or host.endswith(".openrouter.ai") else host


def request_headers(gateway: str) -> dict[str, str]:
    """Return the headers that this gateway wants beyond the standard ones."""
    return {"X-OpenRouter-Title": "chatlab"} if gateway in OPENROUTER_DIALECT else {}


def request_body(request: ChatRequest, gateway: str) -> dict[str, Any]:
    """Build the JSON body. OpenRouter alone gets its own fields, and reports usage without being asked."""
    openrouter = gateway in OPENROUTER_DIALECT
    body: dict[str, Any] = dict(request.params)
    if request.stream and not openrouter:
        options = body.get("stream_options")
        body["stream_options"] = {"include_usage": True, **(options if isinstance(options, dict) else {})}
    body["model"] = request.model
    body["messages"] = [message_body(message, details=openrouter) for message in request.messages]
    body["stream"] = request.stream
    return body


def message_body(message: Message, *, details: bool) -> dict[str, Any]:
    """Build one message. `details`: return the reasoning details that came with it, unchanged."""
    body: dict[str, Any] = {"role": message.role, "content": message.text}
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if calls:
        body["content"] = message.text or None
        body["tool_calls"] = [_tool_call_body(call) for call in calls]
    if details:
        thoughts = [dict(d) for p in message.parts if isinstance(p, Reasoning) for d in p.details]
        if thoughts:
            body["reasoning_details"] = thoughts
    return body


def _tool_call_body(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.call_id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def model_cards(listing: Any) -> tuple[ModelCard, ...]:
    """Read the answer of `GET /models`; entries without an id are left out."""
    entries = listing.get("data") if isinstance(listing, dict) else listing
    if not isinstance(entries, list):
        raise ValueError("the gateway's model list has no `data`")  # noqa: TRY004 - a fault of the data
    return tuple(_model_card(entry) for entry in entries if isinstance(entry, dict) and _text(entry, "id"))


def _model_card(entry: Mapping[str, Any]) -> ModelCard:
    model = _text(entry, "id") or ""
    pricing, top = _object(entry, "pricing"), _object(entry, "top_provider")
    shape = _object(entry, "architecture")
    return ModelCard(
        model=model,
        name=_text(entry, "name") or model,
        context_length=count(entry.get("context_length")) or count(top.get("context_length")),
        max_output_tokens=count(top.get("max_completion_tokens")),
        input_modalities=_texts(shape, "input_modalities"),
        output_modalities=_texts(shape, "output_modalities"),
        supported_params=_texts(entry, "supported_parameters"),
        input_usd_per_mtok=_per_million(pricing.get("prompt")),
        output_usd_per_mtok=_per_million(pricing.get("completion")),
        cache_read_usd_per_mtok=_per_million(pricing.get("input_cache_read")),
        raw=entry,
    )


def _per_million(per_token: Any) -> Decimal | None:
    """USD per token, a string on the wire, to USD per million; negative prices mean "varies": unknown."""
    price = usd(per_token)
    return None if price is None else price * 1_000_000


def _text(entry: Mapping[str, Any], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) and value else None


def _texts(entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = entry.get(key)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _object(entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = entry.get(key)
    return value if isinstance(value, dict) else {}
