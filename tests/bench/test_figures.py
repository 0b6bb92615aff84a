"""Figures hold the numbers that they draw, and one style serves all."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from optcore_bench.costs import accuracy_table, cost_table, dimensions
from optcore_bench.figures import (
    COLORS,
    accuracy_profile_plot,
    data_profile_plot,
    performance_profile_plot,
    solver_styles,
)
from optcore_bench.profiles import data_profile, performance_profile
from tests.bench.fake_results import study_results


@pytest.fixture(scope="module")
def costs() -> pd.DataFrame:
    return cost_table(study_results(n_problems=8), 1e-3, jac_cost="n")


def test_colour_says_algorithm_and_dash_says_derivative_so_that_no_two_look_alike():
    algorithms = [f"a{i}" for i in range(len(COLORS) + 3)]
    solvers = [f"{a} [{d}]" for a, d in itertools.product(algorithms, ["jax", "forward", "central", "none"])]
    styles = solver_styles(solvers)
    assert len(set(styles.values())) == len(solvers)
    assert styles["a1 [jax]"].color == styles["a1 [none]"].color
    assert styles["a1 [jax]"].dash == styles["a2 [jax]"].dash
    assert solver_styles(["plain"])["plain"].dash == "solid"


def test_colours_stand_out_from_white():
    def luminance(color: str) -> float:
        rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    # WCAG 2 contrast; lines need less than text, and 2 is what the lightest colours of Okabe & Ito reach.
    assert min(1.05 / (luminance(color) + 0.05) for color in COLORS) > 2


def test_performance_figure_draws_the_profile_on_powers_of_two(costs):
    plot = performance_profile_plot(costs)
    pd.testing.assert_frame_equal(plot.curves, performance_profile(costs))
    figure = plot.figure()
    assert [t.name for t in figure.data] == list(costs.columns)
    assert {t.line.shape for t in figure.data} == {"hv"}
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.tickvals[:2]) == [1, 2]
    assert "a jacobian counts as n" in figure.layout.xaxis.title.text
    assert "tau = 0.001" in figure.layout.yaxis.title.text
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


def test_a_name_with_markup_is_shown_as_it_is(costs):
    figure = performance_profile_plot(costs.rename(columns={costs.columns[0]: "<b>x</b> [jax]"})).figure()
    assert "&lt;b&gt;" in figure.data[0].hovertemplate
