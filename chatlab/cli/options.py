"""What commands have in common: the options of the whole program, the way to the workbench, name=value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from chatlab.errors import InvalidValue

if TYPE_CHECKING:
    from chatlab.workbench import Workbench

ModelOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="MODEL", help="Model id, for example openai/gpt-5-mini."),
]
ToolOption: TypeAlias = Annotated[
    str | None, typer.Option("--tool", "-t", metavar="TOOL", help="Tool definition; see `chatlab tools`.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
CsvOption: TypeAlias = Annotated[
    bool, typer.Option("--csv", help="Write CSV, safe to open in a spreadsheet.")
]

_OTHER_WAYS = {
    "messages": "the question itself",
    "model": "-m",
    "prompt": "the question itself",
    "stream": "--no-stream",
    "system": "--system",
    "tool": "-t",
    "variables": "--var",
}


@dataclass(frozen=True, slots=True)
class ProgramOptions:
    """Options that stand before the command."""

    store: Path | None = None


def workbench(ctx: typer.Context) -> Workbench:
    """Open the workbench that the program's options and the environment name."""
    from chatlab.workbench import open_workbench

    options = ctx.find_object(ProgramOptions) or ProgramOptions()
    return open_workbench(options.store)


def assignments(texts: Sequence[str], option: str) -> dict[str, str]:
    """Read `name=value` texts of a repeated option. Raises InvalidValue."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InvalidValue(f"{option} {text!r} is not of the form name=value, as in {option} topic=tides")
        pairs[name.strip()] = value
    return pairs


def parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Read `name=value` texts whose values are JSON where they can be: numbers, true, lists; else text.

    Raises InvalidValue, also for a name that an option of its own stands for.
    """
    params = {name: _json_or_text(value) for name, value in assignments(texts, "-p").items()}
    for name in sorted(params.keys() & _OTHER_WAYS.keys()):
        raise InvalidValue(f"-p {name}=... is not a setting of the request: use {_OTHER_WAYS[name]}")
    return params


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
