"""`chatlab doctor`: what is configured, what can be reached, and what to do about what cannot."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from chatlab.cli.exits import NOT_FOUND
from chatlab.cli.options import JsonOption, workbench
from chatlab.cli.tables import json_text
from chatlab.cli.terminal import safe_label, styled
from chatlab.errors import ConfigurationError

if TYPE_CHECKING:
    from chatlab.checkup import Check


def doctor(ctx: typer.Context, *, as_json: JsonOption = False) -> None:
    """Check configuration, gateway, store and versions.

    Ends with exit code 3 when a check fails.

    \b
    Examples:
      chatlab doctor
      chatlab doctor --json | jq '.[] | select(.ok | not)'
    """
    checks = _checks(ctx)
    if as_json:
        sys.stdout.write(json_text([asdict(check) for check in checks], indent=1) + "\n")
    else:
        width = max((len(check.name) for check in checks), default=0)
        sys.stdout.write("".join(_line(check, width) for check in checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(NOT_FOUND)


def _checks(ctx: typer.Context) -> list[Check]:
    try:
        with workbench(ctx) as lab:
            return lab.doctor()
    except ConfigurationError as error:
        from chatlab.checkup import Check

        return [Check(name="configuration", ok=False, detail=type(error).__name__, remedy=str(error))]


def _line(check: Check, width: int) -> str:
    mark = styled("ok    ", "green", sys.stdout) if check.ok else styled("failed", "red", sys.stdout)
    line = f"{mark}  {check.name:<{width}}  {safe_label(check.detail)}\n"
    remedy = f"{'':<6}  {'':<{width}}  -> {safe_label(check.remedy)}\n" if check.remedy else ""
    return line + remedy
