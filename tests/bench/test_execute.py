"""What happens in the supervised process, called here directly."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from optcore.history import PrivateMemory, read_rows
from optcore_bench.execute import Task, compare_derivative, execute
from optcore_bench.runner import make_task
from optcore_bench.runs import expand
from optcore_bench.study import Study
from optcore_bench.worker import counts
from optcore_problems import Problem, get_problem


def task_of(algorithm: Any, derivative: str = "analytic", problem: Any = "more_wild/rosenbrock", **rules: Any) -> Task:
    runs = [run for run in expand(Study("s", problem, algorithm, derivative, **rules)) if not run.reason]
    return make_task(runs[0])


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_ls_lm", "scipy_neldermead", "scipy_bfgs"])
@pytest.mark.parametrize("derivative", ["analytic", "fun_and_jac", "forward", "central"])
def test_counts_of_the_record_are_those_of_minimize(algorithm: str, derivative: str) -> None:
    problem = get_problem("more_wild/rosenbrock")
    task = task_of(algorithm, derivative, budget={"max_evaluations": 60})
    memory = PrivateMemory()
    answer = execute(memory, task)
    rows = read_rows(memory.reserve(0))
    calls: list[Any] = []
    counting = Problem(
        name="counting",
        version="2",  # the residuals hold what has no hash
        start=problem.start,
        m=2,
        residuals_xp=lambda x, xp: (calls.append(x), problem.residuals(x))[1],
        jacobian_np=problem.jacobian,
    )
    execute(None, task_of(algorithm, derivative, counting, budget={"max_evaluations": 60}))
    counted = counts(rows)
    # The problem's own gradient evaluates its residuals too, and the value at the final point is computed once more.
    own = counted["n_jac_evals"] * (task.kind == "scalar") + counted["n_fun_and_jac_evals"] * (task.kind == "scalar")
    assert len(calls) == counted["n_fun_evals"] + counted["n_fun_and_jac_evals"] + own + 1
    assert counted["n_fun_evals"] + counted["n_fun_and_jac_evals"] <= 60
    assert answer["status"] in ("converged", "stopped", "budget_evaluations")
    assert problem.fun(rows.x[np.nanargmin(np.where(rows.task == 0, rows.fun, np.inf))]) <= 24.2


def test_what_comes_back_is_plain_and_says_how_it_ended() -> None:
    answer = execute(None, task_of("scipy_lbfgsb"))
    assert answer["status"] == "converged"
    assert set(answer) == {"status", "message", "f_final", "n_iterations"}
    assert type(answer["f_final"]) is float
    assert answer["f_final"] < 1e-10
    assert type(answer["status"]) is str
    assert answer["n_iterations"] > 0


def test_the_budget_is_kept_to_the_call() -> None:
    memory = PrivateMemory()
    answer = execute(memory, task_of("scipy_lbfgsb", "forward", budget={"max_evaluations": 17}))
    assert answer["status"] == "budget_evaluations"
    assert len(read_rows(memory.reserve(0)).fun) == 17


def test_seconds_end_a_run_too() -> None:
    slow = Problem(name="slow", start=np.ones(2), m=2, residuals_xp=_slowly)
    answer = execute(None, task_of("scipy_neldermead", problem=slow, budget={"max_seconds": 0.05}))
    assert answer["status"] == "budget_seconds"


def _slowly(x: Any, xp: Any) -> Any:
    import time

    time.sleep(0.01)
    return xp.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def test_a_scalar_solver_sees_no_residuals() -> None:
    seen: list[Any] = []

    def solver(fun_and_jac: Any, x0: Any, bounds: Any, max_evaluations: Any, seed: Any) -> Any:
        value, gradient = fun_and_jac(x0)
        seen.extend([np.shape(value), np.shape(gradient), bounds, max_evaluations, seed])
        return x0

    execute(None, task_of(solver, budget={"max_evaluations": 9}, seed=3))
    assert seen == [(), (2,), None, 9, 3]


def test_a_solver_for_residuals_gets_them_with_their_jacobian() -> None:
    seen: list[Any] = []

    def solver(residuals: Any, residuals_jacobian: Any, x0: Any) -> Any:
        seen.extend([residuals(x0), residuals_jacobian(x0)])
        return {"x": x0, "nfev": 7, "message": "done"}

    answer = execute(None, task_of(solver))
    np.testing.assert_allclose(seen[0], [-4.4, 2.2])
    np.testing.assert_allclose(seen[1], [[24.0, 10.0], [-1.0, 0.0]])
    assert answer["message"] == "done (claims 7 evaluations; 1 was counted)"
    assert answer["f_final"] == pytest.approx(24.2)


def test_the_final_value_is_the_one_at_the_point_that_was_returned() -> None:
    def solver(fun: Any, x0: Any) -> Any:
        fun(np.array([1.0, 1.0]))
        return np.array([0.0, 0.0])

    assert execute(None, task_of(solver))["f_final"] == 1.0


def test_what_a_solver_raises_is_left_to_the_supervisor() -> None:
    def solver(fun: Any, x0: Any) -> Any:
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError, match="no"):
        execute(None, task_of(solver))


def test_what_optcore_raises_on_purpose_is_an_error_with_its_own_words() -> None:
    def solver(fun: Any, x0: Any) -> Any:
        return "nothing"

    answer = execute(None, task_of(solver))
    assert answer["status"] == "error"
    assert "the solver 'solver' must return x of shape (2,)" in answer["message"]


def test_the_exception_of_a_user_function_is_in_the_message_with_its_place() -> None:
    def residuals(x: Any, xp: Any) -> Any:
        raise ZeroDivisionError("there is no such point")

    broken = Problem(name="broken", start=np.ones(2), m=2, residuals_xp=residuals)
    answer = execute(None, task_of("scipy_lbfgsb", "forward", broken))
    assert answer["status"] == "error"
    own, _, cause = answer["message"].partition("; caused by ")
    assert own.startswith("InvalidFunctionError: ")
    assert "objective.py" not in own  # where optcore noticed it is of no use to the reader
    assert cause.startswith("ZeroDivisionError: there is no such point (in residuals (")


def test_what_jax_can_not_trace_is_not_applicable() -> None:
    pytest.importorskip("jax")
    concrete = Problem(
        name="concrete", start=np.ones(1), fun_xp=lambda x, xp: float(x[0]) ** 2, gradient_np=lambda x: 2 * x
    )
    task = task_of("scipy_lbfgsb", "jax", concrete)
    assert execute(None, task)["status"] == "not_applicable"
    assert compare_derivative(None, task)["derivative_error"] is None


def test_solvers_that_draw_from_global_generators_repeat() -> None:
    def solver(fun: Any, x0: Any) -> Any:
        return x0 + np.random.standard_normal(2) + random.random()  # noqa: NPY002  that is the point

    first = execute(None, task_of(solver))
    np.random.standard_normal(5)  # noqa: NPY002
    assert execute(None, task_of(solver)) == first
    assert execute(None, task_of(solver, seed=1)) != first


def test_the_error_of_the_derivative_costs_the_run_nothing() -> None:
    task = task_of("scipy_lbfgsb", "forward", budget={"max_evaluations": 1})
    error = compare_derivative(None, task)["derivative_error"]
    assert 0 < error < 1e-6
