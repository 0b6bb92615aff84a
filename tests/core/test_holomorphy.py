"""Complex steps: no alarm where a derivative vanishes, an alarm for each function that drops the imaginary part."""

import numpy as np
import pytest
import scipy.optimize

import optcore as om
from optcore_problems import get_suite
from tests.cases import in_one_test
from tests.core.counting import Counted

SUITE = list(get_suite("more_wild"))


def near_optimum(problem):
    """The published optimum, or where a solver of scipy's with the exact derivative ends."""
    if problem.x_opt is not None:
        return problem.x_opt
    bounds = (-np.inf, np.inf)
    found = scipy.optimize.least_squares(
        problem.residuals, problem.start, jac=problem.jac_residuals, bounds=bounds, xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    return found.x


@in_one_test("problem", SUITE)
def test_no_false_alarm_at_an_optimum_and_the_derivative_is_right(problem):
    """At an optimum a real difference is curvature and rounding, and says nothing of the derivative."""
    for x in (near_optimum(problem), problem.start):
        found = om.first_derivative(problem.fun, x, method="complex_step")
        scale = np.linalg.norm(problem.gradient(problem.start))
        assert np.linalg.norm(found.derivative - problem.gradient(x)) <= 1e-9 * scale
        assert found.n_evaluations["check"] in (1, 3)
        om.first_derivative(problem.residuals, x, method="complex_step")


OPTIMA = {
    "parabola": (lambda x: (x - 1) @ (x - 1), np.ones(3)),
    "parabola far up": (lambda x: (x - 1) @ (x - 1) + 1e9, np.ones(3)),
    "quartic": (lambda x: ((x - 1) ** 4).sum(), np.ones(3)),
    "cubic saddle": (lambda x: ((x - 1) ** 3).sum(), np.ones(3)),
    "steep": (lambda x: 1e12 * ((x - 1) ** 2).sum(), np.ones(3)),
    "cancelling terms": (lambda x: ((1e6 + x) - 1e6 - np.cos(x - 1)).sum() - x.sum(), np.ones(3)),
    "constant": (lambda x: 0 * x[0] + 3.0, np.ones(3)),
    "a real number": (lambda x: 3.0, np.ones(3)),
    "tiny": (lambda x: 1e-200 * ((x - 1) ** 2).sum(), np.ones(3)),
}


@pytest.mark.parametrize("name", OPTIMA)
def test_no_false_alarm_where_all_derivatives_vanish(name):
    fun, x = OPTIMA[name]
    found = om.first_derivative(fun, x, method="complex_step")
    np.testing.assert_allclose(found.derivative, 0, atol=1e-9)


def test_at_a_bound_the_steps_that_settle_a_doubt_stay_inside():
    def fun(x):
        assert (x.real >= 1).all()
        assert (x.real <= 1 + 2e-8).all()
        return (x - 1) @ (x - 1)

    found = om.first_derivative(fun, np.ones(2), bounds=om.Bounds(1, 1 + 2e-8), method="complex_step")
    np.testing.assert_array_equal(found.derivative, 0)
    assert found.n_evaluations["check"] == 3


#: What drops the imaginary part, on parts of the function that a real solver sees.
DROPS = {
    "abs": lambda x: np.abs(x - 3).sum() + x @ x,
    "abs inside a norm": lambda x: np.linalg.norm(x - 3),
    "max": lambda x: np.maximum(x.real, -1.0) @ x,
    "builtin max": lambda x: max(x[0].real, -1.0) ** 2 + x[1],
    "float cast": lambda x: float(x[0].real) * 3 + x[1] * x[0],
    "real": lambda x: x.real @ x,
    "astype": lambda x: (x.real.astype(float) ** 2).sum() + x[1],
    "comparison": lambda x: np.where(x.real > 0, np.abs(x), 2 * np.abs(x)).sum(),
    "conjugate": lambda x: (x * x.conj()).sum().real + x[0],
    "one value of several": lambda x: np.array([x[0] * x[1], np.abs(x[1]), x[0]]),
}


@pytest.mark.parametrize("x", [np.array([1.3, 0.7]), np.array([-0.4, 1e-3]), np.array([1e5, 2.0])], ids=str)
@pytest.mark.parametrize("name", DROPS)
def test_functions_that_drop_the_imaginary_part_are_refused(name, x):
    with pytest.raises(om.InvalidFunctionError, match="complex_step disagrees with a real difference"):
        om.first_derivative(DROPS[name], x, method="complex_step")


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6])
def test_they_are_refused_near_the_optimum_too(distance):
    with pytest.raises(om.InvalidFunctionError, match="complex_step disagrees"):
        om.first_derivative(lambda x: np.abs(x) @ np.abs(x), np.full(2, distance), method="complex_step")
    with pytest.raises(om.InvalidFunctionError, match="complex_step disagrees"):
        om.first_derivative(lambda x: np.abs(x).sum(), np.zeros(2), method="complex_step")  # at a kink


def test_a_derivative_that_vanishes_tells_nothing_and_the_next_one_is_checked():
    counted = Counted(lambda x: (np.abs(x) - 1) @ (np.abs(x) - 1))
    gradient = om.NumericalDerivative(counted.call, np.ones(2), options=om.NumdiffOptions(method="complex_step"))
    np.testing.assert_array_equal(gradient(np.ones(2)).derivative, 0)
    with pytest.raises(om.InvalidFunctionError, match="complex_step disagrees"):
        gradient(np.full(2, 2.0))


def test_checks_end_with_the_first_that_tells_or_after_three():
    options = om.NumdiffOptions(method="complex_step")
    told = om.NumericalDerivative(lambda x: x @ x, np.ones(2), options=options)
    assert [told(x).n_evaluations.get("check", 0) for x in (np.zeros(2), np.ones(2), np.ones(2))] == [3, 1, 0]
    never = om.NumericalDerivative(lambda x: 0 * x[0], np.ones(2), options=options)
    assert [never(np.ones(2)).n_evaluations.get("check", 0) for _ in range(5)] == [1, 1, 1, 0, 0]
