"""Calls at their route: who may start when, on virtual time, with a gateway that is made up."""

import asyncio
import random
import time
from itertools import pairwise

import pytest

from chatlab.calls.call import Call
from chatlab.calls.routes import RouteLimits, Routes
from chatlab.calls.ticket import RouteKey, Ticket, estimated_tokens, pinned_provider
from chatlab.errors import GatewayFault, InvalidValue, RateLimited, RouteUnhealthy
from chatlab.gateway.budget import PROBE_EVERY_S
from chatlab.gateway.retry import EVALUATION, INTERACTIVE, Failures
from chatlab.values.messages import user
from chatlab.values.reply import ContextReport
from chatlab.values.request import ChatRequest
from tests.virtual_time import LoopClock, simulate

KEY = RouteKey("openrouter", "1a2b3c4d", "a/b")
OTHER = RouteKey("openrouter", "1a2b3c4d", "c/d")


class World:
    """Routes, and what happened on them."""

    def __init__(self, seed=1, **options):
        self.random = random.Random(seed).random
        self.clock = LoopClock()
        self.routes = Routes(clock=self.clock, random=self.random, **options)
        self.route = self.routes[KEY]
        self.started = []  # (time, name)
        self.most = 0

    @property
    def now(self):
        return self.clock.monotonic()

    async def one(self, name, seconds=1.0, *, route=None, policy=EVALUATION, answer=None, tokens=0):
        """Pass once; `answer()` gives the error it ends in, or None."""
        route = route or self.route
        ticket = Ticket(str(name), policy, tokens)
        await route.enter(ticket)
        return await self.visit(route, ticket, seconds, answer)

    async def visit(self, route, ticket, seconds, answer):
        try:
            assert route.limit.in_flight <= route.limit.maximum
            self.started.append((self.now, ticket.call_id))
            self.most = max(self.most, self.routes.in_flight)
            await asyncio.sleep(seconds)
            error = answer() if answer else None
            if error is None:
                route.answered(ticket, None)
            else:
                route.failed(ticket, error)
            return error
        finally:
            route.leave(ticket)

    async def persevere(self, name, answer, seconds=1.0, policy=EVALUATION):
        """One call with all its attempts, as the driver makes them; returns the error it ends in, or None."""
        ticket, failures, began = Ticket(str(name), policy), Failures(), self.now
        while True:
            try:
                await self.route.enter(ticket)
            except (RouteUnhealthy, RateLimited) as refusal:
                return refusal
            error = await self.visit(self.route, ticket, seconds, answer)
            if error is None:
                return None
            failures = failures.and_one(error.kind)
            wait = policy.decide(
                error,
                failures=failures,
                visible_output=False,
                random=self.random,
                elapsed_s=self.now - began,
            )
            if wait is None:
                return error
            try:
                self.route.pay_for_retry(ticket, error)
            except RouteUnhealthy as refusal:
                return refusal
            await asyncio.sleep(wait)

    def times(self):
        return [when for when, _ in self.started]

    def names(self):
        return [name for _, name in self.started]

    def is_empty(self):
        limits = [route.limit.in_flight for route in self.routes._routes.values()]
        return self.routes.in_flight == 0 and not any(limits) and not self.route.waiting


def test_a_call_that_need_not_wait_is_in_at_once():
    async def alone():
        world = World()
        ticket = Ticket("a", INTERACTIVE)
        assert world.route.enter_now(ticket)
        world.route.answered(ticket, None)
        world.route.leave(ticket)
        world.route.leave(ticket)
        assert world.is_empty()

    simulate(alone())


def test_no_more_than_the_limit_are_in_and_the_others_follow_in_order():
    async def crowd():
        world = World()
        world.route.set_limits(RouteLimits(max_in_flight=3))
        await asyncio.gather(*(world.one(n) for n in range(10)))
        assert world.most == 3
        assert world.names() == [str(n) for n in range(10)]
        assert world.times() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
        assert world.is_empty()

    simulate(crowd())


