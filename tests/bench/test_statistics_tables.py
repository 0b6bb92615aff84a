"""Scores, pairs, ranks, flips, starts and run times against scipy, against counting, and by hand."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from optcore.errors import InvalidInputError, UnknownNameError
from optcore_bench import accuracy_table, cost_table
from optcore_bench.evaluations import Evaluations
from optcore_bench.profiles import data_profile, performance_profile
from optcore_bench.statistics import (
    Bootstrap,
    area_scores,
    cost_heat_map,
    derivative_errors,
    digits_heat_map,
    ecdf_bands,
    expected_run_times,
    few_starts,
    flips,
    log_ratio_plot,
    order_changes,
    over_starts,
    pairwise_table,
    performance_bands,
    random_algorithms,
    rank_table,
    run_times,
    spent_table,
)
from optcore_bench.statistics.of_store import StoreStatistics
from tests.bench.fake_results import make_results, run, study_results

INF = math.inf
ROWS = Bootstrap("rows", replicates=300)


def table(rows: int = 40, solvers: int = 4, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 12, size=(rows, solvers)).astype(float)
    values[rng.random(values.shape) < 0.25] = INF
    return pd.DataFrame(values, index=[f"s/p{i}x" for i in range(rows)], columns=list("abcd")[:solvers])


def area(curve: pd.DataFrame, low: float, high: float) -> float:
    """Area under right-continuous steps over log x, by summing rectangles."""
    x, y = curve["x"].to_numpy(), curve["y"].to_numpy()
    ends = np.append(x[1:], INF)
    total = 0.0
    for begin, end, height in zip(x, ends, y, strict=True):
        begin, end = max(begin, low), min(end, high)
        if end > begin:
            total += height * (math.log(end) - math.log(begin))
    return total / (math.log(high) - math.log(low))


@pytest.mark.parametrize("kind", ["performance", "data"])
def test_a_score_is_the_area_under_the_drawn_profile(kind):
    costs, n = table(), pd.Series(range(2, 42), index=table().index)
    limits = (1.0, 5.0) if kind == "performance" else (0.2, 3.0)
    curves = performance_profile(costs) if kind == "performance" else data_profile(costs, n)
    scores = area_scores(costs, kind, n, limits, ROWS).frame.set_index("solver")
    for solver, curve in curves.groupby("solver"):
        assert scores.loc[solver, "score"] == pytest.approx(area(curve, *limits))
    assert (scores["lower"] < scores["score"]).all()
    assert (scores["score"] < scores["upper"]).all()
    assert scores["best_share"].sum() == pytest.approx(1)


def test_scores_of_pooled_taus_are_their_mean():
    results = make_results(*(run(s, c * 3, 2.0 ** -np.arange(k), n=2) for c in "pq" for s, k in (("a", 30), ("b", 9))))
    pooled = area_scores(run_times(results, [1e-1, 1e-3]), bootstrap=ROWS).frame["score"]
    single = [area_scores(cost_table(results, tau), bootstrap=ROWS).frame["score"] for tau in (1e-1, 1e-3)]
    assert pooled.tolist() == pytest.approx(((single[0] + single[1]) / 2).tolist())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "log"}, "kind must be 'performance' or 'data'"),
        ({"kind": "performance", "limits": (2.0, 2.0)}, "limits must be 0 < low < high"),
        ({"n": pd.Series({"s/p0x": 1})}, "n must be given for every row"),
    ],
)
def test_scores_that_cannot_be_are_errors(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        area_scores(table(), **arguments)


def test_wins_ties_losses_and_medians_are_counted_pair_by_pair():
    costs = table()
    pairs = pairwise_table(costs, ROWS)
    assert len(pairs.frame) == 12
    for one, other in permutations("abcd", 2):
        row = pairs.of(one, other)
        first, second = costs[one], costs[other]
        neither = int((np.isinf(first) & np.isinf(second)).sum())
        assert row.neither == neither
        counts = (first < second).sum(), (first == second).sum() - neither, (first > second).sum()
        assert (row.wins, row.ties, row.losses) == counts
        some = np.isfinite(first) | np.isfinite(second)
        ratios = np.log2(first[some]) - np.log2(second[some])
        assert row.median_log2 == pytest.approx(np.median(ratios))
        assert row.more_solved == np.isfinite(first).sum() - np.isfinite(second).sum()
        assert row.lower <= row.median_log2 <= row.upper
        assert pairs.of(other, one).lower == -row.upper
    assert not any(text.startswith("-0.0,") or ",-0.0" in text for text in pairs.frame.to_csv().splitlines())


def test_the_interval_of_the_median_agrees_with_scipys_bootstrap():
    rng = np.random.default_rng(0)
    logs = rng.normal(size=(41, 2))
    costs = pd.DataFrame(2.0**logs, index=[f"p{i}x" for i in range(41)], columns=["a", "b"])
    row = pairwise_table(costs, Bootstrap("rows", replicates=5000)).of("a", "b")
    theirs = scipy.stats.bootstrap(
        (logs[:, 0] - logs[:, 1],), np.median, n_resamples=5000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    # The median of a replicate is one of the 41 values: the ends agree but for a neighbour.
    assert row.lower == pytest.approx(theirs.low, abs=0.1)
    assert row.upper == pytest.approx(theirs.high, abs=0.1)


def test_a_single_solver_has_no_pairs_and_an_unknown_pair_is_an_error():
    with pytest.raises(InvalidInputError, match="at least two solvers"):
        pairwise_table(table(solvers=1))
    with pytest.raises(InvalidInputError, match="no pair"):
        pairwise_table(table(), ROWS).of("a", "z")


def test_ranks_are_scipys_and_failures_share_the_last_ones():
    costs = table()
    ranks = rank_table(costs, ROWS)
    # Failures are finite and equal for scipy.
    theirs = scipy.stats.rankdata(costs.replace(INF, 1e9).to_numpy(), axis=1)
    assert ranks.ranks.to_numpy().tolist() == theirs.tolist()
    assert ranks.frame["rank"].tolist() == pytest.approx(theirs.mean(axis=0).tolist())
    assert ranks.frame["rank"].sum() == pytest.approx(10)
    assert ((ranks.frame["lower"] <= ranks.frame["rank"]) & (ranks.frame["rank"] <= ranks.frame["upper"])).all()


def test_flips_are_those_of_the_profiles_drawn_without_each_solver():
    costs = table(rows=9, seed=5)
    found = flips(costs, [1.0, 2.0, 4.0]).frame
    expected = set()
    heights = {None: _mean_heights(costs)} | {out: _mean_heights(costs.drop(columns=out)) for out in "abcd"}
    for out in "abcd":
        for one, other in permutations(set("abcd") - {out}, 2):
            for ratio in (1.0, 2.0, 4.0):
                with_all = heights[None][ratio][one] - heights[None][ratio][other]
                without = heights[out][ratio][one] - heights[out][ratio][other]
                if with_all > 1e-12 and without < -1e-12:
                    expected.add((out, one, other, ratio))
    got = set(found[["left_out", "solver", "other", "up_to"]].itertuples(index=False, name=None))
    assert got == expected
    assert got


def _mean_heights(costs: pd.DataFrame) -> dict[float, dict[str, float]]:
    curves = dict(list(performance_profile(costs).groupby("solver")))
    at_one = {solver: float(curve["y"].iloc[0]) for solver, curve in curves.items()}
    return {1.0: at_one} | {r: {s: area(c, 1.0, r) for s, c in curves.items()} for r in (2.0, 4.0)}


def test_two_solvers_never_flip_and_a_solver_far_behind_flips_nobody():
    assert flips(table(solvers=2)).frame.empty
    costs = table(solvers=3).assign(z=INF)
    assert "z" not in set(flips(costs).frame["left_out"])


def test_orders_change_where_the_one_and_then_the_other_wins_more_rows():
    first = pd.DataFrame({"a": [1.0, 1.0, INF], "b": [2.0, 2.0, 1.0], "c": [9.0, 9.0, 9.0]})
    second = pd.DataFrame({"a": [3.0, 3.0, 3.0], "b": [2.0, 2.0, INF], "c": [9.0, 9.0, 9.0]})
    found = order_changes({"one": first, "two": second})
    assert found.pairs == [("a", "b")]
    assert found.frame.to_numpy().tolist() == [["a", "b", "one", 2, 1], ["a", "b", "two", 1, 2]]
    figure = order_changes({"1e-1": first, "1e-7": second}).figure()
    assert (list(figure.data[0].x), figure.layout.xaxis.type) == (["1e-1", "1e-7"], "category")
    with pytest.raises(InvalidInputError, match="'two' has other rows"):
        order_changes({"one": first, "two": second.iloc[:2]})


def test_quartiles_over_starts_by_hand_and_failures_are_infinite():
    index = ["s/p", "s/p#2", "s/p#3", "s/p#4", "s/q"]
    costs = pd.DataFrame({"a": [4.0, 1.0, 3.0, 2.0, INF], "b": [1.0, INF, INF, INF, 7.0]}, index=index)
    frame = over_starts(costs).frame.set_index(["problem", "solver"])
    assert frame.loc[("s/p", "a")].tolist() == [4, 4, 2.5, 1.0, 3.0]
    assert frame.loc[("s/p", "b")].tolist() == [4, 1, INF, 1.0, INF]
    assert frame.loc[("s/q", "b")].tolist() == [1, 1, 7.0, 7.0, 7.0]


def test_solvers_that_draw_random_numbers_are_told_by_the_registry_also_under_other_names():
    runs = [run(a, "p", [1.0], n=2) for a in ("mine", "scipy_lbfgsb", "scipy_differential_evolution", "unheard_of")]
    results = make_results(*runs, study={"algorithms": [{"name": "mine", "algorithm": "scipy_dual_annealing"}]})
    assert random_algorithms(results) == ["mine", "scipy_differential_evolution"]


@pytest.mark.parametrize(("starts", "warned"), [(1, True), (14, True), (15, False)])
def test_fewer_than_fifteen_starts_of_something_random_are_warned_of(starts, warned):
    runs = [run("scipy_dual_annealing", "p", [1.0, 0.0], n=2, start=k + 1) for k in range(starts)]
    assert bool(few_starts(make_results(*runs))) == warned
    noisy = [run("scipy_lbfgsb", "p", [1.0, 0.0], n=2, start=k + 1, noise="additive 0.1") for k in range(starts)]
    assert bool(few_starts(make_results(*noisy))) == warned
    for noise in ("", "wild 0.1", "rounded 6"):
        fixed = [run("scipy_lbfgsb", "p", [1.0], n=2, start=k + 1, noise=noise) for k in range(starts)]
        assert not few_starts(make_results(*fixed))


def test_what_was_spent_is_all_of_a_run_and_nothing_where_there_is_none():
    runs = [run("a", "p", [1.0, 0.0, 0.0, 0.0]), run("a", "q", [1.0]), run("b", "p", [])]
    spent = spent_table(make_results(*runs))
    assert spent.loc["s/p"].tolist() == [4.0, 0.0]
    assert spent.loc["s/q", "a [none]"] == 1.0
    assert math.isnan(spent.loc["s/q", "b [none]"])


def test_expected_run_times_leave_out_pairs_without_a_run_and_refuse_tables_that_differ():
    costs = pd.DataFrame({"a": [10.0, INF, INF]}, index=["p", "q", "r"])
    spent = pd.DataFrame({"a": [12.0, 30.0, np.nan]}, index=["p", "q", "r"])
    row = expected_run_times(costs, spent, "all").frame.iloc[0]
    assert (row["runs"], row["successes"], row["ert"]) == (2, 1, 40.0)
    by = expected_run_times(costs, spent, pd.Series({"p": "g", "q": "g", "r": "h"})).frame
    assert by["ert"].tolist() == [40.0, INF]
    with pytest.raises(InvalidInputError, match="same rows and columns"):
        expected_run_times(costs, spent.iloc[:2])
    with pytest.raises(InvalidInputError, match="by must be"):
        expected_run_times(costs, spent, "function")
    with pytest.raises(InvalidInputError, match="no group for the row 'r'"):
        expected_run_times(costs, spent, pd.Series({"p": "g", "q": "g"}))


def test_run_times_pool_the_taus_and_their_distribution_names_them():
    results = make_results(run("a", "p", [1.0, 0.05, 0.0], n=2), run("a", "q", [1.0, 0.05, 0.05], n=2))
    pooled = run_times(results, [1e-1, 1e-5])
    assert pooled.iloc[:, 0].tolist() == [2.0, 2.0, 3.0, INF]
    bands = ecdf_bands(pooled, Bootstrap(replicates=30))
    assert bands.frame[["x", "y"]].to_numpy().tolist() == [[0.0, 0.0], [2.0, 0.5], [3.0, 0.75]]
    assert "2 targets a problem, tau = 0.1 to 1e-05" in bands.figure().layout.yaxis.title.text
    with pytest.raises(InvalidInputError, match="taus is empty"):
        run_times(results, [])


def test_heat_maps_hold_costs_and_digits_and_leave_unsolved_cells_blank():
    costs = pd.DataFrame({"a": [10.0, INF], "b": [1000.0, 5.0]}, index=["p", "q"])
    heat = cost_heat_map(costs)
    assert heat.frame.to_numpy().tolist() == [["p", "a", 10.0], ["p", "b", 1000.0], ["q", "a", INF], ["q", "b", 5.0]]
    drawn = np.array(heat.figure().data[0].z, dtype=float)
    assert drawn[0].tolist() == [0.0, 2.0]
    assert np.isnan(drawn[1, 0])
    digits = digits_heat_map(pd.DataFrame({"a": [1e-3, 0.0, 2.0]}, index=["p", "q", "r"]))
    assert digits.frame["value"].tolist() == pytest.approx([3.0, 16.0, 0.0])


def test_derivative_errors_set_the_cost_against_the_cheapest_strategy_of_the_same_algorithm():
    runs = []
    for c, extra in (("p", 0), ("q", 2), ("r", 4)):
        runs.append(run("lm analytic", c, [1.0, 0.0], n=2, derivative_error=0.0))
        runs.append(run("lm forward", c, [1.0] * (3 + extra) + [0.0], n=2, derivative_error=1e-8))
        runs.append(run("nm none", c, [1.0, 0.0], n=2))
    errors = derivative_errors(make_results(*runs))
    assert errors.frame["solver"].tolist() == ["lm [analytic]", "lm [forward]"]
    assert errors.frame["ratio"].tolist() == [1.0, 3.0]
    assert errors.frame[["lower", "upper"]].to_numpy().tolist() == [[1.0, 1.0], [2.0, 4.0]]
    assert errors.frame["error"].tolist() == [0.0, 1e-8]
    assert min(trace.y[0] for trace in errors.figure().data) == 1e-17


def test_log_ratio_plots_name_how_many_each_won_and_refuse_what_cannot_be_compared():
    costs = table()
    figure = log_ratio_plot(costs, "a", "c").figure()
    wins = int((costs["a"] < costs["c"]).sum())
    assert figure.data[0].name == f"a cheaper: {wins} of 40"
    with pytest.raises(UnknownNameError, match="solver"):
        log_ratio_plot(costs, "a", "zz")
    with pytest.raises(InvalidInputError, match="'a' with itself"):
        log_ratio_plot(costs, "a", "a")
    with pytest.raises(InvalidInputError, match="compares 2 solvers; the table has 1"):
        log_ratio_plot(costs[["a"]])


def test_bands_of_many_solvers_are_drawn_only_where_asked():
    costs = table(solvers=4)
    many = pd.concat([costs, costs.add_prefix("x")], axis=1)
    bands = ecdf_bands(many, Bootstrap(replicates=20))
    assert [trace.fill for trace in bands.figure().data] == [None] * 8
    assert [trace.name for trace in bands.figure(bands=["xb"]).data if trace.fill] == ["xb"]
    with pytest.raises(UnknownNameError, match="solver"):
        bands.figure(bands=["nobody"])


def test_statistics_of_a_store_are_those_of_its_tables_and_are_made_once():
    results, taus = study_results(n_problems=6), (1e-1, 1e-5)
    shared = StoreStatistics(Evaluations.read(results), f_opt="compared", bootstrap=ROWS)
    tables = {tau: cost_table(results, tau, f_opt="compared") for tau in taus}
    costs = tables[1e-5]
    expected = {
        "pairs": pairwise_table(costs, ROWS),
        "flips": flips(costs),
        "scores": area_scores(run_times(results, taus, f_opt="compared"), bootstrap=ROWS),
        "changes": order_changes({"1e-1": tables[1e-1], "1e-5": costs}),
    }
    for name, one in expected.items():
        argument = 1e-5 if name in ("pairs", "flips") else taus
        found = getattr(shared, name)(argument)
        pd.testing.assert_frame_equal(found.frame, one.frame)
        assert getattr(shared, name)(argument) is found
    pd.testing.assert_frame_equal(shared.costs(1e-5), costs)
    assert shared.costs(1e-5) is shared.tables(taus)[1e-5]
    pd.testing.assert_frame_equal(shared.hits(1e-5).costs(), costs)
    pd.testing.assert_frame_equal(shared.gaps(), accuracy_table(results, f_opt="compared"))


def test_solvers_may_be_called_by_numbers():
    costs = pd.DataFrame([[1.0, 2.0], [4.0, 3.0]], columns=[1, 2], index=["p", "q"])
    for make in (performance_bands, rank_table, pairwise_table, log_ratio_plot, cost_heat_map, over_starts):
        assert make(costs).figure().data
    assert log_ratio_plot(costs, 2, 1).frame["solver"].tolist() == ["2", "1"]
