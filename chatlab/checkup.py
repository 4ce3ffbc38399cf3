"""What `doctor` looks at: configuration, gateway, store, tools, and the libraries of each extra."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from chatlab.connections import Connections
from chatlab.errors import ChatlabError
from chatlab.files import read_tools
from chatlab.settings import Settings

EXTRAS = {
    "chat widgets": ("anywidget", "ui"),
    "JupyterLab": ("jupyterlab", "lab"),
    "command line": ("typer", "cli"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding. `remedy` says what to do when it is not ok; None when there is nothing to do."""

    name: str
    ok: bool
    detail: str
    remedy: str | None = None


async def check_up(settings: Settings, connections: Connections, tool_directory: Path) -> list[Check]:
    """Look at everything once and report; nothing found wrong is raised."""
    return [
        *_configuration(settings),
        await _gateway(connections),
        await _store(connections),
        _tools(tool_directory),
        *_libraries(),
    ]


def _configuration(settings: Settings) -> list[Check]:
    where = settings.gateway_url or "the built-in simulator (set AI_API_KEY to reach real models)"
    key = "set" if settings.api_key is not None else "none"
    sources = "; ".join(f"{name} from {place}" for name, place in settings.sources.items())
    model = settings.default_model
    return [
        Check(name="gateway", ok=True, detail=f"{where}, key: {key}"),
        Check(
            name="default model",
            ok=model is not None,
            detail=model or "none",
            remedy=None if model else "set AI_DEFAULT_MODEL in the environment or in .env",
        ),
        Check(name="configuration", ok=True, detail=sources or "defaults"),
    ]


async def _gateway(connections: Connections) -> Check:
    try:
        gateway = await connections.gateway()
        cards = await gateway.models()
    except ChatlabError as error:
        return Check(name="gateway reachable", ok=False, detail=type(error).__name__, remedy=str(error))
    return Check(name="gateway reachable", ok=True, detail=f"{gateway.name} lists {len(cards)} models")


async def _store(connections: Connections) -> Check:
    path = connections.settings.store
    try:
        status = await (await connections.store()).status()
    except ChatlabError as error:
        return Check(name="store", ok=False, detail=f"{path}: {type(error).__name__}", remedy=str(error))
    rows = ", ".join(f"{count} {table}" for table, count in status.rows.items() if count)
    detail = f"{path}, schema {status.schema_version}, {status.size_bytes:,} bytes, {rows or 'empty'}"
    return Check(name="store", ok=True, detail=detail)


def _tools(tool_directory: Path) -> Check:
    try:
        names = list(read_tools(tool_directory))
    except ChatlabError as error:
        return Check(name="tools", ok=False, detail=str(tool_directory), remedy=str(error))
    return Check(name="tools", ok=True, detail=", ".join(names) or f"none in {tool_directory}")


def _libraries() -> list[Check]:
    core = ", ".join(f"{name} {version(name)}" for name in ("openai", "duckdb", "pandas", "genai-prices"))
    found = f"Python {platform.python_version()}, chatlab {version('chatlab-workbench')}, {core}"
    return [Check(name="versions", ok=True, detail=found), *map(_extra, EXTRAS)]


def _extra(name: str) -> Check:
    library, extra = EXTRAS[name]
    try:
        return Check(name=name, ok=True, detail=f"{library} {version(library)}")
    except PackageNotFoundError:
        remedy = f'pip install "chatlab-workbench[{extra}]" if you want it'
        return Check(name=name, ok=True, detail=f"{library} is not installed", remedy=remedy)
