"""Bills asked for afterwards: when, for which answers, and what is known then."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import respx

import chatlab
from chatlab.calls.accounts import EndedAttempt
from chatlab.calls.settlement import (
    LOOKS_S,
    TAKE_UP_AFTER_S,
    Settler,
    wait_before_look,
    wants_bill,
)
from chatlab.clock import SystemClock
from chatlab.errors import ConnectionFailed, GatewayFault, ProtocolViolation
from chatlab.gateway.client import OpenAIGateway
from chatlab.ports import UnsettledAttempt
from chatlab.simulator import SIMULATOR_KEY, Simulator
from chatlab.store import DuckStore
from chatlab.values.events import TextDelta
from chatlab.values.messages import user
from chatlab.values.records import AttemptEnded, AttemptHeaders, AttemptStarted, CallOpened, UsageReport
from chatlab.values.reply import AttemptResult, Timings
from chatlab.values.request import ChatRequest
from chatlab.values.secret import Secret
from chatlab.values.usage import Bill, Charge, Usage
from tests.virtual_time import LoopClock, simulate

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PAID = Charge(reported_usd=Decimal("0.5"))
BILL = Bill(
    generation_id="gen-1", usage=Usage(input_tokens=3, output_tokens=2), charge=PAID, raw='{"total_cost":0.5}'
)
FREE_OF_COST = replace(BILL, charge=Charge())
LONG = "Write a long story about a lighthouse."


def ended(outcome="stopped", attempt_id="a-1", **facts):
    facts = {"generation_id": "gen-1", "http_status": 200} | facts
    result = AttemptResult(outcome=outcome, timings=Timings(started_at=NOON), **facts)
    return EndedAttempt(attempt_id=attempt_id, result=result, estimate=None)


class TestSchedule:
    @pytest.mark.parametrize(
        ("age", "last_look", "wait"),
        [
            (0, None, 2),
            (1.5, None, 0.5),
            (2, None, 0),
            (90_000, None, 0),
            (2, 2, 3),
            (1.99, 1.99, 3.01),
            (4, 2, 1),
            (5, 5, 10),
            (15, 15, 45),
            (60, 60, 540),
            (600, 600, 21_000),
            (7_000, 6_999, 14_600),
            (21_600, 21_600, None),
            (90_000, 90_000, None),
        ],
    )
    def test_the_next_look_is_the_first_that_is_still_to_come(self, age, last_look, wait):
        assert wait_before_look(age, last_look) == (None if wait is None else pytest.approx(wait))


class TestWhoseBillIsWanted:
    @pytest.mark.parametrize(
        ("attempt", "wanted"),
        [
            (ended("stopped"), True),
            (ended("truncated"), True),
            (ended("error_during"), True),
            (ended("error_before"), True),
            (ended("completed"), True),
            (ended("completed", charge=PAID), False),
            (ended("completed", charge=replace(PAID, is_byok=True)), True),
            (ended("stopped", charge=PAID), True),
            (ended("stopped", generation_id=None), False),
            (ended("error_before", http_status=429), False),
        ],
        ids=["stopped", "truncated", "broken", "nothing came", "complete without usage", "complete",
             "own key and no provider's price", "stopped with usage so far", "no id", "refused"],
    )  # fmt: skip
    def test_only_of_answers_that_were_generated_and_not_told(self, attempt, wanted):
        assert wants_bill(attempt) is wanted


class ScriptedGateway:
    """Tells its bills one after the other, an exception by raising it, and the last one from then on."""

    def __init__(self, *bills, name="openrouter"):
        self.name = name
        self.bills = list(bills)
        self.asked = []

    async def generation(self, generation_id):
        self.asked.append((asyncio.get_running_loop().time(), generation_id))
        bill = self.bills.pop(0) if len(self.bills) > 1 else self.bills[0]
        if isinstance(bill, Exception):
            raise bill
        return bill


class ListStore:
    def __init__(self, *unsettled):
        self.records = []
        self.found = unsettled

    async def commit(self, *records):
        self.records += records

    async def unsettled(self, gateway, since):
        return self.found


def follow(gateway, *, for_s=100_000, store=None, work=None):
    """Let a settler follow one attempt that ends at second 0, or do `work`; return what was stored."""
    store = store or ListStore()

    async def main():
        settler = Settler(gateway=gateway, store=store, clock=LoopClock())
        if work is None:
            settler.notice(ended())
            settler.notice(ended())
        else:
            work(settler)
        await asyncio.sleep(for_s)
        await settler.close()

    simulate(main())
    return store.records


def moments(gateway):
    return [round(moment, 3) for moment, _ in gateway.asked]


class TestFollowing:
    def test_a_bill_that_never_comes_is_given_up_after_the_last_look(self):
        gateway = ScriptedGateway(None)
        [record] = follow(gateway)
        assert moments(gateway) == list(LOOKS_S)
        assert (record.attempt_id, record.source, record.raw) == ("a-1", "generation_api", None)
        assert (record.usage, record.charge) == (Usage(), Charge())

    def test_a_bill_that_comes_late_is_stored_once_and_not_asked_for_again(self):
        gateway = ScriptedGateway(None, FREE_OF_COST, BILL)
        [record] = follow(gateway)
        assert moments(gateway) == [2, 5, 15]
        assert (record.usage, record.charge, record.raw) == (BILL.usage, PAID, BILL.raw)

    def test_tokens_without_a_cost_are_kept_when_no_cost_comes_to_the_end(self):
        [record] = follow(ScriptedGateway(FREE_OF_COST))
        assert (record.usage, record.charge) == (BILL.usage, Charge())

    def test_a_gateway_that_cannot_be_asked_is_asked_again(self):
        gateway = ScriptedGateway(ConnectionFailed("no network"), BILL)
        assert len(follow(gateway)) == 1
        assert moments(gateway) == [2, 5]

    def test_a_gateway_that_cannot_be_asked_to_the_end_leaves_it_to_the_next_workbench(self):
        assert follow(ScriptedGateway(ConnectionFailed("no network"))) == []

    def test_closing_ends_it_at_once(self):
        gateway = ScriptedGateway(None)
        assert follow(gateway, for_s=4) == []
        assert moments(gateway) == [2]

    def test_a_gateway_that_tells_no_bills_is_never_asked(self):
        gateway, old = ScriptedGateway(BILL, name="api.example.com"), unsettled("old", ago_s=5)

        def everything(settler):
            settler.notice(ended())
            settler.take_up()

        assert follow(gateway, store=ListStore(old), work=everything) == []
        assert gateway.asked == []


def unsettled(attempt_id, ago_s):
    ended_at = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=ago_s)
    return UnsettledAttempt(attempt_id=attempt_id, generation_id=f"gen-{attempt_id}", ended_at=ended_at)


class TestTakingUp:
    def test_what_earlier_processes_left_is_asked_for_once_at_once_and_then_as_its_age_says(self):
        gateway = ScriptedGateway(None)
        store = ListStore(unsettled("young", ago_s=100), unsettled("old", ago_s=90_000))
        records = follow(gateway, store=store, work=Settler.take_up)
        assert moments(gateway) == [TAKE_UP_AFTER_S, TAKE_UP_AFTER_S, 500, 21_500]
        assert [record.attempt_id for record in records] == ["old", "young"]

    def test_asking_now_does_not_wait_for_the_schedule(self):
        store = ListStore(unsettled("one", ago_s=0), unsettled("two", ago_s=0))

        async def main(gateway):
            return await Settler(gateway=gateway, store=store, clock=LoopClock()).settle_now()

        assert simulate(main(ScriptedGateway(None))) == 0
        assert simulate(main(ScriptedGateway(BILL))) == 2
        assert [record.attempt_id for record in store.records] == ["one", "two"]
        assert simulate(main(ScriptedGateway(ConnectionFailed("no network"), BILL))) == 1
        with pytest.raises(ConnectionFailed):
            simulate(main(ScriptedGateway(ConnectionFailed("no network"))))


BASE = "https://openrouter.ai/api/v1"
TOLD = {
    "total_cost": 0.0015,
    "upstream_inference_cost": 0.0012,
    "is_byok": False,
    "cancelled": True,
    "finish_reason": None,
    "native_finish_reason": "cancelled",
    "model": "acme/one",
    "provider_name": "Acme",
    "service_tier": "flex",
    "native_tokens_prompt": 100,
    "native_tokens_cached": 40,
    "native_tokens_completion": 30,
    "native_tokens_reasoning": 10,
    "tokens_prompt": 90,
    "tokens_completion": 25,
}


def look_up(*, name="openrouter", url=BASE):
    async def main():
        key = Secret("sk-or-v1-settlement-canary")
        gateway = OpenAIGateway(base_url=url, api_key=key, name=name, clock=SystemClock())
        try:
            return await gateway.generation("gen-1")
        finally:
            await gateway.close()

    return asyncio.run(main())


class TestBill:
    @respx.mock
    def test_counts_what_the_provider_counted_in_disjoint_buckets(self):
        route = respx.get(f"{BASE}/generation", params={"id": "gen-1"}).respond(json={"data": TOLD})
        bill = look_up()
        assert route.calls.last.request.headers["authorization"] == "Bearer sk-or-v1-settlement-canary"
        assert bill.usage == Usage(
            input_tokens=100, output_tokens=30, input_fresh=60, cache_read=40, output_visible=20, reasoning=10
        )
        assert bill.charge == Charge(
            reported_usd=Decimal("0.0015"), upstream_usd=Decimal("0.0012"), is_byok=False
        )
        assert (bill.cancelled, bill.finish_reason, bill.native_finish_reason) == (True, None, "cancelled")
        assert (bill.served_model, bill.provider, bill.service_tier) == ("acme/one", "Acme", "flex")
        assert json.loads(bill.raw) == TOLD

    @respx.mock
    def test_is_none_while_the_gateway_does_not_know_it(self):
        respx.get(f"{BASE}/generation").respond(404, json={"error": {"message": "not found"}})
        assert look_up() is None

    @respx.mock
    @pytest.mark.parametrize(
        ("status", "body", "error"),
        [
            (500, "down", GatewayFault),
            (200, "<html>", ProtocolViolation),
            (200, "[]", ProtocolViolation),
            (200, '{"data": null}', ProtocolViolation),
        ],
    )
    def test_raises_for_anything_else(self, status, body, error):
        respx.get(f"{BASE}/generation").respond(status, text=body)
        with pytest.raises(error):
            look_up()

    @respx.mock
    def test_other_gateways_are_not_asked(self):
        assert look_up(name="api.example.com", url="https://api.example.com/v1") is None
        assert not respx.calls


class TestWithTheSimulator:
    def test_a_stopped_answer_is_unknown_while_it_runs_and_cancelled_afterwards(self):
        async def main(url):
            gateway = OpenAIGateway(
                base_url=url, api_key=Secret(SIMULATOR_KEY), name="simulator", clock=SystemClock()
            )
            async with gateway.attempt(ChatRequest("sim/crow", (user(LONG),))) as attempt:
                async for batch in attempt:
                    if any(isinstance(event, TextDelta) for event in batch):
                        running = await gateway.generation(attempt.result().generation_id)
                        break
            bill = None
            while bill is None:  # until the simulator has noticed that we left
                bill = await gateway.generation(attempt.result().generation_id)
            await gateway.close()
            return running, bill

        with Simulator.start(first_token_s=0, tokens_per_second=50) as simulator:
            running, bill = asyncio.run(main(simulator.url))
        assert running is None
        assert bill.cancelled is True
        assert bill.finish_reason is None
        assert bill.charge.reported_usd > 0
        assert bill.usage.output_tokens > 0

    def test_what_a_dead_process_left_is_settled_by_the_next(self, tmp_path):
        async def main(url):
            clock = SystemClock()
            store = DuckStore(tmp_path / "lab.duckdb", clock=clock)
            gateway = OpenAIGateway(
                base_url=url, api_key=Secret(SIMULATOR_KEY), name="simulator", clock=clock
            )
            async with gateway.attempt(ChatRequest("sim/crow", (user("Hi"),))) as attempt:
                _ = [batch async for batch in attempt]
            await store.commit(*left_behind(attempt.result().generation_id, clock.now()))
            settler = Settler(gateway=gateway, store=store, clock=clock)
            counts = [await settler.settle_now(), await settler.settle_now()]
            frame = await store.query("SELECT attempt_id, cost_usd, cost_basis, usage_source FROM ai_usage")
            await store.close()
            await gateway.close()
            return counts, frame

        with Simulator.start(first_token_s=0, tokens_per_second=None) as simulator:
            counts, frame = asyncio.run(main(simulator.url))
        assert counts == [1, 0]
        [row] = frame.itertuples()
        assert (row.cost_basis, row.usage_source) == ("reported", "generation_api")
        assert row.cost_usd > 0

    def test_a_stopped_answer_is_reported_in_the_end_and_its_reply_stays_as_it_was(self, monkeypatch):
        monkeypatch.setenv("CHATLAB_SIMULATOR_PACE", "40")
        with chatlab.open() as lab:
            stream = lab.stream(LONG)
            for event in stream:
                if isinstance(event, TextDelta):
                    stream.stop()
            reply = stream.result()
            assert "Cost: unknown" in reply.footer()
            while not lab.settle():
                pass
            [row] = lab.sql("SELECT cost_usd, cost_basis, outcome FROM ai_usage").itertuples()
            assert (row.cost_basis, row.outcome) == ("reported", "stopped")
            assert row.cost_usd > 0
            assert "Cost: unknown" in reply.footer()
            assert lab.settle() == 0

    def test_the_next_workbench_settles_in_the_background_what_the_one_before_stopped(self, tmp_path):
        def open_at(url):
            return chatlab.open(tmp_path / "lab.duckdb", gateway=url, api_key=SIMULATOR_KEY)

        with Simulator.start(first_token_s=0, tokens_per_second=50) as simulator:
            with open_at(simulator.url) as lab:
                for event in (stream := lab.stream(LONG)):
                    if isinstance(event, TextDelta):
                        stream.stop()
            with open_at(simulator.url) as lab:
                lab.ask("Hi", max_tokens=1)
                deadline = SystemClock().monotonic() + 30
                while SystemClock().monotonic() < deadline:
                    frame = lab.sql("SELECT cost_basis, gateway FROM ai_usage WHERE outcome = 'stopped'")
                    if list(frame["cost_basis"]) == ["reported"]:
                        break
        assert frame.to_dict("records") == [{"cost_basis": "reported", "gateway": "simulator"}]

    def test_closing_does_not_wait_for_a_bill(self, monkeypatch):
        monkeypatch.setenv("CHATLAB_SIMULATOR_PACE", "40")
        lab = chatlab.open()
        for event in (stream := lab.stream(LONG)):
            if isinstance(event, TextDelta):
                stream.stop()
        clock = SystemClock()
        begun = clock.monotonic()
        lab.close()
        assert clock.monotonic() - begun < LOOKS_S[0] - 0.5


def left_behind(generation_id, now, **facts):
    facts = {"outcome": "abandoned", "http_status": 200} | facts
    return (
        CallOpened(
            call_id="c-1",
            purpose="chat",
            created_at=now,
            gateway="simulator",
            model="sim/crow",
            params={},
            request_sha256="sha256:0",
        ),
        AttemptStarted(attempt_id="a-1", call_id="c-1", attempt_no=1, t_start=now),
        AttemptHeaders(attempt_id="a-1", t_headers=now, http_status=200, generation_id=generation_id),
        AttemptEnded(attempt_id="a-1", t_end=now, **facts),
    )


def told(source, charge):
    return UsageReport(attempt_id="a-1", source=source, received_at=NOON, usage=Usage(), charge=charge)


class TestFindingInTheStore:
    @pytest.mark.parametrize(
        ("facts", "reports", "gateway", "found"),
        [
            ({}, [], "simulator", True),
            ({}, [], "openrouter", False),
            ({"outcome": "stopped"}, [told("response", PAID)], "simulator", True),
            ({"outcome": "completed"}, [], "simulator", True),
            ({"outcome": "completed"}, [told("response", PAID)], "simulator", False),
            ({"outcome": "completed"}, [told("response", replace(PAID, is_byok=True))], "simulator", True),
            ({"outcome": "in_flight"}, [], "simulator", False),
            ({"outcome": "error_before", "http_status": 429}, [], "simulator", False),
            ({"outcome": "stopped"}, [told("generation_api", PAID)], "simulator", False),
            ({"outcome": "stopped"}, [told("generation_api", Charge())], "simulator", False),
        ],
        ids=["abandoned", "of another gateway", "stopped", "without usage", "complete", "own key",
             "in flight", "refused", "settled", "given up"],
    )  # fmt: skip
    def test_goes_by_the_same_rule(self, tmp_path, facts, reports, gateway, found):
        async def main():
            store = DuckStore(tmp_path / "lab.duckdb", clock=SystemClock())
            await store.commit(*left_behind("gen-1", NOON, **facts), *reports)
            earlier, later = NOON - timedelta(days=1), NOON + timedelta(days=1)
            rows = [await store.unsettled(gateway, since) for since in (earlier, later)]
            await store.close()
            return rows

        one = UnsettledAttempt(attempt_id="a-1", generation_id="gen-1", ended_at=NOON)
        assert asyncio.run(main()) == [[one] if found else [], []]
