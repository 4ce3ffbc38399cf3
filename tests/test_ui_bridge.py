"""From a transcript to a front end: few numbered batches, and the same state on both sides."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import chatlab.ui
from chatlab.chat.transcript import Transcript, reply_facts
from chatlab.ui.bridge import BATCHES_PER_SECOND, Bridge
from chatlab.ui.front import Front
from chatlab.ui.labels import footer, session_total
from chatlab.ui.markdown import to_html
from chatlab.ui.projection import Projection, Scope
from chatlab.ui.static_copy import reply_html, static_html
from chatlab.values.events import ReasoningDelta, TextDelta
from chatlab.values.reply import ContextReport, Reply, Timings
from chatlab.values.usage import UNKNOWN_COST, Cost, Usage

CASES = json.loads((Path(__file__).parent / "front" / "messages.json").read_text())
CHAT_JS = Path(chatlab.ui.__file__).parent / "static" / "chat.js"
NODE = shutil.which("node")


class Timer:
    """Time by hand: `later` notes what is due, `pass_` lets time go by."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._due.append((self.now + seconds, action))

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        while due := [entry for entry in self._due if entry[0] <= self.now]:
            self._due.remove(due[0])
            due[0][1]()


class Wire:
    """Carries messages as JSON, counts them, and loses some when told to."""

    def __init__(self, transcript: Transcript, *, loss: float = 0, scope: Scope | None = None) -> None:
        self.timer = Timer()
        self.messages: list[dict[str, Any]] = []
        self.fronts: list[Front] = []
        self._chance = random.Random(1)
        self._loss = loss
        self.asked: list[str] = []
        self.bridge = Bridge(transcript, self.carry, self.timer.later, scope=scope)

    def carry(self, message: dict[str, Any]) -> None:
        text = json.dumps(message)
        self.messages.append(json.loads(text))
        if message["t"] == "ops" and self._chance.random() < self._loss:
            return
        for front in self.fronts:
            front.receive(json.loads(text))

    def join(self, name: str = "front") -> Front:
        front = Front(name, ask=lambda message: self.asked.append(message["name"]))
        self.fronts.append(front)
        self.bridge.sync(name)
        return front

    def answer_questions(self) -> None:
        """Answer fronts that missed something, as a kernel does when their message arrives."""
        while self.asked:
            self.bridge.sync(self.asked.pop())


def conversation() -> Transcript:
    transcript = Transcript()
    transcript.describe(model="m", simulated=True, session_id="s1")
    transcript.add("q", None, "user", "hi <b>")
    transcript.add("r", "q", "assistant", model="m", status="streaming")
    return transcript


def reply(text: str, **facts: Any) -> Reply:
    times = Timings(started_at=datetime(2026, 1, 1, tzinfo=UTC), first_token_s=0.5, total_s=2.5)
    usage = Usage(input_tokens=1200, output_tokens=20, cache_read=1000, reasoning=5)
    cost = Cost(usd=Decimal("0.0012"), basis="reported")
    known = {"status": "completed", "usage": usage, "model": "m", "cost": cost, "timings": times}
    return Reply(**({"text": text} | known | facts))


def test_a_front_end_has_what_the_transcript_has() -> None:
    transcript = conversation()
    wire = Wire(transcript)
    front = wire.join()
    text = "# Title\n\n- a\n- b 😀\n\n```python\nx = 1\n```\n\nend **bold**"
    for character in text:
        transcript.apply("r", [TextDelta(character)])
        wire.timer.pass_(0.01)
    transcript.apply("r", [ReasoningDelta("*hm*")])
    transcript.finish("r", reply(text, reasoning="*hm*"), None)
    wire.timer.pass_(1)
    assert front.html("r") == to_html(text)
    assert front.html("r", "reasoning") == "<p><em>hm</em></p>\n"
    assert front.nodes["r"]["status"] == "complete"
    assert front.nodes["q"]["said"] == "hi <b>"
    assert front.state() == json.loads(json.dumps(wire.bridge.state()))


def test_batches_are_few_however_fast_the_text_comes() -> None:
    transcript = conversation()
    wire = Wire(transcript)
    wire.join()
    for _ in range(4000):
        transcript.apply("r", [TextDelta("a\n\n")])
        wire.timer.pass_(0.0005)
    assert len(wire.messages) <= 2 * BATCHES_PER_SECOND + 2


def test_nothing_is_sent_when_nothing_happens() -> None:
    wire = Wire(conversation())
    wire.join()
    wire.timer.pass_(60)
    assert [message["t"] for message in wire.messages] == ["snap"]


