"""Whole calls through their route, on virtual time: what is waited for, sent, written and told."""

import asyncio
import random

import pytest

import chatlab
from chatlab.calls.call import Call
from chatlab.calls.driver import CallDriver
from chatlab.calls.routes import RouteLimits, Routes
from chatlab.calls.stopping import StopSignal
from chatlab.calls.ticket import RouteKey, Ticket
from chatlab.errors import (
    GatewayFault,
    InvalidValue,
    RateLimited,
    RequestRejected,
    ResponseTimedOut,
    RouteUnhealthy,
    StoreUnwritable,
    StreamTruncated,
)
from chatlab.gateway.faults import Faults
from chatlab.gateway.retry import EVALUATION, RetryPolicy
from chatlab.values.events import Done, Failed, Retrying, TextDelta
from chatlab.values.messages import user
from chatlab.values.records import AttemptEnded, AttemptStarted
from chatlab.values.request import ChatRequest
from tests.test_calls import (
    BEFORE,
    HEADERS,
    FixedPrices,
    ListStore,
    ScriptedAttempt,
    ScriptedGateway,
    failing,
)
from tests.virtual_time import START, LoopClock, simulate

KEY = RouteKey("scripted", None, "a/b")


def hello():
    return ScriptedAttempt([HEADERS, [TextDelta("Hi")]])


class Lab:
    """A driver with its route, and everything that its calls lead to."""

    def __init__(self, *attempts, store=None, seed=1, gateway=None, **policies):
        source = random.Random(seed).random
        self.clock = LoopClock()
        self.store = store or ListStore()
        self.gateway = gateway or ScriptedGateway(*attempts)
        self.routes = Routes(clock=self.clock, random=source)
        self.route = self.routes[KEY]
        self.driver = CallDriver(
            gateway=self.gateway,
            store=self.store,
            prices=FixedPrices(),
            clock=self.clock,
            routes=self.routes,
            random=source,
            **policies,
        )
        self.stop = StopSignal()
        self.events = []  # of the last call

    async def ask(self, purpose="chat", params=None):
        """Run one call; return its reply or its error."""
        call = Call(request=ChatRequest("a/b", (user("Hello"),), params or {}), purpose=purpose)
        events = self.events = []
        stop = self.stop = StopSignal()
        try:
            return await self.driver.run(call, events.extend, stop, before=[BEFORE])
        except Exception as error:
            return error
        finally:
            assert [event for event in events if isinstance(event, Done | Failed)] == events[-1:]

    async def busy(self):
        """Fill the route by somebody else; returns what makes room again."""
        self.route.set_limits(RouteLimits(max_in_flight=1))
        ticket = Ticket("somebody else", EVALUATION)
        await self.route.enter(ticket)
        return lambda: self.route.leave(ticket)

    def rows(self, kind):
        return [record for commit in self.store.commits for record in commit if isinstance(record, kind)]


def drive(attempts=(), purpose="chat", **options):
    """Run one call through a route of its own; returns the lab and the call's end."""

    async def run():
        lab = Lab(*attempts, **options)
        end = await lab.ask(purpose)
        assert lab.routes.in_flight == 0
        return lab, end, lab.clock.monotonic()

    return simulate(run())


# ---------------------------------------------------------------------- patience


@pytest.mark.parametrize(("purpose", "sent"), [("chat", 3), ("compare", 3), ("eval", 6), ("judge", 6)])
def test_evaluations_are_tried_more_often_than_what_somebody_waits_for(purpose, sent):
    lab, error, _ = drive([failing(GatewayFault("broken")) for _ in range(6)], purpose)
    assert isinstance(error, GatewayFault)
    assert len(lab.gateway.requests) == sent
    assert [row.attempt_no for row in lab.rows(AttemptStarted)] == list(range(1, sent + 1))


def test_an_evaluation_is_asked_again_after_visible_text_as_a_new_attempt():
    broken = failing(StreamTruncated("cut"), HEADERS, [TextDelta("Ha")])
    lab, reply, _ = drive([broken, hello()], "eval")
    assert (reply.text, reply.attempts) == ("Hi", 2)
    assert [row.outcome for row in lab.rows(AttemptEnded)] == ["error_during", "completed"]
    assert [type(event) for event in lab.events if not isinstance(event, TextDelta)][1] is Retrying


def test_ten_refusals_for_load_do_not_end_an_evaluation():
    lab, reply, _ = drive([*(failing(RateLimited("slow")) for _ in range(10)), hello()], "eval")
    assert reply.attempts == 11
    assert lab.route.limit.cuts >= 1


