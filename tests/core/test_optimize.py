"""minimize and maximize as a whole."""

import functools
import inspect

import numpy as np
import pytest

import optcore as om
from tests.cases import in_one_test
from tests.core.counting import (
    CENTRE,
    ELLIPSE_START,
    LIBRARIES,
    ROSENBROCK_START,
    ellipse,
    ellipse_gradient,
    place,
    rosenbrock,
    rosenbrock_gradient,
)

SCALAR = [a.name for a in om.algos.filter(least_squares=False) if a.library in LIBRARIES]


@pytest.mark.parametrize("algorithm", SCALAR)
@in_one_test("given", ["fun", "jac", "fun_and_jac"])
def test_maximizing_minus_f_is_minimizing_f(algorithm, given):
    if not getattr(om.algos, algorithm).available():
        pytest.skip(f"the library of {algorithm} is not installed")
    where = place(algorithm, ELLIPSE_START)
    least = om.minimize(algorithm=algorithm, budget=om.Budget(200), **where, **functions(given, 1))
    most = om.maximize(algorithm=algorithm, budget=om.Budget(200), **where, **functions(given, -1))
    np.testing.assert_array_equal(least.history.flat_params, most.history.flat_params)
    np.testing.assert_array_equal(least.params, most.params)
    assert most.fun == -least.fun
    assert most.start_fun == -least.start_fun
    assert most.direction == "maximize"
    assert most.status == least.status


def functions(given, sign):
    def fun(x):
        return sign * ellipse(x)

    def jac(x):
        return sign * ellipse_gradient(x)

    return {
        "fun": {"fun": fun},
        "jac": {"fun": fun, "jac": jac},
        "fun_and_jac": {"fun_and_jac": lambda x: (fun(x), jac(x))},
    }[given]


@pytest.mark.parametrize("kind", ["likelihood", "least_squares"])
@pytest.mark.parametrize("with_jac", [True, False])
def test_sums_are_maximized_by_the_chain_rule(kind, with_jac):
    """A concave log likelihood; a sum of squares within a box."""
    mark = getattr(om.mark, kind)
    if kind == "likelihood":
        fun, jac, optimum = lambda x: -((x - CENTRE) ** 2), lambda x: np.diag(-2 * (x - CENTRE)), CENTRE
    else:
        fun, jac, optimum = lambda x: x + 1, lambda x: np.eye(3), np.full(3, 5.0)
    result = om.maximize(
        mark(fun), ELLIPSE_START, "scipy_lbfgsb", jac=mark(jac) if with_jac else None, bounds=om.Bounds(-1, 5)
    )
    np.testing.assert_allclose(result.params, optimum, atol=1e-5)
    assert result.fun == pytest.approx(fun(result.params).sum() if kind == "likelihood" else 108)


def test_maximize_is_minimize_with_another_direction():
    assert inspect.signature(om.maximize) == inspect.signature(om.minimize)
    assert om.maximize.__name__ == "maximize"
    assert om.maximize.__doc__ != om.minimize.__doc__


@pytest.mark.parametrize("start", [6.2, 6, np.array(4.0), np.float64(3), np.array([2.0])], ids=repr)
def test_scalar_params_work(start):
    result = om.minimize(lambda x: float(np.sum((x - 1) ** 2)), start, "scipy_lbfgsb")
    assert np.shape(result.params) == np.shape(start)
    assert result.params == pytest.approx(1, abs=1e-4)
    assert result.history.names == ("0",)


def test_the_result_is_the_best_point_not_the_last():
    def solver(fun, x0):
        fun(x0 / 10)
        fun(x0 * 10)
        return x0 * 10

    result = om.minimize(ellipse, ELLIPSE_START, solver)
    np.testing.assert_array_equal(result.params, ELLIPSE_START / 10)
    np.testing.assert_array_equal(result.claims["x"], ELLIPSE_START * 10)


def test_a_point_outside_the_bounds_is_never_the_result():
    def solver(fun, x0):
        for x in (np.full(3, -9.0), CENTRE, ELLIPSE_START * 0.9):
            fun(x)
        return CENTRE

    result = om.minimize(ellipse, ELLIPSE_START, solver, bounds=om.Bounds(0, 1))
    np.testing.assert_array_equal(result.params, ELLIPSE_START * 0.9)


def test_the_start_is_the_result_where_nothing_is_better():
    result = om.minimize(ellipse, CENTRE, "scipy_neldermead", budget=om.Budget(max_evaluations=20))
    np.testing.assert_array_equal(result.params, CENTRE)
    assert result.fun == 0


def test_functions_may_be_partials_methods_objects_and_lambdas():
    class Model:
        def __init__(self, centre):
            self.centre = centre

        def fun(self, x):
            return ((x - self.centre) ** 2).sum()

        __call__ = fun

    for fun in (Model(3.0), Model(3.0).fun, functools.partial(lambda c, x: ((x - c) ** 2).sum(), 3.0)):
        np.testing.assert_allclose(om.minimize(fun, np.ones(2), "scipy_lbfgsb").params, 3, atol=1e-5)


def test_the_same_call_twice_gives_the_same_history():
    runs = [om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb").history for _ in range(2)]
    np.testing.assert_array_equal(runs[0].flat_params, runs[1].flat_params)


def test_optimizations_can_be_nested():
    def outer(x):
        inner = om.minimize(lambda y: float((y[0] - x[0]) ** 2 + 1), np.zeros(1), "scipy_neldermead")
        return inner.fun + float((x[0] - 2) ** 2)

    result = om.minimize(outer, np.zeros(1), "scipy_neldermead", budget=om.Budget(max_evaluations=40))
    assert result.params[0] == pytest.approx(2, abs=1e-2)
    budgeted = om.minimize(
        lambda x: om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", budget=om.Budget(5)).fun + float(x @ x),
        np.ones(2),
        "scipy_neldermead",
        budget=om.Budget(max_evaluations=12),
    )
    assert budgeted.n_fun_evals == 12


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint64, np.longdouble])
def test_params_of_other_numeric_types_are_made_float64(dtype):
    result = om.minimize(ellipse, np.ones(3, dtype=dtype), "scipy_lbfgsb", jac=rosenbrock_free_gradient)
    assert result.params.dtype == np.float64
    np.testing.assert_allclose(result.params, CENTRE, atol=1e-4)


def rosenbrock_free_gradient(x):
    assert x.dtype == np.float64
    return ellipse_gradient(x).astype(np.float32)


def test_a_jac_may_return_other_real_types():
    for convert in (list, tuple, lambda g: g.astype(np.float32), lambda g: g[::-1][::-1], np.round):
        result = om.minimize(ellipse, ELLIPSE_START, "scipy_slsqp", jac=lambda x, c=convert: c(ellipse_gradient(x)))
        assert result.fun < result.start_fun


@pytest.mark.parametrize("value", [3, np.float32(3), np.array(3.0), np.int64(3), True])
def test_fun_may_return_any_real_number(value):
    result = om.minimize(lambda x: value, np.ones(2), "scipy_neldermead", budget=om.Budget(max_evaluations=5))
    assert result.fun == float(value)
    assert type(result.fun) is float


def test_a_gradient_of_the_wrong_sign_does_not_make_things_worse():
    result = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", jac=lambda x: -rosenbrock_gradient(x))
    assert result.fun <= result.start_fun
    assert not result.success
