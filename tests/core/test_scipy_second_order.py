"""Trust-region methods whose second derivatives are differences of gradients: what they find and what it costs."""

import numpy as np
import pytest
import scipy.optimize

import optcore as om
from optcore.solvers.scipy_second_order import GradientDifferences
from tests.core.counting import ROSENBROCK_START, Counted, rosenbrock, rosenbrock_gradient

BY_PRODUCTS = ["scipy_trust_ncg", "scipy_trust_krylov"]
BY_MATRIX = ["scipy_trust_exact", "scipy_dogleg"]
EVERY = BY_PRODUCTS + BY_MATRIX


def rosenbrock_hessian(x):
    return np.array([[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200.0]])


def convex(x):
    """A sum of exponentials, convex everywhere; its minimum is at 0."""
    return float(np.sum(np.exp(x) + np.exp(-x)))


@pytest.mark.parametrize("algorithm", EVERY)
def test_the_path_is_that_of_scipy_with_the_exact_hessian_up_to_the_precision_of_differences(algorithm):
    method = getattr(om.algos, algorithm).method
    options = {"initial_trust_radius": 0.12, "max_trust_radius": 1000.0, "gtol": 1e-5, "maxiter": 10**6}
    fun = Counted(rosenbrock)
    direct = scipy.optimize.minimize(
        fun.call, ROSENBROCK_START, jac=rosenbrock_gradient, hess=rosenbrock_hessian, method=method, options=options
    )
    ours = om.minimize(rosenbrock, ROSENBROCK_START, algorithm, jac=rosenbrock_gradient)
    asked = ours.history.flat_params[ours.history.task == "fun"]
    assert len(asked) == len(fun)
    np.testing.assert_allclose(asked, fun.points, rtol=1e-3, atol=1e-5)
    assert ours.n_iterations == direct.nit
    assert ours.message == direct.message
    np.testing.assert_allclose(ours.params, direct.x, atol=1e-6)


@pytest.mark.parametrize(("algorithm", "options", "scipys"), [
    ("scipy_trust_ncg",
     {"trustregion_initial_radius": 0.5, "trustregion_max_radius": 0.9, "trustregion_acceptance": 0.0},
     {"initial_trust_radius": 0.5, "max_trust_radius": 0.9, "eta": 0.0}),
    ("scipy_trust_krylov", {"inexact": False, "convergence_gtol_abs": 1e-2},
     {"initial_trust_radius": 0.12, "inexact": False, "gtol": 1e-2}),
    ("scipy_trust_exact", {"stopping_maxiter": 4}, {"initial_trust_radius": 0.12, "maxiter": 4}),
])  # fmt: skip
def test_options_go_through_to_scipy(algorithm, options, scipys):
    derivative = GradientDifferences(rosenbrock_gradient, 2.0**-26)
    second = {"hess": derivative.matrix} if algorithm in BY_MATRIX else {"hessp": derivative.product}
    fun = Counted(rosenbrock)
    direct = scipy.optimize.minimize(
        fun.call, ROSENBROCK_START, jac=rosenbrock_gradient, method=getattr(om.algos, algorithm).method,
        options={"gtol": 1e-5, "maxiter": 10**6, **scipys}, **second,
    )  # fmt: skip
    ours = om.minimize(rosenbrock, ROSENBROCK_START, algorithm, jac=rosenbrock_gradient, algo_options=options)
    asked = ours.history.flat_params[ours.history.task == "fun"]
    np.testing.assert_allclose(asked, fun.points, rtol=1e-12)
    assert ours.message == direct.message


@pytest.mark.parametrize("algorithm", EVERY)
def test_every_gradient_is_counted_and_none_is_taken_twice_in_a_row(algorithm):
    jac = Counted(rosenbrock_gradient)
    result = om.minimize(rosenbrock, ROSENBROCK_START, algorithm, jac=jac.call)
    assert result.n_jac_evals == len(jac) > result.n_fun_evals
    assert result.n_numdiff_evals == 0


def test_a_product_costs_one_gradient_and_a_hessian_n():
    x = np.array([1.5, -0.7])
    gradient = Counted(rosenbrock_gradient)
    differences = GradientDifferences(gradient.call, 2.0**-26)
    for i, p in enumerate(np.eye(2)):
        np.testing.assert_allclose(differences.product(x, 3 * p), 3 * rosenbrock_hessian(x)[i], rtol=1e-5)
    assert len(gradient) == 3  # one at x
    matrix = differences.matrix(x)
    np.testing.assert_allclose(matrix, rosenbrock_hessian(x), rtol=1e-5)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert len(gradient) == 5
    np.testing.assert_array_equal(differences.product(x, np.zeros(2)), 0)
    assert len(gradient) == 5


def test_where_gradients_are_infinite_the_identity_stands_in():
    differences = GradientDifferences(lambda x: np.full(2, np.inf), 1e-8)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(differences.matrix(np.ones(2)), np.eye(2))
        np.testing.assert_array_equal(differences.product(np.ones(2), np.array([2.0, 3.0])), [2, 3])


@pytest.mark.parametrize("algorithm", EVERY)
@pytest.mark.parametrize("method", ["forward", "central", "complex_step"])
def test_numerical_gradients_get_steps_that_suit_their_precision(algorithm, method):
    fun = convex if method != "complex_step" else lambda x: np.sum(np.exp(x) + np.exp(-x))
    options = om.NumdiffOptions(method=method)
    result = om.minimize(fun, np.array([1.0, -0.8, 0.3]), algorithm, numdiff_options=options)
    assert result.success
    np.testing.assert_allclose(result.params, 0, atol=1e-4)
    coarse = om.minimize(
        fun, np.array([1.0, -0.8, 0.3]), algorithm, numdiff_options=options, algo_options={"hessian_step": 1e-9},
        budget=om.Budget(max_evaluations=result.n_fun_evals),
    )  # fmt: skip
    if method == "forward":  # a step below the precision of the gradients: noise, and a worse path
        assert coarse.fun >= result.fun


def test_the_dogleg_says_that_it_needs_a_positive_definite_hessian():
    result = om.minimize(lambda x: float(np.cos(x[0]) + x[1] ** 2), np.array([0.1, 1.0]), "scipy_dogleg")
    assert not result.success
    assert result.message == "A linalg error occurred, such as a non-psd Hessian."


def test_far_starts_have_a_large_enough_trust_region():
    result = om.minimize(lambda x: float(x @ x), np.array([1e7, 1.0]), "scipy_trust_ncg", jac=lambda x: 2 * x)
    assert result.success
    np.testing.assert_allclose(result.params, 0, atol=1e-4)
