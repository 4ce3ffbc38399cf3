"""One environment for every test: no key that works, the simulator as gateway, nothing real written to.

The canary is a key that must never be seen anywhere: it stands in the environment of the whole run, and
when the run ends every file that a test left is searched for it.
"""

import httpx2

httpx2.alias_httpx()  # before respx is imported anywhere: it then sees the traffic of the openai SDK

import os
import signal
from pathlib import Path

import pytest

CANARY = "sk-or-v1-canary-4b1d0f7a9c2e"
ARTIFACTS = Path(__file__).parent / "artifacts"

_OURS = ("AI_", "CHATLAB_", "OPENROUTER_", "OPENAI_")
_KEPT = {"CHATLAB_CHROMIUM", "CHATLAB_REQUIRE_BROWSER", "CHATLAB_UPDATE_PICTURE"}

for _name in [name for name in os.environ if name.startswith(_OURS) and name not in _KEPT]:
    del os.environ[_name]
os.environ.update(AI_GATEWAY_URL="simulator", OPENROUTER_API_KEY=CANARY, CHATLAB_SIMULATOR_PACE="0")

# A run that a script starts in the background is deaf to Ctrl-C, and so would be the commands under test.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    """Give each test a store of its own, so none writes to data/."""
    path = tmp_path_factory.mktemp("store") / "lab.duckdb"
    monkeypatch.setenv("CHATLAB_STORE", str(path))
    return path


@pytest.fixture(scope="session", autouse=True)
def canary_stays_hidden(tmp_path_factory):
    """Fail the run when any file that it left holds the key of the environment."""
    yield
    places = [tmp_path_factory.getbasetemp(), ARTIFACTS]
    paths = [path for place in places for path in place.rglob("*") if not path.is_symlink()]
    leaks = [str(path) for path in paths if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert not leaks, f"the key of the environment was written to {leaks}"


def pytest_collection_modifyitems(items):
    """Run browser tests last: Playwright keeps an event loop running in this thread until the run ends."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
