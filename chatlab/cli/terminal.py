"""What may reach a terminal, and how it looks there.

A model's text is written by a stranger. Printed as it is, it could move the cursor, retitle the window,
fill the clipboard (OSC 52), hide a link (OSC 8), or reorder what the reader sees (bidirectional controls,
"Trojan Source", CVE-2021-42574). So on a terminal text passes through `Neutraliser`: complete escape
sequences go, as the terminal would have swallowed them; of broken ones only the controls go, so that no
visible text is ever lost. In a pipe text stays exact: a program reads it, not a terminal.
"""

from __future__ import annotations

import os
import re
from typing import Literal, TextIO, TypeAlias

Look: TypeAlias = Literal["bold", "dim", "green", "red"]

_LOOKS: dict[Look, str] = {"bold": "1", "dim": "2", "green": "32", "red": "31"}

# ECMA-48: CSI sequences, control strings (OSC, DCS, SOS, PM, APC) and short escapes, in 7 and 8 bit form.
# The bounds keep a sequence that never ends from holding text back for ever.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\r\n]{0,4096}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{0,8}[0-~]"
)
# The beginning of one of the above, or of CR LF, at the end of what has come so far.
_UNFINISHED = re.compile(
    r"(?:(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}"
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\r\n]{0,4096}\x1b?"
    r"|\x1b[ -/]{0,8}"
    r"|\r)\Z"
)
_INTRODUCER = re.compile(r"[\x1b\x9b\x90\x98\x9d-\x9f\r]")

_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_BREAKS = (0x0D, 0x85, 0x2028, 0x2029)
_KEPT = (0x09, 0x0A)
_CHARACTERS: dict[int, str | None] = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *_BIDI)),
    **dict.fromkeys(_BREAKS, "\n"),
    **{code: chr(code) for code in _KEPT},
    **dict.fromkeys(range(0xD800, 0xE000), "�"),  # lone surrogates cannot be encoded
}
_INVISIBLE = dict.fromkeys((0x00AD, *range(0x200B, 0x200E), 0x2060, 0xFEFF))


class Neutraliser:
    """Makes streamed text safe for a terminal, piece by piece: a sequence may be cut anywhere."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what can be shown now; the possible beginning of a sequence is held back."""
        text = self._held + text
        start = _open_sequence(text)
        self._held = text[start:]
        return _clean(text[:start])

    def end(self) -> str:
        """Return what was held back, harmless, when no more text comes."""
        held, self._held = self._held, ""
        return _clean(held)


def _open_sequence(text: str) -> int:
    """Find where a sequence begins that is still open at the end of the text; its length when none is."""
    position = 0
    while match := _INTRODUCER.search(text, position):
        # First of all: an ESC [ that reaches the end also looks like a complete short escape, and is not.
        if _UNFINISHED.match(text, match.start()):
            return match.start()
        complete = _SEQUENCE.match(text, match.start())
        position = (complete or match).end()
    return len(text)


def _clean(text: str) -> str:
    # Line ends first: a removed sequence must not bring two halves of what looks like one together.
    return _SEQUENCE.sub("", text.replace("\r\n", "\n")).translate(_CHARACTERS)


def safe_text(text: str) -> str:
    """Make a whole text safe for a terminal; line breaks and tabs stay."""
    return _clean(text)


def safe_label(text: str) -> str:
    """Make a name or a table cell safe: one line, and nothing in it that cannot be seen."""
    return " ".join(_clean(text).translate(_INVISIBLE).split())


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a person reads this stream directly."""
    return not stream.closed and stream.isatty()


def styled(text: str, look: Look, stream: TextIO) -> str:
    """Colour a text of ours for a terminal; plain elsewhere and where NO_COLOR or TERM=dumb ask for it."""
    if not is_terminal(stream) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_LOOKS[look]}m{text}\x1b[0m"
