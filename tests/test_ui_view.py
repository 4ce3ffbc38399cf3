"""The widget without a page: what it does with messages, and what it sends."""

from __future__ import annotations

import json
import queue
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import chatlab.ui
from chatlab.conversation import Chat, Exchange
from chatlab.errors import ChatlabError
from chatlab.ui import display, register
from chatlab.ui.choices import choices
from chatlab.ui.front import Front
from chatlab.ui.projection import Scope
from chatlab.ui.view import LONGEST_MESSAGE, ChatView
from chatlab.workbench import Workbench, open_workbench

STATIC = Path(chatlab.ui.__file__).parent / "static"
LONG = "Write a very long story about owls."
WAIT_S = 20  # for what comes from another thread


class Page(ChatView):
    """A view whose messages go to a front end in Python instead of a kernel's wire."""

    def __init__(self, chat: Chat, **kwargs: Any) -> None:
        self.front = Front("page", ask=self.say)
        self.others: queue.Queue[dict[str, Any]] = queue.Queue()  # notes and choices
        super().__init__(chat, **kwargs)

    def send(self, content: Any, buffers: Any = None) -> None:
        message = json.loads(json.dumps(content))
        self.front.receive(message)
        if message["t"] in ("note", "choices"):
            self.others.put(message)

    def say(self, message: Any) -> None:
        self._handle_custom_msg(message, [])

    def hear(self, kind: str) -> dict[str, Any]:
        while True:
            message = self.others.get(timeout=WAIT_S)
            if message["t"] == kind:
                return message


@pytest.fixture
def lab() -> Iterator[Workbench]:
    with open_workbench() as lab:
        yield lab


@pytest.fixture
def page(lab: Workbench) -> Page:
    page = Page(lab.chat())
    page.say({"t": "ready", "name": "page"})
    return page


def answered(page: Page) -> dict[str, Any]:
    """Wait for the end of the running answer; return its node as the page has it."""
    stream = page._chat._stream
    assert stream is not None
    stream.future.exception(WAIT_S)
    page.state()
    return list(page.front.nodes.values())[-1]


def test_a_message_from_the_page_is_answered_in_the_page(page: Page) -> None:
    page.say({"t": "send", "text": "What is the capital of Peru?"})
    node = answered(page)
    assert node["status"] == "complete"
    assert "Lima" in page.front.html(node["id"])
    assert any("reported" in label["text"] for label in node["footer"])
    assert page.front.facts["simulated"] is True
    assert "tokens · $" in page.front.facts["total"]["text"]


def test_stop_keeps_what_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATLAB_SIMULATOR_PACE", "200")
    with open_workbench() as lab:
        page = Page(lab.chat())
        page.say({"t": "ready", "name": "page"})
        came: queue.Queue[str] = queue.Queue()
        page.transcript.listen(lambda op: came.put(op[3]) if op[0] == "delta" else None)
        page.say({"t": "send", "text": LONG})
        came.get(timeout=WAIT_S)
        page.say({"t": "stop"})
        node = answered(page)
    assert node["status"] == "stopped"
    assert page.front.html(node["id"])


def test_a_second_message_is_refused_while_an_answer_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATLAB_SIMULATOR_PACE", "50")
    with open_workbench() as lab:
        page = Page(lab.chat())
        page.say({"t": "send", "text": LONG})
        page.say({"t": "send", "text": "and this?"})
        assert "an answer is still coming" in page.hear("note")["text"]
        page.say({"t": "stop"})


def test_the_pickers_offer_models_and_tools(page: Page) -> None:
    message = page.hear("choices")
    models = {choice["id"]: choice["detail"] for choice in message["models"]}
    assert "sim/crow" in models
    assert re.fullmatch(r"[\d,]+ tokens · \$[\d.]+ in, \$[\d.]+ out per million", models["sim/crow"])
    assert {"", "tutor"} <= {choice["id"] for choice in message["tools"]}


def test_the_page_chooses_model_and_tool(page: Page) -> None:
    page.say({"t": "model", "model": "sim/bee"})
    page.say({"t": "tool", "tool": "tutor"})
    page.state()
    assert page._chat.model == "sim/bee"
    assert (page.front.facts["model"], page.front.facts["tool"]) == ("sim/bee", "tutor")
    page.say({"t": "tool", "tool": None})
    assert page._chat.tool is None


def test_a_choice_that_does_not_exist_is_told_and_changes_nothing(page: Page) -> None:
    page.say({"t": "tool", "tool": "nosuch"})
    note = page.hear("note")
    assert "nosuch" in note["text"]
    assert note["unsent"] is False
    assert page._chat.tool is None


def test_a_failure_is_in_the_conversation_and_is_no_traceback(page: Page) -> None:
    page.say({"t": "model", "model": "sim/nosuch"})
    page.say({"t": "send", "text": "hello"})
    node = answered(page)
    assert node["status"] == "error"
    assert node["error"]
    assert "Traceback" not in node["error"]


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "send",
        {},
        {"t": "nosuch"},
        {"t": "send"},
        {"t": "send", "text": 3},
        {"t": "send", "text": "x" * (LONGEST_MESSAGE + 1)},
        {"t": "model", "model": ""},
        {"t": "model", "model": ["m"]},
        {"t": "model", "model": "m" * 1000},
        {"t": "tool", "tool": {"name": "tutor"}},
        {"t": "ready"},
        {"t": "ready", "name": "n" * 1000},
        {"t": "__init__", "text": "x"},
    ],
    ids=lambda message: json.dumps(message)[:40],
)
def test_messages_of_any_other_form_are_ignored(page: Page, message: Any) -> None:
    before = page.state()
    page.say(message)
    assert page.state() == before


