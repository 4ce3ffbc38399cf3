"""When to try again and how long to wait, for every kind of failure."""

import pytest

from chatlab.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    EmptyStream,
    GatewayFault,
    PaymentRequired,
    RateLimited,
    StreamTruncated,
)
from chatlab.gateway.retry import RetryPolicy


def decide(error, *, attempts_made=1, visible_output=False, random=1.0):
    policy = RetryPolicy()
    return policy.decide(
        error, attempts_made=attempts_made, visible_output=visible_output, random=lambda: random
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
    ],
    ids=lambda value: type(value).__name__ + "-" + value.kind if isinstance(value, Exception) else "",
)
def test_the_longest_wait_doubles_and_the_third_failure_is_the_last(error, waits):
    assert [decide(error, attempts_made=made) for made in (1, 2, 3)] == waits


def test_nothing_is_tried_again_once_something_was_seen():
    assert decide(RateLimited("x", retry_after_s=1.0), visible_output=True) is None


def test_the_wait_is_random_from_zero_on():
    assert decide(GatewayFault("x"), random=0.0) == 0.0
    assert decide(GatewayFault("x"), random=0.5) == 0.25


@pytest.mark.parametrize(
    ("hint", "earliest", "latest"),
    [(7.0, 7.0, 7.7), (100.0, 100.0, 105.0), (120.0, 120.0, 125.0), (121.0, None, None), (0.0, 0.0, 1.0)],
    ids=["a tenth more", "at most 5 s more", "the longest", "too long: give up", "zero says nothing"],
)
def test_a_gateway_that_names_a_wait_is_never_asked_earlier(hint, earliest, latest):
    error = RateLimited("x", retry_after_s=hint)
    assert decide(error, random=0.0) == earliest
    assert decide(error, random=1.0) == latest


def test_the_wait_has_a_cap():
    policy = RetryPolicy(max_attempts=1000)
    wait = policy.decide(RateLimited("x"), attempts_made=500, visible_output=False, random=lambda: 1.0)
    assert wait == 60.0
