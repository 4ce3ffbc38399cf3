"""The store as use cases see it: commits that are durable, idempotent and apart, and reads that give back
the values that were written."""

from __future__ import annotations

import asyncio
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from chatlab.clock import ManualClock
from chatlab.errors import InvalidValue, NotFound, StoreError
from chatlab.store import DuckStore
from chatlab.store.migrations import migrations
from chatlab.values.messages import Message, Reasoning, Text, ToolCall, assistant, user
from chatlab.values.records import (
    AttemptEnded,
    AttemptHeaders,
    AttemptStarted,
    CallOpened,
    CostEstimate,
    MessageAdded,
    ModelListed,
    SessionChanged,
    SessionOpened,
    UsageReport,
)
from chatlab.values.reply import ContextReport
from chatlab.values.request import ModelCard
from chatlab.values.usage import Charge, Usage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "lab.duckdb"


@pytest.fixture
def run(path):
    """Run `work(store)` on a fresh store object over the same file, and close it."""

    def run(work):
        async def main():
            store = DuckStore(path, clock=ManualClock(NOW))
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(main())

    return run


def session(session_id="s-0001", **facts):
    return SessionOpened(session_id=session_id, created_at=NOW, **facts)


def message(message_id, seq=1, parent=None, said=None, session_id="s-0001", **facts):
    return MessageAdded(
        message_id=message_id,
        session_id=session_id,
        parent_id=parent,
        seq=seq,
        message=said or user(f"this is {message_id}"),
        status="complete",
        created_at=NOW,
        **facts,
    )


def call(call_id="c-1", **facts):
    return CallOpened(
        call_id=call_id,
        purpose="chat",
        created_at=NOW,
        gateway="simulator",
        model="sim/crow",
        params={"temperature": 0.2},
        request_sha256="sha256:0",
        **facts,
    )


def attempt(attempt_id="a-1", call_id="c-1", attempt_no=1):
    return AttemptStarted(attempt_id=attempt_id, call_id=call_id, attempt_no=attempt_no, t_start=NOW)


def ended(attempt_id="a-1", **facts):
    return AttemptEnded(
        attempt_id=attempt_id, **{"outcome": "completed", "t_end": NOW + timedelta(seconds=2), **facts}
    )


EVERYTHING = (
    session(),
    message("m-1"),
    call(session_id="s-0001", context=ContextReport(included=1, left_out=0, estimated_tokens=9)),
    attempt(),
    AttemptHeaders(attempt_id="a-1", t_headers=NOW, http_status=200, generation_id="gen-1"),
    ended(served_model="sim/crow-2"),
    UsageReport(
        attempt_id="a-1", source="response", received_at=NOW, usage=Usage(input_tokens=9, output_tokens=5)
    ),
    CostEstimate(attempt_id="a-1", price_source="book 1", computed_at=NOW, usd=Decimal("0.01")),
    message("m-2", 2, "m-1", assistant("Blue."), call_id="c-1"),
    SessionChanged(session_id="s-0001", updated_at=NOW + timedelta(seconds=3), head="m-2"),
    ModelListed(gateway="simulator", fetched_at=NOW, card=ModelCard(model="sim/crow", name="Crow")),
)


def test_every_record_committed_twice_leaves_one_row(run):
    async def work(store):
        await store.commit(*EVERYTHING)
        once = await store.status()
        await store.commit(*EVERYTHING)
        await asyncio.gather(*(store.commit(record) for record in EVERYTHING))
        return once, await store.status()

    once, thrice = run(work)
    assert dict(once.rows) == {
        "sessions": 1,
        "messages": 2,
        "message_parts": 2,
        "calls": 1,
        "attempts": 1,
        "usage_reports": 1,
        "cost_estimates": 1,
        "models": 1,
        "prices": 1,
    }
    assert thrice.rows == once.rows


