"""The program: its options and its commands, one module per noun."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, TextIO, cast

import typer

from chatlab.cli.ask import ask
from chatlab.cli.catalogue import models, tools
from chatlab.cli.chat import chat
from chatlab.cli.demo import demo
from chatlab.cli.doctor import doctor
from chatlab.cli.exits import EPILOG, GuardedGroup
from chatlab.cli.options import ProgramOptions
from chatlab.cli.records import sql, usage
from chatlab.cli.simulator import SimulatorCommand, simulator

app = typer.Typer(
    name="chatlab",
    cls=GuardedGroup,
    help="Chat with language models: every answer streams live, every request is a durable, priced row.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: half the start time, and the same text in a pipe
    pretty_exceptions_enable=False,  # they print local variables
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"chatlab {version('chatlab-workbench')}")
        raise typer.Exit


@app.callback()
def program(
    ctx: typer.Context,
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="FILE", help="Store file; otherwise CHATLAB_STORE, then data/."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    del version  # handled by its callback
    ctx.obj = ProgramOptions(store=store)


for command in (ask, chat, usage, sql, models, tools, doctor, simulator, demo):
    app.command(cls=SimulatorCommand if command is simulator else None)(command)


def run() -> None:
    """Run the program on this process's arguments and streams, and exit."""
    # Some services start programs with streams closed, which Python then does not have at all.
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = sys.stdout or _nowhere("w")
    sys.stderr = sys.stderr or _nowhere("w")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        _accept_any_text(stream)
    app(prog_name="chatlab")


def _nowhere(mode: str) -> TextIO:
    return cast(TextIO, Path(os.devnull).open(mode, encoding="utf-8"))


def _accept_any_text(stream: TextIO) -> None:
    """Replace what the encoding lacks, rather than fail on a byte of a piped diff or in mid-answer."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