def test_calls_that_somebody_waits_for_all_start_at_once():
    async def crowd():
        world = World()
        await asyncio.gather(*(world.one(n, policy=INTERACTIVE) for n in range(40)))
        assert world.times() == [0.0] * 40

    simulate(crowd())


def test_an_evaluation_feels_its_way():
    async def crowd():
        world = World()
        await asyncio.gather(*(world.one(n) for n in range(8 + 16 + 32 + 64)))
        assert [world.times().count(float(second)) for second in range(4)] == [8, 16, 32, 64]

    simulate(crowd())


def test_watched_calls_go_before_those_of_an_evaluation():
    async def mixed():
        world = World()
        world.route.set_limits(RouteLimits(max_in_flight=1))
        patient = [asyncio.ensure_future(world.one(f"eval {n}")) for n in range(3)]
        await asyncio.sleep(0.5)
        watched = [asyncio.ensure_future(world.one(f"chat {n}", policy=INTERACTIVE)) for n in range(2)]
        await asyncio.gather(*patient, *watched)
        assert world.names() == ["eval 0", "chat 0", "chat 1", "eval 1", "eval 2"]

    simulate(mixed())


def test_calls_that_come_again_go_before_new_ones():
    async def mixed():
        world = World()
        world.route.set_limits(RouteLimits(max_in_flight=1))
        once = iter([GatewayFault("x")])
        await asyncio.gather(*(world.persevere(n, lambda: next(once, None)) for n in range(6)))
        assert world.names() == ["0", "1", "0", "2", "3", "4", "5"]

    simulate(mixed())


def test_nobody_overtakes_those_who_wait():
    async def mixed():
        world = World()
        world.route.set_limits(RouteLimits(max_in_flight=1))
        first = asyncio.ensure_future(world.one("first"))
        second = asyncio.ensure_future(world.one("second", policy=INTERACTIVE))
        await asyncio.sleep(0.5)
        assert not world.route.enter_now(Ticket("third", INTERACTIVE))
        await asyncio.gather(first, second)

    simulate(mixed())


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0], ids=["at once", "while it waits", "as its turn comes"])
def test_a_call_that_is_cancelled_while_it_waits_leaves_its_turn_to_the_next(moment):
    async def cancelled():
        world = World()
        world.route.set_limits(RouteLimits(max_in_flight=1))
        tasks = [asyncio.ensure_future(world.one(n)) for n in range(3)]
        asyncio.get_running_loop().call_later(moment, tasks[1].cancel)
        await asyncio.wait(tasks)
        assert tasks[1].cancelled()
        assert world.names() == ["0", "2"]
        assert world.is_empty()

    simulate(cancelled())


def test_a_call_that_is_cancelled_together_with_its_turn_is_not_in():
    async def cancelled():
        world = World()
        world.route.set_limits(RouteLimits(max_in_flight=1))
        first = Ticket("first", EVALUATION)
        await world.route.enter(first)
        second = asyncio.ensure_future(world.one("second"))
        await asyncio.sleep(0)
        world.route.leave(first)  # the turn comes
        assert world.route.limit.in_flight == 1
        second.cancel()  # before the call has noticed
        await asyncio.wait([second])
        assert world.is_empty()

    simulate(cancelled())


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_cancelled_whenever_no_place_is_lost(seed):
    async def chaos():
        source = random.Random(seed)
        world = World(seed, max_in_flight=5)
        world.route.set_limits(RouteLimits(max_in_flight=4, requests_per_minute=source.choice([None, 100])))
        routes = [world.route, world.routes[OTHER]]
        errors = [None, None, GatewayFault("x"), RateLimited("x", retry_after_s=0.5), RateLimited("x")]

        async def late(name):
            await asyncio.sleep(source.random() * 5)
            await world.one(
                name, source.random(), route=source.choice(routes), answer=lambda: source.choice(errors)
            )

        tasks = [asyncio.ensure_future(late(n)) for n in range(200)]
        for task in source.sample(tasks, 80):
            asyncio.get_running_loop().call_later(source.random() * 10, task.cancel)
        await asyncio.wait(tasks)
        assert all(task.cancelled() or task.exception() is None for task in tasks)
        assert world.most <= 5
        assert world.is_empty()

    simulate(chaos())


