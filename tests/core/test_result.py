"""The result: what it holds, how it prints, and that it pickles."""

import pickle

import numpy as np
import pandas as pd
import pytest

import optcore as om
from tests.core.counting import ROSENBROCK_START, rosenbrock, rosenbrock_gradient


def fun(p):
    return (p["a"] - 1) ** 2 + (p["b"] @ p["b"])


START = {"b": np.ones(2), "a": 3}


def test_the_fields_of_a_result():
    result = om.minimize(fun, START, "scipy_slsqp")
    assert result.status is om.Status.CONVERGED
    assert result.status == "converged"
    assert result.success
    assert result.message == "Optimization terminated successfully"
    assert result.algorithm == "scipy_slsqp"
    assert result.direction == "minimize"
    assert result.start_params["a"] == 3.0
    assert result.start_fun == fun(START) == 6
    assert result.fun == fun(result.params)
    assert type(result.fun) is type(result.start_fun) is float
    assert type(result.params["a"]) is float
    assert isinstance(result.n_iterations, int)
    assert result.n_jac_evals == result.n_fun_and_jac_evals == 0
    assert result.n_numdiff_evals == 3 * result.claims["njev"]
    assert 0 < result.seconds < 60


def test_it_prints_on_one_screen():
    result = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", jac=rosenbrock_gradient)
    lines = repr(result).splitlines()
    assert lines[0] == "minimize with scipy_lbfgsb"
    assert lines[1] == "  status   converged: CONVERGENCE: RELATIVE REDUCTION OF F <= FACTR*EPSMCH"
    assert lines[2].startswith("  fun      ")
    assert "(from 24.199999999999996)" in lines[2]
    assert lines[4] == "  calls    44 of fun, 44 of jac, 36 iterations"
    large = om.minimize(lambda x: float(x @ x), np.ones(5000), "scipy_lbfgsb", jac=lambda x: 2 * x)
    assert len(repr(large).splitlines()) <= 8
    assert all(len(line) < 500 for line in repr(large).splitlines())


def test_it_says_what_numerical_derivatives_cost_and_what_ended_it():
    text = repr(om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", budget=om.Budget(max_evaluations=7)))
    assert "7 of fun (4 for numerical derivatives)" in text
    assert "budget_evaluations: the budget of 7 evaluations is spent" in text


def test_in_a_notebook_it_is_a_table_in_which_nothing_is_markup():
    result = om.minimize(lambda p: p["<b>"] ** 2, {"<b>": 1.0}, "scipy_lbfgsb")
    html = result._repr_html_()
    assert html.startswith("<table>")
    assert html.count("<tr>") == 5
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


PARAMS = [
    1.0,
    np.ones(2),
    {"a": 1.0, "b": [np.ones((2, 2))]},
    pd.Series([1.0, 2.0], index=["x", "y"]),
    {"f": pd.DataFrame({"value": [1.0]}, index=["k"])},
]


@pytest.mark.parametrize("params", PARAMS, ids=lambda value: type(value).__name__)
def test_a_result_pickles_with_its_history(params):
    from optcore.tree import Converter

    flatten = Converter(params).flatten
    result = om.minimize(lambda p: float(flatten(p) @ flatten(p)), params, "scipy_lbfgsb")
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(flatten(again.params), flatten(result.params))
    np.testing.assert_array_equal(again.history.flat_params, result.history.flat_params)
    np.testing.assert_array_equal(flatten(again.history.params[-1]), result.history.flat_params[-1])
    assert repr(again) == repr(result)
    assert again.status is om.Status.CONVERGED
    assert again.claims.keys() == result.claims.keys()


def test_statuses_are_the_words_of_the_tables():
    assert [status.value for status in om.Status] == [
        "converged", "stopped", "budget_evaluations", "budget_seconds", "error", "interrupted",
    ]  # fmt: skip
