"""`chatlab chat`: a conversation line by line, in a terminal or from a script.

Ctrl-C during an answer stops it and comes back to the prompt; Ctrl-D leaves. A message of several lines
is pasted as it is, or typed with a backslash at the end of each line but the last.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from chatlab.cli.answers import StreamedView, follow
from chatlab.cli.exits import say
from chatlab.cli.lines import LineReader
from chatlab.cli.options import ModelOption, ToolOption, workbench
from chatlab.cli.tables import Table
from chatlab.cli.terminal import is_terminal, safe_label, styled
from chatlab.errors import ChatlabError, InvalidValue

if TYPE_CHECKING:
    from chatlab.conversation import Chat
    from chatlab.workbench import Workbench

HELP = """\
/model [NAME]   show or change the model; takes effect with the next message
/tool [NAME]    show or change the tool definition; /tool - for none
/usage          tokens and cost of this conversation
/help           this list
/quit           leave (also Ctrl-D)
Ctrl-C stops an answer and keeps what has come. A backslash at the end of a line continues the message.
"""


def chat(
    ctx: typer.Context,
    *,
    resume: Annotated[
        str | None,
        typer.Option("--resume", "-r", metavar="ID", help="Continue a conversation: its id, or `last`."),
    ] = None,
    model: ModelOption = None,
    tool: ToolOption = None,
) -> None:
    """Hold a conversation line by line.

    Ctrl-C during an answer stops it, Ctrl-D leaves; /help lists the commands. From a pipe every line is
    a message.

    \b
    Examples:
      chatlab chat -m openai/gpt-5-mini
      chatlab chat --resume last
    """
    with workbench(ctx) as lab:
        conversation = lab.chat(model=model, tool=tool) if resume is None else None
        if conversation is None:
            conversation = lab.resume(str(resume), model=model, tool=tool)
        _Dialogue(lab, conversation, LineReader()).run()


class _Leave(Exception):
    """The person wants to go."""


class _Dialogue:
    """The person's side of a conversation: messages go to the model, lines with a slash are commands."""

    def __init__(self, lab: Workbench, chat: Chat, reader: LineReader) -> None:
        self._lab = lab
        self._chat = chat
        self._reader = reader
        self._terminal = is_terminal(sys.stdout)
        self._asked = False
        self._commands: dict[str, Callable[[str], None]] = {
            "/model": self._model,
            "/tool": self._tool,
            "/usage": self._usage,
            "/help": lambda _: self._show(HELP),
            "/quit": self._quit,
            "/exit": self._quit,
        }

    def run(self) -> None:
        """Go on until the person leaves."""
        if self._terminal:
            self._show(styled(self._greeting(), "dim", sys.stdout) + "\n")
        try:
            while True:
                self._turn()
        except (_Leave, EOFError):
            self._farewell()

    def _turn(self) -> None:
        try:
            message = self._reader.read()
            if message.startswith("/"):
                self._command(message)
            elif message.strip():
                self._ask(message)
        except KeyboardInterrupt:
            self._show("\n" + styled("(Ctrl-D leaves, /help lists commands)", "dim", sys.stdout) + "\n")
        except ChatlabError as error:
            say(str(error))

    def _ask(self, message: str) -> None:
        stream = self._chat.stream(message)
        self._asked = True
        follow(stream, StreamedView())
        self._show("\n" if self._terminal else "")

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            raise InvalidValue(f"there is no command {name!r}: one of {', '.join(self._commands)}")
        command(rest.strip())

    def _model(self, name: str) -> None:
        if name:
            self._chat.model = name
        self._show(f"model: {safe_label(self._chat.model)}\n")

    def _tool(self, name: str) -> None:
        if name:
            self._chat.tool = None if name == "-" else name
        self._show(f"tool: {safe_label(self._chat.tool or 'none')}\n")

    def _usage(self, _: str) -> None:
        frame = self._lab.sql(
            "select coalesce(served_model, model) as model, count(*) as attempts, "
            "sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens, "
            "sum(cost_usd) as cost_usd, count(*) filter (where cost_usd is null) as n_unknown "
            "from ai_usage where session_id = ? group by all order by 1",
            [self._chat.session_id],
        )
        self._show(Table.of(frame).text() if len(frame) else "nothing has been asked yet\n")

    def _quit(self, _: str) -> None:
        raise _Leave

    def _greeting(self) -> str:
        chat = self._chat
        parts = [safe_label(chat.model)]
        parts += [f"tool {safe_label(chat.tool)}"] if chat.tool else []
        parts += ["SIMULATED"] if self._lab.simulated else []
        return f"chatlab: {' | '.join(parts)}. Ctrl-C stops an answer, Ctrl-D leaves, /help lists commands."

    def _farewell(self) -> None:
        if self._terminal:
            again = (
                f"\nContinue with: chatlab chat --resume {self._chat.session_id}\n" if self._asked else "\n"
            )
            self._show(styled(again, "dim", sys.stdout))

    def _show(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
