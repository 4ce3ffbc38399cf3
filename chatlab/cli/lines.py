"""Reading a person's messages: a line, several lines joined by backslashes, or a pasted block.

GNU readline marks pasted text (bracketed paste) and hands it over as one piece. Where it is not there
(libedit, a dumb terminal), lines that are already waiting when one has been read were pasted with it:
nobody types that fast.
"""

from __future__ import annotations

import os
import select
import sys

from chatlab.cli.terminal import is_terminal

PROMPT = "You: "
MORE = "...  "
_MARKS_PASTES_FROM = 0x0801  # readline 8.1


class LineReader:
    """Reads one message at a time from standard input; with a prompt where a person types."""

    def __init__(self) -> None:
        self._typed = is_terminal(sys.stdin)
        self._paste_is_marked = self._typed and _marks_pastes()

    def read(self) -> str:
        """Return the next message. Raises EOFError at the end of input, KeyboardInterrupt on Ctrl-C."""
        lines = [self._line(PROMPT)]
        while lines[-1].endswith("\\") or self._more_was_pasted():
            lines[-1] = lines[-1].removesuffix("\\")
            try:
                lines.append(self._line(MORE))
            except EOFError:
                break
        return "\n".join(lines)

    def _line(self, prompt: str) -> str:
        if self._typed:
            return input(prompt)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")

    def _more_was_pasted(self) -> bool:
        if not self._typed or self._paste_is_marked:
            return False
        ready, _, _ = select.select([sys.stdin], [], [], 0)
        return bool(ready)


def _marks_pastes() -> bool:
    """Load line editing, and tell whether it will recognise a paste: GNU readline can from 8.1 on."""
    try:
        import readline
    except ImportError:
        return False
    gnu = "libedit" not in (readline.__doc__ or "")
    version: int = getattr(readline, "_READLINE_VERSION", 0)
    if not gnu or version < _MARKS_PASTES_FROM or os.environ.get("TERM", "dumb") == "dumb":
        return False
    # Python turns it off, for the sake of its own prompt: https://github.com/python/cpython/issues/86985.
    readline.parse_and_bind("set enable-bracketed-paste on")
    return True
