"""The clocks: one that is real, one that is moved by hand."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from chatlab.clock import ManualClock, SystemClock


def test_the_system_clock_is_aware_and_in_utc():
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_the_system_clock_never_goes_back():
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()


def test_a_manual_clock_moves_only_when_told():
    clock = ManualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert clock.now() == clock.now()
    clock.advance(90)
    assert clock.now() == datetime(2026, 3, 1, 12, 1, 30, tzinfo=UTC)
    assert clock.monotonic() == 90


def test_sleeping_on_a_manual_clock_takes_no_time_and_is_noted():
    clock = ManualClock()
    asyncio.run(clock.sleep(3600))
    assert clock.slept == [3600]
    assert clock.monotonic() == 3600


def test_a_manual_clock_shows_utc_wherever_it_starts():
    east = timezone(timedelta(hours=2))
    assert ManualClock(datetime(2026, 3, 1, 2, tzinfo=east)).now() == datetime(2026, 3, 1, tzinfo=UTC)
    assert ManualClock(datetime(2026, 3, 1, 2, tzinfo=east)).now().utcoffset() == timedelta(0)


def test_a_manual_clock_refuses_naive_times_and_the_past():
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2026, 3, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="does not go back"):
        ManualClock().advance(-1)
