"""A gateway's usage object to token counts and charge.

Shape as OpenRouter sends it (`prompt_tokens`, `completion_tokens`, `*_details`, `cost`, `cost_details`);
other gateways send a part of it. Counts in strings are read; what is negative, NaN, absurd or no number is
unknown. A detail that was not reported is unknown too, and its tokens then stay in the remainder bucket.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from chatlab.values.usage import Bill, Charge, Usage

TOKEN_LIMIT = 2**53  # more is no count
USD_LIMIT = Decimal(1_000_000)  # more is no price of one request


def parse_usage(raw: Mapping[str, Any]) -> Usage:
    """Sort a usage object into disjoint buckets; see `Usage` for what contradictions do."""
    into = _details(raw, "prompt_tokens_details")
    out = _details(raw, "completion_tokens_details")
    total_in, total_out = count(raw.get("prompt_tokens")), count(raw.get("completion_tokens"))
    cache_read, cache_write = count(into.get("cached_tokens")), count(into.get("cache_write_tokens"))
    audio_in, audio_out = count(into.get("audio_tokens")), count(out.get("audio_tokens"))
    reasoning, image_out = count(out.get("reasoning_tokens")), count(out.get("image_tokens"))
    fresh = _remainder(total_in, cache_read, cache_write, audio_in)
    visible = _remainder(total_out, reasoning, audio_out, image_out)
    consistent = _sums_up(count(raw.get("total_tokens")), total_in, total_out)
    consistent = consistent and (fresh or 0) >= 0 and (visible or 0) >= 0
    return Usage(
        input_tokens=total_in,
        output_tokens=total_out,
        input_fresh=fresh if consistent else None,
        cache_read=cache_read,
        cache_write=cache_write,
        input_audio=audio_in,
        output_visible=visible if consistent else None,
        reasoning=reasoning,
        output_audio=audio_out,
        output_image=image_out,
        consistent=consistent,
    )


def parse_charge(raw: Mapping[str, Any]) -> Charge:
    """Read what the gateway says it charged, in USD (OpenRouter: 1 credit is 1 USD)."""
    byok = raw.get("is_byok")
    return Charge(
        reported_usd=usd(raw.get("cost")),
        upstream_usd=usd(_details(raw, "cost_details").get("upstream_inference_cost")),
        is_byok=byok if isinstance(byok, bool) else None,
    )


def parse_bill(generation_id: str, raw: Mapping[str, Any], text: str | None) -> Bill:
    """Read what OpenRouter tells of a finished generation; `text` is the same as JSON.

    The fields are those of GenerationResponse in OpenRouter's SDK (PyPI `openrouter` 1.3.84). Billing goes by
    the `native_tokens_*`; the plain `tokens_*` are counted by one tokenizer for all models.
    """
    spelled_as_usage = {
        "prompt_tokens": raw.get("native_tokens_prompt"),
        "completion_tokens": raw.get("native_tokens_completion"),
        "prompt_tokens_details": {"cached_tokens": raw.get("native_tokens_cached")},
        "completion_tokens_details": {
            "reasoning_tokens": raw.get("native_tokens_reasoning"),
            "image_tokens": raw.get("native_tokens_completion_images"),
        },
        "cost": raw.get("total_cost"),
        "cost_details": {"upstream_inference_cost": raw.get("upstream_inference_cost")},
        "is_byok": raw.get("is_byok"),
    }
    cancelled = raw.get("cancelled")
    return Bill(
        generation_id=generation_id,
        usage=parse_usage(spelled_as_usage),
        charge=parse_charge(spelled_as_usage),
        cancelled=cancelled if isinstance(cancelled, bool) else None,
        finish_reason=_text(raw, "finish_reason"),
        native_finish_reason=_text(raw, "native_finish_reason"),
        served_model=_text(raw, "model"),
        provider=_text(raw, "provider_name"),
        service_tier=_text(raw, "service_tier"),
        raw=text,
    )


def find_usage(chunk: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the usage object of a chunk or completion; Groq hides it under `x_groq`."""
    usage = chunk.get("usage")
    if not usage and isinstance(groq := chunk.get("x_groq"), dict):
        usage = groq.get("usage")
    return usage if isinstance(usage, dict) and usage else None


def count(value: Any) -> int | None:
    """Read a token count, or None for anything that is not a plausible one."""
    number = decimal(value)
    if number is None or number < 0 or number > TOKEN_LIMIT or number != number.to_integral_value():
        return None
    return int(number)


def usd(value: Any) -> Decimal | None:
    """Read an amount of money, or None for anything that is not a plausible one."""
    number = decimal(value)
    return None if number is None or number < 0 or number >= USD_LIMIT else number


def decimal(value: Any) -> Decimal | None:
    """Read a finite number that came as a number or as a string."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        number = Decimal(value)
    except (InvalidOperation, ValueError):
        return None
    return number if number.is_finite() else None


def _details(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _text(raw: Mapping[str, Any], key: str) -> str | None:
    value = raw.get(key)
    return value if isinstance(value, str) and value else None


def _remainder(total: int | None, *parts: int | None) -> int | None:
    return None if total is None else total - sum(part or 0 for part in parts)


def _sums_up(total: int | None, total_in: int | None, total_out: int | None) -> bool:
    return total is None or total_in is None or total_out is None or total == total_in + total_out
