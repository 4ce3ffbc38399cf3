"""Ids, hashes, cost and the reply's own line."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from chatlab.values.identity import canonical_json, content_hash, new_id
from chatlab.values.reply import Reply, Timings
from chatlab.values.usage import UNKNOWN_COST, Charge, Cost, Usage, format_usd, reported_cost

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_an_id_is_a_version_7_uuid_of_its_moment():
    value = uuid.UUID(new_id(NOON))
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == int(NOON.timestamp() * 1000)


def test_ids_sort_in_the_order_they_were_minted_down_to_a_microsecond():
    moments = [NOON + timedelta(microseconds=step) for step in (0, 1, 2, 999, 1000, 1001, 2_000_000)]
    ids = [new_id(moment) for moment in moments]
    assert ids == sorted(ids)


def test_ten_thousand_ids_of_one_moment_are_all_different():
    assert len({new_id(NOON) for _ in range(10_000)}) == 10_000


def test_equal_values_have_equal_hashes_whatever_the_order_of_their_keys():
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})
    assert content_hash("lone \ud800 surrogate").startswith("sha256:")
    assert canonical_json({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'


@pytest.mark.parametrize(
    ("charge", "cost"),
    [
        (Charge(), UNKNOWN_COST),
        (Charge(reported_usd=Decimal("0.5")), Cost(usd=Decimal("0.5"), basis="reported")),
        (
            Charge(reported_usd=Decimal("0.5"), upstream_usd=Decimal("0.5"), is_byok=False),
            Cost(usd=Decimal("0.5"), basis="reported"),
        ),
        (
            Charge(reported_usd=Decimal("0.01"), upstream_usd=Decimal("0.2"), is_byok=True),
            Cost(usd=Decimal("0.21"), basis="reported"),
        ),
        (Charge(reported_usd=Decimal(0), is_byok=True), UNKNOWN_COST),
    ],
    ids=["nothing said", "charged", "same money twice", "own key: both", "own key: provider's part unknown"],
)
def test_cost_adds_the_providers_bill_only_for_the_users_own_key(charge, cost):
    assert reported_cost(charge) == cost


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0", "0.00"),
        ("1", "1.00"),
        ("12.5", "12.50"),
        ("0.0123", "0.0123"),
        ("0.01", "0.01"),
        ("0.000007765", "0.0000078"),
        ("1234.56789", "1234.5679"),
    ],
)
def test_small_amounts_keep_two_significant_digits(usd, text):
    assert format_usd(Decimal(usd)) == text


def reply(**facts):
    return Reply(text="Hi", status="completed", model="a/b", timings=Timings(started_at=NOON), **facts)


def test_the_footer_says_unknown_rather_than_zero():
    assert reply().footer() == "[Model: a/b | Tokens: unknown | Cost: unknown]"


def test_the_footer_names_the_model_that_served_and_how_the_cost_is_known():
    shown = reply(
        served_model="a/b-2026",
        usage=Usage(input_tokens=37, output_tokens=8),
        cost=Cost(usd=Decimal("0.000007765"), basis="estimated"),
        simulated=True,
    ).footer()
    assert shown == "[Model: a/b-2026 | Tokens: 45 | Cost: ~$0.0000078 | SIMULATED]"


def test_tokens_per_second_count_from_the_first_token():
    timings = Timings(started_at=NOON, first_token_s=0.5, total_s=2.5)
    assert timings.tokens_per_second(40) == 20.0
    assert timings.tokens_per_second(None) is None
    assert Timings(started_at=NOON).tokens_per_second(40) is None


def test_a_reply_reads_as_its_text_and_its_repr_is_short():
    assert str(reply()) == "Hi"
    assert len(repr(reply())) < 200
