"""Records as rows: which columns of which table a record fills, and how values become storable.

Hostile text must never cost a reply, so nothing here raises over content: halves of surrogate pairs are
joined where they belong together and become U+FFFD where they do not (UTF-8 has no form for them); NUL and
every other character is stored as it came. A number that its column cannot hold (an amount of a million
dollars in one attempt, a token count beyond 64 bits) is stored as NULL, unknown; the gateway's raw JSON
beside it keeps what was said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from chatlab.errors import InvalidValue
from chatlab.values.messages import Part, Reasoning, Text
from chatlab.values.records import (
    AttemptEnded,
    AttemptHeaders,
    AttemptStarted,
    CallOpened,
    CostEstimate,
    MessageAdded,
    ModelListed,
    Record,
    SessionChanged,
    SessionOpened,
    UsageReport,
)
from chatlab.values.usage import Usage

Values = dict[str, Any]

# The columns that identify a row. The first one rises with time, so a range of it touches few row groups.
KEYS: Mapping[str, tuple[str, ...]] = {
    "sessions": ("session_id",),
    "messages": ("message_id",),
    "message_parts": ("message_id", "position"),
    "calls": ("call_id",),
    "attempts": ("attempt_id",),
    "usage_reports": ("attempt_id", "source"),
    "cost_estimates": ("attempt_id", "price_source"),
    "models": ("fetched_at", "gateway", "model"),
    "prices": ("fetched_at", "gateway", "model"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row to be.

    `birth` are the columns set when the row is made and never again; None says that the row must exist.
    `facts` may come later and replace what is there; a None among them leaves the column as it is.
    """

    table: str
    key: tuple[Any, ...]
    birth: Values | None
    facts: Values


def rows(record: Record, process: Values) -> Iterator[Row]:
    """Spell a record out. `process` are the columns that say which process started an attempt."""
    make = _MAKERS.get(type(record))
    if make is None:
        raise InvalidValue(f"{type(record).__name__!r} is not a record of the store")
    for row in make(record):
        if isinstance(record, AttemptStarted) and row.birth is not None:
            row.birth.update(process)
        yield row


def _session_opened(record: SessionOpened) -> Iterator[Row]:
    birth = _columns(record, "session_id")
    birth["params"] = as_json(record.params)
    birth["updated_at"] = record.created_at
    yield Row("sessions", (record.session_id,), birth, {})


def _session_changed(record: SessionChanged) -> Iterator[Row]:
    yield Row("sessions", (record.session_id,), None, _columns(record, "session_id"))


def _message_added(record: MessageAdded) -> Iterator[Row]:
    birth = _columns(record, "message_id", "message")
    birth["role"] = record.message.role
    yield Row("messages", (record.message_id,), birth, {})
    for position, part in enumerate(record.message.parts):
        yield Row("message_parts", (record.message_id, position), _part(part), {})


def _part(part: Part) -> Values:
    if isinstance(part, Text):
        return {"kind": "text", "text": part.text}
    if isinstance(part, Reasoning):
        details = as_json(part.details) if part.details else None
        return {"kind": "reasoning", "text": part.text, "details": details}
    return {"kind": "tool_call", "text": part.arguments, "tool_call_id": part.call_id, "tool_name": part.name}


def _call_opened(record: CallOpened) -> Iterator[Row]:
    birth = _columns(record, "call_id", "context")
    birth["params"] = as_json(record.params)
    if record.context is not None:
        birth |= {
            "context_included": record.context.included,
            "context_left_out": record.context.left_out,
            "context_tokens": record.context.estimated_tokens,
            "context_limit_messages": record.context.limit_messages,
            "context_limit_tokens": record.context.limit_tokens,
        }
    yield Row("calls", (record.call_id,), birth, {})


def _attempt_started(record: AttemptStarted) -> Iterator[Row]:
    birth = _columns(record, "attempt_id")
    birth["outcome"] = "in_flight"
    yield Row("attempts", (record.attempt_id,), birth, {})


def _attempt_headers(record: AttemptHeaders) -> Iterator[Row]:
    yield Row("attempts", (record.attempt_id,), None, _columns(record, "attempt_id"))


def _attempt_ended(record: AttemptEnded) -> Iterator[Row]:
    facts = _columns(record, "attempt_id", "counts")
    facts |= {f"wire_{name}": value for name, value in _columns(record.counts).items()}
    yield Row("attempts", (record.attempt_id,), None, facts)


def _usage_report(record: UsageReport) -> Iterator[Row]:
    facts: Values = {
        "received_at": record.received_at,
        "reported_cost_usd": record.charge.reported_usd,
        "upstream_cost_usd": record.charge.upstream_usd,
        "is_byok": record.charge.is_byok,
        "raw": record.raw,
    }
    facts |= {field.name: getattr(record.usage, field.name) for field in fields(Usage)}
    yield Row("usage_reports", (record.attempt_id, record.source), {}, facts)


def _cost_estimate(record: CostEstimate) -> Iterator[Row]:
    facts = {"computed_at": record.computed_at, "usd": record.usd}
    yield Row("cost_estimates", (record.attempt_id, record.price_source), {}, facts)


def _model_listed(record: ModelListed) -> Iterator[Row]:
    card = record.card
    key = (record.fetched_at, record.gateway, card.model)
    listing = {
        "name": card.name,
        "context_length": card.context_length,
        "max_output_tokens": card.max_output_tokens,
        "input_modalities": as_json(card.input_modalities),
        "output_modalities": as_json(card.output_modalities),
        "supported_params": as_json(card.supported_params),
        "raw": as_json(card.raw),
    }
    prices = {
        "input_usd_per_mtok": card.input_usd_per_mtok,
        "output_usd_per_mtok": card.output_usd_per_mtok,
        "cache_read_usd_per_mtok": card.cache_read_usd_per_mtok,
    }
    yield Row("models", key, listing, {})
    yield Row("prices", key, prices, {})


_MAKERS: Mapping[type[Any], Callable[[Any], Iterator[Row]]] = {
    SessionOpened: _session_opened,
    SessionChanged: _session_changed,
    MessageAdded: _message_added,
    CallOpened: _call_opened,
    AttemptStarted: _attempt_started,
    AttemptHeaders: _attempt_headers,
    AttemptEnded: _attempt_ended,
    UsageReport: _usage_report,
    CostEstimate: _cost_estimate,
    ModelListed: _model_listed,
}


def _columns(record: Any, *without: str) -> Values:
    """Take the fields of a record whose names are its columns."""
    return {name: getattr(record, name) for name in record.__slots__ if name not in without}


def as_json(value: Any) -> str:
    """Write a JSON-like value as text; what JSON lacks (Decimal, datetime) as its string."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def storable(value: Any, column_type: str) -> Any:
    """Turn a value into what DuckDB takes for a column of that type, or None when it cannot be held."""
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, Decimal):
        return _decimal(value, column_type)
    if column_type == "BIGINT" and isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None
    return value


def _utf8(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _decimal(value: Decimal, column_type: str) -> str | None:
    """Round to the column's scale and write without exponent; DuckDB would guess a common type for a list."""
    width, scale = (int(number) for number in column_type[len("DECIMAL(") : -1].split(","))
    if not value.is_finite() or abs(value) >= Decimal(10) ** (width - scale) - 1:
        return None
    return format(value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN), "f")
