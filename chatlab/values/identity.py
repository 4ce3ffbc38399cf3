"""Identifiers minted by chatlab, and content hashes.

Ids are UUID version 7 (RFC 9562, section 5.7): the first 48 bits are the milliseconds of the clock that
is passed in, the next 12 bits the fraction of the millisecond (method 3 of section 6.2), so ids minted
one after the other sort in that order at the clock's microsecond resolution, and a store needs no
sequence. Hashes carry the name of their algorithm.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any


def new_id(now: datetime, random_bytes: Callable[[int], bytes] = os.urandom) -> str:
    """Mint a UUIDv7 as its 36-character text.

    `now` is an aware datetime; `random_bytes(n)` gives n random bytes (a seam for reproducible runs).
    """
    microseconds = int(now.timestamp() * 1_000_000)
    milliseconds, rest = divmod(microseconds, 1000)
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76
    value |= (rest * 4096 // 1000) << 64
    value |= 0b10 << 62
    value |= int.from_bytes(random_bytes(8), "big") & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def canonical_json(value: Any) -> str:
    """Serialise to JSON text that is equal for equal values: sorted keys, no spaces, UTF-8 kept."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def content_hash(value: Any) -> str:
    """Hash a JSON-like value: `sha256:` and 64 hexadecimal digits of its canonical JSON."""
    data = canonical_json(value).encode("utf-8", "surrogatepass")
    return "sha256:" + hashlib.sha256(data).hexdigest()