def test_all_routes_together_keep_to_their_own_limit_and_take_turns():
    async def crowd():
        world = World(max_in_flight=4)
        other = world.routes[OTHER]
        await asyncio.gather(
            *(world.one(f"a{n}") for n in range(12)), *(world.one(f"b{n}", route=other) for n in range(12))
        )
        assert world.most == 4
        assert world.is_empty()
        middle = [name[0] for when, name in world.started if 1 <= when < 4]
        assert middle.count("b") >= 4

    simulate(crowd())


# ---------------------------------------------------------------------- refusals


def test_sixty_four_calls_refused_at_once_make_one_cut_and_come_back_spread_out():
    async def herd():
        world = World()
        limit = world.route.limit
        limit.limit = 64
        opens_at = 20.0 + 1.0

        def answer():
            return RateLimited("x", retry_after_s=20.0) if world.now < opens_at else None

        ends = await asyncio.gather(*(world.persevere(n, answer) for n in range(64)))
        assert ends == [None] * 64
        assert limit.cuts == 1
        first, again = world.times()[:64], world.times()[64:]
        assert first == [0.0] * 64
        assert len(again) == 64
        assert min(again) >= opens_at
        distances = sorted(later - earlier for earlier, later in pairwise(again))
        assert len(set(again)) == 64
        assert max(sum(1 for t in again if start <= t < start + 0.05) for start in again) < 20
        assert distances[-1] < 2.0
        assert world.route.budget.balance > 480
        await asyncio.gather(*(world.persevere(n, answer) for n in range(500)))
        assert limit.limit > 44
        assert world.is_empty()

    simulate(herd())


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_sent_while_the_gateway_has_asked_for_a_pause(seed):
    async def pauses():
        source = random.Random(seed)
        world = World(seed)
        closed = [0.0]

        def answer():
            assert world.started[-1][0] <= world.now
            if source.random() < 0.1:
                hint = source.uniform(0.1, 40.0)
                closed.append(max(closed[-1], world.now + hint))
                pauses_asked.append((world.now, world.now + hint))
                return RateLimited("x", retry_after_s=hint)
            return None

        pauses_asked = []
        await asyncio.gather(*(world.persevere(n, answer, source.random()) for n in range(100)))
        assert pauses_asked
        for asked_at, until in pauses_asked:
            assert not [t for t in world.times() if asked_at < t < until]

    simulate(pauses())


def test_the_first_hint_holds_everybody_back_also_those_who_come_later():
    async def all_wait():
        world = World()

        def slow_down():
            return RateLimited("x", retry_after_s=30.0)

        await world.one("refused", answer=slow_down)
        late = [asyncio.ensure_future(world.one(n, policy=INTERACTIVE)) for n in range(5)]
        await asyncio.sleep(10)
        await asyncio.gather(*late, world.one("later"))
        assert min(world.times()[1:]) >= 31.0
        assert len(set(world.times()[1:])) == 6
        assert world.names()[-1] == "later"

    simulate(all_wait())


def test_without_a_hint_everybody_pauses_a_little_and_longer_each_time():
    async def pauses():
        world = World()
        world.route.gate._random = lambda: 1.0
        for n in range(4):
            await world.one(f"refused {n}", 0.0, answer=lambda: RateLimited("x"))
        await world.one("answered", 0.0)
        await world.one("refused", 0.0, answer=lambda: RateLimited("x"))
        await world.one("last", 0.0)
        waits = [later - earlier for earlier, later in pairwise(world.times())]
        assert waits == pytest.approx([1 + 1 / 6, 2.2, 4.2, 8.2, 0.2, 1.25], abs=1e-3)

    simulate(pauses())


