"""Groups and periods of a question about usage."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from chatlab.errors import InvalidValue
from chatlab.ledger.usage import group_columns, period_start

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_groups_may_be_named_short():
    assert group_columns("user") == ("user_id",)
    assert group_columns(["model", "day", "tool"]) == ("model", "day", "tool_name")


def test_an_unknown_group_is_answered_with_the_nearest_one():
    with pytest.raises(InvalidValue, match="'modell': did you mean 'model'"):
        group_columns("modell")


@pytest.mark.parametrize(
    ("since", "start"),
    [
        (None, None),
        ("7d", NOW - timedelta(days=7)),
        ("24h", NOW - timedelta(hours=24)),
        ("2 w", NOW - timedelta(weeks=2)),
        (timedelta(minutes=5), NOW - timedelta(minutes=5)),
        (date(2026, 11, 1), datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        (
            "2026-11-01T08:00:00+02:00",
            datetime(2026, 11, 1, 8, tzinfo=timezone(timedelta(hours=2))),
        ),
        (NOW, NOW),
    ],
)
def test_a_period_begins_where_its_text_says(since, start):
    assert period_start(since, NOW) == start


@pytest.mark.parametrize("since", ["soon", "7 moons", "", "999999w", "2026-13-01"])
def test_a_period_that_cannot_be_read_is_refused_with_examples(since):
    with pytest.raises(InvalidValue, match=r"since="):
        period_start(since, NOW)


def test_a_moment_without_time_zone_is_refused():
    with pytest.raises(InvalidValue, match="no time zone"):
        period_start(datetime(2026, 1, 1), NOW)  # noqa: DTZ001 -- the mistake under test
