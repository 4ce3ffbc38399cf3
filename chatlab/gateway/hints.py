"""When a gateway says how long to wait: seconds, milliseconds, a date, or the time a limit resets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime

from chatlab.gateway.usage import decimal

_UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII)
_EPOCH_S = 1_000_000_000  # a larger number of seconds is a moment, not a wait
_EPOCH_MS = 1_000_000_000_000
_MAX_TEXT = 64  # characters of a header that can be a hint


def wait_hint(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the wait in seconds that response headers ask for, or None. Never zero, never negative.

    `headers` has lower-case names. `retry-after-ms` goes before `Retry-After` (RFC 9110, section 10.2.3:
    seconds or a date) and that before `x-ratelimit-reset*`: seconds, a duration ("1m30s") or an epoch.
    """
    milliseconds = decimal(headers.get("retry-after-ms", "")[:_MAX_TEXT])
    if milliseconds is not None and milliseconds > 0:
        return float(milliseconds) / 1000
    wait = _seconds(headers.get("retry-after", ""), now)
    if wait is not None:
        return wait
    resets = [
        wait
        for name, value in headers.items()
        if name.startswith("x-ratelimit-reset") and (wait := _seconds(value, now)) is not None
    ]
    return max(resets, default=None)


def _seconds(text: str, now: datetime) -> float | None:
    text = text.strip()[:_MAX_TEXT]
    number = decimal(text)
    if number is not None:
        wait = float(number)
        if wait >= _EPOCH_MS:
            wait = wait / 1000 - now.timestamp()
        elif wait >= _EPOCH_S:
            wait -= now.timestamp()
    elif _DURATION.fullmatch(text):
        wait = float(sum(Decimal(value) * _UNITS[unit] for value, unit in _DURATION_PART.findall(text)))
    else:
        wait = _until(text, now)
    return wait if wait > 0 else None


def _until(text: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - now).total_seconds()