def test_a_repeated_start_does_not_undo_an_end(run):
    async def work(store):
        await store.commit(*EVERYTHING)
        await store.commit(attempt())
        return await store.query("SELECT outcome, generation_id, served_model FROM attempts")

    assert run(work).to_dict("records") == [
        {"outcome": "completed", "generation_id": "gen-1", "served_model": "sim/crow-2"}
    ]


@pytest.mark.parametrize("together", [True, False], ids=["one commit", "one commit each"])
def test_later_facts_fill_and_replace_and_none_leaves_the_column(run, together):
    facts = [
        attempt(),
        AttemptHeaders(attempt_id="a-1", t_headers=NOW, http_status=200, generation_id="gen-1"),
        ended(generation_id=None, finish_reason="length"),
        ended(finish_reason="stop"),
    ]

    async def work(store):
        for records in [facts] if together else [[fact] for fact in facts]:
            await store.commit(*records)
        return await store.query("SELECT outcome, http_status, generation_id, finish_reason FROM attempts")

    assert run(work).to_dict("records") == [
        {"outcome": "completed", "http_status": 200, "generation_id": "gen-1", "finish_reason": "stop"}
    ]


def test_a_thread_comes_back_in_order_equal_to_what_was_written(run):
    said = Message(
        "assistant",
        (
            Reasoning("Let me think.", ({"type": "reasoning.encrypted", "data": "b64=="},)),
            Text("It is "),
            ToolCall("t-1", "lookup", '{"q": broken'),
            Text("Rayleigh."),
        ),
    )
    later = [message("m-2", 2, "m-1", said, call_id="c-1"), message("m-1")]

    async def work(store):
        await store.commit(session(), call(), attempt(), ended(served_model="sim/crow-2"), *later)
        await store.commit(SessionChanged(session_id="s-0001", updated_at=NOW, head="m-2"))
        return await store.thread("s-0001")

    first, second = run(work)
    assert (first.message_id, first.seq, first.message, first.model) == ("m-1", 1, user("this is m-1"), None)
    assert (second.message_id, second.parent_id, second.seq) == ("m-2", "m-1", 2)
    assert (second.message, second.call_id, second.model) == (said, "c-1", "sim/crow-2")
    assert second.created_at == NOW


def test_a_thread_follows_the_head_and_not_the_other_branch(run):
    tree = [message("m-1"), message("m-2a", 2, "m-1"), message("m-2b", 2, "m-1"), message("m-3", 3, "m-2a")]

    async def work(store):
        await store.commit(session(), *tree)
        await store.commit(SessionChanged(session_id="s-0001", updated_at=NOW, head="m-2b"))
        branch = [stored.message_id for stored in await store.thread("s-0001")]
        await store.commit(SessionChanged(session_id="s-0001", updated_at=NOW, head="m-3"))
        return branch, [stored.message_id for stored in await store.thread("s-0001")]

    assert run(work) == (["m-1", "m-2b"], ["m-1", "m-2a", "m-3"])


def test_a_fork_shares_the_messages_before_it(run):
    fork = session("s-0002", forked_from_session="s-0001", forked_from_message="m-1")

    async def work(store):
        await store.commit(session(), message("m-1"), message("m-2", 2, "m-1"))
        await store.commit(fork, message("m-9", 2, "m-1", session_id="s-0002"))
        await store.commit(SessionChanged(session_id="s-0002", updated_at=NOW, head="m-9"))
        view = await store.query("SELECT message_id FROM thread WHERE session_id = 's-0002' ORDER BY seq")
        return [stored.message_id for stored in await store.thread("s-0002")], list(view["message_id"])

    assert run(work) == (["m-1", "m-9"], ["m-1", "m-9"])


def test_a_session_comes_back_with_what_changed(run):
    opened = session(
        title="Sky", model="sim/crow", params={"temperature": 0.5}, user_id="ada", system="Be kind."
    )

    async def work(store):
        await store.commit(opened)
        before = await store.session("s-0001")
        await store.commit(
            SessionChanged(session_id="s-0001", updated_at=NOW + timedelta(1), title="Blue sky")
        )
        return before, await store.session("s-0001")

    before, after = run(work)
    assert (before.opened, before.updated_at, before.head) == (opened, NOW, None)
    assert (after.opened, after.updated_at) == (replace(opened, title="Blue sky"), NOW + timedelta(1))


