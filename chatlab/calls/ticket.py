"""What a call shows at its route: who it is, how patient, how large, and what its attempts have led to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from chatlab.calls.call import Call
from chatlab.gateway.retry import RetryPolicy

CHARACTERS_PER_TOKEN = 4


class RouteKey(NamedTuple):
    """What tells routes apart. `key` is a fingerprint, never the API key itself."""

    gateway: str
    key: str | None
    model: str
    provider: str | None = None  # only where one is pinned


@dataclass(slots=True, eq=False)
class Ticket:
    """One call at its route. The route writes into everything but the first three fields."""

    call_id: str
    policy: RetryPolicy
    tokens: int = 0  # estimated, of input and the longest output; only where the route counts them
    attempts: int = 0  # that were let in
    paid: int = 0  # for its retries
    probe: bool = False  # the attempt under way tries an unhealthy route
    inside: bool = False


def pinned_provider(params: Mapping[str, Any]) -> str | None:
    """Return the providers that alone may serve a request, joined by commas; None when it is left open."""
    routing = params.get("provider")
    if not isinstance(routing, Mapping):
        return None
    names = routing.get("only") or (routing.get("order") if routing.get("allow_fallbacks") is False else None)
    return ",".join(map(str, names)) if isinstance(names, list | tuple) else None


def estimated_tokens(call: Call) -> int:
    """Estimate what a call counts against a limit of tokens: its input and the longest answer allowed."""
    request = call.request
    if call.context is not None:
        size = call.context.estimated_tokens
    else:
        size = sum(len(message.text) for message in request.messages) // CHARACTERS_PER_TOKEN
    longest = request.params.get("max_completion_tokens") or request.params.get("max_tokens")
    return size + (longest if isinstance(longest, int) else 0)
