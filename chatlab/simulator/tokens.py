"""A small deterministic tokeniser: pieces of at most seven letters or three digits, punctuation, space.

Joined, the tokens of a text are the text again, so one token makes one chunk of a stream.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TOKEN = re.compile(r" ?[^\W\d_]{1,7}| ?\d{1,3}| ?[^\w\s]|\n+| {2,8}|.", re.DOTALL)

TOKENS_PER_MESSAGE = 4  # role and separators, as chat templates add them
TOKENS_PER_ATTACHMENT = 256


def split_tokens(text: str) -> list[str]:
    """Cut a text into its tokens."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """Count the tokens of a text without building them."""
    return sum(1 for _ in _TOKEN.finditer(text))


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """Return the text before the first of the stop sequences, or all of it."""
    found = [position for stop in stops if stop and (position := text.find(stop)) >= 0]
    return text[: min(found)] if found else text
