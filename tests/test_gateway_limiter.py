"""How many requests at once, how many retries, and how soon: learnt, budgeted and paced, all without time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.gateway.budget import AFTER_PROBE, COSTS, PROBE_EVERY_S, SIZE, RetryBudget
from chatlab.gateway.limiter import DEBOUNCE_S, AdaptiveLimit
from chatlab.gateway.pacing import LONGEST_GATE_S, SPREAD_S, Gate, RateLimit


def a_round(limit, used=None):
    """Run as many requests at once as `used` says (all that may), and let a round's worth succeed."""
    batch = limit.limit if used is None else used
    goal = max(limit.limit, 4)
    while goal > 0:
        for _ in range(batch):
            limit.start()
        for _ in range(batch):
            if goal > 0:
                limit.succeeded()
                goal -= 1
            limit.end()


def limits_after(limit, rounds):
    return [(a_round(limit), limit.limit)[1] for _ in range(rounds)]


def at(number, maximum=64):
    """A limit that has grown to a number and then left the slow start behind."""
    limit = AdaptiveLimit(maximum)
    limit.limit = number
    limit._slow_start = False
    return limit


# ---------------------------------------------------------------------- adaptive limit


def test_it_starts_at_eight_and_doubles_up_to_its_maximum():
    limit = AdaptiveLimit()
    assert limit.limit == 8
    assert limits_after(limit, 4) == [16, 32, 64, 64]


@pytest.mark.parametrize(("maximum", "start"), [(1, 1), (5, 5), (8, 8), (100, 8), (0, 1)])
def test_it_starts_no_higher_than_its_maximum(maximum, start):
    limit = AdaptiveLimit(maximum)
    assert limit.limit == start
    assert limits_after(limit, 5)[-1] == max(1, maximum)


def test_after_the_first_refusal_it_grows_by_a_twentieth_or_by_one():
    assert limits_after(at(10), 3) == [11, 12, 13]
    assert limits_after(at(40), 2) == [42, 44]
    assert limits_after(at(1), 2) == [2, 3]


def test_a_refusal_ends_the_slow_start():
    limit = AdaptiveLimit()
    limit.throttled("a", 0.0)
    assert limits_after(limit, 1) == [7]


@pytest.mark.parametrize(("number", "successes"), [(1, 4), (3, 4), (4, 4), (5, 5), (20, 20)], ids=str)
def test_a_round_is_as_long_as_the_limit_but_at_least_four(number, successes):
    limit = at(number)
    for _ in range(number):
        limit.start()
    for _ in range(successes - 1):
        limit.succeeded()
    assert limit.limit == number
    limit.succeeded()
    assert limit.limit == number + 1


@pytest.mark.parametrize(("used", "grown"), [(7, 10), (8, 11), (10, 11)])
def test_it_grows_only_when_four_fifths_of_it_were_used(used, grown):
    limit = at(10)
    a_round(limit, used)
    assert limit.limit == grown


def test_use_in_an_earlier_round_does_not_count():
    limit = at(10)
    a_round(limit)
    a_round(limit, used=1)
    assert limit.limit == 11


def test_what_is_still_under_way_counts_for_the_next_round():
    limit = at(10)
    for _ in range(10):
        limit.start()
    for _ in range(21):
        limit.succeeded()
    assert limit.limit == 12


@pytest.mark.parametrize(("requests", "left"), [(["a"], 32), (["a", "a"], 32), (["a", "b"], 28)])
def test_several_refused_requests_cut_deeper_than_one(requests, left):
    limit = at(40)
    for request in requests:
        limit.throttled(request, 100.0)
    assert limit.limit == left
    assert limit.cuts == 1


def test_sixty_four_refusals_are_one_cut():
    limit = at(64)
    for number in range(64):
        limit.throttled(f"request {number}", 100.0 + number * 0.2)
    assert (limit.limit, limit.cuts) == (44, 1)


def test_a_refusal_after_the_debounce_is_a_cut_of_its_own():
    limit = at(40)
    limit.throttled("a", 0.0)
    limit.throttled("b", DEBOUNCE_S)
    assert (limit.limit, limit.cuts) == (25, 2)


def test_refusals_within_fifteen_seconds_are_one_cut():
    limit = at(40)
    limit.throttled("a", 0.0)
    limit.throttled("b", 14.9)
    assert limit.cuts == 1
    limit.throttled("c", 15.0)
    assert limit.cuts == 2


def test_every_round_needs_all_its_successes_anew():
    limit = at(4)
    for _ in range(5):
        limit.start()
    grown = []
    for _ in range(9):
        limit.succeeded()
        grown.append(limit.limit)
    assert grown == [4, 4, 4, 5, 5, 5, 5, 5, 6]


def test_it_never_falls_below_one():
    limit = at(2)
    for number in range(5):
        limit.throttled("a", number * DEBOUNCE_S)
    assert limit.limit == 1


