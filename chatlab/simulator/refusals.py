"""Requests the simulator does not serve, with the bodies OpenRouter sends for them.

Any client can ask for one of the errors by the model name `sim/error-STATUS`, for example `sim/error-429`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# OpenRouter's stable `metadata.error_type` by HTTP status, https://openrouter.ai/docs (checked 2026-11-20).
_ERROR_TYPES = {
    400: "invalid_request",
    401: "authentication",
    402: "payment_required",
    403: "permission_denied",
    404: "not_found",
    405: "invalid_request",
    408: "timeout",
    413: "payload_too_large",
    422: "unprocessable",
    429: "rate_limit_exceeded",
    500: "server",
    502: "provider_unavailable",
    503: "provider_overloaded",
    504: "timeout",
    524: "timeout",
    529: "provider_overloaded",
}

_SCRIPTED: dict[int, tuple[str, dict[str, Any], dict[str, str]]] = {
    400: ("Provider returned error", {"provider_name": "Simulator"}, {}),
    401: ("User not found.", {}, {}),
    402: (
        "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
        {"limit_source": "openrouter_credits", "reason": "weight_exceeds_budget"},
        {},
    ),
    403: (
        "Your input was flagged by moderation.",
        {"reasons": ["simulated"], "flagged_input": "…", "provider_name": "Simulator"},
        {},
    ),
    404: ("No endpoints found for this model.", {}, {}),
    408: ("Request timed out.", {}, {}),
    413: ("Request entity too large.", {}, {}),
    422: ("The request could not be processed.", {}, {}),
    429: ("Rate limit exceeded: simulated.", {"provider_name": "Simulator"}, {"Retry-After": "1"}),
    500: ("Internal Server Error", {}, {}),
    502: ("Provider returned error", {"provider_name": "Simulator"}, {}),
    503: ("The provider is overloaded.", {"provider_name": "Simulator"}, {"Retry-After": "1"}),
    504: ("The provider did not answer in time.", {}, {}),
    524: ("A timeout occurred at the edge.", {}, {}),
    529: ("The provider is overloaded.", {"provider_name": "Simulator"}, {}),
}

_ERROR_MODEL = re.compile(r"sim/error-(\d{3})")


@dataclass(eq=False)
class Refusal(Exception):
    """An error answer. `message` is for the client's eyes and must never repeat a key."""

    status: int
    message: str
    error_type: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return OpenRouter's error object."""
        kind = self.error_type or _ERROR_TYPES.get(self.status, "unmapped")
        metadata = {"error_type": kind, **self.metadata}
        return {"error": {"code": self.status, "message": self.message, "metadata": metadata}}


def scripted_refusal(model: str) -> Refusal | None:
    """Return the error that a model name asks for, if it does."""
    match = _ERROR_MODEL.fullmatch(model)
    if match is None or int(match[1]) not in _SCRIPTED:
        return None
    return usual_refusal(int(match[1]))


def usual_refusal(status: int) -> Refusal:
    """Return the error that a status usually comes with."""
    message, metadata, headers = _SCRIPTED.get(status, ("Simulated error.", {}, {}))
    return Refusal(status, message, metadata=metadata, headers=headers)
