"""Figures hold the numbers that they draw, and one style serves all."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from optcore.plots.styles import COLOURS, line_style
from optcore_bench.costs import accuracy_table, cost_table, dimensions
from optcore_bench.figures import (
    accuracy_profile_plot,
    data_profile_plot,
    performance_profile_plot,
    solver_styles,
)
from optcore_bench.profiles import data_profile, performance_profile
from optcore_bench.trajectories import convergence
from tests.bench.fake_results import study_results


@pytest.fixture(scope="module")
def costs() -> pd.DataFrame:
    return cost_table(study_results(n_problems=8), 1e-3, jac_cost="n")


def test_colour_says_algorithm_and_dash_says_derivative_so_that_no_two_look_alike():
    algorithms = [f"a{i}" for i in range(len(COLOURS) + 3)]
    solvers = [f"{a} [{d}]" for a, d in itertools.product(algorithms, ["jax", "forward", "central", "none"])]
    styles = solver_styles(solvers)
    assert len(set(styles.values())) == len(solvers)
    assert styles["a1 [jax]"].color == styles["a1 [central]"].color
    assert len({styles[f"a{i} [jax]"].color for i in range(len(COLOURS))}) == len(COLOURS)
    assert styles["a1 [jax]"].dash == styles["a2 [jax]"].dash
    assert solver_styles(["plain"])["plain"].dash == "solid"


def test_a_solver_looks_the_same_in_figures_of_a_part_of_the_table_and_in_every_kind_of_figure(costs):
    def looks(figure):
        return {t.name: (t.line.color, t.line.dash, t.marker.symbol) for t in figure.data if t.showlegend is not False}

    whole = looks(performance_profile_plot(costs).figure())
    part = costs[[costs.columns[-1], costs.columns[5], costs.columns[2]]]
    results = study_results(n_problems=8)
    for figure in (
        performance_profile_plot(part).figure(),
        data_profile_plot(part).figure(),
        accuracy_profile_plot(accuracy_table(results)[list(part.columns)]).figure(),
        convergence(results).figure(),
        convergence(results, "more_wild/rosenbrock").figure(),
    ):
        found = looks(figure)
        assert found
        assert found == {name: whole[name] for name in found}


def test_the_order_of_the_study_decides_not_that_of_the_table():
    results = study_results(n_problems=2)
    results.study = {"algorithms": [{"name": "scipy_ls_lm"}, "scipy_bfgs"], "derivatives": "central"}
    table = cost_table(results)
    assert table.attrs["solvers"][:2] == ("scipy_ls_lm [central]", "scipy_bfgs [central]")
    assert set(table.attrs["solvers"]) == set(table.columns)
    styles = solver_styles(table.columns, table.attrs["solvers"])
    assert styles["scipy_ls_lm [central]"] == line_style(0, 0)
    assert styles["scipy_bfgs [central]"] == line_style(1, 0)


def test_performance_figure_draws_the_profile_on_powers_of_two(costs):
    plot = performance_profile_plot(costs)
    pd.testing.assert_frame_equal(plot.curves, performance_profile(costs))
    figure = plot.figure()
    assert [t.name for t in figure.data] == list(costs.columns)
    assert {t.line.shape for t in figure.data} == {"hv"}
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.tickvals[:2]) == [1, 2]
    assert "a jacobian counts as n" in figure.layout.xaxis.title.text
    assert "tau = 1e-3" in figure.layout.yaxis.title.text
    first = plot.curves[plot.curves["solver"] == costs.columns[0]]
    np.testing.assert_array_equal(figure.data[0].x[:-1], first["x"])
    np.testing.assert_array_equal(figure.data[0].y[:-1], first["y"])
    assert len({t.x[-1] for t in figure.data}) == 1


def test_data_figure_finds_the_dimensions_in_the_table(costs):
    plot = data_profile_plot(costs)
    pd.testing.assert_frame_equal(plot.curves, data_profile(costs, dimensions(study_results(n_problems=8))))
    assert "(n + 1)" in plot.figure().layout.xaxis.title.text


def test_accuracy_figure_names_the_budget():
    gaps = accuracy_table(study_results(n_problems=3), budget=50)
    figure = accuracy_profile_plot(gaps).figure()
    assert "50 evaluations" in figure.layout.xaxis.title.text
    assert len(figure.data) == gaps.shape[1]


def test_curves_that_never_or_at_once_rise_are_lines_all_the_same():
    nothing = pd.DataFrame({"a": [np.inf]}, index=["p"])
    assert data_profile_plot(nothing, pd.Series({"p": 2})).figure().layout.showlegend  # a single solver has its name
    assert list(data_profile_plot(nothing, pd.Series({"p": 2})).figure().data[0].x) == [0.0, 1.0]
    assert list(performance_profile_plot(nothing).figure().data[0].x) == [1.0, 2.0]
    alike = pd.DataFrame({"a": [3.0], "b": [3.0]}, index=["p"])
    figure = performance_profile_plot(alike).figure()
    assert [list(trace.y) for trace in figure.data] == [[1.0, 1.0]] * 2
    assert list(figure.layout.xaxis.tickvals) == [1.0, 2.0]  # one tick alone says nothing


def test_a_name_with_markup_is_shown_as_it_is(costs):
    figure = performance_profile_plot(costs.rename(columns={costs.columns[0]: "<b>x</b> [jax]"})).figure()
    assert "&lt;b&gt;" in figure.data[0].hovertemplate
    assert figure.data[0].name == "&lt;b&gt;x&lt;/b&gt; [jax]"
