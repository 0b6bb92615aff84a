"""Functions that take a whole batch of points in one call."""

import numpy as np
import pytest

import optcore as om
from tests.core.counting import rosenbrock_residuals
from tests.core.derivative_suite import HARD, rosenbrock_chain

X = np.array([-1.2, 1.0, 0.3])
BATCH = om.NumdiffOptions(batch_evaluator="batch")


class Many:
    """Takes points of shape (k, n) and notes how many each call had."""

    def __init__(self, one):
        self.one = one
        self.sizes = []

    def __call__(self, points, **kwargs):
        self.sizes.append(len(points))
        return np.array([self.one(x, **kwargs) for x in points])


@pytest.mark.parametrize("method", ["forward", "backward", "central", "complex_step", "richardson", "auto"])
@pytest.mark.parametrize("one", [rosenbrock_chain, lambda x: np.array([x[0] * x[1], x[2] ** 2])])
def test_derivatives_are_bit_for_bit_those_of_single_calls(method, one):
    many = Many(one)
    ours = om.first_derivative(many, X, method=method, batch_evaluator="batch")
    single = om.first_derivative(one, X, method=method)
    np.testing.assert_array_equal(ours.derivative, single.derivative)
    np.testing.assert_array_equal(ours.func_value, single.func_value)
    assert ours.n_evaluations == single.n_evaluations
    assert len(many.sizes) == ours.n_rounds
    assert sum(many.sizes) == sum(ours.n_evaluations.values())


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_slsqp", "scipy_neldermead"])
def test_minimize_calls_once_for_each_batch(algorithm):
    many = Many(rosenbrock_chain)
    budget = om.Budget(max_evaluations=61)
    ours = om.minimize(many, X, algorithm, numdiff_options=BATCH, budget=budget)
    single = om.minimize(rosenbrock_chain, X, algorithm, budget=budget)
    for name in ("task", "fun", "batch", "flat_params"):
        np.testing.assert_array_equal(getattr(ours.history, name), getattr(single.history, name))
    assert sum(many.sizes) == ours.n_fun_evals == 61
    assert len(many.sizes) == ours.history.batch.max() + 1


def test_residuals_come_as_rows():
    fun = om.mark.least_squares(Many(rosenbrock_residuals))
    result = om.minimize(fun, np.array([-1.2, 1.0]), "scipy_ls_trf", numdiff_options=BATCH)
    np.testing.assert_allclose(result.params, [1, 1], atol=1e-6)


def test_second_derivatives_and_keyword_arguments():
    many = Many(lambda x, scale: scale * rosenbrock_chain(x))
    result = om.second_derivative(many, X, func_kwargs={"scale": 2.0}, batch_evaluator="batch")
    single = om.second_derivative(lambda x: 2.0 * rosenbrock_chain(x), X)
    np.testing.assert_array_equal(result.derivative, single.derivative)
    assert many.sizes == [19]


def test_jax_vmap_makes_such_a_function():
    jax = pytest.importorskip("jax")
    problem = HARD["rosenbrock"]
    with jax.enable_x64(True):
        many = jax.jit(jax.vmap(lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()))
        result = om.first_derivative(many, problem.x, method="central", batch_evaluator="batch")
    np.testing.assert_allclose(result.derivative, problem.gradient, rtol=1e-8)


def test_failing_points_recover_and_an_exception_is_that_of_all():
    def fun(points):
        return np.where(points[:, 0] > 1, np.nan, points[:, 0] ** 2)

    result = om.first_derivative(fun, np.ones(1), batch_evaluator="batch")
    assert result.scheme == {"0": "backward"}
    with pytest.raises(om.UserFunctionError, match="ZeroDivisionError"):
        om.first_derivative(lambda points: 1 / 0, np.ones(1), batch_evaluator="batch")


@pytest.mark.parametrize(
    ("fun", "params", "message"),
    [
        (lambda points: points.sum(), X, r"must return one value, or one row of values, for each of the 4 rows, but"),
        (lambda points: points[:2].sum(axis=1), X, r"for each of the 4 rows, but returned shape \(2,\)"),
        (lambda points: points["a"], {"a": 1.0}, "batch_evaluator='batch' needs params that are a 1-d numpy array"),
    ],
    ids=["number", "too few", "tree"],
)
def test_functions_and_params_that_do_not_fit_say_why(fun, params, message):
    with pytest.raises(om.OptcoreError, match=message):
        om.first_derivative(fun, params, batch_evaluator="batch")
