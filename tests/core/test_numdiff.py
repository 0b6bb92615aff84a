"""Numerical derivatives against analytic ones and scipy's; steps, schemes, trees, options and what they refuse."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.optimize

import optcore as om
from tests.core.counting import Counted, rosenbrock, rosenbrock_gradient, rosenbrock_jacobian, rosenbrock_residuals

EPS = np.finfo(float).eps
METHODS = ["forward", "backward", "central", "complex_step"]
X = np.array([0.7, -1.3, 2.0, 0.0])


def smooth(x):
    return np.exp(x[0]) * np.sin(x[1]) + 0.1 * x[2] ** 3 + x[3] * x[0]


def smooth_gradient(x):
    return np.array([np.exp(x[0]) * np.sin(x[1]) + x[3], np.exp(x[0]) * np.cos(x[1]), 0.3 * x[2] ** 2, x[0]])


@pytest.mark.parametrize(
    ("method", "rtol"), [("forward", 2e-6), ("backward", 2e-6), ("central", 1e-8), ("complex_step", 1e-14)]
)
def test_every_method_is_as_exact_as_its_order_says(method, rtol):
    np.testing.assert_allclose(om.first_derivative(smooth, X, method=method).derivative, smooth_gradient(X), rtol=rtol)
    np.testing.assert_allclose(
        om.first_derivative(rosenbrock_residuals, X[:2], method=method).derivative,
        rosenbrock_jacobian(X[:2]),
        rtol=10 * rtol,
        atol=1e-9,
    )


@pytest.mark.parametrize("h", [1e-4, 1e-6])
def test_forward_differences_are_those_of_scipy_for_the_same_steps(h):
    ours = om.first_derivative(smooth, X, method="forward", step_size=h).derivative
    np.testing.assert_allclose(ours, scipy.optimize.approx_fprime(X, smooth, h), rtol=1e-7)


@pytest.mark.parametrize(("method", "scipys"), [("forward", "2-point"), ("central", "3-point"), ("complex_step", "cs")])
def test_jacobians_agree_with_scipys(method, scipys):
    jacobian = scipy.optimize._numdiff.approx_derivative(rosenbrock_residuals, X[:2], method=scipys)
    ours = om.first_derivative(rosenbrock_residuals, X[:2], method=method).derivative
    np.testing.assert_allclose(ours, jacobian, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("method", "calls"), [("forward", 5), ("backward", 5), ("central", 9), ("complex_step", 6)])
def test_a_derivative_costs_what_its_method_promises(method, calls):
    """n + 1, n + 1, 2 n + 1; the first complex step one more, to see whether the function is fit for it."""
    counted = Counted(smooth)
    result = om.first_derivative(counted.call, X, method=method)
    assert len(counted) == calls == sum(result.n_evaluations.values())
    assert result.n_evaluations["base"] == 1
    assert result.n_rounds == 1
    assert result.func_value == smooth(X)


@pytest.mark.parametrize(
    ("method", "order", "sign"), [("forward", 1 / 2, 1), ("backward", 1 / 2, -1), ("central", 1 / 3, 1)]
)
def test_default_steps_are_a_power_of_eps_times_the_size_of_x(method, order, sign):
    result = om.first_derivative(smooth, X, method=method)
    np.testing.assert_allclose(result.step, sign * EPS**order * np.maximum(np.abs(X), 0.1), rtol=1e-6)
    assert result.scheme == dict.fromkeys("0123", method)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"step_size": 1e-3}, np.full(4, 1e-3)),
        ({"step_size": np.array([1e-3, 1e-4, 1e-3, 1e-5])}, [1e-3, 1e-4, 1e-3, 1e-5]),
        ({"step_size": [1e-3, None, 1e-3, 1e-5]}, [1e-3, EPS**0.5 * 1.3, 1e-3, 1e-5]),
        ({"scaling_factor": 100}, 100 * EPS**0.5 * np.maximum(np.abs(X), 0.1)),
        ({"typical_x": 2.0}, np.full(4, 2 * EPS**0.5)),
        ({"step_size": 1}, np.ones(4)),
    ],
    ids=str,
)
def test_steps_follow_the_options(options, expected):
    np.testing.assert_allclose(om.first_derivative(smooth, X, **options).step, expected, rtol=1e-6)


def test_steps_may_be_a_part_of_a_tree():
    result = om.first_derivative(lambda p: p["a"] ** 2 + p["b"][1], {"b": np.ones(2), "a": 3.0}, step_size={"a": 0.5})
    assert result.step["a"] == 0.5
    np.testing.assert_allclose(result.step["b"], EPS**0.5, rtol=1e-6)
    assert result.derivative["a"] == pytest.approx(6.5)


# trees ---------------------------------------------------------------------------------------------------------------


def test_a_number_of_a_tree_has_a_derivative_like_the_tree():
    params = {"b": [1.0, np.array([2.0, 3.0])], "a": np.array(4.0), "s": pd.Series([5.0], index=["k"])}
    result = om.first_derivative(
        lambda p: p["a"] ** 2 + p["b"][0] * p["b"][1].sum() + 7 * p["s"]["k"], params, method="central"
    )
    assert list(result.derivative) == ["b", "a", "s"]
    assert result.derivative["b"][0] == pytest.approx(5)
    np.testing.assert_allclose(result.derivative["b"][1], [1, 1], rtol=1e-8)
    assert result.derivative["a"].shape == ()
    assert result.derivative["a"] == pytest.approx(8)
    assert result.derivative["s"].to_dict() == pytest.approx({"k": 7})


def test_a_tree_of_a_tree_has_the_tree_of_residuals_with_params_inside():
    result = om.first_derivative(
        lambda p: {"y": p["a"] * np.ones((2, 3)), "x": p["b"] @ p["b"]},
        {"a": 2.0, "b": np.array([1.0, 2.0])},
        method="central",
    )
    assert result.derivative["y"]["a"].shape == (2, 3)
    assert result.derivative["y"]["b"].shape == (2, 3, 2)
    np.testing.assert_allclose(result.derivative["y"]["a"], 1, rtol=1e-8)
    np.testing.assert_allclose(result.derivative["x"]["b"], [2, 4], rtol=1e-8)
    assert result.func_value["x"] == 5.0


@pytest.mark.parametrize("params", [3.0, np.array(3.0)], ids=["number", "0-d"])
def test_the_derivative_of_a_number_has_its_shape(params):
    result = om.first_derivative(lambda x: x**2, params, method="central")
    assert np.shape(result.derivative) == ()
    assert result.derivative == pytest.approx(6)
    assert type(result.derivative) is type(params)


def test_the_kind_of_the_function_does_not_matter():
    marked = om.mark.least_squares(rosenbrock_residuals)
    np.testing.assert_array_equal(
        om.first_derivative(marked, X[:2]).derivative, om.first_derivative(rosenbrock_residuals, X[:2]).derivative
    )


def test_values_as_large_as_floats_get_have_derivatives():
    assert om.first_derivative(lambda x: 1e200 * x[0], np.ones(1)).derivative == pytest.approx([1e200])


# prepared once -------------------------------------------------------------------------------------------------------


def test_a_prepared_derivative_can_be_called_at_many_points():
    with om.NumericalDerivative(rosenbrock, np.ones(2), options=om.NumdiffOptions(method="central")) as gradient:
        for x in np.random.default_rng(0).normal(size=(5, 2)):
            np.testing.assert_allclose(gradient(x).derivative, rosenbrock_gradient(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (np.array([3.0, 1.0]), r"'0' is 3.0, but a derivative needs finite params within the bounds \[0.0, 2.0\]"),
        (np.array([1.0, np.nan]), "'1' is nan, but a derivative needs finite params"),
        (np.ones(3), r"params has shape \(3,\), but params have \(2,\) there"),
        ("x", "params"),
    ],
    ids=str,
)
def test_points_that_do_not_fit_are_refused(params, message):
    gradient = om.NumericalDerivative(rosenbrock, np.ones(2), bounds=om.Bounds(0, 2))
    with pytest.raises(om.InvalidInputError, match=message):
        gradient(params)


@pytest.mark.parametrize("n_cores", [1, 2])
@pytest.mark.parametrize("evaluator", ["processes", "threads", "joblib", "serial", map])
def test_every_backend_gives_bit_for_bit_the_same(evaluator, n_cores):
    if evaluator == "joblib" and n_cores == 2:
        return  # starts processes of its own: tested with the backends
    options = om.NumdiffOptions(n_cores=n_cores, batch_evaluator=evaluator)
    ours = om.first_derivative(smooth, X, options=options)
    np.testing.assert_array_equal(ours.derivative, om.first_derivative(smooth, X).derivative)


# refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda x: float(np.real(x[0])) ** 2 + x[1],
        lambda x: np.abs(x[0]) * x[1] ** 2,
        lambda x: np.maximum(np.real(x[0]), 0.1) ** 2,
        lambda x: np.linalg.norm(x) ** 2,
        lambda x: abs(x[1] * x[0] - 5),
        lambda x: math.exp(x[0]),
        lambda x: float(x[0]),
    ],
    ids=["float", "abs", "real", "norm", "abs of a product", "math", "cast"],
)
def test_a_complex_step_refuses_functions_that_drop_the_imaginary_part(function):
    with pytest.raises(om.InvalidFunctionError, match="complex_step"):
        om.first_derivative(function, np.array([1.3, 0.7]), method="complex_step")
    with pytest.raises(om.InvalidFunctionError, match=r"another method|method='central'"):
        om.minimize(function, np.array([1.3, 0.7]), "scipy_lbfgsb", numdiff_options=om.NumdiffOptions("complex_step"))


@pytest.mark.parametrize("bounds", [None, om.Bounds(-1e11, 1e11)], ids=["free", "bounded"])
def test_a_step_that_vanishes_in_rounding_is_an_error_not_a_zero(bounds):
    with pytest.raises(
        om.InvalidInputError, match=r"the step 1e-08 for '0' vanishes in the rounding of 10000000000.0; give a larger"
    ):
        om.first_derivative(lambda x: x @ x, np.array([1e10, 1.0]), step_size=1e-8, bounds=bounds)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_derivative_that_is_not_finite_names_the_leaf(value):
    with pytest.raises(
        om.InvalidFunctionError,
        match=rf"the numerical derivative is not finite at 'b': .* around it \(it is {value} there\); bounds= keep",
    ):
        om.first_derivative(lambda p: p["a"] if p["b"] == 1 else value, {"a": 1.0, "b": 1.0})


def test_bounds_keep_the_points_in_the_domain_of_the_function():
    result = om.first_derivative(lambda x: np.sqrt(1 - x[0]), np.array([1.0 - 1e-9]), bounds=om.Bounds(upper=1))
    assert result.scheme == {"0": "backward"}


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        (
            {"method": "centrl"},
            LookupError,
            "unknown method of numerical derivatives 'centrl'; did you mean 'central'?",
        ),
        ({"n_cores": 0}, ValueError, "n_cores must be a whole number of at least 1, or -1 for all, but is 0"),
        ({"n_cores": 1.5}, ValueError, "n_cores must be a whole number"),
        ({"n_cores": True}, ValueError, "n_cores must be a whole number"),
        ({"batch_evaluator": "process"}, LookupError, "unknown batch_evaluator 'process'; did you mean 'processes'?"),
        ({"step_size": 0}, ValueError, "step_size must be above 0, but is 0"),
        ({"scaling_factor": -1.0}, ValueError, "scaling_factor must be above 0, but is -1.0"),
        ({"typical_x": float("nan")}, ValueError, "typical_x must be above 0, but is nan"),
        ({"typical_x": "a"}, ValueError, "typical_x must be a number or a tree like params, but is 'a'"),
    ],
    ids=str,
)
def test_options_are_validated_when_they_are_made(kwargs, error, message):
    with pytest.raises(error) as caught:
        om.NumdiffOptions(**kwargs)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"step_size": np.array([1.0, 0.0])}, ValueError, "step_size of '1' must be above 0, but is 0.0"),
        ({"typical_x": np.array([-1.0, 1.0])}, ValueError, "typical_x of '0' must be above 0, but is -1.0"),
        ({"step_size": np.ones(3)}, ValueError, "step_size has shape (3,), but params have (2,) there"),
        ({"stepsize": 1}, LookupError, "unknown argument of first_derivative 'stepsize'; did you mean 'step_size'?"),
        ({"options": {"method": "central"}}, ValueError, "numdiff options must be om.NumdiffOptions(...), but got"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_the_params_name_the_entry(kwargs, error, message):
    with pytest.raises(error) as caught:
        om.first_derivative(rosenbrock, np.ones(2), **kwargs)
    assert message in str(caught.value)


def test_something_that_is_no_function_is_refused():
    with pytest.raises(om.InvalidInputError, match="func must be a function, but got 3"):
        om.first_derivative(3, np.ones(2))


def test_default_options_are_none_and_n_cores_does_not_change_the_method():
    results = [
        om.minimize(rosenbrock, np.ones(2) * 1.1, "scipy_lbfgsb", numdiff_options=options)
        for options in (None, om.NumdiffOptions(), om.NumdiffOptions(n_cores=2), om.NumdiffOptions(method="forward"))
    ]
    for result in results:
        np.testing.assert_array_equal(result.history.flat_params, results[0].history.flat_params)
