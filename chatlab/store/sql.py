"""The named queries: one file each in `queries/`, with a comment that defines what comes back."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def named(name: str) -> str:
    """Return the text of a named query."""
    return (files(__package__) / "queries" / f"{name}.sql").read_text("utf-8")
