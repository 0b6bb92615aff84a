"""Profiles against numbers computed by hand from the definitions, and against counting problem by problem."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optcore.errors import InvalidInputError
from optcore_bench.profiles import (
    accuracy_profile,
    data_profile,
    ecdf,
    log_ratio_profile,
    performance_profile,
    performance_ratios,
)

INF = math.inf
#: Five problems on which the order of B and C depends on whether A takes part (the effect of Gould & Scott 2016).
FLIP = pd.DataFrame(
    [(1, 1, 3), (3, 10, 30), (12, 10, 4), (1, 20, 8), (1, 30, 10)], columns=["A", "B", "C"], dtype=float
)


def points(curves: pd.DataFrame, solver: object) -> list[tuple[float, float]]:
    curve = curves[curves["solver"] == solver]
    return list(zip(curve["x"], curve["y"], strict=True))


def value(curves: pd.DataFrame, solver: str, x: float) -> float:
    """The step function at x, right-continuous."""
    curve = curves[(curves["solver"] == solver) & (curves["x"] <= x)]
    return float(curve["y"].iloc[-1])


def test_performance_profile_by_hand():
    # Ratios by the definition of Dolan & More (2002): a 1, 2, inf, inf; b 1, 1, 1, inf. Nobody solves the last.
    costs = pd.DataFrame({"a": [10, 40, INF, INF], "b": [10, 20, 7, INF]})
    curves = performance_profile(costs)
    assert list(curves.columns) == ["solver", "x", "y"]
    assert points(curves, "a") == [(1.0, 0.25), (2.0, 0.5)]
    assert points(curves, "b") == [(1.0, 0.75)]


def test_a_curve_starts_at_one_also_for_a_solver_that_never_wins_or_never_solves():
    curves = performance_profile(pd.DataFrame({"a": [1.0, 1.0], "b": [3.0, INF], "c": [INF, INF]}))
    assert points(curves, "b") == [(1.0, 0.0), (3.0, 0.5)]
    assert points(curves, "c") == [(1.0, 0.0)]


def test_the_order_of_two_solvers_can_flip_when_a_third_one_leaves():
    with_a, without = performance_profile(FLIP), performance_profile(FLIP[["B", "C"]])
    assert (value(with_a, "B", 4), value(with_a, "C", 4)) == (0.6, 0.4)
    assert (value(without, "B", 2.4), value(without, "C", 2.4)) == (0.4, 0.6)


def test_data_profile_by_hand():
    costs = pd.DataFrame({"a": [6.0, 22.0, INF]}, index=["p", "q", "r"])
    curves = data_profile(costs, pd.Series({"r": 1, "q": 10, "p": 2}))
    assert points(curves, "a") == [(0.0, 0.0), (2.0, 2 / 3)]


def test_data_profile_refuses_costs_that_were_divided_already_and_missing_dimensions():
    costs = pd.DataFrame({"a": [6.0]}, index=["p"])
    with pytest.raises(InvalidInputError, match="it isn't for 'p'"):
        data_profile(costs, pd.Series({"q": 2}))
    costs.attrs["model"] = "gradients"
    with pytest.raises(InvalidInputError, match="units of n \\+ 1 evaluations already"):
        data_profile(costs, pd.Series({"p": 2}))


def test_ecdf_pools_the_rows_of_several_tables():
    one, other = pd.DataFrame({"a": [5.0, INF]}), pd.DataFrame({"a": [9.0, 5.0]})
    assert points(ecdf(pd.concat([one, other])), "a") == [(0.0, 0.0), (5.0, 0.5), (9.0, 0.75)]


def test_accuracy_profile_counts_digits():
    gaps = pd.DataFrame({"a": [1e-2, 1e-4, 0.0, 1.0], "b": [INF, 5.0, -1.0, 1e-2]})
    curves = accuracy_profile(gaps, max_digits=10)
    assert [(pytest.approx(x), y) for x, y in [(0, 0.75), (2, 0.5), (4, 0.25), (10, 0.0)]] == points(curves, "a")
    assert [(pytest.approx(x), y) for x, y in [(0, 0.5), (2, 0.25), (10, 0.0)]] == points(curves, "b")


def test_log_ratio_profile_by_hand():
    costs = pd.DataFrame({"a": [1.0, 8.0, INF, INF, 5.0, 2.0], "b": [4.0, 2.0, INF, 3.0, INF, 2.0]})
    curves = log_ratio_profile(costs)
    assert curves["y"].tolist() == pytest.approx([-2.2, -2, 0, 0, 2, 2.2])
    assert curves["solver"].tolist() == ["a", "a", "", "", "b", "b"]
    assert curves["x"].iloc[-1] == 1
    with pytest.raises(InvalidInputError, match="has 3 columns"):
        log_ratio_profile(FLIP)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
@pytest.mark.parametrize("profile", [performance_profile, ecdf, lambda c: data_profile(c, pd.Series(2, c.index))])
def test_costs_that_are_not_positive_are_errors_that_name_the_cell(bad, profile):
    costs = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, bad]}, index=["p", "q"])
    with pytest.raises(InvalidInputError, match=r"'b' has .+ on 'q'"):
        profile(costs)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([[1.0]], "made of a pandas DataFrame, not of a list"),
        (pd.DataFrame({"a": [1.0, "x"]}), "made of numbers: could not convert string to float: 'x'"),
        (pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]), "two columns are called 'a'"),
    ],
    ids=["list", "text", "twice"],
)
def test_what_is_no_table_of_costs_is_said(given, words):
    with pytest.raises(InvalidInputError, match=words):
        performance_profile(given)


def test_an_empty_table_is_an_error():
    with pytest.raises(InvalidInputError, match="at least one problem and one solver"):
        performance_profile(pd.DataFrame())


def test_the_table_is_not_changed():
    costs = FLIP.copy()
    performance_profile(costs)
    pd.testing.assert_frame_equal(costs, FLIP)


costs_strategy = st.integers(1, 4).flatmap(
    lambda k: st.lists(
        st.lists(st.one_of(st.integers(1, 9).map(float), st.just(INF)), min_size=k, max_size=k), min_size=1, max_size=8
    )
)


@settings(max_examples=60, deadline=None)
@given(costs_strategy, st.floats(1, 12))
def test_performance_profile_is_the_share_counted_problem_by_problem(rows, x):
    costs = pd.DataFrame(rows, columns=[f"s{i}" for i in range(len(rows[0]))])
    curves = performance_profile(costs)
    for j, solver in enumerate(costs.columns):
        count = 0
        for row in rows:
            # Tau is compared as cost <= x * best here, as a ratio in the profile: the same up to rounding.
            count += row[j] < INF and row[j] / min(row) <= x
        assert value(curves, solver, x) == count / len(rows)


@settings(max_examples=60, deadline=None)
@given(costs_strategy, st.floats(0, 6))
def test_data_profile_is_the_share_counted_problem_by_problem(rows, x):
    costs = pd.DataFrame(rows)
    n = pd.Series(np.arange(1, len(rows) + 1))
    curves = data_profile(costs, n)
    for j in costs.columns:
        assert value(curves, j, x) == sum(row[j] / (k + 2) <= x for k, row in enumerate(rows)) / len(rows)


@settings(max_examples=60, deadline=None)
@given(costs_strategy)
def test_at_least_one_solver_has_ratio_one_wherever_any_solved(rows):
    ratios = performance_ratios(pd.DataFrame(rows))
    solved = np.isfinite(np.array(rows)).any(axis=1)
    assert ((ratios.min(axis=1) == 1) == solved).all()


def jumps(curves: pd.DataFrame, solver: object) -> list[tuple[float, float]]:
    """The points of a curve after its left end, ends without a jump left out."""
    return [(x, y) for (_, before), (x, y) in pairwise(points(curves, solver)) if y != before]


def brute_steps(costs: list[float]) -> list[tuple[float, float]]:
    """Of all costs in their order: how many of them each has at or below it, over all, failures included."""
    solved = sorted({c for c in costs if c < INF and c > 0})
    return [(c, sum(other <= c for other in costs) / len(costs)) for c in solved]


@settings(max_examples=50, deadline=None)
@given(costs_strategy)
def test_every_jump_of_every_curve_is_where_counting_puts_it(rows):
    costs = pd.DataFrame(rows)
    n = pd.Series(np.arange(1, len(rows) + 1))
    curves = ecdf(costs), data_profile(costs, n), performance_profile(costs)
    for j in costs.columns:
        assert jumps(curves[0], j) == brute_steps([row[j] for row in rows])
        assert jumps(curves[1], j) == brute_steps([row[j] / (k + 2) for k, row in enumerate(rows)])
        ratios = [INF if row[j] == INF else row[j] / min(row) for row in rows]
        begin = (1.0, sum(r == 1 for r in ratios) / len(rows))
        assert points(curves[2], j)[0] == begin
        assert jumps(curves[2], j) == [step for step in brute_steps(ratios) if step[0] > 1]


gaps_strategy = st.lists(
    st.sampled_from([INF, 2.0, 1.0, 0.5, 1e-2, 1e-2 * (1 + 1e-15), 1e-9, 1e-20, 0.0, -3.0]), min_size=1, max_size=8
)


@settings(max_examples=50, deadline=None)
@given(gaps_strategy, st.one_of(st.sampled_from([0.0, 2.0, 9.0, 16.0]), st.floats(0, 16)))
def test_accuracy_profile_is_the_share_with_more_digits_counted_one_by_one(gaps, x):
    curves = accuracy_profile(pd.DataFrame({"a": gaps}))
    digits = [16.0 if g <= 1e-16 else 0.0 if g >= 1 else min(16.0, -float(np.log10(g))) for g in gaps]
    assert value(curves, "a", x) == pytest.approx(sum(d > x for d in digits) / len(gaps), abs=1e-15)
    y = curves["y"].to_numpy()
    assert (np.diff(y) <= 0).all()
    assert y[-1] == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*2 * [st.one_of(st.integers(1, 9).map(float), st.just(INF))]), min_size=1, max_size=8))
def test_log_ratio_profile_is_the_sorted_list_of_who_won_by_how_much(rows):
    known = [math.log2(a / b) for a, b in rows if a < INF and b < INF]
    edge = 1.1 * max([1.0, *map(abs, known)])
    sides = {(True, False): edge, (False, True): -edge, (True, True): 0.0}
    wins = [sides.get((a == INF, b == INF), None if INF in (a, b) else math.log2(a / b)) for a, b in rows]
    expected = sorted(w for w in wins if w is not None)
    curves = log_ratio_profile(pd.DataFrame(rows, columns=["first", "second"]))
    assert curves["y"].tolist() == pytest.approx(expected, rel=1e-14, abs=1e-14)
    assert curves["x"].tolist() == [(k + 1) / len(rows) for k in range(len(rows))]
    names = ["first" if w < 0 else "second" if w > 0 else "" for w in expected]
    assert curves["solver"].tolist() == names


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*2 * [st.one_of(st.integers(1, 9).map(float), st.just(INF))]), min_size=1, max_size=8))
def test_for_two_solvers_the_log_ratios_hold_the_performance_profile(rows):
    """At ratio 1 a solver is the best or ties: where the log-ratio is on its side or 0 and not nobody's."""
    costs = pd.DataFrame(rows, columns=["first", "second"])
    y = log_ratio_profile(costs)["y"]
    neither = sum(a == b == INF for a, b in rows)
    curves = performance_profile(costs)
    assert value(curves, "first", 1.0) == pytest.approx(((y <= 0).sum() - neither) / len(rows))
    assert value(curves, "second", 1.0) == pytest.approx(((y >= 0).sum() - neither) / len(rows))
