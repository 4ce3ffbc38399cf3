"""The notebook face: chats as live widgets, replies as safe Markdown.

    transcript -> projection (safe HTML) -> bridge (numbered batches) -> view (widget) -> static/chat.js

Everything but `view`, `choices` and `display` works without a notebook.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from chatlab.conversation import Chat, Exchange
    from chatlab.values.reply import Reply

__all__ = ["display", "register"]

NEEDED = ("anywidget", "latex2mathml", "markdown_it", "mdit_py_plugins", "nh3", "pygments")


def register(shell: InteractiveShell) -> None:
    """Teach a notebook kernel to show chats as widgets and replies as Markdown.

    Elsewhere, and without the libraries of the extra `ui`, they stay text. Loads none of them yet.
    """
    if getattr(shell, "kernel", None) is None or any(find_spec(name) is None for name in NEEDED):
        return
    formatter: Any = shell.display_formatter
    formatter.ipython_display_formatter.for_type_by_name("chatlab.conversation", "Chat", display)
    formatter.ipython_display_formatter.for_type_by_name(
        "chatlab.conversation", "Exchange", _display_exchange
    )
    formatter.formatters["text/html"].for_type_by_name("chatlab.values.reply", "Reply", _reply_html)


def display(chat: Chat) -> None:
    """Show the live view of a chat as output of the running cell. Shown twice, it is one in two places."""
    from chatlab.ui.outputs import display_chat

    display_chat(chat)


def _display_exchange(exchange: Exchange) -> None:
    from chatlab.ui.outputs import display_exchange

    display_exchange(exchange)


def _reply_html(reply: Reply) -> str:
    from chatlab.ui.static_copy import reply_html

    return reply_html(reply)
