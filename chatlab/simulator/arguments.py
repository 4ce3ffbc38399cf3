"""How the arguments of toxics are read: each reader takes the text after `=` and says what would be valid."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias
from urllib.parse import unquote, unquote_to_bytes

MAX_SECONDS = 86_400.0
MAX_COUNT = 128 * 1024 * 1024  # bytes; the largest event is built in memory
DRIP_S = 0.5

Reader: TypeAlias = Callable[[str], Any]

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class BadArgument(Exception):
    """What the argument should have been, to follow "takes"."""


def nothing(text: str) -> None:
    """Read the absence of a value."""
    if text:
        raise BadArgument("no value")


def count(least: int, most: int = MAX_COUNT) -> Reader:
    """Read a whole number between two bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,12}", text, re.ASCII) or not least <= int(text) <= most:
            raise BadArgument(f"a whole number from {least} to {most}")
        return int(text)

    return read


def seconds(text: str) -> float:
    """Read a number of seconds, 0 or more."""
    return _number(text, "a number of seconds", 0.0, MAX_SECONDS)


def signed_seconds(text: str) -> float:
    """Read a number of seconds that may be negative."""
    return _number(text, "a number of seconds", -MAX_SECONDS, MAX_SECONDS)


def bytes_per_second(text: str) -> float:
    """Read a rate."""
    return _number(text, "bytes per second", 0.001, 1e12)


def one_of(*words: str) -> Reader:
    """Read one of a few words."""

    def read(text: str) -> str:
        if text not in words:
            raise BadArgument("one of " + ", ".join(word or "no value" for word in words))
        return text

    return read


def header_value(text: str) -> str:
    """Read a percent-encoded header value, on one line."""
    value = unquote(text, encoding="latin-1").strip()
    if not value or not _HEADER_VALUE.fullmatch(value):
        raise BadArgument("a header value on one line, percent-encoded where needed")
    return value


def header(text: str) -> tuple[str, str]:
    """Read `name:value`."""
    name, colon, value = text.partition(":")
    if not colon or not _HEADER_NAME.fullmatch(name):
        raise BadArgument("NAME:VALUE, as in header=retry-after-ms:1500")
    return name.lower(), header_value(value)


def content(text: str) -> bytes:
    """Read percent-encoded bytes."""
    return unquote_to_bytes(text)


def place(*words: str) -> Reader:
    """Read a number of bytes, or one of the words."""
    number = count(0)

    def read(text: str) -> int | str:
        if text in words:
            return text
        try:
            found: int = number(text)
        except BadArgument as problem:
            raise BadArgument(" or ".join([*words, str(problem)])) from None
        return found

    return read


def drip_place(text: str) -> tuple[int, float]:
    """Read `bytes` or `bytes:seconds`."""
    number, colon, every = text.partition(":")
    return count(0)(number), seconds(every) if colon else DRIP_S


def _number(text: str, what: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:  # which NaN is not either
        raise BadArgument(f"{what} from {least:g} to {most:g}")
    return value
