"""Percentiles of gaps in constant memory: near the true ones, whatever the gaps are."""

import sys
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.gateway.gaps import LONGEST_S, RATIO, SHORTEST_S, Gaps

ERROR = RATIO**0.5 * (1 + 1e-9)


def fed(gaps):
    taken, moment = Gaps(), 0.0
    taken.output_at(moment)
    for gap in gaps:
        moment += gap
        taken.output_at(moment)
    return taken


def true_percentile(gaps, percent):
    return sorted(gaps)[ceil(len(gaps) * percent / 100) - 1]


def test_without_two_moments_there_is_no_gap():
    assert (Gaps().last, Gaps().percentile(50)) == (None, None)
    assert (fed([]).last, fed([]).percentile(95)) == (0.0, None)


@pytest.mark.parametrize(
    "gaps",
    [[0.02], [0.01] * 94 + [1.0] * 6, [0.01] * 95 + [1.0] * 5, [0.001 * n for n in range(1, 1001)]],
    ids=["one", "a long one in twenty", "fewer", "all kinds"],
)
@pytest.mark.parametrize("percent", [1, 50, 95, 100])
def test_a_percentile_is_the_gap_at_its_rank(gaps, percent):
    assert fed(gaps).percentile(percent) == pytest.approx(true_percentile(gaps, percent), rel=RATIO - 1)


# Powers of two, so that adding them up to moments is exact.
WIDTHS = st.integers(-19, 9).map(lambda exponent: 2.0**exponent)


@given(st.lists(WIDTHS, min_size=1, max_size=50), st.integers(1, 100))
def test_it_is_within_its_error(gaps, percent):
    true, found = true_percentile(gaps, percent), fed(gaps).percentile(percent)
    assert true / ERROR <= found <= true * ERROR


@pytest.mark.parametrize(("gap", "counts_as"), [(0.0, SHORTEST_S), (1e-9, SHORTEST_S), (1e6, LONGEST_S)])
def test_what_is_beyond_the_range_counts_as_its_end(gap, counts_as):
    assert fed([gap]).percentile(50) == pytest.approx(counts_as, rel=RATIO - 1)


def test_its_memory_does_not_grow():
    def size(gaps):
        return sys.getsizeof(gaps._counts)

    assert size(fed([0.01] * 20_000)) == size(Gaps())
