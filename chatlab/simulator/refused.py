"""Scenarios that are no event stream: errors before it, and bodies that are none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chatlab.simulator.scenario import Scenario
from chatlab.simulator.shapes import STORY, STORY_ID, USAGE

_JSON = "application/json"
_HTML = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
_SOON = {"retry-after": "2"}


def _error(does: str, status: int, message: str, *, headers: Mapping[str, str] | None = None,
           code: int | None = None, **metadata: Any) -> Scenario:  # fmt: skip
    error: dict[str, Any] = {"code": code or status, "message": message}
    if "availability" in metadata:
        error["availability"] = metadata.pop("availability")
    error["metadata"] = metadata
    body = json.dumps({"error": error}).encode()
    return Scenario(does, lambda: body, status, _JSON, headers or {})


def _json(does: str, value: Any) -> Scenario:
    body = json.dumps(value).encode()
    return Scenario(does, lambda: body, content_type=_JSON)


def _completion(**facts: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": STORY}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": STORY_ID, "object": "chat.completion", "created": 1_790_000_000, "model": "sim/crow",
            "choices": [choice], "usage": USAGE, **facts}  # fmt: skip


REFUSED: Mapping[str, Scenario] = {
    "402-credits": _error("402: the credits are used up.", 402, "Insufficient credits.",
        error_type="payment_required", limit_source="openrouter_credits"),
    "402-in-flight": _error("402 with Retry-After 2: too much in flight.", 402, "In-flight budget exhausted.",
        headers=_SOON, error_type="payment_required", reason="in_flight_budget_exhausted",
        limit_source="openrouter_in_flight_budget"),
    "402-weight": _error("402: this request costs more than is left.", 402, "Lower max_tokens.",
        error_type="payment_required", reason="weight_exceeds_budget", limit_source="openrouter_credits"),
    "403-moderation": _error("403: flagged by moderation.", 403, "Your input was flagged.",
        error_type="permission_denied", reasons=["violence"], flagged_input="…", provider_name="Simulator"),
    "403-guardrail": _error("403: stopped by a guardrail.", 403, "Blocked by a guardrail.",
        error_type="permission_denied", patterns=["secret"]),
    "403-budget": _error("403: the budget of the key is used up.", 403, "Key budget exceeded.",
        error_type="permission_denied", limit_source="openrouter_key_limit", scope="key", limit_usd=5,
        spend_usd=5, resets_at="2026-12-01T00:00:00Z"),
    "404-availability": _error("404: no endpoint, with fallback models.", 404, "No endpoints found.",
        error_type="not_found", availability={"code": "no_endpoints", "retryable": False,
        "requested_models": ["sim/crow"], "fallback_models": ["sim/bee"]}),
    "429-capacity": _error("429: no capacity, retry after 2 s in the body.", 429, "Capacity exhausted.",
        error_type="rate_limit_exceeded", availability={"code": "capacity_exhausted", "retryable": True,
        "retry_after": 2}),
    "500-masked": _error("500 without any detail.", 500, "Internal Server Error", error_type="server"),
    "502-html": Scenario("502 with an HTML page.", _HTML.encode, 502, "text/html"),
    "200-html": Scenario("200 with an HTML page.", _HTML.encode, content_type="text/html"),
    "200-error": _error("An error body with status 200.", 200, "Rate limited upstream.", code=429,
        error_type="rate_limit_exceeded"),
    "200-completion": _json("A whole completion where a stream was asked for.", _completion()),
    "200-null-choices": _json("A completion with choices null.", _completion(choices=None)),
    "200-choice-error": _json("A completion: partial text, an error in its choice.", _completion(
        choices=[{"index": 0, "message": {"role": "assistant", "content": "The moon"},
        "finish_reason": "error", "error": {"code": 502, "message": "Provider disconnected"}}])),
    "200-empty": Scenario("An event stream with nothing in it.", bytes),
    "200-blank-lines": Scenario("A whole completion after blank lines.",
        lambda: b"\n\n\n" + json.dumps(_completion()).encode(), content_type=_JSON),
}  # fmt: skip
