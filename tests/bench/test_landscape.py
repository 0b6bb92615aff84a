"""The picture of a problem: where its points are, and that its heights are the problem's values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optcore_bench.landscape import landscape
from optcore_problems import Problem, get_problem, get_suite
from tests.cases import in_one_test


def quartic(x: Any, xp: Any) -> Any:
    return (x**4).sum() - 2.0 * (x**2).sum()


def steep(x: Any, xp: Any) -> Any:
    return xp.where(x[0].real > 0.0, x @ x, xp.inf)


def test_with_two_variables_the_axes_are_these() -> None:
    problem = get_problem("more_wild/freudenstein_roth")
    picture = landscape(problem, size=9)
    assert picture.points["start"] == (0.5, -2.0)
    assert picture.points["best known"] == (5.0, 4.0)
    local = next(place for name, place in picture.points.items() if name.startswith("minimum 2, f = 48.98"))
    assert problem.fun(local) == pytest.approx(48.98425367924, rel=1e-12)
    assert picture.y is not None
    for row, y in enumerate(picture.y):
        for column, x in enumerate(picture.x):
            assert picture.height[row, column] == pytest.approx(np.log10(problem.fun([x, y])), rel=1e-12)


@in_one_test("problem", get_suite("more_wild").filter(n_min=3))
def test_with_more_the_plane_holds_start_and_best_known_point(problem: Problem) -> None:
    picture = landscape(problem, size=41)
    assert picture.height.shape == (41, 41)
    assert np.isfinite(picture.height).any()
    assert picture.points["start"] == (0.0, 0.0)
    if problem.x_opt is not None and np.any(problem.x_opt != problem.start):
        assert picture.points["best known"] == (1.0, 0.0)
        assert picture.x[0] < 0.0
        assert picture.x[-1] > 1.0
    assert picture.y is not None
    assert np.ptp(picture.y) > 1.0


def test_one_variable_makes_a_line() -> None:
    problem = Problem(name="double", start=[2.0], fun_xp=quartic, f_opt=-1.0, x_opt=[1.0])
    picture = landscape(problem, size=5)
    assert picture.y is None
    np.testing.assert_allclose(picture.height, np.log10(picture.x**4 - 2 * picture.x**2 + 1.0), atol=1e-12)
    assert picture.points["start"] == (2.0, pytest.approx(np.log10(9.0)))
    assert len(picture.figure().data) == 3


def test_a_problem_without_known_minimum_is_drawn_along_its_gradient_or_at_random() -> None:
    problem = Problem(name="bare", start=[1.0, 2.0, 3.0], fun_xp=quartic)
    assert landscape(problem, size=5).x_title == "down the gradient from the start"
    assert landscape(problem, size=5).points == {"start": (0.0, 0.0)}
    np.testing.assert_array_equal(landscape(problem, size=5).height, landscape(problem, size=5).height)


def test_infinite_values_are_gaps() -> None:
    picture = landscape(Problem(name="steep", start=[0.5, 1.0], fun_xp=steep), size=11)
    assert np.isnan(picture.height[:, picture.x <= 0.0]).all()
    assert np.isfinite(picture.height[:, picture.x > 0.0]).all()
    assert picture.figure().data[0].type == "contour"