def test_a_pause_that_is_too_long_is_told_instead_of_waited_for():
    async def told():
        world = World()
        waiting = []

        def slow_down():
            return RateLimited("x", retry_after_s=300.0)

        world.route.set_limits(RouteLimits(max_in_flight=1))
        refused = asyncio.ensure_future(world.one("refused", answer=slow_down))
        waiting = [asyncio.ensure_future(world.one(n, policy=INTERACTIVE)) for n in range(3)]
        await refused
        await asyncio.sleep(0)
        for task in waiting:
            error = task.exception()
            assert isinstance(error, RateLimited)
            assert not error.sent
            assert 300.0 <= error.retry_after_s < 302.0
            assert "a/b" in str(error)
        with pytest.raises(RateLimited):
            await world.one("a moment later", policy=INTERACTIVE)
        await asyncio.sleep(200)
        await world.one("when it is short enough", policy=INTERACTIVE)
        assert world.times()[-1] >= 301.0

    simulate(told())


def test_an_evaluation_waits_out_a_pause_that_a_reader_is_not_held_up_by():
    async def parked():
        world = World()
        await world.one("refused", answer=lambda: RateLimited("x", retry_after_s=300.0))
        await world.one("parked")
        assert world.times()[-1] >= 301.0

    simulate(parked())


# ---------------------------------------------------------------------- an unhealthy route


def broken():
    return GatewayFault("down")


async def break_down(world):
    """Let calls fail until the budget is empty; return how their calls ended."""
    return await asyncio.gather(*(world.persevere(n, broken, 0.1) for n in range(60)))


def test_a_route_that_only_fails_is_left_alone():
    async def fails():
        world = World()
        ends = await break_down(world)
        assert {type(end) for end in ends} == {RouteUnhealthy}
        assert len(world.started) < 60 + 500 // 14 + 8
        assert all(end.retry_after_s <= PROBE_EVERY_S and end.kind == "fatal" for end in ends)
        assert any("down" in str(end) for end in ends)
        sent = len(world.started)
        for n in range(100):
            assert isinstance(await world.persevere(n, broken), RouteUnhealthy)
        assert len(world.started) == sent
        assert world.is_empty()

    simulate(fails())


def test_one_probe_every_half_minute_until_one_is_answered():
    async def heals():
        world = World()
        await break_down(world)
        back_at, before = world.now + 100.0, len(world.started)

        def answer():
            return broken() if world.now < back_at else None

        async def client(n):
            for _ in range(500):
                if await world.persevere(n, answer, 0.1) is None:
                    return
                await asyncio.sleep(0.5)

        await asyncio.gather(*(client(n) for n in range(20)))
        probes = [t for t in world.times()[before:] if t < back_at]
        assert 2 <= len(probes) <= 4
        assert min(b - a for a, b in pairwise(probes)) >= PROBE_EVERY_S
        assert world.route.budget.healthy
        assert world.now < back_at + PROBE_EVERY_S + 5

    simulate(heals())


def test_somebody_who_watches_may_always_try_and_serves_as_the_probe():
    async def heals():
        world = World()
        await break_down(world)
        assert await world.persevere("chat", lambda: None, policy=INTERACTIVE) is None
        assert world.route.budget.healthy

    simulate(heals())


# ---------------------------------------------------------------------- busy gateways


@pytest.mark.parametrize("hint", [None, 2.0], ids=["without hint", "with hint"])
@pytest.mark.parametrize("bears", [2, 10, 30])
@pytest.mark.parametrize("seed", range(3))
def test_an_evaluation_settles_at_what_a_gateway_bears(seed, bears, hint):
    async def run():
        world = World(seed)

        async def item(n):
            async with workers:
                return await world.persevere(n, answer)

        def answer():
            return RateLimited("x", retry_after_s=hint) if world.route.limit.in_flight > bears else None

        workers = asyncio.Semaphore(64)
        ends = await asyncio.gather(*(item(n) for n in range(1500)))
        assert ends == [None] * 1500
        assert world.route.limit.limit <= bears + 2
        assert world.now < 2.5 * 1500 / bears
        assert len(world.started) < 1.3 * 1500
        assert world.route.budget.balance > 400
        assert world.is_empty()

    simulate(run())


