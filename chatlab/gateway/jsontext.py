"""JSON text as gateways write it: read fast and exactly, and written back without losing a digit.

Numbers with a fraction become Decimal, since some of them are money. NaN and Infinity, which are no JSON,
become None. Half of a surrogate pair (`\\ud83d` alone) is legal in JSON and impossible in UTF-8: models cut
emoji in two, so the halves may come in two chunks. Nothing that leaves this room holds one.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from jiter import from_json

MALFORMED = (ValueError, RecursionError)
"""What reading hostile JSON can raise: wrong text, numbers of thousands of digits, nesting without end."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_json(data: bytes) -> tuple[Any, bool]:
    """Read one JSON value; the flag says whether it was plain.

    Not plain are texts with NaN, lone surrogates (left in place, see `SurrogateJoiner` and `clean`) or bytes
    that are not UTF-8 (replaced). Raises one of MALFORMED.
    """
    try:
        return from_json(data, allow_inf_nan=False, float_mode="decimal"), True
    except ValueError:
        text = data.decode("utf-8", "replace")
        return json.loads(text, parse_float=Decimal, parse_constant=lambda _: None, strict=False), False


def dump_json(value: Any) -> str | None:
    """Write a parsed value back, Decimals as numbers. None when it cannot be written (absurdly large)."""
    try:
        return _dump(value)
    except MALFORMED:
        return None


def _dump(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(clean(key))}:{_dump(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dump, value)) + "]"
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(clean(value), ensure_ascii=False)


def clean(value: Any) -> Any:
    """Return the value with every surrogate in its strings paired up or replaced by U+FFFD."""
    if isinstance(value, str):
        return _pair(value) if _SURROGATE.search(value) else value
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return value


def _pair(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class SurrogateJoiner:
    """Puts surrogate halves that came in two pieces together again."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what can be shown by now; a trailing first half waits for the next piece."""
        piece = self._held + piece
        self._held = ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            piece, self._held = piece[:-1], piece[-1]
        return _pair(piece)

    def end(self) -> str:
        """Return what is left: nothing, or U+FFFD for a half that found no other."""
        held, self._held = self._held, ""
        return "\ufffd" if held else ""
