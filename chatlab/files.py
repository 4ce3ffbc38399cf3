"""Files that people write for chatlab: the folder of tool definitions."""

from __future__ import annotations

from pathlib import Path

from chatlab.errors import ToolDefinitionError
from chatlab.tools import ToolDefinition, parse_tool

MAX_TOOL_BYTES = 1_000_000
SUFFIXES = (".yaml", ".yml")


def read_tools(directory: Path) -> dict[str, ToolDefinition]:
    """Read every `*.yaml` of a folder, sorted by name; a folder that does not exist has none.

    Raises ToolDefinitionError for the first file that is wrong. Links that lead out of the folder are
    refused: a shared folder of tools must not read files elsewhere.
    """
    if not directory.exists():
        return {}
    if not directory.is_dir():
        raise ToolDefinitionError(f"{directory} is not a folder of tool definitions", source=str(directory))
    files = sorted(path for path in directory.iterdir() if _is_tool_file(path))
    tools: dict[str, ToolDefinition] = {}
    for path in files:
        tool = _read_tool(path, directory)
        if tool.name in tools:
            raise _error(path, f"tool {tool.name!r} is also defined in {tools[tool.name].source}")
        tools[tool.name] = tool
    return dict(sorted(tools.items()))


def _is_tool_file(path: Path) -> bool:
    # Editors and notebooks leave hidden copies beside the files they save.
    return path.suffix in SUFFIXES and not path.name.startswith(".")


def _read_tool(path: Path, directory: Path) -> ToolDefinition:
    tool = parse_tool(_read_text(path, directory), source=str(path))
    if tool.name != path.stem:
        raise _error(path, f"name is {tool.name!r}, but the file is {path.name!r}: make them the same")
    return tool


def _read_text(path: Path, directory: Path) -> str:
    try:
        if not path.resolve(strict=True).is_relative_to(directory.resolve()):
            raise _error(path, "is a link that leads out of the folder: put the file itself there")
        if not path.is_file():  # opening a pipe would wait for its other end
            raise _error(path, "is not a regular file")
        with path.open("rb") as file:
            data = file.read(MAX_TOOL_BYTES + 1)
        if len(data) > MAX_TOOL_BYTES:
            raise _error(path, f"is larger than {MAX_TOOL_BYTES:,} bytes")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise _error(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _error(path, "is not UTF-8 text: save it as UTF-8", line) from None


def _error(path: Path, message: str, line: int | None = None) -> ToolDefinitionError:
    place = path if line is None else f"{path}:{line}"
    return ToolDefinitionError(f"{place}: {message}", source=str(path), line=line)
