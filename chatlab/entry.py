"""The front door: opens a workbench, and in a notebook teaches it how chats are shown.

Workbench and faces do not know each other; this module knows both.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chatlab.workbench import Workbench, open_workbench

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def open(  # noqa: A001 -- read as chatlab.open
    store: str | Path | None = None,
    *,
    gateway: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
    user: str | None = None,
    group: str | None = None,
    tools: str | Path | None = None,
) -> Workbench:
    """Open a workbench; see `chatlab.workbench.open_workbench`. In a notebook, chats then show as widgets."""
    shell = _shell()
    if shell is not None:
        _show_chats(shell)
    return open_workbench(
        store, gateway=gateway, api_key=api_key, model=model, user=user, group=group, tools=tools
    )


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Do what `%load_ext chatlab` asks for: the magics, and chats shown as widgets."""
    from chatlab import magics

    magics.register(shell, open_workbench)
    _show_chats(shell)


def _shell() -> InteractiveShell | None:
    """Return the running IPython, without importing it where there is none."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def _show_chats(shell: InteractiveShell) -> None:
    from chatlab import ui

    ui.register(shell)
