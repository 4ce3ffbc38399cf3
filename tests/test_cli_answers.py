"""How an answer becomes an exit code and JSON, and how options are read."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from chatlab import errors
from chatlab.cli.answers import Ending, answer_object
from chatlab.cli.exits import exit_code
from chatlab.cli.options import assignments, parameters
from chatlab.errors import ChatlabError, InvalidValue
from chatlab.values.reply import Outcome, Reply, Timings
from chatlab.values.usage import Cost, Usage

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def reply(status: Outcome = "completed", **more: Any) -> Reply:
    return Reply(text="hi", status=status, model="a/b", timings=Timings(started_at=AT), **more)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.RateLimited("x"), 1),
        (errors.ModelNotFound("x"), 1),
        (errors.StreamTruncated("x"), 1),
        (errors.MissingKey("x"), 2),
        (errors.ToolDefinitionError("x"), 2),
        (errors.ContextTooLong("x"), 2),
        (errors.QueryRefused("x"), 2),
        (errors.NotFound("x"), 3),
        (errors.StoreBusy("x"), 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ChatlabError) else "",
)
def test_each_kind_of_error_has_its_exit_code(error: ChatlabError, code: int) -> None:
    assert exit_code(error) == code
    assert Ending(reply("error_during"), error).exit_code == code


def test_an_answer_ends_with_0_and_a_stopped_one_with_130() -> None:
    assert Ending(reply()).exit_code == 0
    assert Ending(reply("stopped")).exit_code == 130


def test_json_of_an_answer_keeps_unknown_null_and_money_exact() -> None:
    answer = answer_object(Ending(reply()))
    assert answer["usage"] is None
    assert (answer["cost_usd"], answer["cost_basis"]) == (None, "unknown")
    cost = Cost(usd=Decimal("1E-7"), basis="reported")
    answer = answer_object(Ending(reply(cost=cost, usage=Usage(input_tokens=3, output_tokens=4))))
    assert answer["cost_usd"] == "0.0000001"
    assert answer["usage"]["total_tokens"] == 7
    assert answer["usage"]["cache_read"] is None


def test_json_of_a_failure_names_its_kind_and_has_the_same_keys() -> None:
    failed = answer_object(Ending(None, errors.PaymentRequired("no credits")))
    assert failed["error"] == {"kind": "PaymentRequired", "message": "no credits"}
    assert failed.keys() == answer_object(Ending(reply())).keys()
    assert (failed["text"], failed["status"]) == (None, None)


def test_settings_are_json_where_they_can_be() -> None:
    texts = ["temperature=0.2", "seed=7", 'stop=["a","b"]', "reasoning_effort=high", "logprobs=true", "x=a=b"]
    assert parameters(texts) == {
        "temperature": 0.2,
        "seed": 7,
        "stop": ["a", "b"],
        "reasoning_effort": "high",
        "logprobs": True,
        "x": "a=b",
    }


@pytest.mark.parametrize("text", ["temperature", "=1", "  =1"])
def test_a_setting_without_name_or_value_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="name=value"):
        parameters([text])


def test_a_variable_is_always_text() -> None:
    assert assignments(["level=10", "topic="], "--var") == {"level": "10", "topic": ""}