def test_the_latest_session_is_the_one_that_changed_last(run):
    async def work(store):
        assert await store.latest_session() is None
        await store.commit(session("s-0001"), session("s-0002"))
        await store.commit(SessionChanged(session_id="s-0001", updated_at=NOW + timedelta(seconds=1)))
        return await store.latest_session()

    assert run(work).opened.session_id == "s-0001"


@pytest.mark.parametrize(
    ("asked", "found"),
    [("abcd-1", "abcd-1"), ("abcd-22", "abcd-22"), ("abcd-2", "abcd-2"), ("abc", None), ("zzzz", None)],
    ids=["beginning", "whole", "whole that also begins another", "too short", "unknown"],
)
def test_a_session_is_found_by_the_beginning_of_its_id(run, asked, found):
    async def work(store):
        await store.commit(session("abcd-1xyz"), session("abcd-2"), session("abcd-22"))
        return await store.session(asked)

    stored = run(work)
    assert (stored.opened.session_id if stored else None) == (found if found != "abcd-1" else "abcd-1xyz")


def test_an_ambiguous_beginning_names_the_candidates(run):
    async def work(store):
        await store.commit(session("abcd-1"), session("abcd-2"))
        with pytest.raises(NotFound, match="'abcd-1', 'abcd-2'"):
            await store.session("abcd")

    run(work)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("NUL \x00 inside", "NUL \x00 inside"),
        ("line\u2028and\u2029paragraph", "line\u2028and\u2029paragraph"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("pair \ud83d\ude00 in halves", "pair 😀 in halves"),
        ("'; DROP TABLE messages; --", "'; DROP TABLE messages; --"),
        ("", ""),
        ("\ufeff\u202eabc\x1b[2J", "\ufeff\u202eabc\x1b[2J"),
        ("é" * 5_000_000, "é" * 5_000_000),
    ],
    ids=["NUL", "U+2028", "lone surrogate", "split pair", "SQL", "empty", "BOM, bidi, escape", "10 MB"],
)
def test_hostile_text_is_stored_and_read_back(run, text, kept):
    async def work(store):
        await store.commit(session(title=text, params={"stop": text[:100]}), message("m-1", said=user(text)))
        return await store.thread("s-0001"), await store.session("s-0001")

    [stored], found = run(work)
    assert stored.message.text == kept
    assert found.opened.title == kept
    assert found.opened.params == {"stop": kept[:100]}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("0.000000000001", "0.000000000001"),
        ("123456.123456789012", "123456.123456789012"),
        ("1E-7", "0.000000100000"),
        ("0.0000000000005", "0.000000000000"),
        ("1E+6", None),
        ("NaN", None),
        ("Infinity", None),
    ],
)
def test_money_is_exact_to_twelve_decimals_and_unknown_beyond_the_column(run, given, kept):
    reports = [("0.5", "a-0"), (given, "a-1")]

    async def work(store):
        for usd, attempt_id in reports:
            charge = Charge(reported_usd=Decimal(usd))
            report = UsageReport(
                attempt_id=attempt_id, source="response", received_at=NOW, usage=Usage(), charge=charge
            )
            await store.commit(report)
        return await store.query("SELECT reported_cost_usd AS usd FROM usage_reports ORDER BY attempt_id")

    assert list(run(work)["usd"]) == [Decimal("0.5"), None if kept is None else Decimal(kept)]


def test_a_count_beyond_64_bits_is_unknown(run):
    async def work(store):
        usage = Usage(input_tokens=2**70, output_tokens=3)
        await store.commit(UsageReport(attempt_id="a-1", source="response", received_at=NOW, usage=usage))
        return await store.query(
            "SELECT input_tokens IS NULL AS gone, output_tokens AS kept FROM usage_reports"
        )

    assert run(work).to_dict("records") == [{"gone": True, "kept": 3}]


