"""What the views say about money, tokens and time: every sum here is checked by hand."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from chatlab.clock import ManualClock
from chatlab.errors import InvalidValue
from chatlab.store import DuckStore
from chatlab.store.migrations import VIEWS, view_texts
from chatlab.values.messages import assistant, user
from chatlab.values.records import (
    AttemptEnded,
    AttemptStarted,
    CallOpened,
    CostEstimate,
    MessageAdded,
    ModelListed,
    SessionChanged,
    SessionOpened,
    UsageReport,
)
from chatlab.values.reply import StreamCounts
from chatlab.values.request import ModelCard
from chatlab.values.usage import Charge, Usage

NOW = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
TOKENS = Usage(
    input_tokens=100, output_tokens=20, input_fresh=60, cache_read=40, output_visible=15, reasoning=5
)


@pytest.fixture
def run(tmp_path):
    """Commit records to a fresh store, then run `work(store)`."""

    def run(records, work):
        async def main():
            store = DuckStore(tmp_path / "lab.duckdb", clock=ManualClock(NOW))
            await store.commit(*records)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(main())

    return run


def usage_of(run, *records):
    """The one row of ai_usage for an attempt with these records."""
    frame = run(
        [*call("1"), *records], lambda store: store.query("SELECT * FROM ai_usage WHERE attempt_id = 'a-1'")
    )
    [row] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return row


def call(number, *, model="sim/crow", at=NOW, session_id="s-1", tries=1):
    yield CallOpened(
        call_id=f"c-{number}",
        purpose="chat",
        created_at=at,
        gateway="simulator",
        model=model,
        params={},
        request_sha256="sha256:0",
        session_id=session_id,
        user_id="ada",
    )
    for attempt_no in range(1, tries + 1):
        suffix = "" if attempt_no == 1 else f".{attempt_no}"
        yield AttemptStarted(
            attempt_id=f"a-{number}{suffix}", call_id=f"c-{number}", attempt_no=attempt_no, t_start=at
        )


def ended(attempt_id="a-1", outcome="completed", at=NOW):
    return AttemptEnded(
        attempt_id=attempt_id,
        outcome=outcome,
        t_headers=at + timedelta(milliseconds=250),
        t_first_token=at + timedelta(milliseconds=500),
        t_last_token=at + timedelta(milliseconds=2000),
        inter_token_p50_s=0.05,
        inter_token_p95_s=0.2,
        counts=StreamCounts(bytes=9000, chunks=30, events=28, comments=2),
        t_end=at + timedelta(milliseconds=2500),
        served_model="sim/crow-2",
    )


def report(attempt_id="a-1", source="response", usage=TOKENS, usd=None, upstream=None, byok=None):
    charge = Charge(
        reported_usd=None if usd is None else Decimal(usd),
        upstream_usd=None if upstream is None else Decimal(upstream),
        is_byok=byok,
    )
    return UsageReport(attempt_id=attempt_id, source=source, received_at=NOW, usage=usage, charge=charge)


def list_price(attempt_id="a-1", usd="0.5", source="book 1", at=NOW):
    return CostEstimate(attempt_id=attempt_id, price_source=source, computed_at=at, usd=Decimal(usd))


@pytest.mark.parametrize(
    ("records", "cost", "basis"),
    [
        ([ended(), report(usd="0.3"), list_price()], "0.3", "reported"),
        ([ended(), report(usd="0"), list_price()], "0", "reported"),
        ([ended(), report(usd="0.3", upstream="0.3")], "0.3", "reported"),
        ([ended(), report(usd="0.3", upstream="0.3", byok=False)], "0.3", "reported"),
        ([ended(), report(usd="0.01", upstream="0.024645", byok=True)], "0.034645", "reported"),
        ([ended(), report(usd="0", upstream="0.024645", byok=True)], "0.024645", "reported"),
        ([ended(), report(usd="0.01", byok=True)], None, "unknown"),
        ([ended(), report(usd="0.01", byok=True), list_price()], "0.5", "estimated"),
        ([ended(), report(), list_price()], "0.5", "estimated"),
        ([ended(), list_price(usd="0")], "0", "estimated"),
        ([ended(), report()], None, "unknown"),
        ([ended()], None, "unknown"),
        ([], None, "unknown"),
        ([list_price()], None, "unknown"),
        ([ended(outcome="error_before"), list_price()], None, "unknown"),
        ([ended(outcome="error_before"), report(usd="0.3")], "0.3", "reported"),
        ([ended(outcome="error_during"), list_price()], "0.5", "estimated"),
        ([ended(outcome="stopped"), report(source="generation_api", usd="0.2")], "0.2", "reported"),
        ([ended(), report(usd="0.3"), report(source="generation_api", usd="0.2")], "0.2", "reported"),
        ([ended(), report(usd="0.3"), report(source="generation_api")], "0.3", "reported"),
        (
            [ended(), report(usd="0.3", upstream="9", byok=True), report(source="generation_api", usd="0.2")],
            "0.2",
            "reported",
        ),
        ([ended(), report(source="estimate", usd="0.3")], None, "unknown"),
        (
            [ended(), list_price(usd="0.7", source="new", at=NOW + timedelta(1)), list_price(usd="0.5")],
            "0.7",
            "estimated",
        ),
    ],
    ids=[
        "reported beats list price",
        "reported zero is a cost",
        "upstream repeats the cost",
        "not byok: never the sum",
        "byok: the sum",
        "byok without a fee",
        "byok without the provider's bill",
        "byok without the provider's bill, list price",
        "list price",
        "a free model's list price",
        "only tokens",
        "nothing told",
        "in flight",
        "in flight has no list price",
        "failed before output has no list price",
        "failed before output but billed",
        "failed during output",
        "settled later",
        "the bill beats the announcement",
        "a bill without a cost",
        "a charge is taken whole from one report",
        "an estimate of ours reports nothing",
        "the latest price book",
    ],
)
def test_the_cost_of_an_attempt_and_where_it_comes_from(run, records, cost, basis):
    row = usage_of(run, *records)
    assert (row["cost_usd"], row["cost_basis"]) == (None if cost is None else Decimal(cost), basis)


def test_a_sum_of_charges_that_no_column_holds_is_unknown_and_spoils_no_other_row(run):
    absurd = report(usd="600000", upstream="600000", byok=True)
    row = usage_of(run, ended(), absurd)
    assert (row["cost_usd"], row["cost_basis"]) == (None, "unknown")


@pytest.mark.parametrize(
    ("sources", "chosen"),
    [
        (["response"], "response"),
        (["estimate"], "estimate"),
        (["estimate", "response"], "response"),
        (["estimate", "response", "generation_api"], "generation_api"),
    ],
)
def test_tokens_come_from_the_best_source(run, sources, chosen):
    told = {"response": 10, "generation_api": 20, "estimate": 30}
    reports = [report(source=name, usage=Usage(input_tokens=told[name], output_tokens=1)) for name in sources]
    row = usage_of(run, ended(), *reports)
    assert (row["usage_source"], row["input_tokens"]) == (chosen, told[chosen])


def test_a_bill_without_tokens_leaves_those_of_the_response(run):
    row = usage_of(run, ended(), report(), report(source="generation_api", usage=Usage(), usd="0.2"))
    assert (row["usage_source"], row["input_tokens"], row["cost_usd"]) == ("response", 100, Decimal("0.2"))


def test_one_row_says_who_what_and_how_fast(run):
    row = usage_of(run, ended(), report())
    expected = {
        "call_id": "c-1",
        "session_id": "s-1",
        "user_id": "ada",
        "gateway": "simulator",
        "model": "sim/crow",
        "served_model": "sim/crow-2",
        "total_tokens": 120,
        "input_fresh": 60,
        "cache_read": 40,
        "cache_write": None,
        "output_visible": 15,
        "reasoning": 5,
        "headers_s": 0.25,
        "first_token_s": 0.5,
        "last_token_s": 2.0,
        "inter_token_p50_s": 0.05,
        "inter_token_p95_s": 0.2,
        "total_s": 2.5,
        "tokens_per_second": 10.0,
        "wire_bytes": 9000,
        "wire_chunks": 30,
        "wire_events": 28,
        "wire_comments": 2,
        "wire_malformed": 0,
    }
    assert {name: row[name] for name in expected} == expected


def many():
    """Three calls, one with a retry: two costs known, one of them a list price, two not."""
    next_day = NOW + timedelta(hours=1)
    return [
        *call("1", tries=2),
        ended("a-1", "error_before"),
        ended("a-1.2"),
        report("a-1.2", usd="0.000000000001"),
        *call("2", at=next_day),
        ended("a-2", at=next_day),
        report("a-2", usage=Usage(input_tokens=7)),
        list_price("a-2", usd="0.1"),
        *call("3", at=next_day, model="sim/ant", session_id=None),
    ]


@pytest.mark.parametrize(
    ("view", "order", "expected"),
    [
        (
            "usage_by_day",
            "day",
            [
                (1, 2, 100, 20, 120, Decimal("0.000000000001"), 1, 0, 1),
                (2, 2, 7, None, None, Decimal("0.1"), 0, 1, 1),
            ],
        ),
        (
            "usage_by_model",
            "model DESC",
            [
                (2, 3, 107, 20, 120, Decimal("0.100000000001"), 1, 1, 1),
                (1, 1, None, None, None, None, 0, 0, 1),
            ],
        ),
        ("usage_by_session", "session_id", [(2, 3, 107, 20, 120, Decimal("0.100000000001"), 1, 1, 1)]),
    ],
)
def test_sums_leave_the_unknown_out_and_count_it(run, view, order, expected):
    names = (
        "n_calls, n_attempts, input_tokens, output_tokens, total_tokens, "
        "cost_usd, n_reported, n_estimated, n_unknown"
    )
    frame = run(many(), lambda store: store.query(f"SELECT {names} FROM {view} ORDER BY {order}"))
    rows = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    assert list(rows) == expected


def test_usage_groups_and_chooses_by_any_dimension(run):
    async def work(store):
        by_model = await store.usage(by=("model", "day"))
        later = await store.usage(by=(), since=NOW + timedelta(minutes=1))
        chosen = await store.usage(by=("outcome",), where={"model": "sim/ant"}, until=NOW + timedelta(days=1))
        nobody = await store.usage(by=("user_id",), where={"user_id": None})
        with pytest.raises(InvalidValue, match=r"'1; DROP TABLE calls'.*use call_id"):
            await store.usage(by=("1; DROP TABLE calls",))
        return by_model, later, chosen, nobody

    by_model, later, chosen, nobody = run(many(), work)
    assert list(by_model.columns[:2]) == ["model", "day"]
    assert list(by_model["n_attempts"]) == [1, 2, 1]
    assert list(later["n_calls"]) == [2]
    assert list(chosen["outcome"]) == ["in_flight"]
    assert len(nobody) == 0


def test_messages_and_sessions_are_tables_with_their_cost(run):
    def message(message_id, seq, parent, said, call_id=None):
        return MessageAdded(
            message_id=message_id,
            session_id="s-1",
            parent_id=parent,
            seq=seq,
            message=said,
            status="complete",
            created_at=NOW,
            call_id=call_id,
        )

    records = [
        SessionOpened(session_id="s-1", created_at=NOW, title="Sky"),
        message("m-1", 1, None, user("Why?")),
        *many(),
        message("m-2", 2, "m-1", assistant("Rayleigh."), "c-1"),
        SessionChanged(session_id="s-1", updated_at=NOW, head="m-2"),
    ]

    async def work(store):
        return await store.messages("s-1"), await store.sessions(), await store.messages("none")

    messages, sessions, none = run(records, work)
    assert list(messages["text"]) == ["Why?", "Rayleigh."]
    assert list(messages["cost_usd"]) == [None, Decimal("0.000000000001")]
    assert list(messages["model"].fillna("-")) == ["-", "sim/crow-2"]
    [session] = sessions.to_dict("records")
    assert (session["title"], session["n_messages"], session["n_calls"], session["n_unknown"]) == (
        "Sky",
        2,
        2,
        1,
    )
    assert session["cost_usd"] == Decimal("0.100000000001")
    assert (len(none), list(none.columns)) == (0, list(messages.columns))
    assert none.dtypes.equals(messages.dtypes)


def test_models_show_their_latest_listing(run):
    def listed(at, price):
        card = ModelCard(model="sim/crow", name="Crow", context_length=8000, input_usd_per_mtok=price)
        return ModelListed(gateway="simulator", fetched_at=at, card=card)

    records = [listed(NOW, Decimal("0.3")), listed(NOW + timedelta(1), Decimal("0.25"))]
    frame = run(records, lambda store: store.models())
    [row] = frame.to_dict("records")
    assert (row["model"], row["context_length"], row["input_usd_per_mtok"]) == (
        "sim/crow",
        8000,
        Decimal("0.25"),
    )
    assert row["output_usd_per_mtok"] is None


def test_a_model_that_its_gateway_no_longer_lists_is_gone(run):
    def listed(gateway, model, at):
        return ModelListed(gateway=gateway, fetched_at=at, card=ModelCard(model=model, name=model))

    later = NOW + timedelta(days=1)
    records = [
        *(listed("simulator", model, NOW) for model in ("sim/crow", "sim/dodo")),
        *(listed("simulator", model, later) for model in ("sim/crow", "sim/owl")),
        listed("local", "llama", NOW),
    ]
    frame = run(records, lambda store: store.models())
    assert list(frame["model"]) == ["llama", "sim/crow", "sim/owl"]


@pytest.mark.parametrize("view", VIEWS)
def test_every_column_of_a_view_is_defined_in_its_comment(run, view):
    columns = list(run([], lambda store: store.query(f"SELECT * FROM {view}")).columns)
    comment = view_texts()[view].partition("CREATE")[0]
    defined = re.findall(r"^-- ([a-z_0-9]+) +\S", comment.partition("--\n")[2], re.MULTILINE)
    assert defined == columns
