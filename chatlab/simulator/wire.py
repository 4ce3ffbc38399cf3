"""OpenRouter's bodies as JSON text: chunks of a stream, whole completions, usage, models, generations, key.

Costs and prices are Decimal and written digit by digit; no float is involved. The order of the keys is that
of OpenRouter's own traffic (recorded 2026-10-07), where `role` and `content` stand in every chunk and the
usage comes in a chunk that repeats the finish reason.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from chatlab.simulator.billing import Bill, Generation
from chatlab.simulator.models import FAMILIES, PROVIDER, Family

KEEP_ALIVE = b": OPENROUTER PROCESSING\n\n"
STREAM_END = b"data: [DONE]\n\n"

_LISTED_SINCE = 1_767_225_600  # 2026-01-01, in seconds
_PARAMETERS = ["max_tokens", "response_format", "seed", "stop", "temperature"]


def json_text(value: Any) -> str:
    """Serialise to JSON without spaces, Decimals as plain numbers with all their digits."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(json_text(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def json_bytes(value: Any) -> bytes:
    """Serialise to JSON as UTF-8; a lone surrogate, which UTF-8 cannot hold, becomes a question mark."""
    return json_text(value).encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why an answer ended, in OpenRouter's word and in the provider's."""

    finish_reason: str
    native: str


class ChunkWriter:
    """Writes the server-sent events of one stream."""

    def __init__(self, generation_id: str, created: int, family: Family) -> None:
        self._facts = {
            "id": generation_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": family.model,
            "provider": PROVIDER,
        }
        self._reasons = family.reasons
        # Everything but the text is the same in each chunk of a stream, so it is serialised once.
        facts = json_text(self._facts)[:-1]
        self._head = f'data: {facts},"choices":[{{"index":0,"delta":{{"content":'
        self._tail = ',"role":"assistant"},"finish_reason":null,"native_finish_reason":null}]}\n\n'

    def text(self, pieces: Sequence[str]) -> bytes:
        """One chunk for each piece of visible text."""
        head, tail = self._head, self._tail
        chunks = [head + json.dumps(piece, ensure_ascii=False) + tail for piece in pieces]
        return "".join(chunks).encode("utf-8", "replace")

    def reasoning(self, pieces: Sequence[str]) -> bytes:
        """One chunk for each piece of reasoning."""
        return b"".join(self._event(self._choice(_reasoning_fields(piece))) for piece in pieces)

    def end(self, ending: Ending, bill: Bill) -> bytes:
        """Compose the finish chunk, its repetition with the usage, and the end mark."""
        fields = {"reasoning": None} if self._reasons else {}
        finish = self._event(self._choice(fields, ending))
        usage = self._event(self._choice({}, ending), service_tier=None, usage=usage_object(bill))
        return finish + usage + STREAM_END

    def _choice(self, fields: dict[str, Any], ending: Ending | None = None) -> dict[str, Any]:
        return {
            "index": 0,
            "delta": {"content": "", "role": "assistant", **fields},
            "finish_reason": ending.finish_reason if ending else None,
            "native_finish_reason": ending.native if ending else None,
        }

    def _event(self, choice: dict[str, Any], *, usage: dict[str, Any] | None = None, **facts: Any) -> bytes:
        body = {**self._facts, **facts, "choices": [choice]}
        if usage is not None:
            body["usage"] = usage
        return b"data: " + json_bytes(body) + b"\n\n"


def completion_body(
    generation_id: str,
    created: int,
    *,
    text: str,
    reasoning: str | None,
    ending: Ending,
    bill: Bill,
) -> bytes:
    """Compose the body of a request that did not ask for a stream."""
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "reasoning": None}
    message |= _reasoning_fields(reasoning) if reasoning else {}
    choice = {
        "logprobs": None,
        "finish_reason": ending.finish_reason,
        "native_finish_reason": ending.native,
        "index": 0,
        "message": message,
    }
    return json_bytes(
        {
            "id": generation_id,
            "provider": PROVIDER,
            "model": bill.family.model,
            "object": "chat.completion",
            "created": created,
            "choices": [choice],
            "usage": usage_object(bill),
        }
    )


def usage_object(bill: Bill) -> dict[str, Any]:
    """Return token counts and cost; the upstream cost repeats the cost, as for every row that is not BYOK."""
    return {
        "prompt_tokens": bill.prompt,
        "completion_tokens": bill.completion,
        "total_tokens": bill.prompt + bill.completion,
        "cost": bill.cost,
        "is_byok": False,
        "prompt_tokens_details": {
            "cached_tokens": bill.cached,
            "cache_write_tokens": 0,
            "audio_tokens": 0,
            "video_tokens": 0,
        },
        "cost_details": {
            "upstream_inference_cost": bill.cost,
            "upstream_inference_prompt_cost": bill.prompt_cost,
            "upstream_inference_completions_cost": bill.completion_cost,
        },
        "completion_tokens_details": {
            "reasoning_tokens": bill.reasoning,
            "image_tokens": 0,
            "audio_tokens": 0,
        },
    }


def models_body() -> bytes:
    """Compose the list of models."""
    return json_bytes({"data": [_model_object(family) for family in FAMILIES.values()]})


def _model_object(family: Family) -> dict[str, Any]:
    prices = {
        "prompt": family.prompt_price,
        "completion": family.completion_price,
        "request": "0",
        "image": "0",
        "web_search": "0",
        "internal_reasoning": "0",
        "input_cache_read": family.cache_price,
    }
    return {
        "id": family.model,
        "canonical_slug": family.model,
        "name": family.name,
        "created": _LISTED_SINCE,
        "description": family.description,
        "context_length": family.context_length,
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": prices,
        "top_provider": {
            "context_length": family.context_length,
            "max_completion_tokens": family.max_output,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": [*_PARAMETERS, "include_reasoning", "reasoning"]
        if family.reasons
        else _PARAMETERS,
        "default_parameters": {"temperature": 0},
    }


def generation_body(generation: Generation) -> bytes:
    """Compose what is known of a finished generation."""
    bill = generation.bill
    return json_bytes(
        {
            "data": {
                "id": generation.generation_id,
                "upstream_id": None,
                "total_cost": bill.cost,
                "usage": bill.cost,
                "upstream_inference_cost": bill.cost,
                "cache_discount": bill.cache_discount,
                "is_byok": False,
                "created_at": _iso(generation.created_at),
                "model": bill.family.model,
                "provider_name": PROVIDER,
                "streamed": generation.streamed,
                "cancelled": generation.cancelled,
                "finish_reason": generation.finish_reason,
                "native_finish_reason": generation.native_finish_reason,
                "tokens_prompt": bill.prompt,
                "tokens_completion": bill.completion,
                "native_tokens_prompt": bill.prompt,
                "native_tokens_completion": bill.completion,
                "native_tokens_reasoning": bill.reasoning,
                "native_tokens_cached": bill.cached,
                "native_tokens_completion_images": 0,
                "latency": round(generation.latency_s * 1000),
                "generation_time": round(generation.generation_s * 1000),
                "moderation_latency": None,
                "external_user": generation.user,
                "service_tier": None,
            }
        }
    )


def key_body(spent: Decimal) -> bytes:
    """Compose what is known of the key: it has no limit."""
    return json_bytes(
        {
            "data": {
                "label": "simulator",
                "limit": None,
                "limit_remaining": None,
                "limit_reset": None,
                "usage": spent,
                "usage_daily": spent,
                "usage_weekly": spent,
                "usage_monthly": spent,
                "byok_usage": Decimal(0),
                "is_free_tier": False,
                "expires_at": None,
            }
        }
    )


def _reasoning_fields(text: str) -> dict[str, Any]:
    detail = {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}
    return {"reasoning": text, "reasoning_details": [detail]}


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
