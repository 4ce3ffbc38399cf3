"""`chatlab ask`: one question, one answer, made for a terminal and for pipes."""

from __future__ import annotations

import os
import select
import stat
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chatlab.cli.answers import AnswerView, Ending, QuietView, StreamedView, answer_object, follow
from chatlab.cli.exits import say
from chatlab.cli.options import (
    JsonOption,
    ModelOption,
    ToolOption,
    assignments,
    parameters,
    workbench,
)
from chatlab.cli.tables import json_text
from chatlab.errors import GatewayError, InvalidValue

if TYPE_CHECKING:
    from chatlab.blocking import Stream
    from chatlab.workbench import Workbench

_PATIENCE_S = 3.0


def ask(
    ctx: typer.Context,
    prompt: Annotated[str | None, typer.Argument(help="The question; text from a pipe is added.")] = None,
    *,
    model: ModelOption = None,
    tool: ToolOption = None,
    params: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE", help="Setting by its wire name. Repeatable."),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="NAME=VALUE", help="Variable of the tool definition. Repeatable."),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option("--system", "-s", metavar="TEXT", help="System prompt for a new conversation."),
    ] = None,
    go_on: Annotated[
        bool, typer.Option("--continue", "-c", help="Continue the conversation that changed last.")
    ] = False,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Ask for the whole answer in one piece.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask one question and print the answer as it comes.

    On a terminal the answer ends with a line on model, tokens and cost. In a pipe only the text goes to
    standard output and that line to standard error. Ctrl-C stops the answer and keeps what has come.

    \b
    Examples:
      chatlab ask "Why is the sky blue?" -m openai/gpt-5-mini -p temperature=0.2
      git diff | chatlab ask "Review this change"
      chatlab ask "And at sunset?" -c
      chatlab ask "17 * 23" --json < /dev/null
    """
    question = _question(prompt)
    values = assignments(variables or (), "--var")
    if go_on and (system is not None or values or no_stream):
        raise InvalidValue("-c continues a conversation as it is: leave out --system, --var and --no-stream")
    wanted = _Wanted(question, model, tool, values, system, parameters(params or ()))
    view = QuietView() if as_json else StreamedView()
    with workbench(ctx) as lab:
        if no_stream:
            ending = _whole_answer(lab, wanted, view)
        else:
            ending = follow(_continued(lab, wanted) if go_on else _begun(lab, wanted), view)
    if as_json:
        sys.stdout.write(json_text(answer_object(ending)) + "\n")
    raise typer.Exit(ending.exit_code)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked, as the command line says it."""

    question: str
    model: str | None
    tool: str | None
    variables: dict[str, str]
    system: str | None
    params: dict[str, Any]

    @property
    def choices(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "tool": self.tool,
            "variables": self.variables or None,
            "system": self.system,
            **self.params,
        }


def _begun(lab: Workbench, wanted: _Wanted) -> Stream:
    return lab.stream(wanted.question, **wanted.choices)


def _continued(lab: Workbench, wanted: _Wanted) -> Stream:
    chat = lab.resume("last", model=wanted.model, tool=wanted.tool)
    return chat.stream(wanted.question, **wanted.params)


def _whole_answer(lab: Workbench, wanted: _Wanted, view: AnswerView) -> Ending:
    try:
        ending = Ending(lab.ask(wanted.question, stream=False, **wanted.choices))
    except GatewayError as error:
        ending = Ending(None, error)
    view.end(ending)
    return ending


def _question(prompt: str | None) -> str:
    """Put the question together from the argument and from what is piped in; `-` stands for the pipe."""
    piped = _read_pipe() if prompt == "-" or _is_piped() else ""
    asked = "" if prompt in (None, "-") else str(prompt)
    question = "\n\n".join(text for text in (asked.strip(), piped.strip("\r\n")) if text.strip())
    if not question:
        raise InvalidValue('there is no question: chatlab ask "Why is the sky blue?", or pipe a text in')
    return question


def _read_pipe() -> str:
    """Read standard input to its end. Who runs us may have left a pipe open by oversight: say so."""
    ready, _, _ = select.select([sys.stdin], [], [], _PATIENCE_S)
    if not ready:
        say("waiting for the text that is piped in; where none is meant, add < /dev/null")
    return sys.stdin.read()


def _is_piped() -> bool:
    """Tell whether standard input is a pipe, a file or a socket, rather than a person or nothing."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # closed, or replaced by something without a file
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)
