"""A real JupyterLab and a headless Chromium, one of each for all browser tests.

Chromium is Debian's (`apt-get install chromium`), or the one named by CHATLAB_CHROMIUM. Without it the tests
are skipped, unless CHATLAB_REQUIRE_BROWSER=1 turns that into a failure. Requests to anything but this
machine are refused and recorded: a page that wants the network is a finding.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

CHROMIUM = os.environ.get("CHATLAB_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_FLAGS = [
    "--no-sandbox",  # root in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",  # /dev/shm is often small in containers
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--no-first-run",
    "--no-pings",
    "--disable-renderer-backgrounding",  # timers at full speed although nothing is on a screen
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
]
FOREIGN = re.compile(r"^(?:https?|wss?)://(?!127\.0\.0\.1[:/])")
# JupyterLab's own complaint about requests of its debugger and subshells that a closed kernel never answers.
OWN_NOISE = re.compile(r"Canceled future for (?:debug|create_subshell|delete_subshell)_request")
START_S, STOP_S = 60, 8
PROJECT = Path(__file__).parents[2]
ARTIFACTS = PROJECT / "tests" / "artifacts"
ACTIVE = ".jp-NotebookPanel:not(.lm-mod-hidden)"

SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # every cell stays in the page
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path; a skip or, on demand, a failure where there is none."""
    missing = [] if CHROMIUM else ["Chromium (apt-get install chromium, or name one in CHATLAB_CHROMIUM)"]
    with contextlib.suppress(ImportError):
        import playwright.sync_api

        assert playwright.sync_api
    if "playwright.sync_api" not in sys.modules:
        missing.append("playwright (pip install playwright)")
    if missing:
        reason = "browser tests need " + " and ".join(missing)
        if os.environ.get("CHATLAB_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return str(CHROMIUM)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that JupyterLab shows; its kernels write to a store beside it."""
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="session")
def browser_store(folder: Path) -> Path:
    """The store of every kernel of the browser tests."""
    return folder / "store" / "browser.duckdb"


@pytest.fixture(scope="session")
def server(chromium: str, folder: Path, browser_store: Path) -> Iterator[Server]:
    """JupyterLab on a free port of this machine, with settings of its own."""
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    shutil.copytree(PROJECT / "tool_definitions", folder / "tool_definitions")
    browser_store.parent.mkdir()
    with Server(
        notebooks, folder / "jupyter", CHATLAB_STORE=str(browser_store), CHATLAB_SIMULATOR_PACE="60"
    ) as running:
        yield running


@pytest.fixture(scope="session")
def lab(server: Server, chromium: str) -> Iterator[Lab]:
    """One page with JupyterLab in it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=CHROMIUM_FLAGS)
        context = browser.new_context(viewport={"width": 1180, "height": 1000})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        lab = Lab(server, context.new_page())
        context.route(FOREIGN, lab.refuse)
        yield lab
        context.close()
        browser.close()


class Server:
    """A JupyterLab process. Its configuration, runtime and workspaces are in a folder of its own."""

    def __init__(self, notebooks: Path, state: Path, **environment: str) -> None:
        self.notebooks = notebooks
        self.token = secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self._state = state
        self._log = state / "lab.log"
        self._environment = environment

    def __enter__(self) -> Self:
        for plugin, values in SETTINGS.items():
            file = self._state / "settings" / f"{plugin}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._variables(),
                cwd=self.notebooks,
                start_new_session=True,
            )
        self._await()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            for session in self.api("/api/sessions"):
                self.api(f"/api/sessions/{session['id']}", "DELETE")
            self.api("/api/shutdown", "POST")
        for last_word in (None, signal.SIGTERM, signal.SIGKILL):
            if last_word is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, last_word)  # a group of its own: start_new_session
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
                return

    def api(self, path: str, method: str = "GET") -> Any:
        """Call the server's own interface."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=5) as response:
            body = response.read()
        return json.loads(body) if body else None

    def _await(self) -> None:
        end = time.monotonic() + START_S
        while True:
            assert self._process.poll() is None, "JupyterLab ended:\n" + self._log.read_text()[-4000:]
            try:
                self.api("/api/status")
            except OSError:
                assert time.monotonic() < end, "JupyterLab is silent:\n" + self._log.read_text()[-4000:]
                time.sleep(0.1)
            else:
                return

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.url.rpartition(':')[2]}"),
            *("--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}"),
            *(f"--ServerApp.root_dir={self.notebooks}", "--ServerApp.terminals_enabled=False"),
            "--LabApp.expose_app_in_browser=True",  # window.jupyterapp: commands by name instead of clicks
            *("--LabApp.extension_manager=readonly", "--LanguageServerManager.autodetect=False"),
        ]

    def _variables(self) -> dict[str, str]:
        inherited = {
            name: os.environ[name] for name in os.environ if not name.startswith(("JUPYTER", "JPY_"))
        }
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        for name in folders.values():
            (self._state / name).mkdir(parents=True, exist_ok=True)
        own = {variable: str(self._state / name) for variable, name in folders.items()}
        return inherited | own | {"JUPYTER_PLATFORM_DIRS": "1"} | self._environment


