"""The whole way: workbench, simulator over a socket, store on disk."""

import asyncio
from decimal import Decimal

import pytest

import chatlab
from chatlab.errors import (
    ContextTooLong,
    InvalidValue,
    ModelNotFound,
    NotFound,
    RequestError,
)
from chatlab.values.events import Done, Failed, TextDelta

SUM = "What is 17 times 23?"
LONG = "Write a long story about a lighthouse."


@pytest.fixture
def lab(own_store):
    with chatlab.open() as bench:
        yield bench


@pytest.fixture
def slow_lab(own_store, monkeypatch):
    """A workbench whose simulator takes its time, so that an answer can be stopped in the middle."""
    monkeypatch.setenv("CHATLAB_SIMULATOR_PACE", "40")
    with chatlab.open() as bench:
        yield bench


def row(lab, call_id):
    found = lab.sql("select * from ai_usage where call_id = $call", {"call": call_id})
    assert len(found) == 1
    return found.iloc[0]


def test_an_answer_is_stored_priced_and_found_by_sql(lab):
    reply = lab.ask(SUM, model="sim/owl")
    assert "391" in reply.text
    assert reply.status == "completed"
    assert reply.cost.basis == "reported"
    stored = row(lab, reply.call_id)
    assert stored["cost_usd"] == reply.cost.usd
    assert isinstance(stored["cost_usd"], Decimal)
    assert stored["total_tokens"] == reply.usage.total_tokens
    assert (stored["outcome"], stored["purpose"], stored["served_model"]) == ("completed", "chat", "sim/owl")
    texts = lab.messages(reply.session_id)
    assert list(texts["role"]) == ["user", "assistant"]
    assert texts["text"].iloc[1] == reply.text


def test_a_stream_tells_headers_text_usage_and_then_the_reply(lab):
    events = list(lab.stream(SUM))
    kinds = [type(event).__name__ for event in events]
    assert kinds[0] == "HeadersReceived"
    assert kinds[-2:] == ["UsageReported", "Done"]
    reply = events[-1].reply
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reply.text
    assert events[0].generation_id == reply.generation_id


def test_how_an_answer_flowed_is_told_and_stored(slow_lab):
    reply = slow_lab.ask("What is the capital of France?")
    times, counts, stored = reply.timings, reply.counts, row(slow_lab, reply.call_id)
    assert 0 < times.headers_s <= times.first_token_s < times.last_token_s <= times.total_s
    assert 0 < times.inter_token_p50_s <= times.inter_token_p95_s
    assert reply.retries == 0
    assert counts.bytes > counts.chunks > 2
    assert counts.comments > 0
    told = {"wire_bytes": counts.bytes, "wire_chunks": counts.chunks, "wire_comments": counts.comments}
    told |= {name: getattr(times, name) for name in ("inter_token_p50_s", "inter_token_p95_s")}
    assert {name: stored[name] for name in told} == told
    for name in ("headers_s", "first_token_s", "last_token_s", "total_s"):
        assert stored[name] == pytest.approx(getattr(times, name), abs=1e-5)


def test_streaming_or_not_gives_the_same_answer_at_the_same_cost(lab):
    whole, streamed = lab.ask(SUM, stream=False), lab.ask(SUM)
    assert (whole.text, whole.usage, whole.cost) == (streamed.text, streamed.usage, streamed.cost)


def test_many_answers_run_at_once_on_another_event_loop(lab):
    async def ask_all():
        return await asyncio.gather(*(lab.aask(f"What is {n} + {n}?", model="sim/owl") for n in range(20)))

    replies = asyncio.run(ask_all())
    assert len({reply.call_id for reply in replies}) == 20
    assert lab.sql("select count(*) as n from ai_usage where outcome = 'completed'")["n"][0] == 20


def test_a_chat_remembers_what_was_said(lab):
    chat = lab.chat(model="sim/owl")
    chat.send("My name is Ada.")
    assert "Ada" in chat.send("What is my name?").text
    messages = chat.messages
    assert list(messages["seq"]) == [1, 2, 3, 4]
    assert chat.title == "My name is Ada."
    assert lab.sessions()["title"].iloc[0] == "My name is Ada."


def test_an_unused_chat_leaves_no_trace(lab):
    lab.chat()
    assert len(lab.sessions()) == 0


