"""What a question about usage may ask for: its groups and its period. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches

from chatlab.errors import InvalidValue
from chatlab.values.usage import USAGE_GROUPS

ALIASES = {"group": "group_id", "session": "session_id", "tool": "tool_name", "user": "user_id"}

_PERIOD = re.compile(r"(\d{1,6})\s*([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def group_columns(by: str | Iterable[str]) -> tuple[str, ...]:
    """Turn `by` into columns: names as in USAGE_GROUPS, short forms (user, group, session, tool) accepted."""
    names = [by] if isinstance(by, str) else list(by)
    return tuple(_group_column(name) for name in names)


def _group_column(name: str) -> str:
    column = ALIASES.get(name, name)
    if column not in USAGE_GROUPS:
        near = get_close_matches(name, [*USAGE_GROUPS, *ALIASES], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InvalidValue(f"usage cannot be grouped by {name!r}: {hint}one of {', '.join(USAGE_GROUPS)}")
    return column


def period_start(since: str | date | datetime | timedelta | None, now: datetime) -> datetime | None:
    """Turn `since` into an aware moment: "7d", "24h", "2w", a date, a moment, a length of time, or None.

    A plain date is midnight UTC; a moment without a time zone is refused. None means from the beginning.
    """
    match since:
        case None:
            return None
        case timedelta():
            return now - since
        case datetime():
            if since.tzinfo is None:
                raise InvalidValue(f"since={since!r} has no time zone: add tzinfo=datetime.UTC")
            return since
        case date():
            return datetime(since.year, since.month, since.day, tzinfo=UTC)
        case _:
            return _period_text(since, now)


def _period_text(since: str, now: datetime) -> datetime:
    if match := _PERIOD.fullmatch(since.strip()):
        try:
            return now - int(match[1]) * _UNITS[match[2]]
        except OverflowError:
            raise InvalidValue(f"since={since!r} begins before the calendar does") from None
    try:
        moment = datetime.fromisoformat(since.strip())
    except ValueError:
        raise InvalidValue(
            f"since={since!r} is not a period: use '24h', '7d', '2w', a date like '2026-11-01', or None"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
