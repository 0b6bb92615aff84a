"""Costs against hand-computed tables and against a loop that reads the definitions word by word."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optcore.errors import InvalidInputError
from optcore_bench import Results
from optcore_bench.costs import (
    VirtualClock,
    accuracy_table,
    cost_table,
    describe_cost,
    dimensions,
    improved,
    summary_table,
)
from optcore_bench.evaluations import Evaluations, row_labels
from tests.bench.fake_results import FakeResults, make_results, run, study_results

NAN, INF = math.nan, math.inf
#: A numerical gradient per step, as the evaluator records it: base point and differences share a batch.
FORWARD = {
    "values": [100, 100, 100, 10, 0, 10, 1, 1, 1],
    "tasks": ["fun", "numdiff", "numdiff"] * 3,
    "batches": [0, 0, 0, 1, 1, 1, 2, 2, 2],
}
#: fun and jac by turns.
CLOSED = {"values": [100, NAN, 10, NAN, 1, NAN], "tasks": ["fun", "jac"] * 3, "batches": range(6)}
#: One function for both.
BOTH = {"values": [100, 10, 1], "tasks": ["fun_and_jac"] * 3}


def one(results: FakeResults, **kwargs: object) -> float:
    table = cost_table(results, **kwargs)  # type: ignore[arg-type]
    assert table.shape == (1, 1)
    return float(table.iloc[0, 0])


@pytest.mark.parametrize(
    ("history", "tau", "kwargs", "expected"),
    [
        (FORWARD, 0.1, {}, 4),  # the third call returned less, but for a derivative: the solver never asked for it
        (FORWARD, 0.01, {}, 7),
        (FORWARD, 1e-3, {}, INF),
        (FORWARD, 0.01, {"cost": "gradients"}, 7 / 3),
        (FORWARD, 0.01, {"cost": "batches"}, 3),
        (FORWARD, 0.01, {"jac_cost": "n"}, 7),
        (CLOSED, 0.01, {}, 3),
        (CLOSED, 0.01, {"jac_cost": 0.5}, 4),
        (CLOSED, 0.01, {"jac_cost": "n"}, 7),
        (CLOSED, 0.01, {"jac_cost": "n", "cost": "gradients"}, 7 / 3),
        (CLOSED, 0.01, {"cost": "batches"}, 5),
        (BOTH, 0.01, {}, 3),
        (BOTH, 0.01, {"jac_cost": "n"}, 9),
        (FORWARD, 0.01, {"cost": VirtualClock(2.0, 5.0, cores=1)}, 14),
        (FORWARD, 0.01, {"cost": VirtualClock(2.0, 5.0, cores=2)}, 10),  # rounds 2 + 2 + 1
        (FORWARD, 0.01, {"cost": VirtualClock(2.0, 5.0, cores=3, overhead_seconds=0.5)}, 7.5),
        (FORWARD, 0.01, {"cost": VirtualClock(2.0, 5.0, cores=64)}, 6),
        (CLOSED, 0.01, {"cost": VirtualClock(2.0, 5.0, cores=4)}, 16),
        (BOTH, 0.01, {"cost": VirtualClock(2.0, 5.0, cores=4)}, 21),
    ],
)
def test_cost_of_one_run_is_as_computed_by_hand(history, tau, kwargs, expected):
    assert one(make_results(run("a", **history)), tau=tau, **kwargs) == pytest.approx(expected, rel=1e-15)


def test_a_round_with_fun_and_jac_at_once_lasts_as_long_as_the_longer():
    results = make_results(run("a", values=[9, NAN, 0], tasks=["fun", "jac", "fun"], batches=[0, 0, 1]))
    assert one(results, cost=VirtualClock(2.0, 5.0, cores=2)) == 5 + 2
    assert one(results, cost=VirtualClock(2.0, 5.0, cores=1)) == 2 + 5 + 2


def test_the_noise_free_value_decides_and_nan_never_passes():
    noisy = run("a", values=[10, 0, 5], true=[10, 5, 0])
    assert one(make_results(noisy)) == 3
    assert one(make_results(run("a", values=[10, NAN, 0]))) == 3
    assert one(make_results(run("a", values=[10, NAN, NAN]))) == INF


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"values": [2, 1], "f_opt": 2.0}, 1),  # f_start == f_L: the start solves it
        ({"values": [1, 0.5], "f_opt": 2.0}, 1),  # a start below the best known value
        ({"values": [-10, -20, -29.9, -30], "f_opt": -30.0}, 4),
        ({"values": [-10, -20, -29.9998, -30], "f_opt": -30.0}, 3),  # target -30 + 1e-5 * 20
        ({"values": [5, 0], "f_start": INF}, INF),
        ({"values": [5, 0], "f_start": NAN}, INF),
        ({"values": []}, INF),
        ({"values": [10, -INF], "f_opt": 0.0}, 2),
        ({"values": [NAN, NAN], "f_opt": NAN, "f_start": 1.0}, INF),
    ],
)
def test_edge_cases_of_the_convergence_test(columns, expected):
    assert one(make_results(run("a", **columns))) == expected


def test_what_a_solver_finds_outside_the_bounds_neither_solves_nor_counts_as_found():
    outside = run("a", values=[100, 0, 50, 10], feasible=[True, False, True, True], f_opt=10.0)
    results = make_results(outside, run("b", values=[100, 20], f_opt=10.0))
    assert cost_table(results).loc["s/p"].tolist() == [4, INF]
    assert accuracy_table(results, budget=2).loc["s/p", "a [none]"] == 1.0
    assert cost_table(results, f_opt="compared").loc["s/p"].tolist() == [4, INF]
    assert improved(results).empty


@pytest.mark.parametrize("seed", range(3))
def test_a_history_without_the_best_so_far_gives_the_same_table(seed):
    results = study_results(n_problems=4, seed=seed)
    bare = FakeResults(results.runs, results.rows.drop(columns="best"))
    pd.testing.assert_frame_equal(cost_table(bare), cost_table(results))
    pd.testing.assert_frame_equal(accuracy_table(bare), accuracy_table(results))
    noisy = make_results(run("a", values=[10, 0, 5], true=[10, 5, 0]))
    assert one(FakeResults(noisy.runs, noisy.rows.drop(columns="best"))) == 3


def test_a_start_that_is_not_finite_is_named():
    table = cost_table(make_results(run("a", "p", [5, 0], f_start=INF), run("a", "q", [5, 0])))
    assert table.attrs["not_assessable"] == ["s/p"]


def test_f_opt_falls_back_to_the_best_of_the_compared_runs_and_the_table_says_so():
    runs = (run("a", "p", [10, 1], f_opt=NAN), run("b", "p", [10, 2], f_opt=NAN), run("a", "q", [10, 0]))
    table = cost_table(make_results(*runs))
    assert table.loc["s/p"].tolist() == [2, INF]
    assert table.attrs["f_opt_source"] == {"s/p": "best of the compared runs", "s/q": "best known"}


def test_compared_ignores_the_best_known_value():
    results = make_results(run("a", values=[10, 1]), run("b", values=[10, 5]))
    assert np.isinf(cost_table(results)).to_numpy().all()
    assert cost_table(results, f_opt="compared").loc["s/p"].tolist() == [2, INF]


def test_rows_and_columns_are_named_in_order_of_appearance_and_starts_count_from_one():
    runs = [run("b jax", "z", [1, 0]), run("a none", "z", [1, 0]), run("b jax", "c", [1, 0])]
    runs.append(run("b jax", "z", [1, 0], start=2))
    table = cost_table(make_results(*runs))
    assert list(table.index) == ["s/z", "s/c", "s/z#2"]
    assert list(table.columns) == ["b [jax]", "a [none]"]
    assert table.attrs["not_run"] == [("s/c", "a [none]"), ("s/z#2", "a [none]")]
    assert np.isinf(table.loc["s/c", "a [none]"])


def test_the_noise_is_part_of_the_name_only_where_it_varies():
    frame = make_results(
        run("a", "p", [1], noise="multiplicative"), run("a", "p", [1]), run("a", "q", [1], noise="additive")
    ).runs
    assert row_labels(frame).tolist() == ["s/p ~ multiplicative", "s/p", "s/q"]


def test_pairs_that_cannot_be_are_inf_in_columns_that_can_and_have_no_column_of_their_own():
    runs = [
        run("ls jax", "p", [1, 0]),
        run("ls jax", "q", status="not_applicable"),
        run("nm jax", "p", status="not_applicable"),
        run("nm none", "p", [1, 0]),
        run("nm none", "q", [1, 0]),
    ]
    table = cost_table(make_results(*runs))
    assert list(table.columns) == ["ls [jax]", "nm [none]"]
    assert table.loc["s/q"].tolist() == [INF, 2]
    assert table.attrs["not_run"] == []


def test_two_runs_in_one_cell_are_an_error_that_names_them():
    with pytest.raises(InvalidInputError, match=r"'a \[none\]' has more than one run of 's/p'"):
        cost_table(make_results(run("a", values=[1]), run("a", values=[1])))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"tau": 1.0}, r"tau must be a number in \[0, 1\), not 1.0"),
        ({"tau": "1e-5"}, r"tau must be a number in \[0, 1\), not '1e-5'"),
        ({"tau": None}, r"tau must be a number in \[0, 1\), not None"),
        ({"tau": [0.1, 0.2]}, r"tau must be a number in \[0, 1\), not \[0.1, 0.2\]"),
        ({"tau": True}, r"tau must be a number in \[0, 1\), not True"),
        ({"jac_cost": None}, "not None"),
        ({"cost": ["evaluations"]}, r"not \['evaluations'\]"),
        ({"tau": NAN}, "tau must be"),
        ({"cost": "time"}, "cost must be 'evaluations'.* not 'time'"),
        ({"jac_cost": "m"}, "jac_cost must be a finite number >= 0, 'n' or 'measured', not 'm'"),
        ({"jac_cost": -1}, "not -1"),
        ({"cost": "batches", "jac_cost": 1}, "jac_cost=1 is for costs that count evaluations"),
        ({"cost": VirtualClock(1, 1, 1), "jac_cost": "n"}, "has jac_seconds instead"),
        ({"f_opt": "known"}, "f_opt must be 'best_known' or 'compared', not 'known'"),
        ({"cost": "seconds"}, "no times of evaluations"),
    ],
)
def test_wrong_options_are_errors_that_say_what_came(kwargs, message):
    with pytest.raises(InvalidInputError, match=message):
        cost_table(make_results(run("a", values=[1, 0])), **kwargs)


@pytest.mark.parametrize("kwargs", [{"cores": 0}, {"cores": 1.5}, {"fun_seconds": -1}, {"overhead_seconds": INF}])
def test_a_virtual_clock_checks_what_it_is_given(kwargs):
    with pytest.raises(InvalidInputError, match=next(iter(kwargs))):
        VirtualClock(**({"fun_seconds": 1, "jac_seconds": 1, "cores": 1} | kwargs))


@pytest.mark.parametrize("given", ["results/local/mine", pd.DataFrame({"fun": [1.0]})], ids=["path", "frame"])
def test_what_is_no_results_is_told_how_to_become_some(given):
    with pytest.raises(
        InvalidInputError, match=rf"which {type(given).__name__} lacks; open a store by Results\(path\)"
    ):
        cost_table(given)


def test_an_unknown_task_is_named():
    with pytest.raises(InvalidInputError, match="the history has 'hess'"):
        cost_table(make_results(run("a", values=[1], tasks=["hess"])))


def test_seconds_are_the_clock_at_the_evaluation_that_solved():
    clock = [(0.0, 0.1), (0.2, 0.3), (0.5, 0.75)]
    results = make_results(run("a", values=[100, 1, 0], clock=clock), run("b", values=[100, 50, 1e-4], clock=clock))
    assert cost_table(results, cost="seconds").loc["s/p"].tolist() == [0.75, 0.75]
    results.times = results.times[results.times["run_id"] == "run00000"].sample(frac=1, random_state=0)
    assert cost_table(make_results(run("a", values=[1, 0], clock=[(0, 1), (1, 2)])), cost="seconds").iloc[0, 0] == 2
    with pytest.raises(InvalidInputError, match="run 'run00001' has no clock"):
        cost_table(results, cost="seconds")


def test_a_clock_in_whole_nanoseconds_gives_seconds():
    results = make_results(run("a", values=[1, 0], clock=[(0, 100), (200, 2_500_000_000)]))
    results.times = results.times.astype({"start": "int64", "stop": "int64"})
    assert one(results, cost="seconds") == 2.5


def test_points_are_not_read_where_columns_can_be_chosen():
    results, asked = make_results(run("a", values=[1, 0])), []

    def history(problem=None, *, columns=None):
        asked.append(columns)
        return results.rows[columns]

    results.history = history
    assert one(results) == 2
    assert asked == [["run_id", "evaluation", "task", "batch"], ["best"]]


def test_a_dimension_that_some_runs_do_not_say_is_that_of_the_others_of_the_problem():
    frame = pd.DataFrame({"problem": "p", "algorithm": list("aabb"), "evaluation": [0, 1] * 2, "fun": [9.0, 0, 9, 1]})
    results = Results.from_frame(frame.assign(n=[2, 2, np.nan, np.nan]))
    # One problem has one f_L: b, which ends at 1, hasn't solved what a brought to 0.
    table = cost_table(results, cost="gradients")
    assert table.loc["p"].tolist() == [2 / 3, np.inf]
    assert table.attrs["n"] == {"p": 2}


def test_an_unknown_dimension_is_an_error_only_where_it_matters():
    results = make_results(run("a", values=[1, 0], n=0))
    assert one(results) == 2
    with pytest.raises(InvalidInputError, match="the dimension n of 's/p' isn't known"):
        cost_table(results, cost="gradients")


def test_measured_jacobians_cost_the_ratio_of_the_medians():
    # fun takes 1 s (median of 1, 1, 4), jac 3 s, fun_and_jac 2.5 s, so 1.5 s for its jacobian.
    closed = run("a analytic", values=[100, NAN, 0], tasks=["fun", "jac", "fun"], clock=[(0, 1), (1, 4), (4, 5)])
    both = run("a both", values=[100, 0], tasks=["fun_and_jac"] * 2, clock=[(0, 2.5), (2.5, 5)])
    plain = run("b", values=[0], f_start=100.0, clock=[(0, 4)])
    table = cost_table(make_results(closed, both, plain), jac_cost="measured")
    assert table.loc["s/p"].tolist() == [2 + 3, 2 + 2 * 1.5, 1]


@pytest.mark.parametrize("tasks", [["fun_and_jac"] * 2, ["jac", "fun_and_jac"]])
def test_jacobians_without_a_measured_price_are_not_free(tasks):
    joint = run("a both", values=[100, 0], tasks=tasks, clock=[(0, 2.5), (2.5, 5)], f_start=100.0)
    results = make_results(joint, run("b", "q", values=[1, 0], clock=[(0, 1), (1, 2)]))
    with pytest.raises(InvalidInputError, match=r"jacobians of 'a \[both\]' on 's/p' have no .*use jac_cost='n'"):
        cost_table(results, jac_cost="measured")
    assert cost_table(results, jac_cost="n").at["s/q", "b [none]"] == 2


def test_runs_without_jacobians_need_no_price():
    free = run("a", values=[1, 0], clock=[(0, 1), (1, 2)])
    assert one(make_results(free), jac_cost="measured") == 2


def brute_force(results: FakeResults, tau: float) -> dict[tuple[str, str], tuple[float, float, float, float]]:
    """Evaluations, with n for a jacobian, batches, and seconds on 3 cores, by the words of the definition."""
    found = {}
    for _, r in results.runs.iterrows():
        if r.status == "not_applicable":
            continue
        history = results.rows[results.rows.run_id == r.run_id]
        target = r.f_opt + tau * (r.f_start - r.f_opt)
        calls = jacs = seconds = 0.0
        batches: dict[int, int] = {}
        cell = (INF, INF, INF, INF)
        for h in history.itertuples():
            in_batch = batches.get(h.batch, 0)
            batches[h.batch] = in_batch + 1
            seconds += 1.0 if in_batch % 3 == 0 else 0.0
            calls += h.task in ("fun", "numdiff", "fun_and_jac")
            jacs += h.task in ("jac", "fun_and_jac")
            if h.task in ("fun", "fun_and_jac") and h.fun <= target:
                cell = (calls, calls + r.n * jacs, float(len(batches)), seconds)
                break
        found[f"{r.suite}/{r.problem}", f"{r.algorithm} [{r.derivative}]"] = cell
    return found


@pytest.mark.parametrize("tau", [1e-1, 1e-5, 1e-8])
def test_a_whole_study_agrees_with_a_loop_over_its_evaluations(tau):
    results = study_results(n_problems=6, seed=3)
    expected = brute_force(results, tau)
    tables = [
        cost_table(results, tau),
        cost_table(results, tau, jac_cost="n"),
        cost_table(results, tau, "batches"),
        cost_table(results, tau, VirtualClock(1.0, 1.0, cores=3)),
    ]
    assert any(np.isinf(cell[0]) for cell in expected.values())
    for (row, column), cell in expected.items():
        assert tuple(table.at[row, column] for table in tables) == cell


def test_one_core_takes_the_evaluations_and_many_cores_the_batches():
    results = study_results(n_problems=4, derivatives=("forward", "central"))
    evaluations, batches = cost_table(results), cost_table(results, cost="batches")
    pd.testing.assert_frame_equal(cost_table(results, cost=VirtualClock(1, 0, 1)), evaluations)
    pd.testing.assert_frame_equal(cost_table(results, cost=VirtualClock(1, 0, 10**6)), batches)


def test_the_order_of_the_history_and_categorical_columns_change_nothing():
    results = study_results(n_problems=3)
    shuffled = FakeResults(results.runs, results.rows.sample(frac=1, random_state=1))
    shuffled.rows["run_id"] = shuffled.rows["run_id"].astype("category")
    shuffled.rows["task"] = shuffled.rows["task"].astype("category")
    pd.testing.assert_frame_equal(cost_table(results), cost_table(shuffled))


def test_evaluations_are_read_once():
    results = study_results(n_problems=2)
    evaluations = Evaluations.read(results)
    results.rows = results.rows.iloc[:0]
    assert np.isfinite(cost_table(evaluations)).any(axis=None)
    assert Evaluations.read(evaluations) is evaluations


def test_dimensions_go_with_the_rows():
    n = dimensions(make_results(run("a", "p", [1], n=3), run("a", "q", [1], n=7), run("b", "q", [1], n=7)))
    assert n.to_dict() == {"s/p": 3, "s/q": 7}


def test_summary_counts_what_the_cost_tables_hold():
    runs = [
        run("a fd", "p", [100, 1, 0], derivative_error=1e-8),
        run("a fd", "q", [100, 1], status="error", derivative_error=3e-8),
        run("a fd", "r", [100, 50, 20, 0], derivative_error=2e-8),
        run("b none", "p", [100], status="timeout"),
    ]
    summary = summary_table(make_results(*runs), taus=[0.1, 1e-5])
    first = summary.loc["a [fd]"]
    assert first[["problems", "solved_1e-1", "solved_1e-5", "error", "timeout"]].tolist() == [3, 3, 2, 1, 0]
    assert first["median_cost_1e-1"] == 2
    assert first["median_cost_1e-5"] == 3.5
    assert first["share_1e-5"] == pytest.approx(2 / 3)
    assert first["derivative_error"] == 2e-8
    assert summary.loc["b [none]", ["solved_1e-1", "timeout"]].tolist() == [0, 1]
    assert np.isnan(summary.loc["b [none]", "median_cost_1e-1"])


def test_improved_lists_who_beat_the_best_known_value_and_what_adopting_it_would_change():
    runs = [
        run("a", "p", [100, 1], f_opt=5.0),
        run("b", "p", [100, 5], f_opt=5.0),
        run("a", "q", [100, 0], f_opt=0.0),
    ]
    (row,) = improved(make_results(*runs), tau=1e-5).to_dict("records")
    assert row == {
        "row": "s/p",
        "solver": "a [none]",
        "f_opt": 5.0,
        "f_best": 1.0,
        "gain": 4.0,
        "source": "best known",
        "solved": 2,
        "solved_if_adopted": 1,
        "would_fail": "b [none]",
    }
    assert improved(make_results(run("a", values=[1, 0]))).empty


def test_accuracy_table_is_what_is_left_after_the_budget():
    runs = [run("a", "p", [110, 60, 35, 10], f_opt=10.0), run("b", "p", [110, 120], f_opt=10.0), run("c", "p", [])]
    results = make_results(*runs)
    results.runs["f_start"], results.runs["f_opt"] = 110.0, 10.0
    assert accuracy_table(results).loc["s/p"].tolist() == [0.0, 1.0, 1.0]
    assert accuracy_table(results, budget=2).loc["s/p"].tolist() == [0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("cost", "jac_cost", "words"),
    [
        ("evaluations", 0, "evaluations (a jacobian is free)"),
        ("gradients", 2.5, "evaluations / (n + 1) (a jacobian counts as 2.5)"),
        ("batches", 0, "batches of simultaneous calls"),
        ("seconds", 0, "seconds by the clock"),
        (
            VirtualClock(0.1, 0, 1, 0.01),
            0,
            "seconds at 0.1 s an evaluation, 0 s a jacobian, 1 core, 0.01 s overhead a batch",
        ),
    ],
)
def test_costs_have_words(cost, jac_cost, words):
    assert describe_cost(cost, jac_cost) == words