def test_a_chat_goes_on_in_another_workbench(own_store):
    with chatlab.open() as first:
        chat = first.chat(model="sim/owl", tool="tutor")
        chat.send("My name is Ada.")
    with chatlab.open() as second:
        again = second.resume(chat.session_id[:13])
        assert (again.model, again.tool, again.title) == ("sim/owl", "tutor", "My name is Ada.")
        again.send("What is my name?")
        assert list(again.messages["seq"]) == [1, 2, 3, 4]
        assert second.resume("last").session_id == chat.session_id


def test_a_resumed_chat_shows_what_was_said_and_thought(own_store):
    with chatlab.open() as first:
        chat = first.chat(model="sim/owl")
        said = chat.send(SUM)
        assert said.reasoning
    with chatlab.open() as second:
        shown = second.resume("last").transcript.path()
        assert [node["text"] for node in shown] == [SUM, said.text]
        assert shown[-1]["reasoning"] == said.reasoning


def test_a_stop_keeps_what_came_and_says_so(slow_lab):
    stream = slow_lab.stream(LONG)
    pieces = []
    for event in stream:
        if isinstance(event, TextDelta):
            pieces.append(event.text)
            stream.stop()
    reply = stream.result()
    assert reply.status == "stopped"
    assert reply.text.startswith(pieces[0])
    stored = slow_lab.messages(reply.session_id).iloc[1]
    assert (stored["status"], stored["text"]) == ("stopped", reply.text)
    attempt = row(slow_lab, reply.call_id)
    assert attempt["outcome"] == "stopped"
    assert attempt["generation_id"] == reply.generation_id
    assert attempt["cost_basis"] == "unknown"
    assert attempt["cost_usd"] is None


def test_an_answer_whose_reader_left_is_drained_and_saved(slow_lab):
    for event in slow_lab.stream("What is the capital of France?"):
        if isinstance(event, TextDelta):
            break
    slow_lab.close()
    with chatlab.open() as again:
        stored = again.sql("select outcome, finish_reason from ai_usage")
        assert list(stored["outcome"]) == ["completed"]


def test_one_chat_answers_one_message_at_a_time(slow_lab):
    chat = slow_lab.chat()
    chat.stream(LONG)
    with pytest.raises(RequestError, match="still coming"):
        chat.stream("And another?")
    chat.stop()


def test_whoever_has_read_the_end_may_send_again_at_once(lab):
    chat = lab.chat()
    for number in range(20):
        for event in chat.stream(f"What is {number} + 1?"):
            if isinstance(event, Done):
                break
    assert len(chat.messages) == 40


def test_callbacks_hear_text_and_the_end(lab):
    heard, ended = [], []
    reply = lab.ask(SUM, on_text=heard.append, on_done=ended.append)
    assert "".join(heard) == reply.text
    assert ended == [reply]


def test_the_error_callback_hears_what_is_then_raised(lab):
    heard = []
    with pytest.raises(ModelNotFound):
        lab.ask(SUM, model="sim/unicorn", on_error=heard.append)
    assert isinstance(heard[0], ModelNotFound)


def test_an_exception_in_a_callback_stops_the_answer_and_comes_out(slow_lab):
    def angry(text):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        slow_lab.ask(LONG, on_text=angry)
    slow_lab.close()
    with chatlab.open() as again:
        assert list(again.sql("select outcome from ai_usage")["outcome"]) == ["stopped"]


def test_a_failed_question_is_stored_with_its_error_and_left_out_of_the_next_turn(lab):
    chat = lab.chat(model="sim/unicorn")
    [*_, failed] = chat.stream("Lost?")
    assert isinstance(failed, Failed)
    chat.model = "sim/owl"
    reply = chat.send(SUM)
    assert reply.context.included == 1
    assert list(chat.messages["status"]) == ["complete", "error", "complete", "complete"]


def test_a_tool_gives_its_system_prompt_params_and_version(lab):
    lab.ask("Name: Bob, age 7", tool="json-extractor", model="sim/owl")
    [stored] = lab.sql("select tool_name, tool_version from ai_usage").itertuples(index=False)
    definition = lab.tool_definitions["json-extractor"]
    assert (stored.tool_name, stored.tool_version) == ("json-extractor", definition.version)


BRIEF = """
name: brief
description: Remembers little.
behavior:
  system: Be brief.
history:
  max_messages: 2
  max_tokens: 100
"""


