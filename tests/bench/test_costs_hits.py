"""Counts to the first hit against the cost tables that read the whole history, and break-even prices against trying."""

from __future__ import annotations

import copy
import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optcore.errors import InvalidInputError, UnknownNameError
from optcore_bench.costs import HitCounts, VirtualClock, break_even, cost_table, hit_counts
from optcore_bench.costs.breakeven import Crossing, crossing_of_medians
from optcore_bench.evaluations import Evaluations
from optcore_bench.trajectories import step_curves
from tests.bench.fake_results import FakeResults, make_results, run, study_results

TASKS = ["fun", "jac", "fun_and_jac", "numdiff"]


def any_history(rng: np.random.Generator, solver: str, problem: str) -> dict[str, Any]:
    """A run with any tasks in batches of any sizes, mixed ones too, or without evaluations."""
    size = int(rng.integers(0, 15))
    stops = np.cumsum(rng.integers(1, 6, size))
    return run(
        solver,
        problem,
        rng.choice([math.nan, 0.0, 1.0, 3.0, 10.0], size),
        tasks=rng.choice(TASKS, size),
        batches=np.cumsum(rng.random(size) < rng.random()),
        n=int(rng.integers(1, 6)) if problem == "p" else 3,
        f_start=10.0,
        status=str(rng.choice(["converged", "budget_evaluations", "error"])),
        clock=[(stop - 1, stop) for stop in stops] if size else None,
    )


def any_results(seed: int) -> FakeResults:
    rng = np.random.default_rng(seed)
    runs = [any_history(rng, solver, problem) for problem in "pqrs" for solver in ("a fd", "b analytic")]
    return make_results(*runs, run("nm jax", "p", status="not_applicable"))


def answer(make: Any, *args: Any, **kwargs: Any) -> tuple[pd.DataFrame | None, str]:
    try:
        return make(*args, **kwargs), ""
    except InvalidInputError as refused:
        return None, str(refused)


def same(hits: HitCounts, results: FakeResults, tau: float, *args: Any, **kwargs: Any) -> None:
    """The same table with the same attrs, or the same refusal."""
    expected, error = answer(cost_table, results, tau, *args, **kwargs)
    found, refusal = answer(hits.costs, *args, **kwargs)
    assert refusal == error
    if expected is not None and found is not None:
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
        assert found.attrs == expected.attrs


@pytest.mark.parametrize("seed", range(6))
def test_every_cost_from_the_counts_equals_the_cost_table_to_the_last_bit(seed):
    results, tau, cores = any_results(seed), [0.0, 0.1, 0.3][seed % 3], 1 + seed % 8
    hits = hit_counts(results, tau, clock=True)
    for cost in ("evaluations", "gradients"):
        for jac_cost in (0, 0.7, "n", "measured"):
            same(hits, results, tau, cost, jac_cost)
    same(hits, results, tau, "batches")
    same(hits, results, tau, "seconds")
    for clock in (
        VirtualClock(0.3, 0.1, cores),
        VirtualClock(0.1, 0.7, cores, 0.01),
        VirtualClock(1, 2, cores, 0, 0.4),
    ):
        same(hits, results, tau, clock)


@pytest.mark.parametrize("seed", range(6))
def test_rounds_are_those_that_a_loop_over_the_calls_makes(seed):
    results, cores = any_results(seed), 1 + seed % 8
    hits = hit_counts(results, 0.1)
    rounds = hits.rounds(cores)[cores]
    for i, row in hits.frame.iterrows():
        history = results.rows[results.rows["run_id"] == row["run_id"]].reset_index(drop=True)
        hit = history.index[history["best"] <= 1.0]
        last = hit[0] if len(hit) else len(history) - 1
        expected = dict.fromkeys(["fun", "jac", "longer", "sum"], 0)
        for _, batch in history.groupby("batch"):
            for begin in range(0, len(batch), cores):
                calls = batch.iloc[begin : begin + cores]
                if calls.index[0] > last:
                    continue
                kinds = {"fun" if t == "numdiff" else t for t in calls["task"]}
                kind = "sum" if "fun_and_jac" in kinds else "longer" if len(kinds) == 2 else kinds.pop()
                expected[kind] += 1
        assert rounds.loc[i].to_dict() == expected
        counted = history["task"][: last + 1].value_counts()
        assert [row[t] for t in TASKS] == [counted.get(t, 0) for t in TASKS]
        assert row["solved"] == bool(len(hit))
        assert row["cut_off"] == (not len(hit) and row["status"] == "budget_evaluations")


