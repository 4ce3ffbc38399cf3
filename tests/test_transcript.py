"""A conversation as plain data, and the operations that say what changes."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from chatlab.chat.transcript import Op, Transcript
from chatlab.errors import GatewayFault
from chatlab.values.events import ReasoningDelta, Retrying, TextDelta
from chatlab.values.reply import Reply, Timings
from chatlab.values.usage import UNKNOWN_COST, Cost, Usage

TIMES = Timings(started_at=datetime(2026, 1, 1, tzinfo=UTC), first_token_s=0.5, total_s=2.5)


def reply(text: str = "hello", **facts: Any) -> Reply:
    facts = {"status": "completed", "usage": Usage(input_tokens=5, output_tokens=20), "model": "m"} | facts
    return Reply(text=text, timings=TIMES, **facts)


def conversation() -> tuple[Transcript, list[Op]]:
    """A transcript with a question and a streaming answer, and the operations since."""
    transcript = Transcript()
    transcript.add("q", None, "user", "hi")
    transcript.add("r", "q", "assistant", model="m", status="streaming")
    ops: list[Op] = []
    transcript.listen(ops.append)
    return transcript, ops


def replay(state: dict[str, Any], ops: list[Op]) -> dict[str, Any]:
    """Follow the operations from a snapshot on, in the plainest way."""
    nodes = {node["id"]: node for node in state["nodes"]}
    for op in ops:
        match op:
            case ["add", node]:
                nodes[node["id"]] = node
            case ["delta", node_id, field, text]:
                nodes[node_id][field] += text
            case ["set", node_id, changes]:
                nodes[node_id] |= changes
            case ["head", node_id]:
                state["head"] = node_id
            case ["describe", facts]:
                state["facts"] |= facts
    return {"nodes": list(nodes.values()), "head": state["head"], "facts": state["facts"]}


def test_a_snapshot_and_the_operations_after_it_are_the_whole() -> None:
    transcript, ops = conversation()
    before = transcript.state()
    transcript.describe(model="m", title="T")
    transcript.apply("r", [ReasoningDelta("hm"), TextDelta("he"), TextDelta("llo")])
    transcript.finish("r", reply(), None)
    transcript.add("q2", "r", "user", "more")
    assert replay(before, ops) == transcript.state()
    assert json.loads(json.dumps([before, ops])) == [before, ops]


def test_events_of_one_kind_become_one_operation() -> None:
    transcript, ops = conversation()
    transcript.apply("r", [TextDelta("a"), ReasoningDelta("x"), TextDelta("b"), ReasoningDelta("y")])
    assert ops == [["delta", "r", "reasoning", "xy"], ["delta", "r", "text", "ab"]]


def test_events_without_text_say_nothing() -> None:
    transcript, ops = conversation()
    transcript.apply("r", [TextDelta("")])
    assert ops == []


def test_a_retry_is_noted_until_text_comes() -> None:
    transcript, _ = conversation()
    transcript.apply("r", [Retrying(attempt=1, wait_s=1.26, reason="busy")])
    assert transcript.path()[-1]["note"] == "Attempt 1 failed: busy. Next in 1.3 s."
    transcript.apply("r", [TextDelta("a")])
    assert transcript.path()[-1]["note"] is None


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("completed", "complete"),
        ("stopped", "stopped"),
        ("truncated", "partial"),
        ("error_during", "partial"),
    ],
)
def test_an_answer_ends_with_the_status_of_its_reply(outcome: str, status: str) -> None:
    transcript, _ = conversation()
    transcript.finish("r", reply(status=outcome), None)
    assert transcript.path()[-1]["status"] == status


def test_a_failure_keeps_the_text_and_says_why() -> None:
    transcript, _ = conversation()
    transcript.apply("r", [TextDelta("par")])
    transcript.finish("r", None, GatewayFault("the provider broke"))
    node = transcript.path()[-1]
    assert (node["status"], node["text"], node["error"]) == ("error", "par", "the provider broke")


def test_text_that_was_not_streamed_comes_with_the_end() -> None:
    transcript, ops = conversation()
    transcript.finish("r", reply("all at once"), None)
    assert transcript.path()[-1]["text"] == "all at once"
    assert ops[0][2]["text"] == "all at once"


def test_text_that_was_streamed_is_not_sent_again() -> None:
    transcript, ops = conversation()
    transcript.apply("r", [TextDelta("hello")])
    transcript.finish("r", reply("hello"), None)
    assert "text" not in ops[1][2]


def test_facts_keep_what_is_unknown_unknown() -> None:
    transcript, _ = conversation()
    transcript.finish("r", reply(usage=None, cost=UNKNOWN_COST), None)
    facts = transcript.path()[-1]["facts"]
    assert (facts["total_tokens"], facts["cost"], facts["cost_basis"]) == (None, "unknown", "unknown")


def test_facts_tell_times_and_speed() -> None:
    transcript, _ = conversation()
    transcript.finish("r", reply(), None)
    facts = transcript.path()[-1]["facts"]
    assert (facts["first_token_s"], facts["total_s"], facts["tokens_per_second"]) == (0.5, 2.5, 10.0)


def test_the_total_adds_what_is_known_and_counts_what_is_not() -> None:
    transcript, _ = conversation()
    transcript.finish("r", reply(cost=Cost(usd=Decimal("0.1"), basis="reported")), None)
    for name, cost in [("s", Cost(usd=Decimal("0.2"), basis="estimated")), ("t", UNKNOWN_COST)]:
        transcript.add(name, "r", "assistant", status="streaming")
        transcript.finish(name, reply(cost=cost), None)
    total = transcript.state()["facts"]["total"]
    assert (total["cost"], total["cost_unknown"], total["tokens"]) == ("~$0.30", 1, 75)


def test_answers_of_a_resumed_session_are_not_in_the_total_and_it_says_so() -> None:
    transcript = Transcript()
    transcript.add("old", None, "assistant", "before")
    transcript.add("r", "old", "assistant", status="streaming")
    transcript.finish("r", reply(), None)
    assert transcript.state()["facts"]["total"]["earlier"] == 1


def test_the_path_leads_to_the_head() -> None:
    transcript, _ = conversation()
    transcript.add("other", "q", "assistant", "another answer")
    assert [node["id"] for node in transcript.path()] == ["q", "other"]
    transcript.set_head("r")
    assert [node["id"] for node in transcript.path()] == ["q", "r"]
    transcript.set_head(None)
    assert transcript.path() == []


def test_who_stopped_listening_hears_nothing() -> None:
    transcript = Transcript()
    ops: list[Op] = []
    stop = transcript.listen(ops.append)
    stop()
    stop()
    transcript.describe(a=1)
    assert ops == []


def test_what_is_given_out_is_a_copy() -> None:
    transcript, _ = conversation()
    transcript.state()["nodes"][0]["text"] = "changed"
    transcript.path()[0]["text"] = "changed"
    assert transcript.path()[0]["text"] == "hi"


def test_many_threads_lose_nothing_and_keep_the_order() -> None:
    transcript, ops = conversation()

    def write(name: str) -> None:
        for _ in range(200):
            transcript.apply("r", [TextDelta(name)])

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "".join(op[3] for op in ops) == transcript.path()[-1]["text"]
    assert len(transcript.path()[-1]["text"]) == 800
