"""The chat widget where people use it: JupyterLab, in a browser, with a keyboard."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatlab.workbench import open_workbench

pytestmark = pytest.mark.browser

PROJECT = Path(__file__).parents[2]
TESTS = PROJECT / "tests"
PICTURE = PROJECT / "data" / "pictures" / "chat.png"
PICTURE_LIMIT = 200_000  # bytes
IDLE = ".cl-chat[data-kind=chat][data-busy=false]"
OPEN = "import chatlab\nlab = chatlab.open()\nchat = lab.chat()\nchat"
LONG = "Write a very long story about owls."


@pytest.fixture
def notebook(lab: Any) -> Iterator[Any]:
    """A JupyterLab whose notebook is closed at the end, and whose page complained of nothing."""
    lab.problems.clear()
    lab.refused.clear()
    yield lab
    lab.close()
    assert lab.problems == []
    assert lab.refused == []


def ask(lab: Any, text: str) -> None:
    """Send a message and wait until its answer has begun."""
    answers = lab.output("[data-kind=chat] .cl-assistant")
    before = answers.count()
    box = lab.output(".cl-chat textarea")
    box.fill(text)
    box.press("Enter")
    answers.nth(before).wait_for(state="attached")


def last_answer(lab: Any) -> Any:
    return lab.output("[data-kind=chat] .cl-assistant").last


def lengths_until_idle(lab: Any) -> list[int]:
    """Sample the length of the last answer in the page until it has ended."""
    lengths: list[int] = []
    end = time.monotonic() + 30
    while time.monotonic() < end:
        lengths.append(len(last_answer(lab).locator(".cl-text").inner_text()))
        if lab.output(IDLE).count():
            return lengths
        lab.page.wait_for_timeout(50)
    raise AssertionError("the answer did not end")


def test_the_first_notebook_from_typing_to_sql(notebook: Any, browser_store: Path) -> None:
    lab = notebook
    shutil.copy(PROJECT / "notebooks" / "01-chat.ipynb", lab.server.notebooks)
    lab.open("01-chat.ipynb")
    lab.run_all()
    counts = [cell["execution_count"] for cell in lab.cells()]
    assert "Canberra" in lab.output("[data-kind=chat] .cl-text").nth(1).inner_text()

    # Text arrives in more than one step, and in the end with what it took.
    lab.output(".cl-chat textarea").scroll_into_view_if_needed()
    ask(lab, "Explain why the sky is blue.")
    lab.output("[data-kind=chat][data-busy=true] .cl-assistant[data-status=streaming]").wait_for()
    lengths = lengths_until_idle(lab)
    assert len({length for length in lengths if length}) >= 3, lengths
    assert last_answer(lab).get_attribute("data-status") == "complete"
    foot = last_answer(lab).locator(".cl-foot").inner_text()
    for words in (" in + ", "reported", "first token", "tok/s"):
        assert words in foot

    # Shift+Enter makes a line, and JupyterLab does not run the cell again.
    box = lab.output(".cl-chat textarea")
    box.fill("one")
    box.press("Shift+Enter")
    box.type("two")
    assert box.input_value() == "one\ntwo"
    box.press("Escape")
    box.fill("")
    assert [cell["execution_count"] for cell in lab.cells()] == counts

    # Stop ends a long answer at once and keeps its part.
    ask(lab, LONG)
    last_answer(lab).locator(".cl-text p").first.wait_for()
    start = time.monotonic()
    lab.output("[data-kind=chat] .cl-stop").click()
    lab.output("[data-kind=chat] .cl-assistant[data-status=stopped]").wait_for(timeout=5_000)
    assert time.monotonic() - start < 2
    part = last_answer(lab).locator(".cl-text").inner_text()
    assert 0 < len(part) < 2_000

    # Both are rows of the store, seen from another process.
    with open_workbench(browser_store) as reader:
        rows = reader.sql(
            "select t.role, t.status, t.text from thread t join messages m using (message_id)"
            " where m.session_id = (select session_id from messages join message_parts using (message_id)"
            " where text = $text limit 1) order by t.seq",
            {"text": LONG},
        )
    found = {(row.role, row.status): row.text for row in rows.itertuples()}
    assert found["user", "complete"] == LONG
    assert part.split("\n")[0] in found["assistant", "stopped"]


def test_the_keyboard_alone_is_enough(notebook: Any) -> None:
    lab = notebook
    lab.open_cells("keyboard.ipynb", OPEN)
    lab.run_all()
    lab.output(".cl-pick").first.focus()
    keyboard = lab.page.keyboard
    keyboard.press("Enter")
    lab.output(".cl-item").first.wait_for()
    keyboard.type("owl")
    keyboard.press("Enter")
    lab.output(".cl-value").filter(has_text="sim/owl").wait_for()
    keyboard.press("Tab")
    keyboard.press("Enter")
    lab.output(".cl-item").filter(has_text="tutor").wait_for()
    keyboard.type("tutor")
    keyboard.press("Enter")
    lab.output(".cl-value").filter(has_text="tutor").wait_for()
    keyboard.press("b")  # a shortcut of the notebook: would insert a cell
    keyboard.press("d")
    keyboard.press("d")  # another: would delete the cell
    lab.output(".cl-chat textarea").focus()
    keyboard.type("What is 15 % of 80?")
    keyboard.press("Enter")
    lab.output("[data-kind=chat] .cl-reasoning[open]").wait_for()
    keyboard.press("Escape")
    lab.output(".cl-assistant[data-status=stopped]").wait_for(timeout=5_000)
    assert len(lab.cells()) == 1


def test_stop_works_while_a_cell_is_busy(notebook: Any) -> None:
    lab = notebook
    lab.open_cells("busy.ipynb", OPEN, f"import time\nchat.post({LONG!r})\ntime.sleep(6)")
    lab.run_all(wait=False)
    last_answer(lab).locator(".cl-text p").first.wait_for()
    start = time.monotonic()
    lab.output("[data-kind=chat] .cl-stop").click()
    lab.output(".cl-assistant[data-status=stopped]").wait_for(timeout=10_000)
    assert time.monotonic() - start < 2
    lab.page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
    )


def test_the_reader_who_scrolls_up_is_left_there(notebook: Any) -> None:
    lab = notebook
    lab.open_cells("scroll.ipynb", OPEN)
    lab.run_all()
    ask(lab, LONG)
    log = lab.output(".cl-log")
    lab.page.wait_for_function("(log) => log.scrollHeight > log.clientHeight + 200", arg=log.element_handle())
    log.hover()
    lab.page.mouse.wheel(0, -2000)
    lab.output(".cl-jump").wait_for()
    lab.page.wait_for_timeout(500)
    assert log.evaluate("(log) => log.scrollTop") == 0
    lab.output(".cl-jump").click()
    lab.page.wait_for_timeout(300)
    assert log.evaluate("(log) => log.scrollHeight - log.scrollTop - log.clientHeight") < 24
    lab.output(".cl-stop").click()
    lab.output(IDLE).wait_for()


def assert_harmless(lab: Any) -> None:
    assert lab.page.evaluate("() => window.__pwned") is None
    elements = "script, img, iframe, object, embed, svg, form, video, audio, style, link, meta, base, [style]"
    assert lab.output(".cl-log").locator(elements).count() == 0
    assert lab.output(".cl-log [id], .cl-log [name]").count() == 0


def test_hostile_answers_do_nothing(notebook: Any) -> None:
    """Every hostile text, streamed in pieces as an answer, as reasoning, as a question and as an echo."""
    lab = notebook
    feed = (
        "import json\n"
        "from chatlab import ReasoningDelta, TextDelta\n"
        f"texts = json.load(open({str(TESTS / 'hostile' / 'markdown.json')!r}))\n"
        "for i, text in enumerate(texts):\n"
        "    chat.transcript.add(f'q{i}', chat.transcript.head, 'user', text)\n"
        "    chat.transcript.add(f'r{i}', f'q{i}', 'assistant', model=text, status='streaming')\n"
        "    for at in range(0, len(text), 7):\n"
        "        piece = text[at:at + 7]\n"
        "        chat.transcript.apply(f'r{i}', [TextDelta(piece), ReasoningDelta(piece)])\n"
        "chat.transcript.describe(title='<img src=x onerror=window.__pwned=1>', done=True)"
    )
    finish = (
        "from chatlab.errors import GatewayFault\n"
        "for i, text in enumerate(texts):\n"
        "    chat.transcript.finish(f'r{i}', None, GatewayFault(text))"
    )
    lab.open_cells("hostile.ipynb", OPEN, feed, finish)
    lab.run_all()
    texts = json.loads((TESTS / "hostile" / "markdown.json").read_text())
    lab.page.wait_for_function(
        "(count) => document.querySelectorAll('.cl-assistant[data-status=error]').length === count",
        arg=len(texts),
    )
    for fold in lab.output(".cl-reasoning").all():
        fold.evaluate("(fold) => { fold.open = true; }")
    lab.page.wait_for_timeout(500)
    assert_harmless(lab)
    echo = "<img src=https://evil.example/echo.png onerror=window.__pwned=1>"
    lab.output(".cl-chat textarea").fill(echo)
    lab.output(".cl-send").click()
    lab.output(".cl-assistant[data-status=complete] .cl-text").filter(has_text=echo).wait_for()
    assert_harmless(lab)


def test_a_saved_notebook_is_readable_without_its_kernel(notebook: Any) -> None:
    lab = notebook
    lab.open_cells("saved.ipynb", OPEN)
    lab.run_all()
    ask(lab, "What is the capital of Peru?")
    lab.output(IDLE).wait_for()
    lab.output(".chatlab-static").filter(has_text="Lima").wait_for(state="attached")
    assert not lab.output(".chatlab-static").is_visible()
    lab.command("docmanager:save")
    saved = (lab.server.notebooks / "saved.ipynb").read_text()
    assert "Lima" in saved
    assert len(saved) < 10_000


def test_after_a_restart_the_view_says_what_to_do(notebook: Any) -> None:
    lab = notebook
    lab.open_cells("restart.ipynb", OPEN)
    lab.run_all()
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    lab.page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
    )
    box = lab.output(".cl-chat textarea")
    box.fill("Is anybody there?")
    box.press("Enter")
    lab.output(".cl-notice").filter(has_text="Run the cell again").wait_for()
    assert box.input_value() == "Is anybody there?"


def test_after_a_reload_of_the_page_the_chat_is_there_and_goes_on(notebook: Any) -> None:
    lab = notebook
    lab.open_cells("reload.ipynb", OPEN)
    lab.run_all()
    ask(lab, "What is the capital of Peru?")
    lab.output(IDLE).wait_for()
    lab.command("docmanager:save")
    lab.page.reload()
    lab.output(".cl-assistant").filter(has_text="Lima").wait_for()
    ask(lab, "What is the capital of France?")
    lab.output(".cl-assistant").filter(has_text="Paris").wait_for()


def test_two_views_of_one_chat_show_the_same(notebook: Any) -> None:
    lab = notebook
    lab.open_cells("two.ipynb", OPEN, "chat")
    lab.run_all()
    lab.output(".cl-chat textarea").first.fill("What is the capital of Peru?")
    lab.output(".cl-chat textarea").first.press("Enter")
    lab.page.wait_for_function(
        "() => document.querySelectorAll('.cl-assistant[data-status=complete]').length === 2"
    )
    first, second = lab.output(".cl-assistant .cl-text").all()
    assert first.inner_text() == second.inner_text() != ""


def test_the_reducer_in_the_page(notebook: Any) -> None:
    """The same cases as in the tests of the bridge, here also where Node is not installed."""
    lab = notebook
    lab.open_cells("reducer.ipynb", "1")
    cases = json.loads((TESTS / "front" / "messages.json").read_text())
    made = lab.page.evaluate(
        """async ([code, cases]) => {
          const url = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
          const { emptyState, reduce } = await import(url);
          return cases.map((c) => {
            const state = emptyState();
            const asks = c.messages.filter((message) => reduce(state, message, 'front') === 'gap').length;
            const { nodes, head, facts } = state;
            return { asks, state: { nodes: [...nodes.values()], head, facts } };
          });
        }""",
        [(PROJECT / "chatlab" / "ui" / "static" / "chat.js").read_text(), cases],
    )
    assert made == [{"asks": case["asks"], "state": case["state"]} for case in cases]


def test_it_looks_like_this(notebook: Any) -> None:
    """Pictures for people to look at; one of them, on demand, for the README."""
    lab = notebook
    lab.open_cells("picture.ipynb", OPEN.replace("lab.chat()", 'lab.chat(model="sim/dolphin")'))
    lab.page.set_viewport_size({"width": 1000, "height": 850})
    try:
        lab.command("application:toggle-left-area")
        lab.run_all()
        ask(lab, "What is 19 * 21?")
        lab.output(IDLE).wait_for()
        picture = lab.picture("chat-light")
        if os.environ.get("CHATLAB_UPDATE_PICTURE") == "1":
            assert picture.stat().st_size < PICTURE_LIMIT
            PICTURE.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, PICTURE)
        lab.theme("Dark")
        ask(lab, LONG)
        last_answer(lab).locator(".cl-text p").first.wait_for()
        lab.page.wait_for_timeout(500)
        lab.picture("chat-dark")
        lab.page.set_viewport_size({"width": 600, "height": 850})
        lab.page.wait_for_timeout(300)
        lab.picture("chat-narrow")
        assert lab.output(".cl-chat").evaluate("(chat) => chat.getBoundingClientRect().width") <= 490
        assert lab.output(".cl-chat").evaluate("(chat) => chat.scrollWidth <= chat.clientWidth")
        lab.output(".cl-stop").click()
        lab.output(IDLE).wait_for()
    finally:
        lab.theme("Light")
        lab.page.set_viewport_size({"width": 1180, "height": 1000})
