"""What can be asked, and how: `chatlab models` and `chatlab tools`."""

from __future__ import annotations

from typing import Annotated

import typer

from chatlab.cli.options import JsonOption, workbench
from chatlab.cli.records import show
from chatlab.cli.tables import Table

_MODEL_COLUMNS = ("model", "name", "context_length", "input_usd_per_mtok", "output_usd_per_mtok")


def models(
    ctx: typer.Context,
    *,
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch the gateway's list anew.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the gateway's models, with prices in USD per million tokens.

    The list is fetched once and then kept in the store.

    \b
    Examples:
      chatlab models --refresh
      chatlab models --json | jq -r '.[].model'
    """
    with workbench(ctx) as lab:
        table = Table.of(lab.models(refresh=refresh))
    shown = table if as_json else table.only(_MODEL_COLUMNS)
    show(shown, as_json=as_json, empty="the gateway lists no model")


def tools(ctx: typer.Context, *, as_json: JsonOption = False) -> None:
    """List the tool definitions.

    Each is a YAML file in tool_definitions/: a system prompt, a model, limits and variables under one name.

    \b
    Examples:
      chatlab tools
      chatlab ask "What are tides?" -t tutor
    """
    with workbench(ctx) as lab:
        table = Table.of(lab.tools())
        folder = lab.settings.tool_directory
    show(table, as_json=as_json, empty=f"there is no tool definition in {folder}")