class Lab:
    """JupyterLab in a page: notebooks are opened, run and closed in it one after the other."""

    def __init__(self, server: Server, page: Any) -> None:
        self.server = server
        self.page = page
        self.problems: list[str] = []  # what the page's console complained of
        self.refused: list[str] = []  # requests to other machines
        page.on("pageerror", lambda error: self._hear(f"error: {error}"))
        page.on("console", lambda message: self._hear(message.text) if message.type == "error" else None)
        self._started = False

    def refuse(self, route: Any) -> None:
        """Refuse a request to another machine, and remember it."""
        self.refused.append(route.request.url)
        route.abort()

    def open(self, name: str) -> None:
        """Open a notebook of the server's folder and wait for its kernel."""
        if not self._started:
            self._started = True
            self.page.goto(f"{self.server.url}/lab?reset&token={self.server.token}")
            self.page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)")
        self.command("docmanager:open", {"path": name, "factory": "Notebook"})
        self.page.wait_for_function(
            "(path) => { const panel = window.jupyterapp.shell.currentWidget;"
            " const kernel = panel?.context?.path === path && panel.sessionContext?.session?.kernel;"
            " return kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle'; }",
            arg=name,
            timeout=60_000,
        )

    def open_cells(self, name: str, *cells: str) -> None:
        """Write a notebook of code cells and open it."""
        import nbformat

        notebook = nbformat.v4.new_notebook(
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}},
            cells=[nbformat.v4.new_code_cell(cell, id=f"cell-{i:02d}") for i, cell in enumerate(cells)],
        )
        nbformat.write(notebook, self.server.notebooks / name)
        self.open(name)

    def close(self) -> None:
        """End the kernel and close the notebook."""
        self.page.evaluate(
            "() => { const panel = window.jupyterapp.shell.currentWidget; panel.context.model.dirty = false;"
            " return panel.sessionContext.shutdown().then(() => { panel.close(); return null; }); }"
        )

    def command(self, command: str, arguments: dict[str, Any] | None = None) -> None:
        """Run one of JupyterLab's commands and wait for it."""
        self.page.evaluate(
            "([command, args]) => window.jupyterapp.commands.execute(command, args).then(() => null)",
            [command, arguments or {}],
        )

    def run_all(self, *, wait: bool = True) -> None:
        """Run every cell; without `wait` return at once, for a cell that blocks on purpose."""
        if not wait:
            self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
            return
        self.command("notebook:run-all-cells")
        errors = [output for cell in self.cells() for output in cell["outputs"] if "evalue" in output]
        assert not errors, errors

    def cells(self) -> list[dict[str, Any]]:
        """The code cells as the notebook's model has them."""
        cells: list[dict[str, Any]] = self.page.evaluate(
            "() => Array.from(window.jupyterapp.shell.currentWidget.content.model.cells)"
            ".filter((cell) => cell.type === 'code').map((cell) => cell.toJSON())"
        )
        return cells

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme: Light or Dark."""
        self.command("apputils:change-theme", {"theme": f"JupyterLab {name}"})
        wanted = "true" if name == "Light" else "false"
        self.page.wait_for_function("(wanted) => document.body.dataset.jpThemeLight === wanted", arg=wanted)

    def output(self, selector: str) -> Any:
        """Find something in the outputs of the notebook in front."""
        return self.page.locator(f"{ACTIVE} .jp-OutputArea {selector}")

    def picture(self, name: str, target: Any = None) -> Path:
        """Keep a picture of the page, or of one element, among the artifacts."""
        ARTIFACTS.mkdir(exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        (target or self.page).screenshot(path=path)
        return path

    def _hear(self, problem: str) -> None:
        if not OWN_NOISE.search(problem):
            self.problems.append(problem)