def test_a_tools_limits_cut_the_history_and_refuse_what_cannot_fit(own_store, tmp_path):
    (tmp_path / "brief.yaml").write_text(BRIEF)
    with chatlab.open(tools=tmp_path) as lab:
        chat = lab.chat(tool="brief")
        contexts = [chat.send(f"What is {number} + 1?").context for number in range(3)]
        assert [context.left_out for context in contexts] == [0, 0, 2]
        with pytest.raises(ContextTooLong, match="100") as caught:
            chat.send("word " * 200)
        assert caught.value.needed > caught.value.limit == 100
        assert len(chat.messages) == 6
        assert chat.send("What is 9 + 1?").status == "completed"


@pytest.mark.parametrize(
    ("choice", "error", "says"),
    [
        ({"tool": "tuto"}, NotFound, "tutor"),
        ({"temprature": 0.1}, InvalidValue, "temperature"),
        ({"variables": {"a": "b"}}, InvalidValue, "without a tool"),
        ({"model": "gpt-4"}, chatlab.ChatlabError, "sim/"),
    ],
    ids=["unknown tool", "misspelt parameter", "variables without tool", "a model of another gateway"],
)
def test_a_wrong_choice_is_refused_before_anything_is_sent(lab, choice, error, says):
    with pytest.raises(error, match=says):
        lab.ask("Hello", **choice)
    assert len(lab.sessions()) == 0


def test_an_empty_message_is_refused(lab):
    with pytest.raises(RequestError, match="empty"):
        lab.ask("  \n")


@pytest.mark.parametrize("use", ["ask", "chat"])
def test_a_message_or_system_prompt_that_is_no_text_is_refused(lab, use):
    ask = lab.ask if use == "ask" else lab.chat().send
    with pytest.raises(InvalidValue, match="message must be text, not NoneType"):
        ask(None)
    with pytest.raises(InvalidValue, match="system prompt must be text, not int"):
        lab.chat(system=3)


def test_usage_sums_to_the_replies_and_counts_how_costs_are_known(lab):
    replies = [lab.ask(SUM, model=model) for model in ("sim/ant", "sim/owl", "sim/owl")]
    usage = lab.usage(by=["model"]).set_index("model")
    assert usage.loc["sim/owl", "cost_usd"] == replies[1].cost.usd + replies[2].cost.usd
    assert usage.loc["sim/owl", "n_reported"] == 2
    assert usage["n_unknown"].sum() == 0
    assert len(lab.usage(by="day")) == 1


def test_models_are_listed_from_the_gateway_once_and_then_from_the_store(lab):
    listed = lab.models()
    assert set(listed["model"]) >= {"sim/ant", "sim/owl"}
    assert listed["input_usd_per_mtok"].notna().all()
    assert len(lab.models()) == len(listed)
    assert len(lab.models(refresh=True)) == len(listed)


def test_tools_are_listed_with_their_variables(lab):
    assert set(lab.tools()["name"]) == {"assistant", "json-extractor", "summariser", "tutor"}


def test_two_workbenches_share_one_file(own_store):
    with chatlab.open() as first, chatlab.open() as second:
        first.ask("What is 1 + 1?")
        second.ask("What is 2 + 2?")
        assert len(first.sessions()) == len(second.sessions()) == 2


def test_the_doctor_finds_a_sound_set_up(lab):
    checks = lab.doctor()
    assert all(check.ok for check in checks), checks
    assert {"gateway reachable", "store", "tools", "versions"} <= {check.name for check in checks}


def test_a_closed_workbench_says_so(lab):
    lab.close()
    for use in (lambda: lab.ask("Hello"), lambda: lab.sql("select 1"), lambda: lab.resume("last")):
        with pytest.raises(RequestError, match="closed"):
            use()


def test_an_answer_begun_just_before_the_end_is_finished(own_store):
    with chatlab.open() as lab:
        stream = lab.stream("Hello")
    assert stream.result().status == "completed"


def test_the_repr_says_that_it_is_simulated(lab):
    assert "SIMULATED" in repr(lab)
    assert lab.ask(SUM).simulated


def test_every_stream_ends_once(lab):
    for prompt in (SUM, LONG, "Hi"):
        ends = [event for event in lab.stream(prompt) if isinstance(event, Done | Failed)]
        assert len(ends) == 1
