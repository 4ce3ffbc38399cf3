"""The callback form of an answer: functions that are told of text, the end, or an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chatlab.errors import ChatlabError
from chatlab.values.events import Done, Failed, StreamEvent, TextDelta
from chatlab.values.reply import Reply


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Up to three functions; None is not called."""

    on_text: Callable[[str], object] | None = None
    on_done: Callable[[Reply], object] | None = None
    on_error: Callable[[ChatlabError], object] | None = None

    def tell(self, event: StreamEvent) -> None:
        """Call the function that this event concerns."""
        match event:
            case TextDelta(text) if self.on_text is not None:
                self.on_text(text)
            case Done(reply) if self.on_done is not None:
                self.on_done(reply)
            case Failed(error) if self.on_error is not None:
                self.on_error(error)