def test_an_empty_message_is_told(page: Page) -> None:
    page.say({"t": "send", "text": "  "})
    note = page.hear("note")
    assert "empty" in note["text"]
    assert note["unsent"] is True


def test_a_message_that_does_not_fit_is_given_back_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(
        "name: small\ndescription: little room\nbehavior:\n  system: Be brief.\nhistory:\n  max_tokens: 50\n"
    )
    with open_workbench(tools=tmp_path) as narrow:
        page = Page(narrow.chat(tool="small"))
        page.say({"t": "ready", "name": "page"})
        page.say({"t": "send", "text": "word " * 1000})
        note = page.hear("note")
    assert note["unsent"] is True
    assert "50" in note["text"]
    assert page.front.nodes == {}


def test_an_exchange_has_no_composer_and_shows_its_turn_only(lab: Workbench) -> None:
    chat = lab.chat()
    chat.send("What is the capital of Peru?")
    after = chat.transcript.head
    page = Page(chat, scope=Scope(after))
    page.say({"t": "ready", "name": "page"})
    chat.send("What is the capital of France?")
    page.state()
    assert page.composer is False
    assert [node["said"] for node in page.front.nodes.values()] == ["What is the capital of France?", ""]


def test_the_text_form_is_short_and_has_no_address(lab: Workbench) -> None:
    chat = lab.chat()
    assert repr(ChatView(chat)) == f"ChatView(of {chat!r})"


def test_what_is_saved_with_the_notebook_has_no_conversation_in_it(page: Page) -> None:
    page.say({"t": "send", "text": "What is the capital of Peru?"})
    answered(page)
    assert "Peru" not in json.dumps(page.get_state(), default=str)


def test_unknown_prices_are_said_to_be_unknown() -> None:
    import pandas as pd

    class Bench:
        def __init__(self) -> None:
            self.tool_definitions: dict[str, Any] = {}

        def models(self) -> pd.DataFrame:
            columns = {"model": ["m"], "context_length": [pd.NA], "input_usd_per_mtok": [None]}
            return pd.DataFrame(columns | {"output_usd_per_mtok": [None]})

    assert choices(Bench())["models"][0]["detail"] == "price and context length unknown"  # type: ignore[arg-type]


def test_models_that_cannot_be_listed_are_told(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ChatlabError("no connection")

    page.hear("choices")
    monkeypatch.setattr(page._chat.bench, "models", fail)
    page.say({"t": "ready", "name": "page"})
    assert page.hear("note")["text"] == "The list of models is not available: no connection"


# ---------------------------------------------------------------- display


class Kernelled(InteractiveShell):
    """An IPython that says it belongs to a kernel."""

    kernel = object()


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    shell = Kernelled.instance()
    yield shell
    Kernelled.clear_instance()
    InteractiveShell.clear_instance()


def test_a_chat_shows_a_widget_and_its_readable_copy(shell: InteractiveShell, lab: Workbench) -> None:
    register(shell)
    chat = lab.chat()
    chat.send("What is the capital of Peru?")
    with capture_output() as shown:
        shell.display_formatter.format(chat)  # type: ignore[union-attr]
    widget, copy = shown.outputs
    assert "application/vnd.jupyter.widget-view+json" in widget.data
    assert "Lima" in copy.data["text/html"]
    assert 'class="chatlab-static"' in copy.data["text/html"]


def test_chats_are_still_shown_after_a_second_workbench_was_opened(
    shell: InteractiveShell, lab: Workbench
) -> None:
    for _ in range(2):
        register(shell)
        with capture_output() as shown:
            shell.display_formatter.format(lab.chat())  # type: ignore[union-attr]
        assert [kind for kind in shown.outputs[0].data if "widget-view" in kind], shown.stdout


def test_a_chat_shown_twice_is_one_view(shell: InteractiveShell, lab: Workbench) -> None:
    chat = lab.chat()
    kind = "application/vnd.jupyter.widget-view+json"
    with capture_output() as shown:
        display(chat)
        display(chat)
    first, _, second, _ = shown.outputs
    assert first.data[kind]["model_id"] == second.data[kind]["model_id"]


def test_an_exchange_and_a_reply_are_shown_too(shell: InteractiveShell, lab: Workbench) -> None:
    register(shell)
    chat = lab.chat()
    reply = chat.send("What is the capital of Peru?")
    with capture_output() as shown:
        shell.display_formatter.format(Exchange(chat, None))  # type: ignore[union-attr]
    assert "Lima" in shown.outputs[1].data["text/html"]
    data, _ = shell.display_formatter.format(reply)  # type: ignore[union-attr]
    assert "Lima" in data["text/html"]


def test_in_a_terminal_everything_stays_text(lab: Workbench) -> None:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    register(shell)
    data, _ = shell.display_formatter.format(lab.chat())  # type: ignore[union-attr]
    InteractiveShell.clear_instance()
    assert set(data) == {"text/plain"}


# ---------------------------------------------------------------- what goes to the page


def test_the_page_loads_nothing_from_elsewhere() -> None:
    for file in STATIC.iterdir():
        assert not re.search(r"(?:https?:)?//[a-z]+\.|@import|url\(|\bimport\b[^(]*from", file.read_text()), (
            file
        )


def test_html_is_set_in_two_places_only_both_with_what_python_sanitised() -> None:
    code = ChatView._esm
    assert re.findall(r"innerHTML(?:: | = )(\w+)", code) == ["html", "open"]
    assert not re.search(r"outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", code)


def test_the_view_is_small() -> None:
    assert sum(file.stat().st_size for file in STATIC.iterdir()) < 40_000
