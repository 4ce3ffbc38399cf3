"""How chats and exchanges are shown in a notebook.

Beside each widget stands a second output, its copy as plain HTML: the widget's style sheet hides it, and
where there is no widget any more it is what remains. It is a separate output because an update of the
widget's own would make the page draw the widget anew, and lose what was being typed.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import IPython.display

from chatlab.chat.transcript import Op
from chatlab.conversation import Chat, Exchange
from chatlab.ui.projection import Scope
from chatlab.ui.static_copy import static_html
from chatlab.ui.view import ChatView, later

NOTEBOOK: Any = IPython.display  # its functions carry no types
_VIEWS: WeakKeyDictionary[Chat, ChatView] = WeakKeyDictionary()


def display_chat(chat: Chat) -> None:
    """Show the live view of a chat. Shown twice, it is one view in two places."""
    view = _VIEWS.get(chat)
    if view is None:
        view = _VIEWS[chat] = ChatView(chat)
    NOTEBOOK.display(view)
    StaticCopy(view)


def display_exchange(exchange: Exchange) -> None:
    """Show one exchange of a chat, live until it ends."""
    view = ChatView(exchange.chat, scope=Scope(exchange.after))
    NOTEBOOK.display(view)
    StaticCopy(view, once=True)


class StaticCopy:
    """The second output of a view, brought up to date at the end of each answer."""

    def __init__(self, view: ChatView, *, once: bool = False) -> None:
        self._view = view
        self._once = once  # the view is finished with its first answer
        self._handle = NOTEBOOK.DisplayHandle()
        self._stop_listening = view.transcript.listen(self._heed)
        self._handle.display(NOTEBOOK.HTML(self._render()))

    def _heed(self, op: Op) -> None:
        match op:
            case ["set", _, {"status": status}] if status != "streaming":
                later(0, self._update)

    def _update(self) -> None:
        self._handle.update(NOTEBOOK.HTML(self._render()))

    def _render(self) -> str:
        state = self._view.state()
        ended = any(node["role"] == "assistant" and node["status"] != "streaming" for node in state["nodes"])
        if self._once and ended:
            self._stop_listening()
            self._view.settle()
        return static_html(state)
