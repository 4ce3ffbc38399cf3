"""Which part of a conversation is sent."""

import pytest

from chatlab.chat.context import build_context, estimate_tokens
from chatlab.errors import ContextTooLong
from chatlab.tools import HistoryLimits
from chatlab.values.messages import Message, Reasoning, Text, assistant, user

HISTORY = [user("one"), assistant("1"), user("two"), assistant("2"), user("three"), assistant("3")]


def sent(history, *, max_messages=None, max_tokens=None, system=None, prompt="now"):
    limits = HistoryLimits(max_messages=max_messages, max_tokens=max_tokens)
    return build_context(system_prompt=system, history=history, prompt=user(prompt), limits=limits)


@pytest.mark.parametrize(
    ("max_messages", "texts", "left_out"),
    [
        (None, ["one", "1", "two", "2", "three", "3", "now"], 0),
        (6, ["one", "1", "two", "2", "three", "3", "now"], 0),
        (4, ["two", "2", "three", "3", "now"], 2),
        (3, ["three", "3", "now"], 4),
        (1, ["now"], 6),
        (0, ["now"], 6),
    ],
)
def test_the_last_messages_are_kept_and_never_begin_with_an_answer(max_messages, texts, left_out):
    messages, report = sent(HISTORY, max_messages=max_messages)
    assert [message.text for message in messages] == texts
    assert report.left_out == left_out
    assert report.included == len(texts)


def test_the_system_prompt_always_comes_first():
    messages, report = sent(HISTORY, max_messages=2, system="Be brief.")
    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
    assert report.included == 4


def test_history_is_cut_to_the_token_budget_from_the_oldest_on():
    long = [user("x" * 400), assistant("y" * 400), *HISTORY[-2:]]
    messages, report = sent(long, max_tokens=60)
    assert [message.text for message in messages] == ["three", "3", "now"]
    assert report.left_out == 2
    assert report.estimated_tokens == sum(map(estimate_tokens, messages)) <= 60


def test_a_message_that_alone_does_not_fit_is_refused_with_both_numbers():
    with pytest.raises(ContextTooLong, match=r"about 104 tokens .* is 50") as caught:
        sent([], max_tokens=50, prompt="z" * 400)
    assert (caught.value.needed, caught.value.limit) == (104, 50)


@pytest.mark.parametrize(
    "lost",
    [
        [user("lost"), Message("assistant", ())],
        [user("lost"), Message("assistant", (Reasoning("Hm, let me"),))],
        [user("lost")],
        [user("lost"), user("lost again"), Message("assistant", ())],
    ],
    ids=["an empty answer", "stopped while it thought", "its process died", "asked twice"],
)
@pytest.mark.parametrize("last", [True, False], ids=["at the end", "before others"])
def test_a_question_that_got_no_answer_is_left_out(lost, last):
    kept = HISTORY[:2]
    messages, report = sent([*kept, *lost] if last else [*lost, *kept])
    assert [message.text for message in messages] == ["one", "1", "now"]
    assert report.left_out == 0


def test_an_empty_text_costs_only_its_frame():
    assert estimate_tokens(Message("user", (Text(""),))) == 4
