"""The chat widget: one front end of a transcript in the notebook.

State goes out through the bridge and nothing else. What comes in is from a web page: it is checked, handed
to the chat, whose methods never block, and forgotten. A handler runs in any thread, the kernel decides.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from chatlab.blocking import BackgroundLoop
from chatlab.chat.transcript import Transcript
from chatlab.conversation import Chat
from chatlab.errors import ChatlabError
from chatlab.ui.bridge import Bridge
from chatlab.ui.choices import choices
from chatlab.ui.markdown import plain
from chatlab.ui.projection import Scope
from chatlab.values.reply import Reply

STATIC = Path(__file__).parent / "static"
LONGEST_MESSAGE = 1_000_000  # characters that a page may send as one message
LONGEST_NAME = 200

RENDERING = BackgroundLoop()
"""Rendering and sending have a thread of their own: streams never wait for Markdown."""


def later(seconds: float, action: Callable[[], None]) -> None:
    """Run an action on the rendering thread after some seconds."""
    RENDERING.post(lambda: RENDERING.loop().call_later(seconds, action, context=contextvars.Context()))


class ChatView(anywidget.AnyWidget):
    """A live view of a chat, or with `scope` of one exchange of it, without a composer."""

    _esm = "\n".join((STATIC / name).read_text() for name in ("parts.js", "chat.js"))
    _css = STATIC / "chat.css"
    composer = traitlets.Bool(True).tag(sync=True)

    def __init__(self, chat: Chat, *, scope: Scope | None = None) -> None:
        super().__init__(composer=scope is None)
        self._chat = chat
        self._front: contextvars.Context | None = None
        self._bridge = Bridge(chat.transcript, self._publish, later, scope=scope)
        self.on_msg(self._on_message)

    @property
    def transcript(self) -> Transcript:
        """The transcript that is shown."""
        return self._chat.transcript

    def state(self) -> dict[str, Any]:
        """Return what the page has, as the bridge's snapshot."""
        return self._bridge.state()

    def settle(self) -> None:
        """Follow the chat no longer: what is shown is complete."""
        self._bridge.close()

    def _on_message(self, _widget: object, message: object, _buffers: object) -> None:
        """Do what the reader asks; a refusal is told to the reader."""
        self._front = contextvars.copy_context()
        if not isinstance(message, dict):
            return
        try:
            self._obey(message)
        except ChatlabError as error:
            self._tell(str(error), unsent=message.get("t") == "send")

    def _obey(self, message: dict[Any, Any]) -> None:
        match message:
            case {"t": "ready", "name": str(name)} if len(name) <= LONGEST_NAME:
                self._bridge.sync(name)
                if self.composer:
                    threading.Thread(target=self._send_choices, name="chatlab-choices", daemon=True).start()
            case {"t": "send", "text": str(text)} if len(text) <= LONGEST_MESSAGE:
                self._chat.post(text).future.add_done_callback(self._tell_failure)
            case {"t": "stop"}:
                self._chat.stop()
            case {"t": "model", "model": str(model)} if 0 < len(model) <= LONGEST_NAME:
                self._chat.model = model
            case {"t": "tool", "tool": str(tool)} if len(tool) <= LONGEST_NAME:
                self._chat.tool = tool
            case {"t": "tool", "tool": None}:
                self._chat.tool = None

    def _tell_failure(self, answer: Future[Reply]) -> None:
        """Tell why a message got no answer, when that is not said in the conversation already."""
        error = None if answer.cancelled() else answer.exception()
        if error is None or any(node["error"] == str(error) for node in self.transcript.path()[-1:]):
            return
        kind = "" if isinstance(error, ChatlabError) else f"{type(error).__name__}: "
        self._tell(f"{kind}{error}", unsent=True)

    def _send_choices(self) -> None:
        """Read models and tools, which may take a request to the gateway, and send them."""
        try:
            self._publish({"t": "choices"} | choices(self._chat.bench))
        except ChatlabError as error:
            self._tell(f"The list of models is not available: {error}")

    def _tell(self, text: str, *, unsent: bool = False) -> None:
        """Say something to the reader; `unsent` gives back the message that was not sent."""
        self._publish({"t": "note", "text": plain(text), "unsent": unsent})

    def _publish(self, message: dict[str, Any]) -> None:
        """Send to the page, in the context of its last message.

        The kernel answers a view in the thread from which the view was last sent to. In this context that
        is never the main thread, so that Stop also works while a cell is busy there.
        """
        if self._front is None:
            self.send(message)
        else:
            self._front.copy().run(self.send, message)

    def __repr__(self) -> str:  # the inherited one writes out every trait, style sheet and code included
        return f"ChatView(of {self._chat!r})"