def test_a_second_refusal_never_raises_what_it_was_cut_to():
    limit = at(10)
    limit.throttled("a", 0.0)
    limit.limit = 5
    limit.throttled("b", 1.0)
    assert limit.limit == 5


def test_a_refusal_begins_a_new_round():
    limit = at(4)
    for _ in range(4):
        limit.start()
    for _ in range(3):
        limit.succeeded()
    limit.throttled("a", 0.0)
    limit.succeeded()
    assert limit.limit == 3


def test_after_a_cut_more_may_be_under_way_than_may_start():
    limit = at(10)
    for _ in range(10):
        limit.start()
    limit.throttled("a", 0.0)
    assert limit.full()
    limit.end()
    limit.end()
    assert limit.full()
    limit.end()
    assert not limit.full()


def test_until_the_first_refusal_only_the_maximum_holds_back_what_somebody_waits_for():
    limit = AdaptiveLimit(12)
    for _ in range(11):
        limit.start()
    assert limit.full()
    assert not limit.full(watched=True)
    limit.start()
    assert limit.full(watched=True)
    limit.throttled("a", 0.0)
    for _ in range(6):
        limit.end()
    assert limit.full(watched=True)
    limit.end()
    assert not limit.full(watched=True)


@given(
    maximum=st.integers(1, 100),
    events=st.lists(
        st.tuples(st.sampled_from(["start", "success", "failure", "throttle"]), st.floats(0.0, 20.0)),
        max_size=200,
    ),
)
def test_whatever_happens_it_stays_within_its_bounds(maximum, events):
    limit, now, last_cut = AdaptiveLimit(maximum), 0.0, None
    for number, (event, passed) in enumerate(events):
        now += passed
        before, cuts = limit.limit, limit.cuts
        if event == "start":
            if not limit.full():
                limit.start()
        elif limit.in_flight:
            if event == "success":
                limit.succeeded()
            elif event == "throttle":
                limit.throttled(str(number), now)
            limit.end()
        assert 1 <= limit.limit <= maximum
        assert limit.in_flight >= 0
        if event in {"start", "failure"}:
            assert limit.limit == before
        if limit.cuts > cuts:
            assert last_cut is None or now - last_cut >= DEBOUNCE_S
            last_cut = now


# ---------------------------------------------------------------------- retry budget


def test_retries_are_paid_for_and_given_back_when_they_led_to_an_answer():
    budget = RetryBudget()
    assert budget.pay("transient", 0.0) == 14
    assert budget.pay("throttle", 0.0) == 5
    assert budget.pay("truncated", 0.0) == 14
    assert budget.balance == SIZE - 33
    budget.succeeded(paid=14, probe=False)
    assert budget.balance == SIZE - 19


def test_an_answer_without_retry_gains_one_but_never_more_than_the_bucket_holds():
    budget = RetryBudget()
    budget.succeeded(paid=0, probe=False)
    assert budget.balance == SIZE
    budget.pay("throttle", 0.0)
    budget.succeeded(paid=0, probe=False)
    assert budget.balance == SIZE - 4


