"""Fewer points that draw the same line."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from optcore.plots.decimate import decimate

limits = st.integers(8, 60)
#: Any steps to the right, of very different length, none at all among them.
steps = st.floats(0, 1e6) | st.just(0.0) | st.just(1.0)
values = st.floats(-1e100, 1e100)


def curves(elements=values):
    return st.integers(1, 400).flatmap(
        lambda k: st.tuples(hnp.arrays(np.float64, k, elements=steps), hnp.arrays(np.float64, k, elements=elements))
    )


def drawn(curve):
    return np.cumsum(curve[0]) + 1.0, curve[1]


@given(curves(), limits, st.booleans())
@settings(deadline=None)
def test_extremes_and_ends_are_kept_in_order(curve, limit, log_x):
    x, y = drawn(curve)
    kept = decimate(x, y, limit, log_x=log_x)
    assert kept.size <= limit or x.size <= limit
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    assert kept[-1] == x.size - 1
    assert y[kept].min() == y.min()
    assert y[kept].max() == y.max()


@given(curves(), limits)
@settings(deadline=None)
def test_of_a_monotone_curve_a_monotone_one_is_left(curve, limit):
    x, y = drawn(curve)
    kept = decimate(x, np.minimum.accumulate(y), limit)
    assert (np.diff(np.minimum.accumulate(y)[kept]) <= 0).all()


@given(curves(values | st.sampled_from([np.nan, np.inf, -np.inf])), limits)
@settings(deadline=None)
def test_what_is_not_finite_hides_no_extreme(curve, limit):
    x, y = drawn(curve)
    kept = decimate(x, y, limit)
    finite = y[np.isfinite(y)]
    if finite.size:
        left = y[kept][np.isfinite(y[kept])]
        assert (left.min(), left.max()) == (finite.min(), finite.max())


@given(curves(), limits)
@settings(deadline=None)
def test_every_column_keeps_its_own_extremes_and_ends(curve, limit):
    x, y = drawn(curve)
    kept = decimate(x, y, limit)
    columns = limit // 4
    if x[-1] == x[0] or x.size <= limit:
        return
    column = np.minimum((x - x[0]) / (x[-1] - x[0]) * columns, columns - 1).astype(int)
    for c in np.unique(column):
        inside, left = np.flatnonzero(column == c), kept[column[kept] == c]
        assert (left[0], left[-1]) == (inside[0], inside[-1])
        assert (y[left].min(), y[left].max()) == (y[inside].min(), y[inside].max())


def test_a_short_curve_stays_as_it_is():
    np.testing.assert_array_equal(decimate(np.arange(8.0), np.zeros(8), 8), np.arange(8))
    assert decimate(np.zeros(0), np.zeros(0), 8).size == 0


def test_on_a_logarithmic_axis_the_left_keeps_as_much_as_the_right():
    x = np.arange(1.0, 100_001.0)
    y = np.sin(x)
    linear, logarithmic = (decimate(x, y, 400, log_x=log_x) for log_x in (False, True))
    assert np.count_nonzero(x[linear] < 100) <= 4
    assert np.count_nonzero(x[logarithmic] < 100) > 50  # of 99, in two of five decades


@pytest.mark.parametrize("k", [10**5, 10**6])
def test_a_spike_of_one_point_survives_among_many(k):
    y = np.ones(k)
    y[k // 3], y[k // 7] = 5.0, -5.0
    kept = decimate(np.arange(k, dtype=float), y, 4000)
    assert {0, k // 3, k // 7, k - 1} <= set(kept.tolist())
    assert kept.size <= 4000