def test_deltas_of_a_batch_are_merged_but_never_across_another_operation() -> None:
    transcript = conversation()
    wire = Wire(transcript)
    wire.join()
    transcript.apply("r", [TextDelta("a")])
    transcript.apply("r", [TextDelta("b")])
    transcript.set_head("q")
    transcript.apply("r", [TextDelta("c")])
    wire.timer.pass_(1)
    assert [op[0] for op in wire.messages[-1]["ops"]] == ["body", "head", "body"]


@pytest.mark.parametrize("seed", range(5))
def test_lost_batches_heal(seed: int) -> None:
    transcript = conversation()
    wire = Wire(transcript, loss=0.3)
    wire._chance.seed(seed)
    front = wire.join()
    for i in range(300):
        transcript.apply("r", [TextDelta(f"word {i}\n\n" if i % 7 == 0 else f"word {i} ")])
        wire.timer.pass_(0.02)
        wire.answer_questions()
    transcript.finish("r", reply(transcript.path()[-1]["text"]), None)
    wire.timer.pass_(1)
    wire.join("front")
    assert front.gaps > 0
    assert front.state() == json.loads(json.dumps(wire.bridge.state()))


def test_a_view_that_joins_late_does_not_disturb_the_first() -> None:
    transcript = conversation()
    wire = Wire(transcript)
    first = wire.join("first")
    transcript.apply("r", [TextDelta("one")])
    second = wire.join("second")
    transcript.apply("r", [TextDelta(" two")])
    wire.timer.pass_(1)
    assert first.gaps == second.gaps == 0
    assert first.html("r") == second.html("r") == "<p>one two</p>\n"


def test_who_follows_no_longer_is_told_nothing_but_can_still_ask() -> None:
    transcript = conversation()
    wire = Wire(transcript)
    wire.bridge.close()
    transcript.apply("r", [TextDelta("late")])
    wire.timer.pass_(1)
    assert wire.messages == []
    assert wire.join().html("r") == ""


def test_bytes_grow_with_the_new_text() -> None:
    transcript = conversation()
    wire = Wire(transcript)
    wire.join()
    text = "\n\n".join(f"## Part {i}\n\nSome **words** in it, and `code`.\n\n- a\n- b" for i in range(200))
    for at in range(0, len(text), 10):
        transcript.apply("r", [TextDelta(text[at : at + 10])])
        wire.timer.pass_(0.04)
    sent = sum(len(json.dumps(message, ensure_ascii=False)) for message in wire.messages)
    assert sent / len(text) < 20  # 10 characters a batch: most of it is the frame of the batch


def test_replaced_text_replaces_what_was_streamed() -> None:
    transcript = conversation()
    wire = Wire(transcript)
    front = wire.join()
    transcript.apply("r", [TextDelta("draft\n\none\n\ntwo\n\nthree\n\nfour")])
    wire.timer.pass_(1)
    transcript.finish("r", reply("final"), None)
    wire.timer.pass_(1)
    assert front.html("r") == "<p>final</p>\n"


def test_an_exchange_is_one_question_and_its_answers() -> None:
    transcript = conversation()
    wire = Wire(transcript, scope=Scope(after="r"))
    front = wire.join()
    transcript.apply("r", [TextDelta("not mine")])
    transcript.add("q2", "r", "user", "mine")
    transcript.add("r2", "q2", "assistant", status="streaming")
    transcript.apply("r2", [TextDelta("this")])
    transcript.add("q3", "r2", "user", "not mine")
    wire.timer.pass_(1)
    assert list(front.nodes) == ["q2", "r2"]
    assert front.head == "r2"
    assert front.html("r2") == "<p>this</p>\n"


def test_an_exchange_that_has_been_is_found() -> None:
    front = Wire(conversation(), scope=Scope(after=None)).join()
    assert list(front.nodes) == ["q", "r"]


def test_hostile_facts_are_stripped() -> None:
    transcript = Transcript()
    transcript.describe(model="a\u202eb", title="t\x1b")
    transcript.add("q", None, "user", "x\u202ey\ud800")
    front = Wire(transcript).join()
    assert front.facts["model"] == "ab"
    assert front.facts["title"] == "t"
    assert front.nodes["q"]["said"] == "xy"