def emptied(kind="transient", now=0.0):
    budget = RetryBudget()
    for _ in range(SIZE // COSTS[kind]):
        assert budget.pay(kind, now) is not None
    assert budget.healthy
    assert budget.pay(kind, now) is None
    return budget


@pytest.mark.parametrize("kind", ["transient", "throttle"])
def test_an_empty_budget_pays_for_nothing_and_makes_the_route_unhealthy(kind):
    budget = emptied(kind)
    assert not budget.healthy
    assert budget.probe_due_in(10.0) == PROBE_EVERY_S - 10.0


def test_one_probe_is_due_every_half_minute():
    budget = emptied(now=100.0)
    assert budget.probe_due_in(129.0) == 1.0
    assert budget.probe_due_in(130.0) == 0.0
    assert budget.started(131.0)
    assert budget.probe_due_in(131.0) == PROBE_EVERY_S
    budget.pay("transient", 132.0)
    assert budget.probe_due_in(132.0) == PROBE_EVERY_S - 1.0


def test_an_answered_probe_opens_the_route_with_a_part_of_its_budget():
    budget = emptied()
    budget.succeeded(paid=0, probe=False)
    assert not budget.healthy
    budget.started(PROBE_EVERY_S)
    budget.succeeded(paid=0, probe=True)
    assert budget.healthy
    assert budget.balance == AFTER_PROBE
    assert not budget.started(PROBE_EVERY_S)


def test_a_healthy_route_is_never_probed():
    budget = RetryBudget()
    assert budget.probe_due_in(0.0) == 0.0
    assert not budget.started(0.0)


# ---------------------------------------------------------------------- gate


def test_nothing_is_let_out_before_the_hint_is_over():
    gate = Gate(lambda: 0.0)
    assert gate.wait(5.0) == 0.0
    gate.close(10.0, 7.0, limit=4)
    assert gate.wait(10.0) == 7.0
    assert gate.wait(16.9) == pytest.approx(0.1)
    assert gate.wait(17.0) == 0.0


def test_a_later_hint_only_ever_prolongs():
    gate = Gate(lambda: 0.0)
    gate.close(0.0, 60.0, limit=4)
    gate.close(10.0, 1.0, limit=4)
    assert gate.wait(10.0) == 50.0
    gate.close(20.0, 60.0, limit=4)
    assert gate.wait(20.0) == 60.0


def test_a_hint_of_a_day_closes_for_a_quarter_of_an_hour():
    gate = Gate(lambda: 0.0)
    gate.close(0.0, 86_400.0, limit=4)
    assert gate.wait(0.0) == LONGEST_GATE_S == 900.0


def test_after_the_pause_requests_are_let_out_one_by_one():
    gate = Gate(lambda: 0.5)
    gate.close(0.0, 7.0, limit=4)
    out, now = [], 0.0
    for _ in range(9):
        now += gate.wait(now)
        gate.let_out(now, 4)
        out.append(now)
    spread = [7.125, 7.25, 7.375, 7.5, 7.625, 7.75, 7.875, 8.0, 8.0]
    assert out == spread
    assert out[-2] == 7.0 + SPREAD_S


def test_without_a_pause_nobody_keeps_a_distance():
    gate = Gate(lambda: 0.5)
    gate.let_out(0.0, 1)
    assert gate.wait(0.0) == 0.0


def test_refusals_without_a_hint_pause_at_random_up_to_a_doubling_limit():
    gate = Gate(lambda: 0.5)
    now, pauses = 0.0, []
    for _ in range(8):
        gate.refused(now, limit=1_000_000)
        pauses.append(round(gate.wait(now), 3))
        now += gate.wait(now)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    gate.answered()
    gate.refused(now, limit=1_000_000)
    assert round(gate.wait(now), 3) == 0.5


def test_refusals_of_requests_that_were_already_out_are_one_pause():
    gate = Gate(lambda: 1.0)
    gate.refused(0.0, limit=1_000_000)
    gate.refused(0.5, limit=1_000_000)
    assert gate.wait(0.5) == pytest.approx(0.5, abs=1e-5)
    gate.refused(1.0, limit=1_000_000)
    assert gate.wait(1.0) == pytest.approx(2.0, abs=1e-5)


# ---------------------------------------------------------------------- known rates


def starts(rate, amounts, idle=0.0):
    """When requests of these sizes start if each starts as soon as it may."""
    now, times = idle, []
    for amount in amounts:
        now += rate.wait(now, amount)
        rate.take(now, amount)
        times.append(now)
    return times


@pytest.mark.parametrize("per_minute", [1, 2, 3, 10, 20, 60, 500])
def test_no_minute_has_more_requests_than_are_allowed(per_minute):
    times = starts(RateLimit(per_minute), [1] * (4 * per_minute))
    for first in range(len(times)):
        last = first + per_minute
        if last < len(times):
            assert times[last] - times[first] >= 60.0 - 1e-6


@pytest.mark.parametrize(("per_minute", "burst"), [(1, 1), (10, 1), (20, 2), (60, 6)])
def test_a_tenth_of_a_minutes_worth_may_start_at_once(per_minute, burst):
    times = starts(RateLimit(per_minute), [1] * (burst + 1), idle=1000.0)
    assert times[:burst] == [1000.0] * burst
    assert times[burst] > 1000.0


def test_nearly_all_of_a_minutes_worth_is_used():
    assert starts(RateLimit(600), [1] * 6000)[-1] < 680


def test_a_request_larger_than_the_bucket_waits_until_it_is_full_and_leaves_a_debt():
    rate = RateLimit(60_000)
    first, second = starts(rate, [30_000, 30_000])
    assert first == 0.0
    assert second == pytest.approx(33.3, abs=0.1)


def test_tokens_that_were_not_used_are_put_back():
    rate = RateLimit(60_000)
    rate.take(0.0, 6000)
    assert rate.wait(0.0, 3000) > 3.0
    rate.take(0.0, -4000)
    assert rate.wait(0.0, 3000) == 0.0
    rate.take(0.0, -50_000)
    assert rate.wait(0.0, 6000) == 0.0
    rate.take(0.0, 6000)
    assert rate.wait(0.0, 1) > 0.0


@given(st.integers(1, 50), st.integers(0, 2**32))
def test_no_minute_has_more_whatever_the_times_of_arrival(per_minute, seed):
    source, rate, now, times = random.Random(seed), RateLimit(per_minute), 0.0, []
    for _ in range(3 * per_minute):
        now += source.expovariate(per_minute / 30)
        now += rate.wait(now)
        rate.take(now)
        times.append(now)
    for first, last in zip(times, times[per_minute:], strict=False):
        assert last - first >= 60.0 - 1e-6
