"""What a session keeps of its turns when an answer is unusual or cannot be written."""

import asyncio

import pytest

from chatlab.calls.driver import CallDriver
from chatlab.calls.routes import Routes
from chatlab.calls.stopping import StopSignal
from chatlab.chat.session import Session, Target
from chatlab.clock import ManualClock
from chatlab.errors import ChatlabError, NotFound, StoreUnwritable
from chatlab.values.events import Failed, TextDelta
from chatlab.values.records import MessageAdded
from tests.test_calls import HEADERS, NOON, FixedPrices, ListStore, ScriptedAttempt, ScriptedGateway


def turns(store, *attempts):
    """Say hello once for each attempt; returns the events of each turn and the messages that were stored."""
    clock = ManualClock(NOON)
    driver = CallDriver(
        gateway=ScriptedGateway(*attempts),
        store=store,
        prices=FixedPrices(),
        clock=clock,
        routes=Routes(clock=clock, random=lambda: 0.0),
        random=lambda: 0.0,
    )
    session = Session(session_id="s", driver=driver)
    events = []

    async def talk():
        for number in range(len(attempts)):
            events.append([])
            try:
                await session.turn(
                    f"hello {number}",
                    target=Target(model="a/b", params={}),
                    emit=events[-1].extend,
                    stop=StopSignal(),
                )
            except ChatlabError:
                continue

    asyncio.run(talk())
    stored = [record for commit in store.commits for record in commit if isinstance(record, MessageAdded)]
    return events, stored


def answer(text="Hi", **facts):
    return ScriptedAttempt([HEADERS, [TextDelta(text)] if text else []], **facts)


def test_a_refusal_is_stored_as_what_was_said():
    _, [_, refused] = turns(ListStore(), answer("", refusal="I cannot help with that."))
    assert refused.message.text == "I cannot help with that."


@pytest.mark.parametrize("error", [StoreUnwritable, NotFound], ids=["disk full", "file replaced"])
def test_a_conversation_goes_on_after_an_answer_that_could_not_be_written(error):
    store = ListStore(refuse={3}, error=error)
    [first, _], [question, again, said] = turns(store, answer("lost"), answer("kept"))
    assert isinstance(first[-1], Failed)
    assert first[-1].reply.text == "lost"
    assert (again.parent_id, again.seq) == (question.message_id, 2)
    assert (said.parent_id, said.message.text) == (again.message_id, "kept")


@pytest.mark.parametrize("error", [StoreUnwritable, NotFound], ids=["disk full", "file replaced"])
def test_a_question_that_could_not_be_written_is_no_part_of_the_conversation(error):
    [first, _], [question, said] = turns(ListStore(refuse={1}, error=error), answer(), answer())
    assert [type(event) for event in first] == [Failed]
    assert (question.parent_id, question.seq, question.message.text) == (None, 1, "hello 1")
    assert said.parent_id == question.message_id