def test_a_study_has_the_same_costs_by_both_ways():
    results = study_results(n_problems=5, seed=2)
    for tau in (1e-1, 1e-7):
        hits = hit_counts(results, tau)
        for kwargs in ({}, {"jac_cost": "n"}, {"cost": "gradients"}, {"cost": VirtualClock(0.3, 0.2, 8, 0.1)}):
            same(hits, results, tau, **kwargs)
    assert hits.costs(fun_seconds=0.3, cores=8).equals(cost_table(results, 1e-7, VirtualClock(0.3, 0.0, 8)))
    assert hits.rounds().columns.levels[0].tolist() == [1, 2, 4, 8, 16, 32, 64]


def test_what_the_counts_lack_is_said():
    hits = hit_counts(make_results(run("a", values=[1, 0], clock=[(0, 1), (1, 2)])))
    with pytest.raises(InvalidInputError, match="without the clock; use hit_counts"):
        hits.costs("seconds")
    with pytest.raises(InvalidInputError, match="without prices; use hit_counts"):
        hits.costs(jac_cost="measured")
    with pytest.raises(InvalidInputError, match="not both"):
        hits.costs("batches", cores=2)
    with pytest.raises(InvalidInputError, match="cores must be a whole number"):
        hits.rounds(0)


def counts(evaluations: int, jacobians: int, *, solved: bool = True) -> dict[str, Any]:
    """Columns of a run that has solved after so many calls of fun, jacobians among them."""
    values = [*[10.0] * (evaluations - 1), *[math.nan] * jacobians, 0.0 if solved else 9.0]
    tasks = [*["fun"] * (evaluations - 1), *["jac"] * jacobians, "fun"]
    return {"values": values, "tasks": tasks, "f_start": 10.0}


def two_solvers(*pairs: tuple[Any, Any], n: int = 2) -> FakeResults:
    runs = []
    for i, (a, b) in enumerate(pairs):
        runs += [run(s, f"p{i}", n=n, **columns) for s, columns in (("a", a), ("b", b)) if columns is not None]
    return make_results(*runs)


def found(*pairs: tuple[Any, Any], **kwargs: Any) -> Any:
    return break_even(hit_counts(two_solvers(*pairs, **kwargs)), "a [none]", "b [none]")


UNSOLVED = counts(5, 0, solved=False)


@pytest.mark.parametrize(
    ("a", "b", "verdict", "price", "fraction"),
    [
        (counts(30, 0), counts(10, 12), "above", 20 / 12, "5/3"),
        (counts(10, 12), counts(30, 0), "below", 20 / 12, "5/3"),
        (counts(10, 4), counts(10, 12), "above", 0.0, "0"),
        (counts(10, 12), counts(10, 4), "never", math.nan, ""),
        (counts(9, 4), counts(10, 4), "always", math.nan, ""),
        (counts(9, 4), counts(10, 12), "always", math.nan, ""),
        (counts(30, 4), counts(10, 4), "never", math.nan, ""),
        (counts(30, 5), counts(10, 4), "never", math.nan, ""),
        (counts(10, 4), counts(10, 4), "tied", math.nan, ""),
        (counts(10, 4), UNSOLVED, "only a", math.nan, ""),
        (None, counts(10, 4), "only b", math.nan, ""),
        (UNSOLVED, UNSOLVED, "neither", math.nan, ""),
    ],
)
def test_the_break_even_price_of_one_problem(a, b, verdict, price, fraction):
    row, other = found((a, b), (UNSOLVED, UNSOLVED), n=3).table.to_dict("records")
    assert other["verdict"] == "neither"
    assert (row["verdict"], row["fraction"]) == (verdict, fraction)
    np.testing.assert_equal([row["price"], row["price_n"]], [price, price / 3])


