"""A key that is really used is found in nothing that the use leaves behind.

The key goes to a gateway of ours over loopback, which checks it on every request: so it was on the wire,
and yet not in the store, a log, a traceback with local variables, a pickle, a notebook or its widget state.
"""

import copy
import io
import json
import logging
import pickle
import subprocess
import sys
import traceback

import nbformat
import pytest

import chatlab
from chatlab.settings import Settings
from chatlab.simulator import Simulator

KEY = "canary-77c1e0d5b3a94f"  # of no real gateway's form, so that the simulator takes it
REFUSED = "sk-canary-0123456789abcdef"

NOTEBOOK = """
import chatlab, logging
logging.basicConfig(level=logging.DEBUG)
lab = chatlab.open()
chat = lab.chat()
chat.send("What is 2 + 2?")
display(lab, lab.settings, chat, lab.doctor(), lab.sessions())
vars(lab), vars(lab.settings.__class__)
"""


@pytest.fixture
def gateway():
    with Simulator.start(first_token_s=0, tokens_per_second=None) as simulator:
        yield simulator


@pytest.fixture
def environment(gateway, own_store, monkeypatch):
    monkeypatch.setenv("AI_GATEWAY_URL", gateway.url)
    monkeypatch.setenv("AI_API_KEY", KEY)
    monkeypatch.setenv("AI_DEFAULT_MODEL", "sim/owl")
    return own_store.parent


@pytest.fixture
def log():
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def files_with(key, folder):
    return [path for path in folder.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


def test_use_and_failure_leave_no_trace_of_the_key(environment, log):
    shown = []
    with chatlab.open() as lab:
        shown += [repr(lab), repr(lab.settings), str(lab.settings), repr(lab.doctor()), repr(lab.chat())]
        shown.append(repr(lab.ask("What is 2 + 2?")))
        for wrong in ({"model": "sim/unicorn"}, {"max_tokens": -5}):
            with pytest.raises(chatlab.ChatlabError) as caught:
                lab.ask("Hello", **wrong)
            told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
            shown += ["".join(told.format()), repr(vars(caught.value)), str(pickle.dumps(caught.value))]
        shown.append(lab.sql("from attempts").to_csv())
    shown.append(log.getvalue())
    assert log.getvalue()
    assert not [text for text in shown if KEY in text]
    assert files_with(KEY, environment) == []


def test_settings_cannot_be_copied_out_of_the_process_with_their_key(environment):
    settings = Settings.load()
    for leave in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            leave(settings)
    assert KEY not in json.dumps(settings, default=str)


def test_a_refused_key_is_not_in_the_error(gateway, own_store):
    with chatlab.open(gateway=gateway.url, api_key=REFUSED, model="sim/owl") as lab:
        with pytest.raises(chatlab.GatewayError) as caught:
            lab.ask("Hello")
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert REFUSED not in "".join(told.format())
        assert REFUSED not in lab.sql("from attempts").to_csv()


def test_the_command_line_shows_and_stores_no_key(environment):
    commands = (["ask", "Hi", "--json"], ["doctor"], ["ask", "Hi", "-m", "sim/unicorn"], ["models"])
    for arguments in commands:
        run = subprocess.run(
            [sys.executable, "-m", "chatlab.cli", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert KEY.encode() not in run.stdout + run.stderr
    assert files_with(KEY, environment) == []


def test_a_notebook_and_its_widget_state_hold_no_key(environment):
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    [cell] = notebook.cells
    assert not [output for output in cell.outputs if output.output_type == "error"]
    assert "widgets" in notebook.metadata
    nbformat.write(notebook, environment / "executed.ipynb")
    assert files_with(KEY, environment) == []
