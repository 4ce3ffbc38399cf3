"""`%%chat`: a cell whose body is a prompt, in one conversation for the whole notebook."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import IPython.display
from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from chatlab.conversation import Chat, Exchange
from chatlab.errors import ChatlabError
from chatlab.values.events import TextDelta
from chatlab.workbench import Workbench

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

WORKBENCH_NAME = "lab"
"""The variable whose workbench the magic uses, and where it puts the one that it opens."""

NOTEBOOK: Any = IPython.display  # its functions carry no types
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # no place in a terminal


def register(shell: InteractiveShell, open_workbench: Callable[[], Workbench]) -> None:
    """Add the magics to an IPython; `open_workbench` is called when the notebook has none."""
    register_function: Any = shell.register_magic_function  # its types are those before it was wrapped
    register_function(ChatMagic(shell, open_workbench).chat, magic_kind="cell", magic_name="chat")


def make_parser() -> Any:
    """Build the parser of the magic's first line; what it cannot read it raises as UsageError."""
    parser: Any = MagicArgumentParser(prog="%%chat", add_help=False)  # type: ignore[no-untyped-call]  # IPython's own has no types
    parser.add_argument("-m", "--model", help="model that answers from here on")
    parser.add_argument("-t", "--tool", help="tool definition in force from here on")
    parser.add_argument("-n", "--new", action="store_true", help="begin a new conversation")
    return parser


class ChatMagic:
    """The magic in one notebook, with the conversation that its cells share."""

    def __init__(self, shell: InteractiveShell, open_workbench: Callable[[], Workbench]) -> None:
        self._shell: Any = shell
        self._open_workbench = open_workbench
        self._parser = make_parser()
        self._lab: Workbench | None = None
        self._chat: Chat | None = None

    def chat(self, line: str, cell: str) -> None:
        """Send the cell to a model and show its answer as it comes.

        %%chat [-m MODEL] [-t TOOL] [--new]

        -m, --model   model that answers from here on
        -t, --tool    tool definition in force from here on
        -n, --new     begin a new conversation; without it, the cells of a notebook are one

        Interrupt the kernel to stop an answer; what has come is kept.
        """
        arguments = self._parser.parse_argstring(line)
        if not cell.strip():
            raise UsageError("%%chat: the cell is empty: write the message under the first line")
        try:
            self._exchange(self._conversation(arguments.model, arguments.tool, arguments.new), cell.strip())
        except ChatlabError as error:
            raise UsageError(f"%%chat: {error}") from None
        except KeyboardInterrupt:  # an error, so that "run all" goes no further
            raise UsageError("%%chat: stopped; what had come is kept") from None

    def _conversation(self, model: str | None, tool: str | None, new: bool) -> Chat:
        lab = self._workbench()
        if self._chat is None or new or lab is not self._lab:
            self._lab, self._chat = lab, lab.chat(model=model, tool=tool)
            return self._chat
        if tool is not None:
            self._chat.tool = tool
        if model is not None:
            self._chat.model = model
        return self._chat

    def _workbench(self) -> Workbench:
        found = self._shell.user_ns.get(WORKBENCH_NAME)
        if isinstance(found, Workbench):
            return found
        if found is not None:
            raise UsageError(
                f"%%chat: the variable {WORKBENCH_NAME!r} is not a workbench: give it another name"
            )
        lab = self._shell.user_ns[WORKBENCH_NAME] = self._open_workbench()
        return lab

    def _exchange(self, chat: Chat, prompt: str) -> None:
        after = chat.transcript.head
        stream = chat.post(prompt)
        if self._shows_exchanges():
            NOTEBOOK.display(Exchange(chat, after))
        else:
            for event in stream:
                if isinstance(event, TextDelta):
                    sys.stdout.write(CONTROLS.sub("", event.text))
            sys.stdout.write(f"\n\n{stream.result().footer()}\n")
        stream.result()

    def _shows_exchanges(self) -> bool:
        """Whether a face has said how to show one here; in a terminal none has."""
        try:
            self._shell.display_formatter.ipython_display_formatter.lookup_by_type(Exchange)
        except KeyError:
            return False
        return True
