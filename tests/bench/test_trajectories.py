"""Convergence curves against runs computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optcore.errors import InvalidInputError, UnknownNameError
from optcore_bench.trajectories import convergence, step_curves, thin_steps
from tests.bench.fake_results import make_results, run, study_results

NAN = math.nan


def test_one_problem_shows_improvements_the_solver_asked_for_and_ends_with_the_run():
    tasks = ["fun", "numdiff", "fun", "jac", "fun", "fun"]
    plot = convergence(make_results(run("a", values=[110, 0, 120, NAN, 60, 70], f_opt=10.0, tasks=tasks)), "s/p")
    assert plot.curves["x"].tolist() == [1, 4, 5]
    assert plot.curves["y"].tolist() == [1.0, 0.5, 0.5]
    assert plot.title == "s/p"
    assert plot.x_title == "evaluations (a jacobian is free)"


def test_the_noise_free_value_is_drawn():
    plot = convergence(make_results(run("a", values=[100, 1, 40], true=[100, 50, 0])), "s/p")
    assert plot.curves["y"].tolist() == [1.0, 0.5, 0.0, 0.0]


@pytest.mark.parametrize(
    ("cost", "jac_cost", "x"),
    [("evaluations", "n", [1, 4, 4]), ("gradients", 0, [1 / 3, 2 / 3, 2 / 3]), ("batches", 0, [1, 3, 3])],
)
def test_the_x_axis_is_any_cost(cost, jac_cost, x):
    results = make_results(run("a", values=[100, NAN, 0], tasks=["fun", "jac", "fun"]))
    assert convergence(results, "s/p", cost, jac_cost).curves["x"].tolist() == pytest.approx(x)


def test_many_problems_give_the_median_at_each_cost_and_runs_that_ended_keep_their_value():
    runs = [
        run("a", "p", [100, 50]),
        run("a", "q", [100, 80, 20, 10]),
        run("a", "r", []),  # no value: stays at the start
    ]
    curves = convergence(make_results(*runs), quantiles=(0.0, 1.0)).curves
    at = {x: (y, low, high) for _, x, y, low, high in curves.itertuples(index=False)}
    assert at[0] == (1, 1, 1)
    assert at[2] == (0.8, 0.5, 1)
    assert at[3] == (0.5, 0.2, 1)
    assert at[4] == (0.5, 0.1, 1)


def test_the_median_agrees_with_a_loop_over_problems_on_a_whole_study():
    results = study_results(n_problems=9, algorithms=("scipy_bfgs",), derivatives=("forward",))
    curves = convergence(results, max_points=10**6).curves
    shown = curves[curves["solver"] == "scipy_bfgs [forward]"]
    runs = results.runs[results.runs["algorithm"] == "scipy_bfgs"]
    for x in (1, 17, 60, 200):
        gaps = []
        for r in runs.itertuples():
            h = results.rows[(results.rows["run_id"] == r.run_id)].iloc[:x]
            best = h["fun"][h["task"] == "fun"].min()
            gaps.append((best - r.f_opt) / (r.f_start - r.f_opt))
        assert shown[shown["x"] <= x]["y"].iloc[-1] == pytest.approx(np.median(gaps), rel=1e-12)


def test_where_the_start_is_the_best_known_value_the_gap_is_zero_once_reached():
    plot = convergence(make_results(run("a", values=[2, 1], f_opt=2.0)), "s/p")
    assert plot.curves["y"].tolist() == [0.0, 0.0, 0.0]


def test_wrong_names_and_quantiles_are_errors():
    results = make_results(run("a", "rosenbrock", [1, 0]))
    with pytest.raises(UnknownNameError, match=r"unknown problem 's/rosenbrok'; did you mean 's/rosenbrock'\?"):
        convergence(results, "s/rosenbrok")
    with pytest.raises(InvalidInputError, match="quantiles must be"):
        convergence(results, quantiles=(0.8, 0.2))
    with pytest.raises(InvalidInputError, match="no problem to draw"):
        convergence(make_results(run("a", "p", status="not_applicable")))


def test_thinned_steps_are_points_of_the_curve_and_nowhere_visibly_off():
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.integers(1, 9, 20_000)).astype(float)
    y = 10.0 ** -np.cumsum(rng.exponential(16 / 20_000, 20_000))
    keep = thin_steps(x, y, 200)
    assert keep.size <= 200
    assert keep[0] == 0
    assert keep[-1] == x.size - 1
    thinned = y[keep][np.searchsorted(x[keep], x, side="right") - 1]
    height = np.log10(y.max() / y.min())
    assert np.abs(np.log10(thinned / y)).max() <= height / 150
    assert thin_steps(x[:200], y[:200], 200).size == 200


def test_a_figure_has_one_line_a_solver_and_a_shade_for_quantiles():
    results = study_results(n_problems=4, derivatives=("jax", "forward"))
    one, many = convergence(results, "more_wild/rosenbrock"), convergence(results)
    solvers = {solver for _, solver in step_curves(results)}
    assert {t.name for t in one.figure().data} == solvers
    assert len(one.figure().data) == len(solvers)
    assert len(many.figure().data) == 2 * len(solvers)
    assert one.figure().layout.yaxis.type == "log"
    assert all(np.min(t.y) >= 1e-16 for t in one.figure().data)


def test_calls_without_a_value_have_strokes_in_the_figure_of_one_problem():
    runs = [
        run("a", values=[110, NAN, 60, math.inf, NAN], f_opt=10.0, tasks=["fun", "fun", "numdiff", "fun", "jac"]),
        run("b", values=[110, 60], f_opt=10.0),
    ]
    plot = convergence(make_results(*runs), "s/p")
    assert {solver: x.tolist() for solver, x in plot.failures.items()} == {"a [none]": [2, 4]}
    figure = plot.figure()
    (shape,) = figure.layout.shapes
    assert shape.name == "a [none]: 2 failed"
    assert shape.line.color == figure.data[0].line.color
    assert not convergence(make_results(*runs)).figure().layout.shapes  # of several problems, none


def test_the_name_stays_the_function_once_its_module_is_imported():
    import importlib
    from types import ModuleType

    import optcore_bench

    for name, home in optcore_bench._HOMES.items():
        importlib.import_module(f"optcore_bench.{home}")
        assert not isinstance(getattr(optcore_bench, name), ModuleType), name