def test_totals_medians_and_the_sentence_by_hand():
    pairs = [(counts(31, 0), counts(11, 10)), (counts(21, 0), counts(11, 10)), (counts(10, 0), UNSOLVED)]
    result = found(*pairs, n=2)
    # In total 52 = 22 + 20 w; the medians are 26 and 11 + 10 w.
    assert result.total["evaluations"] == Crossing("above", Fraction(3, 2))
    assert result.total["n"] == Crossing("above", Fraction(3, 4))
    assert result.median["evaluations"] == Crossing("above", Fraction(3, 2))
    assert result.median_price() == pytest.approx((1 + 0.5) / 2)
    assert (result.cheaper(0.75), result.cheaper(1.01), result.both) == (1, 2, 2)
    assert result.sentence() == (
        "a [none] beats b [none] if a jacobian costs more than 0.75 n evaluations; "
        "in total over the 2 of 3 problems that both solve (1 more by a [none] only)."
    )
    assert "costs more than 1.5 evaluations;" in result.sentence("evaluations")


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((counts(9, 4), counts(10, 4)), "beats b [none] whatever a jacobian costs;"),
        ((counts(11, 4), counts(10, 4)), "doesn't beat b [none] at any price of a jacobian;"),
        ((counts(10, 4), counts(10, 4)), "cost the same whatever a jacobian costs;"),
        ((counts(10, 4), counts(20, 0)), "if a jacobian costs less than 1.25 n evaluations;"),
        ((counts(10, 4), UNSOLVED), "no problem is solved by both (1 by a [none] only)."),
        ((UNSOLVED, UNSOLVED), "no problem is solved by both."),
    ],
)
def test_the_sentence_has_words_for_each_case(pair, words):
    assert words in found(pair).sentence()


def test_an_unknown_dimension_leaves_the_price_in_evaluations():
    result = found((counts(30, 0), counts(10, 10)), n=0)
    assert result.total["evaluations"] == Crossing("above", Fraction(2))
    assert result.total["n"] is None
    assert np.isnan(result.table["price_n"]).all()
    with pytest.raises(InvalidInputError, match="ask for the unit 'evaluations'"):
        result.sentence()


def test_wrong_solvers_are_named():
    hits = hit_counts(two_solvers((counts(2, 0), counts(2, 0))))
    with pytest.raises(UnknownNameError, match=r"a \[none\]"):
        break_even(hits, "a [non]", "b [none]")
    with pytest.raises(InvalidInputError, match="compares two solvers"):
        break_even(hits, "a [none]", "a [none]")


lines = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 12)), min_size=1, max_size=6)


def median_gap(a: list[tuple[int, int]], b: list[tuple[int, int]], price: Fraction) -> Fraction:
    def median(side: list[tuple[int, int]]) -> Fraction:
        costs = sorted(e + price * j for e, j in side)
        return Fraction(costs[(len(costs) - 1) // 2] + costs[len(costs) // 2]) / 2

    return median(a) - median(b)


@settings(max_examples=60, deadline=None)
@given(lines, lines)
def test_medians_change_their_order_exactly_where_it_is_said(a, b):
    crossing = crossing_of_medians(a, b)
    # All prices at which two lines meet, and one between any two of them: every piece is looked at.
    both = [*a, *b]
    meets = {Fraction(p[0] - q[0], q[1] - p[1]) for p in both for q in both if p[1] != q[1]}
    kinks = sorted({Fraction(0), *(m for m in meets if m > 0)})
    grid = sorted({*kinks, *((x + y) / 2 for x, y in pairwise(kinks)), kinks[-1] + 1, kinks[-1] + 1000})
    signs = [np.sign(median_gap(a, b, price)) for price in grid]
    if crossing.price is not None:
        assert median_gap(a, b, crossing.price) == 0
        assert signs[-1] in ((-1,) if crossing.verdict == "above" else (1, 0))
        assert crossing.verdict == "above" or signs[0] == -1
    elif crossing.verdict == "always":
        assert (signs[0], signs[-1]) == (-1, -1)
    elif crossing.verdict == "never":
        assert signs[0] in (0, 1)
        assert signs[-1] in (0, 1)
    else:
        assert (signs[0], signs[-1]) == (0, 0)


def test_the_clock_is_read_once_for_counts_for_curves_and_for_all_prices():
    results, reads = any_results(1), []
    clock = results.clock
    results.clock = lambda: reads.append(1) or clock()
    hit_counts(results, clock=True)
    assert len(reads) == 1
    step_curves(results, "seconds")
    assert len(reads) == 2
    evaluations = Evaluations.read(results)
    for tau in (1e-1, 1e-3):
        cost_table(evaluations, tau, VirtualClock(1.0, 1.0, 2, "measured"))
        cost_table(evaluations, tau, jac_cost="measured")
    assert len(reads) == 3


def test_who_changes_a_table_changes_no_other_one():
    evaluations = Evaluations.read(study_results(n_problems=3))
    first, second = (cost_table(evaluations) for _ in range(2))
    expected = copy.deepcopy(second.attrs)
    for value in first.attrs.values():
        if isinstance(value, list | dict):
            value.clear()
    first.iloc[:] = 0.0
    assert second.attrs == expected == cost_table(evaluations).attrs
    pd.testing.assert_frame_equal(second, cost_table(evaluations))
