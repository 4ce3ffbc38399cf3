"""A growing Markdown document as small patches of safe HTML.

Blocks that can no longer change are closed and sent once. The last three stay open: with two, a nested list
may still change under a closed block. The open part is rendered anew for each patch and sent as what is
different in its middle, so bytes grow with the new text. One parse of the whole at the end mends what only
the end could tell, such as links defined after their use; it sends the blocks that came out different.

Lengths in a patch count UTF-16 units, the way JavaScript counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from chatlab.ui.markdown import plain, to_blocks

OPEN_BLOCKS = 3

Patch: TypeAlias = list[Any]
"""[keep, closed, prefix, suffix, middle]: keep that many closed blocks, add the closed blocks given; of the
open HTML keep `prefix` units at its start and `suffix` at its end, and put `middle` in between."""


class GrowingDocument:
    """What the front end has of a document, and what it still needs."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._tail = ""  # the source of the open blocks
        self._references: dict[str, Any] = {}  # link definitions of the closed blocks
        self._closed: list[str] = []
        self._open = ""

    def feed(self, text: str) -> None:
        """Take in more text; nothing is rendered yet."""
        text = plain(text)
        self._text.append(text)
        self._tail += text

    def patch(self) -> Patch | None:
        """Render what has come and return the difference from the last patch, or None."""
        keep = len(self._closed)
        blocks = [block for block in self._parse_tail() if block.line is not None]
        if len(blocks) > OPEN_BLOCKS:
            self._close_before(blocks[-OPEN_BLOCKS].line or 0)
        opened = "".join(block.html for block in blocks[-OPEN_BLOCKS:])
        return self._patch(keep, opened)

    def finish(self) -> Patch | None:
        """Render the whole once more and return the last difference; the open part is empty after it."""
        blocks = [block.html for block in to_blocks("".join(self._text))]
        same = [old == new for old, new in zip(self._closed, blocks, strict=False)]
        keep = same.index(False) if False in same else len(same)
        shrinks = keep < len(self._closed)
        self._closed = blocks
        patch = self._patch(keep, "")
        return [keep, [], 0, 0, ""] if patch is None and shrinks else patch

    def whole(self) -> Patch:
        """Return the patch that makes all of it from nothing."""
        return [0, list(self._closed), 0, 0, self._open]

    def _parse_tail(self) -> list[Any]:
        return to_blocks(self._tail, references=dict(self._references), finished=False)

    def _close_before(self, line: int) -> None:
        lines = self._tail.split("\n")
        done, self._tail = "\n".join(lines[:line]), "\n".join(lines[line:])
        # Parsed again, so that only definitions that can no longer change are remembered.
        blocks = to_blocks(done, references=self._references, finished=False)
        self._closed.extend(block.html for block in blocks if block.line is not None)

    def _patch(self, keep: int, opened: str) -> Patch | None:
        added = self._closed[keep:]
        old, self._open = self._open, opened
        if not added and old == opened:
            return None
        prefix, suffix = common_ends(old, opened)
        middle = opened[prefix : len(opened) - suffix]
        return [keep, added, units(opened[:prefix]), units(opened[len(opened) - suffix :]), middle]


def apply_patch(closed: Sequence[str], opened: str, patch: Patch) -> tuple[list[str], str]:
    """Do what the front end does with a patch: return its new closed blocks and open HTML."""
    keep, added, prefix, suffix, middle = patch
    raw = opened.encode("utf-16-le")
    start, end = raw[: 2 * prefix].decode("utf-16-le"), raw[len(raw) - 2 * suffix :].decode("utf-16-le")
    return [*closed[:keep], *added], start + middle + end


def common_ends(old: str, new: str) -> tuple[int, int]:
    """Return the lengths of the longest common start, and of the longest common end that leaves it whole."""
    prefix = _common_start(old, new)
    rest = min(len(old), len(new)) - prefix
    suffix = _common_start(old[len(old) - rest :][::-1], new[len(new) - rest :][::-1])
    return prefix, suffix


def _common_start(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:  # halving with slices: the comparison itself runs in C
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def units(text: str) -> int:
    """Count UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text) if not text.isascii() else len(text)
