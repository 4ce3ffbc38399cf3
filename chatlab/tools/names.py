"""Names and values as errors show them."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, else which there are; begins with `: `."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f": did you mean {close[0]!r}?"
    return f": known are {', '.join(names)}" if names else ": there are none"


def shown(value: Any) -> str:
    """Show a value in a few dozen characters, however large it is."""
    return reprlib.repr(value)
