"""What the store holds, as rows: `chatlab usage` and `chatlab sql`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from chatlab.cli.exits import say
from chatlab.cli.options import CsvOption, JsonOption, workbench
from chatlab.cli.tables import Table
from chatlab.cli.terminal import is_terminal, safe_text
from chatlab.errors import InvalidValue

if TYPE_CHECKING:
    from chatlab.workbench import Workbench

_FOR_PROGRAMS = ("n_attempts", "total_tokens", "n_reported", "first_token_s", "tokens_per_second")


def usage(
    ctx: typer.Context,
    *,
    by: Annotated[
        str,
        typer.Option("--by", metavar="GROUPS", help="Comma-separated: model, day, tool, user, session ..."),
    ] = "model",
    since: Annotated[
        str, typer.Option("--since", metavar="PERIOD", help="24h, 7d, 2w, a date, or `all`.")
    ] = "7d",
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Sum tokens and cost by model, day, tool and more.

    A cost that is not known is shown as unknown and counted in n_unknown, never as 0. JSON and CSV have
    more columns than the table.

    \b
    Examples:
      chatlab usage --by model,day --since 7d
      chatlab usage --by user --since all --csv > usage.csv
    """
    _refuse_both(as_json=as_json, as_csv=as_csv)
    groups = [name.strip() for name in by.split(",") if name.strip()]
    if not groups:
        raise InvalidValue("--by names no group: for example --by model,day")
    with workbench(ctx) as lab:
        table = Table.of(lab.usage(groups, since=None if since == "all" else since))
        _note_simulation(lab)
    shown = table if as_json or as_csv else brief_usage(table)
    show(shown, as_json=as_json, as_csv=as_csv, empty="no call in this period")


def brief_usage(table: Table) -> Table:
    """Leave out of a usage table what does not fit beside the rest on a screen."""
    return table.only([column for column in table.columns if column not in _FOR_PROGRAMS])


def sql(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="One SELECT; `-` reads it from standard input.")],
    *,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Run one SELECT over the store.

    It can neither change anything nor reach files or the network. The views to begin with: ai_usage,
    ai_models, usage_by_day, usage_by_model, usage_by_session.

    \b
    Examples:
      chatlab sql "select model, sum(cost_usd) as cost_usd from ai_usage group by model"
      chatlab sql - --csv < report.sql > report.csv
    """
    _refuse_both(as_json=as_json, as_csv=as_csv)
    text = sys.stdin.read() if query == "-" else query
    with workbench(ctx) as lab:
        table = Table.of(lab.sql(text))
        _note_simulation(lab)
    show(table, as_json=as_json, as_csv=as_csv, empty="no rows")


def show(table: Table, *, as_json: bool, as_csv: bool = False, empty: str) -> None:
    """Write rows in the form asked for; `empty` is what to tell a person when there are none."""
    terminal = is_terminal(sys.stdout)
    if as_json:
        sys.stdout.write(table.json())
    elif as_csv:
        sys.stdout.write(safe_text(table.csv()) if terminal else table.csv())
    elif table.rows:
        sys.stdout.write(table.text() if terminal else table.text(longest_cell=None))
    else:
        say(empty)


def _refuse_both(*, as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise InvalidValue("--json and --csv exclude each other: choose one")


def _note_simulation(lab: Workbench) -> None:
    """Say so when the rows are not of real calls; to a person only."""
    if lab.simulated and is_terminal(sys.stderr):
        say(f"simulated rows, from {lab.settings.store}")
