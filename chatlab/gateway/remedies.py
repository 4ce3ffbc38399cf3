"""What to do about each HTTP status, in a sentence a reader can follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chatlab.errors import (
    AccessDenied,
    AuthenticationFailed,
    GatewayError,
    GatewayFault,
    ModelNotFound,
    PayloadTooLarge,
    PaymentRequired,
    RateLimited,
    RedirectRefused,
    RequestRejected,
    RequestTimedOut,
)

STATUS_ERRORS: Mapping[int, tuple[type[GatewayError], str]] = {
    100: (GatewayFault, "an answer that is no final one"),
    200: (GatewayFault, "an answer without a chat completion"),
    300: (RedirectRefused, "a redirect, which chatlab never follows"),
    400: (RequestRejected, "the request was rejected"),
    401: (AuthenticationFailed, "the API key was not accepted"),
    402: (PaymentRequired, "credits or a budget are used up"),
    403: (AccessDenied, "the request is not allowed"),
    404: (ModelNotFound, "no such model here"),
    408: (RequestTimedOut, "the gateway gave up waiting"),
    409: (RequestRejected, "the request met another one"),
    413: (PayloadTooLarge, "the request is too large"),
    429: (RateLimited, "too many requests"),
    499: (RequestRejected, "a proxy closed the request"),
    500: (GatewayFault, "a failure at the gateway or its provider"),
    502: (GatewayFault, "the provider failed or was unreachable"),
    503: (GatewayFault, "no provider is available at the moment"),
    504: (RequestTimedOut, "the provider gave up waiting"),
    524: (RequestTimedOut, "the provider gave up waiting"),
    529: (GatewayFault, "the provider is overloaded"),
}
"""Error class and title by status; others fall to their hundred."""

UNKNOWN: tuple[type[GatewayError], str] = (GatewayFault, "an answer with an unknown status")

_Facts = Mapping[str, Any]


def remedy(
    status: int, gateway: str, model: str | None, metadata: _Facts, availability: _Facts, wait_s: float | None
) -> str:
    """Say what to do about a status, from what the gateway added to its error."""
    if status in {429, 529} or (status == 402 and "in_flight" in str(metadata.get("limit_source"))):
        return _throttled(status, wait_s)
    if status == 404:
        return _not_found(gateway, model, availability)
    special = _SPECIAL.get(status)
    if special is not None:
        return special(gateway, metadata)
    if status >= 500:
        return _passing(gateway)
    return _other(status)


def _authentication(gateway: str, _: _Facts) -> str:
    keys = " OpenRouter keys begin with sk-or-." if gateway == "openrouter" else ""
    return f"Check AI_API_KEY: it must be a valid key of {gateway}, not revoked or expired.{keys}"


def _payment(gateway: str, metadata: _Facts) -> str:
    if metadata.get("reason") == "weight_exceeds_budget":
        return "This request could cost more than the balance: lower max_tokens, or add credits."
    return f"Add credits at {gateway} or raise the key's limit; a lower max_tokens may fit what is left."


def _access(_: str, metadata: _Facts) -> str:
    source = metadata.get("limit_source")
    if isinstance(source, str):
        until = metadata.get("resets_at")
        return f"Limit {source} is used up: raise it" + (f", or wait until {until}." if until else ".")
    if reasons := metadata.get("reasons"):
        named = ", ".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons)
        return f"Moderation flagged the input ({named}): rephrase it, or use another model."
    return "Check what this key may use: guardrails, provider settings and moderation of the gateway."


def _too_large(_: str, __: _Facts) -> str:
    return "Leave out attachments or make them smaller, or shorten the history."


def _timed_out(_: str, __: _Facts) -> str:
    return "Try again; a shorter request, a lower max_tokens or another model or provider answers sooner."


_SPECIAL: Mapping[int, Callable[[str, _Facts], str]] = {
    401: _authentication,
    402: _payment,
    403: _access,
    408: _timed_out,
    413: _too_large,
    504: _timed_out,
    524: _timed_out,
}


def _throttled(status: int, wait_s: float | None) -> str:
    wait = f"Wait {wait_s:.0f} s and try again" if wait_s and wait_s >= 1 else "Wait a little and try again"
    if status == 402:
        return f"{wait}: running requests hold the balance; a lower max_tokens holds less."
    return f"{wait}, with fewer requests at once; free models also have a daily limit."


def _not_found(gateway: str, model: str | None, availability: _Facts) -> str:
    if model is None:
        return "Check AI_GATEWAY_URL: it must be the address of an OpenAI-compatible API."
    advice = f"Check the model id {model!r}: `chatlab models` lists what {gateway} has."
    if gateway == "openrouter" and "/" not in model:
        advice = (
            f"Model ids of OpenRouter need a provider prefix, as in provider/{model}: see `chatlab models`."
        )
    others = availability.get("fallback_models")
    if isinstance(others, list) and others:
        advice += f" The gateway suggests {', '.join(map(str, others[:3]))}."
    return advice


def _passing(gateway: str) -> str:
    page = "https://status.openrouter.ai" if gateway == "openrouter" else f"the status page of {gateway}"
    return f"This usually passes: try again in a moment, and look at {page} if it does not."


def _other(status: int) -> str:
    if status < 400:
        return "Set AI_GATEWAY_URL to the final address of the API."
    if status in {409, 425, 499}:
        return "This usually passes: try again in a moment."
    return "Check the parameters of the call, and that the conversation fits the model's context length."
