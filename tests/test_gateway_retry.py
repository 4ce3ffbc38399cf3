"""When to try again and how long to wait, for every kind of failure."""

import random

import pytest

from chatlab.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    EmptyStream,
    GatewayFault,
    PaymentRequired,
    RateLimited,
    RouteUnhealthy,
    StreamTruncated,
)
from chatlab.gateway.retry import EVALUATION, INTERACTIVE, Backoff, Failures, RetryPolicy


def decide(
    error, *, failed=1, policy=INTERACTIVE, visible_output=False, random=1.0, elapsed_s=0.0, failures=None
):
    return policy.decide(
        error,
        failures=failures or Failures(**{error.kind: failed}),
        visible_output=visible_output,
        random=lambda: random,
        elapsed_s=elapsed_s,
    )


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (RateLimited("x"), [1.0, 2.0, None]),
        (PaymentRequired("x", kind="throttle"), [1.0, 2.0, None]),
        (GatewayFault("x"), [0.5, 1.0, None]),
        (ConnectionFailed("x"), [0.5, 1.0, None]),
        (EmptyStream("x"), [0.5, 1.0, None]),
        (StreamTruncated("x"), [None, None, None]),
        (AuthenticationFailed("x"), [None, None, None]),
        (PaymentRequired("x"), [None, None, None]),
        (RouteUnhealthy("x"), [None, None, None]),
    ],
    ids=lambda value: type(value).__name__ + "-" + value.kind if isinstance(value, Exception) else "",
)
def test_the_longest_wait_doubles_and_the_third_failure_is_the_last(error, waits):
    assert [decide(error, failed=made) for made in (1, 2, 3)] == waits


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (RateLimited("x"), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]),
        (GatewayFault("x"), [0.5, 1.0, 2.0, 4.0, 8.0, None, None]),
        (StreamTruncated("x"), [0.5, 1.0, None, None, None, None, None]),
        (AuthenticationFailed("x"), [None] * 7),
    ],
    ids=["throttled: as often as it takes", "five more attempts", "two more for a broken answer", "fatal"],
)
def test_an_evaluation_is_more_patient(error, waits):
    assert [decide(error, failed=made, policy=EVALUATION) for made in range(1, 8)] == waits


def test_throttled_attempts_of_an_evaluation_do_not_count_but_all_others_do():
    mixed = Failures(throttle=30, transient=4, truncated=1)
    assert decide(GatewayFault("x"), policy=EVALUATION, failures=mixed) == 20.0
    assert decide(GatewayFault("x"), policy=EVALUATION, failures=mixed.and_one("transient")) is None


def test_of_answers_that_break_off_an_evaluation_asks_again_for_two():
    assert decide(StreamTruncated("x"), policy=EVALUATION, failures=Failures(truncated=2)) is not None
    assert decide(StreamTruncated("x"), policy=EVALUATION, failures=Failures(truncated=3)) is None
    others = Failures(truncated=1, transient=3)
    assert decide(StreamTruncated("x"), policy=EVALUATION, failures=others) is not None


def test_nothing_is_tried_again_once_something_was_seen():
    assert decide(RateLimited("x", retry_after_s=1.0), visible_output=True) is None


def test_an_evaluation_may_ask_again_after_visible_text():
    assert decide(GatewayFault("x"), policy=EVALUATION, visible_output=True) == 0.5


def test_the_wait_is_random_from_zero_on():
    assert decide(GatewayFault("x"), random=0.0) == 0.0
    assert decide(GatewayFault("x"), random=0.5) == 0.25


def test_without_a_hint_waits_are_spread_over_their_whole_range():
    source = random.Random(1)
    for failed, longest in ((1, 1.0), (2, 2.0)):
        waits = sorted(decide(RateLimited("x"), failed=failed, random=source.random()) for _ in range(500))
        assert waits[0] < 0.05 * longest
        assert 0.95 * longest < waits[-1] <= longest
        assert waits[250] == pytest.approx(longest / 2, rel=0.15)


@pytest.mark.parametrize(
    ("hint", "earliest", "latest"),
    [(7.0, 7.0, 7.7), (100.0, 100.0, 105.0), (120.0, 120.0, 125.0), (121.0, None, None), (0.0, 0.0, 1.0)],
    ids=["a tenth more", "at most 5 s more", "the longest", "too long: give up", "zero says nothing"],
)
def test_a_gateway_that_names_a_wait_is_never_asked_earlier(hint, earliest, latest):
    error = RateLimited("x", retry_after_s=hint)
    assert decide(error, random=0.0) == earliest
    assert decide(error, random=1.0) == latest


@pytest.mark.parametrize(("hint", "wait"), [(121.0, 126.0), (900.0, 905.0), (901.0, None)])
def test_an_evaluation_waits_up_to_a_quarter_of_an_hour(hint, wait):
    assert decide(RateLimited("x", retry_after_s=hint), policy=EVALUATION) == wait


@pytest.mark.parametrize("policy", [INTERACTIVE, EVALUATION], ids=["interactive", "evaluation"])
def test_no_wait_reaches_beyond_the_deadline_of_the_call(policy):
    error = RateLimited("x", retry_after_s=100.0)
    assert decide(error, policy=policy, elapsed_s=1699.0, random=0.0) == 100.0
    assert decide(error, policy=policy, elapsed_s=1700.0, random=0.0) is None


def test_the_wait_has_a_cap():
    policy = RetryPolicy(max_attempts=1000)
    assert decide(RateLimited("x"), policy=policy, failed=500) == 60.0
    assert Backoff(0.5, 20.0).wait(10_000, lambda: 1.0) == 20.0


def test_failures_are_counted_by_kind():
    assert Failures().and_one("throttle").and_one("throttle").and_one("truncated") == Failures(
        throttle=2, truncated=1
    )
    assert Failures(fatal=1, throttle=2, transient=3, truncated=4).total == 10
