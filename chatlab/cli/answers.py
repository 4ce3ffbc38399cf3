"""An answer on its way to the reader: streamed to a terminal or a pipe, and stopped by Ctrl-C.

On a terminal: `Assistant: ` and the text as it comes, an empty line, one line on model, tokens and cost.
In a pipe: the exact text alone on standard output, that line on standard error.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from chatlab.cli.exits import INTERRUPTED, abandon_stdout, exit_code, say
from chatlab.cli.terminal import Neutraliser, is_terminal, safe_label, styled
from chatlab.errors import ChatlabError
from chatlab.values.events import Done, Failed, Retrying, TextDelta
from chatlab.values.reply import Reply

if TYPE_CHECKING:
    from chatlab.blocking import Stream


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended: the reply, an error, or both when it failed half-way."""

    reply: Reply | None
    error: ChatlabError | None = None

    @property
    def exit_code(self) -> int:
        """The exit code for a command that asked for this answer."""
        if self.error is not None:
            return exit_code(self.error)
        return INTERRUPTED if self.reply is not None and self.reply.status == "stopped" else 0


class AnswerView(Protocol):
    """Where the pieces of an answer are shown."""

    def text(self, piece: str) -> None:
        """Show a further piece."""

    def end(self, ending: Ending) -> None:
        """Show how it ended."""


class StreamedView:
    """Shows the answer while it comes; the speaker is named with the first piece."""

    def __init__(self) -> None:
        self._terminal = is_terminal(sys.stdout)
        self._neutraliser = Neutraliser()
        self._last = ""  # the last piece shown
        self._reader_left = False

    def text(self, piece: str) -> None:
        """Write a further piece at once; harmless on a terminal, exact in a pipe."""
        self._show(self._neutraliser.feed(piece) if self._terminal else piece)

    def end(self, ending: Ending) -> None:
        """Finish the last line, then tell about model, tokens and cost, and about an error."""
        reply = ending.reply
        if reply is not None and not self._last:
            self.text(reply.text or reply.refusal)
        self._show(self._neutraliser.end())
        if self._last and not self._last.endswith("\n"):
            self._write("\n")
        if reply is not None and (self._last or ending.error is None):
            self._footer(reply)
        if ending.error is not None:
            say(str(ending.error))

    def _footer(self, reply: Reply) -> None:
        for warning in reply.warnings:
            say(warning)
        footer = safe_label(reply.footer())
        if self._terminal:
            self._write(f"\n{styled(footer, 'dim', sys.stdout)}\n")
        else:
            sys.stderr.write(f"{footer}\n")
            sys.stderr.flush()

    def _show(self, text: str) -> None:
        if not text:
            return
        if self._terminal and not self._last:
            self._write(styled("Assistant:", "bold", sys.stdout) + " ")
        self._write(text)
        self._last = text

    def _write(self, text: str) -> None:
        """Write now. A reader that leaves does not end the answer: the rest is still received and saved."""
        if self._reader_left:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            self._reader_left = True
            abandon_stdout()


class QuietView:
    """Shows nothing while the answer comes: for output that is made from the whole."""

    def text(self, piece: str) -> None:
        """Show nothing."""

    def end(self, ending: Ending) -> None:
        """Tell only of an error."""
        if ending.error is not None:
            say(str(ending.error))


def follow(stream: Stream, view: AnswerView) -> Ending:
    """Show an answer to its end. Ctrl-C stops it and keeps what has come; pressed again it interrupts."""
    ending: Ending | None = None
    with _interrupt_stops(stream):
        for event in stream:
            match event:
                case TextDelta():
                    view.text(event.text)
                case Retrying():
                    say(f"attempt {event.attempt} failed ({event.reason}); next in {event.wait_s:.1f} s")
                case Done():
                    ending = Ending(event.reply)
                case Failed():
                    ending = Ending(event.reply, event.error)
    if ending is None:  # it broke without saying so: the stream's own result tells why
        ending = Ending(stream.result())
    view.end(ending)
    return ending


@contextmanager
def _interrupt_stops(stream: Stream) -> Iterator[None]:
    """Turn the first Ctrl-C into a stop: the stream then ends by itself, saved, instead of being torn."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stream.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def answer_object(ending: Ending) -> dict[str, Any]:
    """Describe an answer as JSON values, always with the same keys.

    Amounts are text, exact; what is not known, or did not come, is null.
    """
    error = ending.error
    found = None if error is None else {"kind": type(error).__name__, "message": str(error)}
    reply = dict.fromkeys(_REPLY_KEYS) if ending.reply is None else _reply_object(ending.reply)
    return reply | {"error": found}


_COPIED = (
    "text",
    "status",
    "finish_reason",
    "reasoning",
    "refusal",
    "model",
    "served_model",
    "provider",
    "attempts",
    "simulated",
    "session_id",
    "message_id",
    "call_id",
    "attempt_id",
    "generation_id",
)
_REPLY_KEYS = (*_COPIED, "usage", "cost_usd", "cost_basis", "timings", "context", "warnings")


def _reply_object(reply: Reply) -> dict[str, Any]:
    usage, usd = reply.usage, reply.cost.usd
    return {name: getattr(reply, name) for name in _COPIED} | {
        "usage": asdict(usage) | {"total_tokens": usage.total_tokens} if usage else None,
        "cost_usd": None if usd is None else format(usd, "f"),
        "cost_basis": reply.cost.basis,
        "timings": asdict(reply.timings) | {"tokens_per_second": reply.tokens_per_second},
        "context": asdict(reply.context) if reply.context else None,
        "warnings": list(reply.warnings),
    }