def test_an_unknown_operation_is_an_error() -> None:
    projection = Projection()
    projection.project([["add", conversation().path()[0]]])
    with pytest.raises(ValueError, match="no such operation"):
        projection.project([["turn", "q"]])


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_reducer_in_python(case: dict[str, Any]) -> None:
    asks: list[Any] = []
    front = Front(ask=asks.append)
    for message in deepcopy(case["messages"]):
        front.receive(message)
    assert json.loads(json.dumps(front.state())) == case["state"]
    assert len(asks) == case["asks"]


@pytest.mark.skipif(NODE is None, reason="Node is not installed; the browser tests run the same cases")
def test_the_reducer_in_javascript(tmp_path: Path) -> None:
    module = tmp_path / "chat.mjs"
    module.write_text(CHAT_JS.read_text())
    script = f"""
        import {{ emptyState, reduce }} from {json.dumps(module.as_uri())};
        const out = {json.dumps(CASES)}.map((c) => {{
          const state = emptyState();
          const results = c.messages.map((message) => reduce(state, message, "front"));
          return {{ asks: results.filter((result) => result === "gap").length,
                    state: {{ nodes: [...state.nodes.values()], head: state.head, facts: state.facts }} }};
        }});
        process.stdout.write(JSON.stringify(out));
    """
    run = subprocess.run(
        [str(NODE), "--input-type=module", "-e", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    for case, made in zip(CASES, json.loads(run.stdout), strict=True):
        assert made == {"asks": case["asks"], "state": case["state"]}, case["case"]


def texts(labels: list[dict[str, str]]) -> list[str]:
    return [label["text"] for label in labels]


def test_the_footer_says_tokens_cost_and_times() -> None:
    labels = footer(reply_facts(reply("x")), asked="m")
    assert texts(labels) == ["1,200 in + 20 out", "$0.0012 reported", "first token 0.50 s", "10 tok/s"]
    assert labels[0]["title"] == "Tokens: 1,200 in + 20 out, 1,000 of it read from cache, 5 of it reasoning"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"usage": None, "cost": UNKNOWN_COST}, {"tokens unknown", "cost unknown"}),
        ({"cost": Cost(usd=Decimal("0.5"), basis="estimated")}, {"~$0.50 estimated"}),
        ({"served_model": "other"}, {"other"}),
        ({"finish_reason": "length"}, {"ended by length"}),
        ({"attempts": 3}, {"3 attempts"}),
        (
            {"context": ContextReport(included=3, left_out=2, estimated_tokens=9)},
            {"2 older messages not sent"},
        ),
        ({"warnings": ("odd",)}, {"warning"}),
    ],
    ids=["unknown", "estimated", "served by another", "length", "retried", "left out", "warning"],
)
def test_the_footer_says_what_is_unusual(facts: dict[str, Any], expected: set[str]) -> None:
    assert expected <= set(texts(footer(reply_facts(reply("x", **facts)), asked="m")))


@pytest.mark.parametrize(
    ("total", "text"),
    [
        ({}, "1,000 tokens · $0.10"),
        ({"cost_unknown": 2}, "1,000 tokens · $0.10 + 2 unknown"),
        ({"cost": "unknown", "cost_unknown": 1}, "1,000 tokens · cost unknown"),
    ],
)
def test_the_total_says_what_it_leaves_out(total: dict[str, Any], text: str) -> None:
    whole = {"tokens": 1000, "tokens_unknown": 0, "cost": "$0.10", "cost_unknown": 0, "earlier": 0} | total
    label = session_total(whole)
    assert label is not None
    assert label["text"] == text


def long_conversation(messages: int) -> dict[str, Any]:
    transcript = Transcript()
    parent = None
    for i in range(messages):
        transcript.add(f"n{i}", parent, "user" if i % 2 == 0 else "assistant", f"message {i} <script>")
        parent = f"n{i}"
    projection = Projection()
    projection.load(transcript.state())
    return projection.state()


def test_the_static_copy_has_the_whole_conversation() -> None:
    html = static_html(long_conversation(6))
    assert all(f"message {i} &lt;script&gt;" in html for i in range(6))
    assert "<script" not in html


def test_the_static_copy_is_bounded_and_says_what_it_leaves_out() -> None:
    html = static_html(long_conversation(400), limit=5_000)
    assert len(html) < 6_000
    assert "message 399" in html
    assert "messages are in the store" in html


def test_a_reply_is_shown_as_safe_html_with_its_footer() -> None:
    html = reply_html(reply("**x** <img src=x onerror=alert(1)>", simulated=True))
    assert "<strong>x</strong> &lt;img" in html
    assert "SIMULATED" in html
