"""Solvers may ask from several threads, and several optimizations may run in threads at the same time."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import optcore as om
from tests.core.counting import ROSENBROCK_START, counts_of, rosenbrock, rosenbrock_gradient, rows_of


@pytest.fixture
def eager_switching():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def search(fun, jac, x0, max_evaluations):
    """A random search in eight threads that looks at values and gradients."""
    points = np.random.default_rng(0).normal(x0, 1.0, size=(400, x0.size))

    def ask(x):
        return fun(x), jac(x)

    with ThreadPoolExecutor(8) as pool:
        values = [value for value, _ in pool.map(ask, points)]
    return points[int(np.argmin(values))]


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("given", [{"jac": rosenbrock_gradient}, {}], ids=["jac", "numerical"])
@pytest.mark.parametrize("max_evaluations", [None, 100])
def test_a_solver_that_asks_in_threads_loses_no_call_and_no_point(given, max_evaluations):
    calls = []  # append is atomic

    def fun(x):
        calls.append(1)
        time.sleep(0)  # lets another thread go on
        return rosenbrock(x)

    budget = om.Budget(max_evaluations=max_evaluations)
    result = om.minimize(fun, ROSENBROCK_START, search, budget=budget, **given)
    assert len(calls) == result.n_fun_evals
    assert counts_of(result) == rows_of(result)
    if max_evaluations is None:
        # Of eight points at work at a time four are remembered, so that a value may have to be taken anew.
        assert len(calls) == 401 if given else 1201 <= len(calls) <= 1601
    else:
        assert len(calls) == max_evaluations
        assert result.status is om.Status.BUDGET_EVALUATIONS
    history = result.history
    assert result.fun == history.fun[history.asked].min() == rosenbrock(result.params)
    seen = ~history.failed & (history.task != "jac")
    np.testing.assert_array_equal(history.fun[seen], [rosenbrock(x) for x in history.flat_params[seen]])


@pytest.mark.usefixtures("eager_switching")
@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_neldermead", "scipy_ls_trf"])
def test_optimizations_in_threads_do_not_disturb_each_other(algorithm):
    fun = rosenbrock
    if algorithm == "scipy_ls_trf":
        fun = om.mark.least_squares(lambda x: np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]]))
    alone = om.minimize(fun, ROSENBROCK_START, algorithm)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: om.minimize(fun, ROSENBROCK_START, algorithm), range(12)))
    for result in results:
        np.testing.assert_array_equal(result.history.flat_params, alone.history.flat_params)
        np.testing.assert_array_equal(result.params, alone.params)


def test_points_that_another_thread_has_forgotten_are_no_failure():
    """The order of points may be emptied between two looks at it."""

    def solver(fun, x0):
        memory = fun.__wrapped__.__self__
        for i in range(10):
            fun(x0 + i)
            memory._order.clear()
        return x0

    assert om.minimize(lambda x: float(x @ x), np.ones(2), solver).n_fun_evals == 10
