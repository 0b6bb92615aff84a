"""What solvers may do with the answers they get, and what counts as the best of them."""

import numpy as np
import pytest

import optcore as om
from tests.core.counting import ROSENBROCK_START, rosenbrock, rosenbrock_gradient


def test_a_solver_may_write_into_the_gradients_that_it_gets():
    seen = []

    def solver(fun, x0, jac):
        first = jac(x0)
        first *= 0.0
        seen.append(jac(x0))
        seen[0] += 1.0
        seen.append(jac(x0))
        return x0

    om.minimize(rosenbrock, ROSENBROCK_START, solver, jac=rosenbrock_gradient)
    np.testing.assert_array_equal(seen[1], rosenbrock_gradient(ROSENBROCK_START))


def test_a_solver_may_write_into_residuals_and_jacobians_that_it_gets():
    seen = []

    def solver(x0, residuals, residuals_jacobian):
        for answer in (residuals, residuals_jacobian):
            answer(x0)[:] = -7.0
            answer(x0)[:] = -8.0
            seen.append(answer(x0))
        return x0

    om.minimize(
        om.mark.least_squares(lambda x: 2 * x), np.ones(2), solver, jac=om.mark.least_squares(lambda x: 2 * np.eye(2))
    )
    np.testing.assert_array_equal(seen[0], [2.0, 2.0])
    np.testing.assert_array_equal(seen[1], 2 * np.eye(2))


def test_a_user_function_may_use_one_buffer_for_all_its_answers():
    buffer = np.zeros(2)

    def jac(x):
        buffer[:] = 2 * x
        return buffer

    def solver(fun, x0, jac):
        jac(x0)
        jac(x0 + 1)
        np.testing.assert_array_equal(jac(x0), 2 * x0)  # remembered, while the buffer has moved on
        return x0

    om.minimize(lambda x: x @ x, np.ones(2), solver, jac=jac)


def test_asking_for_the_value_alone_costs_one_call_even_if_the_solver_could_ask_for_both():
    def solver(fun, x0, fun_and_jac):
        for step in range(1, 11):
            fun(x0 + step)
        return x0

    result = om.minimize(lambda x: x @ x, np.ones(5), solver)
    assert result.n_fun_evals == 6 + 10  # the start with its gradient, then ten values


@pytest.mark.parametrize(("answer", "shown"), [(np.zeros(3), r"array\(\[0., 0., 0.\]\)"), ("x", "'x'"), (None, "None")])
def test_what_a_solver_returns_as_x_must_be_a_point(answer, shown):
    with pytest.raises(om.InvalidInputError, match=rf"must return x of shape \(2,\), but returned {shown}"):
        om.minimize(rosenbrock, ROSENBROCK_START, lambda fun, x0: om.SolverResult(answer))


def test_a_list_will_do_as_the_point_that_a_solver_returns():
    result = om.minimize(lambda x: x @ x, np.ones(2), lambda fun, x0: om.SolverResult([0.0, 0.0]))
    np.testing.assert_array_equal(result.params, [0.0, 0.0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_evaluations", np.inf),
        ("max_evaluations", "7"),
        ("max_gradients", 1.5),
        ("max_gradients", True),
        ("max_seconds", "1"),
    ],
)
def test_a_budget_that_can_not_be_names_its_field(name, value):
    with pytest.raises(om.InvalidInputError, match=f"Budget.{name} must be"):
        om.Budget(**{name: value})


def test_points_outside_the_bounds_are_recorded_but_never_the_best():
    # COBYLA looks outside on its way: the minimum of (x - 3)^2 within [-1, 1] is at 1, the sum of two is 8.
    result = om.minimize(
        lambda x: ((x - 3) ** 2).sum(), np.zeros(2), "scipy_cobyla", bounds=om.Bounds(-np.ones(2), np.ones(2))
    )
    outside = (np.abs(result.history.flat_params) > 1).any(axis=1)
    assert outside.any()
    assert result.history.fun[outside].min() < 8.0
    assert not result.history.asked[outside].any()
    assert result.fun == result.history.monotone_fun[-1] >= 8.0
    assert set(result.history.task) == {"fun"}


def test_a_least_squares_solver_may_ask_for_residuals_and_jacobian_in_one_batch():
    class Newton(om.Algorithm):
        name = "gauss_newton_of_this_test"
        kind = om.marks.Kind.LEAST_SQUARES
        needs_jac = True
        asks_jointly = True

        def solve(self, objective, x0, bounds):
            r, J = objective.residuals_and_jacobian(x0)
            x = x0 - np.linalg.lstsq(J, r, rcond=None)[0]
            objective.residuals_and_jacobian(x)
            return om.SolverResult(x, success=True)

    result = om.minimize(om.mark.least_squares(lambda x: 3 * x - 6), np.zeros(2), Newton)
    np.testing.assert_allclose(result.params, [2.0, 2.0], rtol=1e-7)
    np.testing.assert_array_equal(np.bincount(result.history.batch), [3, 3])


def test_the_check_of_a_complex_step_has_a_purpose_of_its_own_and_happens_once():
    with om.NumericalDerivative(lambda x: x @ x, np.ones(2), options=om.NumdiffOptions("complex_step")) as gradient:
        assert gradient(np.ones(2)).n_evaluations == {"base": 1, "differences": 2, "check": 1}
        assert gradient(np.zeros(2)).n_evaluations == {"base": 1, "differences": 2}