def test_a_commit_that_fails_takes_no_other_commit_of_its_group_with_it(run):
    async def work(store):
        good = [store.commit(session(f"s-{number:04}")) for number in range(20)]
        orphan = store.commit(session("s-lost"), SessionChanged(session_id="s-none", updated_at=NOW))
        results = await asyncio.gather(*good[:10], orphan, *good[10:], return_exceptions=True)
        return results, await store.status(), await store.session("s-lost")

    results, status, lost = run(work)
    assert [type(result) for result in results if result is not None] == [NotFound]
    assert "'s-none'" in str(results[10])
    assert status.rows["sessions"] == 20
    assert lost is None


def test_something_that_is_no_record_is_refused(run):
    async def work(store):
        with pytest.raises(InvalidValue, match="'str'"):
            await store.commit("a row")

    run(work)


def test_a_writer_keeps_the_file_open_until_somebody_else_wants_it(run, monkeypatch):
    monkeypatch.setattr("chatlab.store.writer.HOLD_S", 0.0)
    monkeypatch.setattr("chatlab.store.writer.LINGER_S", 1.0)

    async def work(store):
        opened = []
        writing = store._site.writing
        monkeypatch.setattr(store._site, "writing", lambda: (opened.append(1), writing())[1])
        for number in range(20):
            await store.commit(message(f"m-{number:02}"))
        alone = len(opened)
        seen = await store.query("SELECT count(*) AS n FROM messages")
        return alone, int(seen["n"][0])

    assert run(work) == (1, 20)


def test_a_cancelled_commit_is_written_all_the_same(run):
    async def work(store):
        task = asyncio.create_task(store.commit(session()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work)
    assert run(lambda store: store.session("s-0001")).opened == session()


def test_commits_from_several_event_loops_meet_in_one_store(path):
    store = DuckStore(path, clock=ManualClock(NOW))

    def from_a_loop_of_its_own(number):
        asyncio.run(store.commit(session(f"s-{number:04}")))

    async def main():
        await asyncio.gather(*(asyncio.to_thread(from_a_loop_of_its_own, number) for number in range(8)))
        status = await store.status()
        await store.close()
        return status.rows["sessions"]

    assert asyncio.run(main()) == 8


def test_a_closed_store_says_so(path):
    async def main():
        store = DuckStore(path, clock=ManualClock(NOW))
        await store.commit(session())
        await store.close()
        await store.close()
        for use in (store.commit(session()), store.sessions()):
            with pytest.raises(StoreError, match="is closed"):
                await use

    asyncio.run(main())


def test_the_constructor_touches_nothing_and_reading_makes_an_empty_store(path, run):
    DuckStore(path, clock=ManualClock(NOW))
    assert not path.parent.exists()
    assert run(lambda store: store.query("SELECT count(*) AS n FROM ai_usage"))["n"][0] == 0
    assert path.exists()


def test_only_the_owner_can_read_the_store(path):
    async def main():
        store = DuckStore(path, clock=ManualClock(NOW))
        await store.commit(session())
        made = [path.parent, *path.parent.rglob("*")]
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in made}
        await store.close()
        return modes

    modes = asyncio.run(main())
    assert modes.pop("new") == modes.pop("lab.duckdb.processes") == 0o700
    assert set(modes.values()) == {0o600}
    assert {"lab.duckdb", "lab.duckdb.lock"} <= set(modes)


def test_a_store_moved_away_is_made_anew(path, run):
    async def work(store):
        await store.commit(session("s-0001"))
        await store.status()  # waits until the writer has let the file go
        path.rename(path.with_name("old.duckdb"))
        await store.commit(session("s-0002"))
        return await store.status()

    assert run(work).rows["sessions"] == 1


def test_the_status_tells_what_doctor_shows(path, run):
    status = run(lambda store: store.status())
    assert (status.path, status.schema_version, status.holder) == (path, migrations()[-1].version, None)
    assert status.size_bytes > 0
    assert status.duckdb_version.count(".") == 2
