"""Token counts and cost, with what is not known kept as None.

Counts are in tokens. `input_tokens` and `output_tokens` are the gateway's own totals; the buckets below
them are disjoint and sum to those totals, so charging each bucket once never charges a token twice. When
the gateway's detail counts contradict its totals the two bucket remainders are None and
`consistent` is False; the totals stay as reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

CostBasis: TypeAlias = Literal["reported", "estimated", "unknown"]

USAGE_GROUPS = (
    "call_id",
    "cost_basis",
    "day",
    "finish_reason",
    "gateway",
    "group_id",
    "model",
    "outcome",
    "provider",
    "purpose",
    "served_model",
    "service_tier",
    "session_id",
    "tool_name",
    "tool_version",
    "user_id",
)
"""Columns of the view ai_usage that usage may be grouped and chosen by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one attempt. None means that the gateway did not say."""

    input_tokens: int | None = None  # all input, cached included
    output_tokens: int | None = None  # all output, reasoning included
    input_fresh: int | None = None  # input that was neither cached nor audio
    cache_read: int | None = None
    cache_write: int | None = None
    input_audio: int | None = None
    output_visible: int | None = None  # output that is neither reasoning nor audio nor image
    reasoning: int | None = None
    output_audio: int | None = None
    output_image: int | None = None
    consistent: bool = True  # False: the gateway's details exceed its totals

    @property
    def total_tokens(self) -> int | None:
        """Input plus output, or None when either is unknown."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What the gateway said it charged for one attempt, in USD. None means that it did not say."""

    reported_usd: Decimal | None = None
    upstream_usd: Decimal | None = None  # the provider's own price; owed on top only when is_byok
    is_byok: bool | None = None  # the provider's key was the user's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a gateway says about one generation after its end. `raw` is its own JSON text."""

    generation_id: str
    usage: Usage
    charge: Charge
    cancelled: bool | None = None  # we closed the stream before its end
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    served_model: str | None = None
    provider: str | None = None
    service_tier: str | None = None
    raw: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of a reply in USD and where the number comes from. `usd` is None when it is unknown."""

    usd: Decimal | None
    basis: CostBasis

    def __str__(self) -> str:
        if self.usd is None:
            return "unknown"
        mark = "~" if self.basis == "estimated" else ""
        return f"{mark}${format_usd(self.usd)}"


UNKNOWN_COST = Cost(usd=None, basis="unknown")


def reported_cost(charge: Charge) -> Cost:
    """Turn a gateway's statement into a cost: what it charged, plus the provider's bill when BYOK.

    Never the sum otherwise: without BYOK the two numbers are the same money
    (https://openrouter.ai/docs/use-cases/usage-accounting, and streams recorded in October 2026).
    """
    if charge.reported_usd is None:
        return UNKNOWN_COST
    if not charge.is_byok:
        return Cost(usd=charge.reported_usd, basis="reported")
    if charge.upstream_usd is None:
        return UNKNOWN_COST
    return Cost(usd=charge.reported_usd + charge.upstream_usd, basis="reported")


def format_usd(usd: Decimal) -> str:
    """Show an amount with at least two decimals and at most two significant digits below a cent."""
    if usd == 0:
        return "0.00"
    if abs(usd) >= Decimal("0.01"):
        return f"{usd:.4f}".rstrip("0").ljust(len(f"{usd:.2f}"), "0")
    return f"{usd:.{1 - usd.adjusted()}f}"