@pytest.mark.parametrize("failing", [0.02, 0.1, 0.2])
def test_failures_that_say_nothing_about_load_leave_the_limit_alone(failing):
    async def run():
        world = World()

        def answer():
            return GatewayFault("x") if world.random() < failing else None

        ends = await asyncio.gather(*(world.persevere(n, answer) for n in range(1500)))
        assert sum(end is not None for end in ends) < 1500 * failing**4
        assert world.route.limit.limit == 64
        assert world.route.limit.cuts == 0
        assert world.route.budget.healthy

    simulate(run())


# ---------------------------------------------------------------------- rates that are known


def test_known_requests_per_minute_are_kept():
    async def paced():
        world = World()
        world.route.set_limits(RouteLimits(requests_per_minute=30))
        await asyncio.gather(*(world.one(n, 0.01) for n in range(100)))
        times = world.times()
        assert all(b - a >= 59.99 for a, b in zip(times, times[30:], strict=False))
        assert world.now < 230
        assert world.is_empty()

    simulate(paced())


def test_known_tokens_per_minute_are_kept_and_corrected_by_what_was_counted():
    async def paced():
        world = World()
        world.route.set_limits(RouteLimits(tokens_per_minute=60_000))
        assert world.route.counts_tokens
        await asyncio.gather(*(world.one(n, 0.01, tokens=20_000) for n in range(9)))
        assert 160 < world.now < 200
        begin = world.now
        for n in range(9):
            ticket = Ticket(str(n), EVALUATION, 20_000)
            await world.route.enter(ticket)
            world.route.answered(ticket, 100)
            world.route.leave(ticket)
        assert world.now - begin < 30

    simulate(paced())


@pytest.mark.parametrize("name", ["max_in_flight", "requests_per_minute", "tokens_per_minute"])
def test_a_limit_of_nothing_is_refused(name):
    with pytest.raises(InvalidValue, match=name):
        RouteLimits(**{name: 0})


# ---------------------------------------------------------------------- which route, how large


@pytest.mark.parametrize(
    ("params", "provider"),
    [
        ({}, None),
        ({"provider": {"only": ["Groq"]}}, "Groq"),
        ({"provider": {"only": ["Groq", "Azure"]}}, "Groq,Azure"),
        ({"provider": {"order": ["Groq"]}}, None),
        ({"provider": {"order": ["Groq"], "allow_fallbacks": False}}, "Groq"),
        ({"provider": {"sort": "price"}}, None),
        ({"provider": "Groq"}, None),
    ],
    ids=str,
)
def test_a_pinned_provider_has_a_route_of_its_own(params, provider):
    assert pinned_provider(params) == provider


@pytest.mark.parametrize(
    ("params", "context", "tokens"),
    [
        ({}, None, 100),
        ({"max_tokens": 50}, None, 150),
        ({"max_tokens": 50, "max_completion_tokens": 70}, None, 170),
        ({"max_tokens": 50}, ContextReport(included=1, left_out=0, estimated_tokens=30), 80),
        ({"max_tokens": "many"}, None, 100),
    ],
)
def test_the_size_of_a_call_is_its_input_and_the_longest_output_allowed(params, context, tokens):
    call = Call(request=ChatRequest("a/b", (user("x" * 400),), params), context=context)
    assert estimated_tokens(call) == tokens


def test_a_call_that_need_not_wait_costs_a_few_microseconds():
    async def uncontended():
        world = World()
        world.clock.monotonic = time.monotonic
        rounds = []
        for _ in range(20):
            begin = time.perf_counter()
            for _ in range(500):
                ticket = Ticket("a", INTERACTIVE)
                route = world.routes[KEY]
                route.enter_now(ticket)
                route.answered(ticket, None)
                route.leave(ticket)
            rounds.append((time.perf_counter() - begin) / 500)
        return min(rounds)

    assert simulate(uncontended()) < 20e-6
