"""The house: imports only go down, nothing goes in circles, and each outside library has its room."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import chatlab

PACKAGE = Path(chatlab.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    # 0 vocabulary
    "errors": 0, "values": 0, "ports": 0,
    # 1 logic: same input, same output
    "gateway": 1, "prices": 1, "tools": 1, "model_ids": 1,
    # 2 adapters: each owns one outside thing
    "gateway.client": 2, "store": 2, "simulator": 2, "settings": 2, "address": 2, "files": 2, "clock": 2,
    # 3 one call; 4 use cases: they reach adapters only through ports
    "calls": 3, "chat": 4, "ledger": 4,
    # 5 wiring
    "blocking": 5, "callbacks": 5, "checkup": 5, "connections": 5, "conversation": 5, "readings": 5,
    "targets": 5, "workbench": 5,
    # 6 faces: never each other; 7 the front door
    "ui": 6, "cli": 6, "magics": 6, "entry": 7,
}  # fmt: skip
FACES = {"ui", "cli", "magics"}
USE_CASES = {"calls", "chat", "ledger"}
ADAPTERS = {"gateway.client", "store", "simulator", "settings", "files", "clock"}

ROOMS = {
    "IPython": {"ui", "magics", "entry"},
    "anywidget": {"ui"},
    "dotenv": {"settings"},
    "duckdb": {"store"},
    "genai_prices": {"prices"},
    "h11": {"simulator"},
    "httpx2": {"gateway.client"},
    "ipywidgets": {"ui"},
    "jiter": {"gateway", "gateway.client"},
    "latex2mathml": {"ui"},
    "markdown_it": {"ui"},
    "mdit_py_plugins": {"ui"},
    "nh3": {"ui"},
    "openai": {"gateway.client"},
    "pandas": {"store", "conversation", "readings", "workbench", "cli", "ui"},
    "portalocker": {"store"},
    "pygments": {"ui"},
    "traitlets": {"ui"},
    "typer": {"cli"},
    "yaml": {"tools"},
}


def module_name(path):
    """Return the dotted name below the package: `gateway.sse`, or "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room(name):
    """Return the entry of FLOORS that a module belongs to: the longest that fits."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in FLOORS:
            return ".".join(parts[:length])
    raise AssertionError(f"chatlab.{name} stands on no floor: add it to FLOORS")


def imports(path):
    """Give every imported module of a file as a dotted name, wherever in the file it is imported."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield longer if is_module(longer) else node.module


def is_module(dotted):
    path = PACKAGE.parent / Path(*dotted.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def own_imports(path):
    """Give the imports of chatlab's own modules, named below the package."""
    for name in imports(path):
        if name.startswith("chatlab."):
            yield name.removeprefix("chatlab.")


INNER = [path for path in MODULES if module_name(path)]


@pytest.mark.parametrize("path", INNER, ids=module_name)
def test_imports_only_go_down(path):
    here = room(module_name(path))
    for name in own_imports(path):
        there = room(name)
        assert FLOORS[there] <= FLOORS[here], f"chatlab.{module_name(path)} imports up: chatlab.{name}"
        if here != there:
            assert not {here, there} <= FACES, f"faces know each other: {here} imports {name}"
            assert not {here, there} <= ADAPTERS, f"adapters know each other: {here} imports {name}"
        if here in USE_CASES:
            assert there not in ADAPTERS, f"{here} reaches an adapter directly: {name}"


@pytest.mark.parametrize("path", INNER, ids=module_name)
def test_outside_libraries_stay_in_their_rooms(path):
    here = room(module_name(path))
    for name in imports(path):
        library = name.split(".")[0]
        if library in sys.stdlib_module_names or library == "chatlab":
            continue
        assert library in ROOMS, f"{library} has no room: chatlab.{module_name(path)}"
        assert here in ROOMS[library], f"{library} does not belong in chatlab.{module_name(path)}"


def test_imports_have_no_cycle():
    graph = {module_name(path): set(own_imports(path)) - {module_name(path)} for path in INNER}
    finished, open_ = set(), []

    def visit(name):
        assert name not in open_, f"cycle: {' -> '.join([*open_[open_.index(name) :], name])}"
        if name in finished:
            return
        open_.append(name)
        for other in sorted(graph.get(name, ())):
            visit(other)
        open_.pop()
        finished.add(name)

    for name in graph:
        visit(name)


def test_public_names_are_sorted_complete_and_found():
    assert chatlab.__all__ == sorted(chatlab.__all__)
    assert dir(chatlab) == chatlab.__all__
    for name in chatlab.__all__:
        assert getattr(chatlab, name) is not None
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = chatlab.nothing_such


def test_importing_chatlab_loads_nothing_heavy():
    script = "import sys, chatlab; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"openai", "pandas", "duckdb", "ipywidgets", "numpy", "httpx2", "IPython", "yaml", "genai_prices"}
    assert not heavy & set(run.stdout.split())


def test_no_module_has_grown_beyond_a_room():
    crowded = {module_name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert not {name: lines for name, lines in crowded.items() if lines > 400}
