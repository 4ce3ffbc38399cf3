"""A notebook-first workbench for language-model chats.

import chatlab
lab = chatlab.open()
reply = lab.ask("Why is the sky blue?")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatlab.blocking import Stream
    from chatlab.conversation import Chat
    from chatlab.entry import load_ipython_extension, open  # noqa: A004 -- read as chatlab.open
    from chatlab.errors import ChatlabError, GatewayError, StoreError
    from chatlab.values.events import Done, Failed, ReasoningDelta, Retrying, TextDelta
    from chatlab.values.reply import Reply
    from chatlab.values.usage import Cost, Usage
    from chatlab.workbench import Workbench

__all__ = [
    "Chat",
    "ChatlabError",
    "Cost",
    "Done",
    "Failed",
    "GatewayError",
    "ReasoningDelta",
    "Reply",
    "Retrying",
    "StoreError",
    "Stream",
    "TextDelta",
    "Usage",
    "Workbench",
    "load_ipython_extension",
    "open",
]

_HOMES = {
    "Chat": "chatlab.conversation",
    "ChatlabError": "chatlab.errors",
    "Cost": "chatlab.values.usage",
    "Done": "chatlab.values.events",
    "Failed": "chatlab.values.events",
    "GatewayError": "chatlab.errors",
    "ReasoningDelta": "chatlab.values.events",
    "Reply": "chatlab.values.reply",
    "Retrying": "chatlab.values.events",
    "StoreError": "chatlab.errors",
    "Stream": "chatlab.blocking",
    "TextDelta": "chatlab.values.events",
    "Usage": "chatlab.values.usage",
    "Workbench": "chatlab.workbench",
    "load_ipython_extension": "chatlab.entry",
    "open": "chatlab.entry",
}


def __getattr__(name: str) -> Any:
    """Find a public name in its module on first use, so that `import chatlab` stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module 'chatlab' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