@pytest.mark.parametrize(
    ("headers", "earliest", "latest"),
    [
        ({"retry-after": "7"}, 7.0, 7.7),
        ({"retry-after-ms": "1500"}, 1.5, 1.7),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:40 GMT"}, 40.0, 44.0),
        ({"x-ratelimit-reset-requests": "1m30s"}, 90.0, 95.0),
        ({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0, 1.2),
        ({"retry-after": "0"}, 0.0, 1.2),
        ({"retry-after": "soon"}, 0.0, 1.2),
        ({}, 0.0, 1.2),
    ],
    ids=["seconds", "milliseconds", "date", "reset", "past date", "zero", "garbage", "no hint"],
)
@pytest.mark.parametrize("seed", range(5))
def test_a_refused_call_comes_again_exactly_when_it_may(headers, earliest, latest, seed):
    error = Faults("openrouter", "a/b", str).http(429, headers, b"", START)
    _, reply, took = drive([failing(error), hello()], seed=seed)
    assert reply.attempts == 2
    assert earliest <= took <= latest


def test_a_pause_of_an_hour_is_told_to_whoever_waits_and_to_a_run():
    for purpose in ("chat", "eval"):
        error = RateLimited("wait", retry_after_s=3600.0)
        lab, end, took = drive([failing(error)], purpose)
        assert end is error
        assert took == 0.0
        assert len(lab.gateway.requests) == 1


# ---------------------------------------------------------------------- waiting for the turn


def test_what_was_asked_is_durable_before_a_long_wait():
    async def run():
        lab = Lab(hello())
        make_room = await lab.busy()
        asking = asyncio.ensure_future(lab.ask())
        await asyncio.sleep(5)
        assert lab.store.kinds() == [["SessionChanged", "CallOpened"]]
        assert lab.gateway.requests == []
        make_room()
        reply = await asking
        assert reply.text == "Hi"
        assert lab.store.kinds()[1] == ["AttemptStarted"]
        assert lab.routes.in_flight == 0

    simulate(run())


def test_a_stop_while_waiting_for_the_turn_sends_nothing():
    async def run():
        unread = hello()
        lab = Lab(unread)
        make_room = await lab.busy()
        asking = asyncio.ensure_future(lab.ask())
        await asyncio.sleep(5)
        lab.stop.stop()
        reply = await asking
        assert reply.status == "stopped"
        assert not unread.ended
        assert lab.clock.monotonic() == 5.0
        make_room()
        assert lab.routes.in_flight == 0

    simulate(run())


def test_a_stop_while_waiting_to_come_again_keeps_the_row_of_the_failure():
    async def run():
        lab = Lab(failing(RateLimited("slow", retry_after_s=60.0)), hello())
        asking = asyncio.ensure_future(lab.ask())
        await asyncio.sleep(1)
        make_room = await lab.busy()
        await asyncio.sleep(10)
        lab.stop.stop()
        reply = await asking
        assert (reply.status, reply.attempts) == ("stopped", 1)
        assert [row.outcome for row in lab.rows(AttemptEnded)] == ["error_before"]
        make_room()
        assert lab.routes.in_flight == 0
        assert all(lab.store.kinds()), "a commit of nothing"

    simulate(run())


def test_a_store_that_cannot_be_written_keeps_no_place_on_the_route():
    lab, error, _ = drive([hello()], store=ListStore(refuse={1}, error=StoreUnwritable))
    assert isinstance(error, StoreUnwritable)
    assert lab.gateway.requests == []
    assert lab.route.limit.in_flight == 0


def test_known_tokens_per_minute_hold_back_what_is_too_large():
    async def run():
        lab = Lab(hello(), hello())
        lab.route.set_limits(RouteLimits(tokens_per_minute=6000))
        for _ in range(2):
            assert (await lab.ask(params={"max_tokens": 3000})).text == "Hi"
        assert lab.clock.monotonic() > 25

    simulate(run())


def test_a_model_with_a_pinned_provider_has_a_route_of_its_own():
    async def run():
        lab = Lab(hello())
        await lab.busy()
        reply = await lab.ask(params={"provider": {"only": ["Groq"]}})
        assert reply.text == "Hi"

    simulate(run())


def test_a_workbench_takes_limits_that_are_known_beforehand(own_store):
    with chatlab.open() as lab:
        lab.limit("sim/crow", requests_per_minute=600_000, max_in_flight=2)
        assert [lab.ask("What is 1 + 1?").status for _ in range(3)] == ["completed"] * 3
        with pytest.raises(InvalidValue, match="requests_per_minute"):
            lab.limit("sim/crow", requests_per_minute=0)


# ---------------------------------------------------------------------- the deadline of a call


def test_an_attempt_is_cut_off_at_the_deadline_of_the_call_and_keeps_its_text():
    hanging = ScriptedAttempt([HEADERS, [TextDelta("Once")], None])
    lab, error, took = drive([hanging], retry=RetryPolicy(deadline_s=50.0))
    assert took == 50.0
    assert isinstance(error, ResponseTimedOut)
    assert "50 s" in str(error)
    assert error.partial_text == "Once"
    assert hanging.closed
    assert [row.outcome for row in lab.rows(AttemptEnded)] == ["error_during"]


def test_the_deadline_counts_from_the_first_attempt():
    attempts = [failing(RateLimited("slow", retry_after_s=30.0)), ScriptedAttempt([HEADERS, None])]
    lab, error, took = drive(attempts, retry=RetryPolicy(deadline_s=50.0))
    assert took == 50.0
    assert isinstance(error, ResponseTimedOut)
    assert [row.outcome for row in lab.rows(AttemptEnded)] == ["error_before", "error_before"]


def test_waiting_for_the_turn_ends_at_the_deadline_and_leaves_a_row():
    async def run():
        unread = hello()
        lab = Lab(unread, retry=RetryPolicy(deadline_s=50.0))
        await lab.busy()
        error = await lab.ask()
        assert isinstance(error, ResponseTimedOut)
        assert not error.sent
        assert lab.clock.monotonic() == 50.0
        assert not unread.ended
        [row] = lab.rows(AttemptEnded)
        assert (row.outcome, row.error_code) == ("error_before", "ResponseTimedOut")

    simulate(run())


# ---------------------------------------------------------------------- many at once


class CrowdedGateway:
    """Refuses everything until a moment, then answers; an answer takes a second."""

    name = "scripted"

    def __init__(self, until, hint):
        self.until = until
        self.hint = hint
        self.sent = []

    def attempt(self, request):
        return _Crowded(self)


class _Crowded(ScriptedAttempt):
    def __init__(self, gateway):
        super().__init__([HEADERS, [TextDelta("Hi")]])
        self.gateway = gateway

    async def __aiter__(self):
        now = asyncio.get_running_loop().time()
        self.gateway.sent.append(now)
        await asyncio.sleep(1)
        if now < self.gateway.until:
            self.outcome, self.ended = "error_before", True
            self.facts = {"error": RateLimited("slow", retry_after_s=self.gateway.hint)}
            return
        async for batch in super().__aiter__():
            yield batch


def test_sixty_four_refused_calls_make_one_cut_and_come_back_one_by_one():
    async def run():
        gateway = CrowdedGateway(until=15.0, hint=20.0)
        lab = Lab(gateway=gateway)
        lab.route.limit.limit = 64
        replies = await asyncio.gather(*(lab.ask("eval") for _ in range(64)))
        assert [(reply.text, reply.attempts) for reply in replies] == [("Hi", 2)] * 64
        assert lab.route.limit.cuts == 1
        assert gateway.sent[:64] == [0.0] * 64
        again = gateway.sent[64:]
        assert min(again) >= 21.0
        assert len(set(again)) == 64
        assert len(lab.rows(AttemptStarted)) == 128
        assert lab.routes.in_flight == 0

    simulate(run())


# ---------------------------------------------------------------------- an unhealthy route


def empty_budget(lab):
    while lab.route.budget.pay("transient", lab.clock.monotonic()) is not None:
        pass


def test_an_evaluation_on_an_unhealthy_route_fails_at_once_with_a_row():
    async def run():
        unread = hello()
        lab = Lab(unread)
        empty_budget(lab)
        error = await lab.ask("eval")
        assert isinstance(error, RouteUnhealthy)
        assert 0 < error.retry_after_s <= 30
        assert "unhealthy" in str(error)
        assert not unread.ended
        [row] = lab.rows(AttemptEnded)
        assert (row.outcome, row.error_code) == ("error_before", "RouteUnhealthy")

    simulate(run())


def test_a_retry_that_the_route_has_nothing_left_for_tells_both_reasons():
    async def run():
        lab = Lab(failing(GatewayFault("the provider is down")))
        while lab.route.budget.balance >= 14:
            lab.route.budget.pay("transient", 0.0)
        error = await lab.ask()
        assert isinstance(error, RouteUnhealthy)
        assert "the provider is down" in str(error)
        [row] = lab.rows(AttemptEnded)
        assert row.error_code == "GatewayFault"
        assert len(lab.gateway.requests) == 1

    simulate(run())


def test_whoever_waits_for_an_answer_may_try_all_the_same():
    async def run():
        lab = Lab(hello())
        empty_budget(lab)
        reply = await lab.ask("chat")
        assert reply.text == "Hi"
        assert lab.route.budget.healthy

    simulate(run())


def test_a_mistake_of_the_caller_says_nothing_about_the_route():
    lab, error, _ = drive([failing(RequestRejected("bad", status=400))], "eval")
    assert isinstance(error, RequestRejected)
    assert lab.route.budget.balance == 500
    assert lab.route.limit.cuts == 0
