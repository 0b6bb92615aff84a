"""What optimagic 0.5.3 does silently, and what happens here instead.

Each case was run on optimagic 0.5.3 (scipy 1.17.1); what it did there stands in the docstring or in the table. Cases
that behave alike are tested where they belong.
"""

import functools

import numpy as np
import pytest

import optcore as om
from tests.core.counting import ROSENBROCK_START, Counted, rosenbrock

START = np.array([1.0, 2.0, 3.0, 4.0])


def sphere(x):
    return float(x @ x)


def gradient(x):
    return 2 * x


ls = om.mark.least_squares


@ls
def residuals(x):
    return x - 1.0


@ls
def jacobian(x):
    return np.eye(len(x))


BACKWARDS = {"b": 2.0, "a": 3.0}


@pytest.mark.parametrize("x64", [False, True])
def test_gradients_of_jax_are_right_whatever_the_order_of_the_keys(x64):
    """There: JAX sorts the keys, the leaves are matched by position, and the optimum is wrong."""
    jax = pytest.importorskip("jax", reason="JAX is an extra")

    def fun(p):
        return (p["a"] - 1.0) ** 2 + 10.0 * (p["b"] + 2.0) ** 2

    with jax.enable_x64(x64):
        result = om.minimize(fun, BACKWARDS, "scipy_lbfgsb", jac=jax.grad(fun))
    assert list(result.params) == ["b", "a"]
    assert result.params["a"] == pytest.approx(1.0, abs=1e-3)
    assert result.params["b"] == pytest.approx(-2.0, abs=1e-3)
    assert result.n_numdiff_evals == 0


def test_jacobians_of_jax_are_right_whatever_the_order_of_the_keys():
    """There: success=True at fun=404, or 897 with residuals in a dict."""
    jax = pytest.importorskip("jax", reason="JAX is an extra")

    def fun(p):
        return {"second": 3.0 * (p["b"] - 5.0), "first": p["a"] + 0.1 * p["b"]}

    with jax.enable_x64(True):
        result = om.minimize(ls(fun), BACKWARDS, "scipy_ls_lm", jac=ls(jax.jacobian(fun)))
    assert result.success
    assert result.fun == pytest.approx(0.0, abs=1e-12)
    assert result.params["b"] == pytest.approx(5.0)
    assert result.params["a"] == pytest.approx(-0.5)


#: What jac returns, and a part of the message here. There: silent, and often success with a wrong result.
WRONG_GRADIENTS = {
    "one entry short": (START, lambda x: 2 * x[:3], "(3,)"),
    "a column": (START, lambda x: 2 * x[:, None], "(4, 1)"),
    "a number": (START, lambda x: 2.0, "()"),
    "None": (START, lambda x: None, "None"),
    "complex": (START, lambda x: 2 * x + 0j, "complex"),
    "an array for a dict": (BACKWARDS, lambda p: np.array([2 * p["b"], 2 * p["a"]]), "jac"),
    "other keys": (BACKWARDS, lambda p: {"b": 2 * p["b"], "c": 2 * p["a"]}, "'c'"),
    "a key too few": (BACKWARDS, lambda p: {"b": 2 * p["b"]}, "'a'"),
    "a dict for an array": (START, lambda x: {"x": 2 * x}, "jac"),
}


@pytest.mark.parametrize(("start", "jac", "part"), WRONG_GRADIENTS.values(), ids=WRONG_GRADIENTS)
@pytest.mark.parametrize("error_handling", ["raise", "continue"])
def test_a_gradient_that_does_not_fit_is_an_error_at_the_first_call(start, jac, part, error_handling):
    calls = Counted(jac)
    fun = sphere if isinstance(start, np.ndarray) else lambda p: p["a"] ** 2 + p["b"] ** 2
    with pytest.raises(om.InvalidFunctionError) as caught:
        om.minimize(fun, start, "scipy_lbfgsb", jac=lambda x: calls.call(x), error_handling=error_handling)
    assert part in str(caught.value)
    assert "jac" in str(caught.value)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("jac", "part"),
    [(lambda x: np.ones((2, 3)), "(2, 3)"), (lambda x: np.ones((3, 1)), "(3, 1)"), (lambda x: None, "None")],
    ids=["transposed", "one column short", "None"],
)
def test_a_jacobian_that_does_not_fit_names_shapes(jac, part):
    """There: the raw message of scipy's matrix product."""
    fun = ls(lambda x: np.array([x[0], x[1], x[0] - x[1]]))
    with pytest.raises(om.InvalidFunctionError) as caught:
        om.minimize(fun, np.ones(2), "scipy_ls_trf", jac=ls(jac))
    assert part in str(caught.value)


def test_a_complex_value_is_an_error():
    """There: a ComplexWarning, and the imaginary part is dropped."""
    with pytest.raises(om.InvalidFunctionError, match="complex"):
        om.minimize(lambda x: (x @ x) * 1j, START, "scipy_lbfgsb")


def test_default_options_of_numerical_derivatives_are_those_of_no_options():
    """There: NumdiffOptions() means central differences, None forward ones; 34 calls instead of 19."""
    calls = [
        om.minimize(sphere, np.arange(5), "scipy_lbfgsb", numdiff_options=options).n_fun_evals
        for options in (None, om.NumdiffOptions(), om.NumdiffOptions(n_cores=2))
    ]
    assert calls == [18, 18, 18]  # three gradients of n + 1


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_slsqp", "scipy_bfgs", "scipy_trust_constr"])
def test_a_budget_of_thirty_is_thirty_calls(algorithm):
    """There: 94, 133, 112 and 91 calls."""
    fun = Counted(rosenbrock)
    result = om.minimize(fun.call, ROSENBROCK_START, algorithm, budget=om.Budget(max_evaluations=30))
    assert len(fun) == result.n_fun_evals == len(result.history) == 30
    assert result.status is om.Status.BUDGET_EVALUATIONS
    assert result.fun == rosenbrock(result.params) == result.history.monotone_fun[-1]


def test_evaluations_for_derivatives_are_in_counts_history_and_plots():
    """There: 45 entries for 136 calls."""
    fun = Counted(rosenbrock)
    result = om.minimize(fun.call, ROSENBROCK_START, "scipy_lbfgsb")
    assert len(fun) == result.n_fun_evals == len(result.history)
    assert om.criterion_plot(result).data[0].x[-1] == len(fun) - 2  # the last point that was asked for, and its base


def test_the_first_calls_are_counted_too():
    """There: fun, jac and fun_and_jac are called once each for checks that stand nowhere."""
    fun, jac = Counted(sphere), Counted(gradient)
    result = om.minimize(fun.call, START, "scipy_lbfgsb", jac=jac.call)
    assert (len(fun), len(jac)) == (result.n_fun_evals, result.n_jac_evals)
    assert len(fun) + len(jac) == len(result.history)


def test_no_value_of_a_history_is_none():
    """There: values of jac calls are None, on which the benchmark's analysis fails."""
    result = om.minimize(residuals, START, "scipy_ls_lm", jac=jacobian)
    assert result.history.fun.dtype == np.float64
    assert np.isnan(result.history.fun[result.history.task == "jac"]).all()
    assert set(result.history.task) == {"fun", "jac"}


def test_times_are_relative_to_the_start():
    """There: readings of a clock that began at some other time."""
    result = om.minimize(sphere, START, "scipy_lbfgsb")
    assert 0 <= result.history.start_time[0] < result.history.stop_time[-1] <= result.seconds


def test_collect_history_is_obeyed():
    """There: accepted and ignored."""
    assert len(om.minimize(sphere, START, "scipy_lbfgsb", collect_history=False).history) == 0


def test_a_jacobian_of_residuals_serves_a_scalar_solver():
    """There: numerical derivatives although J is given."""
    result = om.minimize(residuals, START, "scipy_lbfgsb", jac=jacobian)
    assert result.n_numdiff_evals == 0
    np.testing.assert_allclose(result.params, 1.0, atol=1e-6)


def test_two_functions_of_one_kind_are_refused():
    """There: the last one wins."""
    with pytest.raises(om.InvalidInputError, match="two functions of the kind 'scalar'"):
        om.minimize(sphere, START, "scipy_lbfgsb", jac=[gradient, lambda x: x])


def test_fun_may_be_left_out_where_fun_and_jac_are_several():
    """There: NotImplementedError."""
    both = [lambda x: (sphere(x), gradient(x)), ls(lambda x: (x - 1.0, np.eye(4)))]
    for algorithm, optimum in (("scipy_lbfgsb", 0.0), ("scipy_ls_lm", 1.0)):
        result = om.minimize(params=START, algorithm=algorithm, fun_and_jac=both)
        np.testing.assert_allclose(result.params, optimum, atol=1e-6)


def test_a_sum_of_squares_can_be_maximized_by_a_scalar_solver():
    """There: least-squares problems cannot be maximized, with any solver."""
    fun = ls(lambda x: np.sqrt(np.clip(4 - (x - 1) ** 2, 0, None)))
    result = om.maximize(fun, np.full(2, 0.5), "scipy_neldermead")
    np.testing.assert_allclose(result.params, 1.0, atol=1e-3)
    assert result.fun == pytest.approx(8.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_survived_where_that_is_wished(value):
    """There: an error even with error_handling="continue"."""

    def jac(x):
        return 2 * x if sphere(x) > 5 else np.full(4, value)

    result = om.minimize(sphere, START, "scipy_bfgs", jac=jac, error_handling="continue")
    assert result.fun < 30.0
    assert result.history.failed.any()
    assert set(result.history.task[result.history.failed]) == {"jac"}


def test_failed_evaluations_are_marked_and_hold_no_invented_value():
    """There: penalties stand in the history like values."""

    def fun(x):
        if sphere(x) < 5:
            raise ZeroDivisionError
        return sphere(x)

    result = om.minimize(
        fun, START, "scipy_neldermead", error_handling="continue", budget=om.Budget(max_evaluations=90)
    )
    failed = result.history.failed
    assert failed.any()
    assert np.isnan(result.history.fun[failed]).all()
    np.testing.assert_array_equal(result.history.fun[~failed], [sphere(x) for x in result.history.flat_params[~failed]])


def test_nan_for_ever_ends():
    """There: a million evaluations."""
    result = om.minimize(
        lambda x: sphere(x) if np.array_equal(x, START) else np.nan,
        START,
        "scipy_neldermead",
        error_handling="continue",
        budget=om.Budget(max_evaluations=2000),
    )
    assert result.fun == 30.0
    np.testing.assert_array_equal(result.params, START)


def test_a_gradient_with_the_wrong_sign_is_found():
    """There: ABNORMAL, without a hint."""
    with pytest.raises(om.InvalidFunctionError, match="sign"):
        om.minimize(sphere, START, "scipy_lbfgsb", jac=lambda x: -2 * x, check_derivatives=True)


@pytest.mark.parametrize("params", [np.zeros(0), {}, []])
def test_empty_params_say_so(params):
    """There: cannot reshape array of size 0."""
    with pytest.raises(om.InvalidInputError, match="empty"):
        om.minimize(lambda x: 0.0, params, "scipy_lbfgsb")


def test_an_unknown_option_is_an_error():
    """There: a warning, and it is ignored."""
    with pytest.raises(om.UnknownNameError, match="did you mean 'convergence_ftol_rel'"):
        om.minimize(sphere, START, "scipy_lbfgsb", algo_options={"convergence_ftol": 1e-3})


def test_kwargs_of_fun_reach_jac():
    """There: only with jac_kwargs."""
    result = om.minimize(
        lambda x, shift: sphere(x - shift),
        START,
        "scipy_lbfgsb",
        jac=lambda x, shift: gradient(x - shift),
        fun_kwargs={"shift": 2.0},
    )
    np.testing.assert_allclose(result.params, 2.0, atol=1e-6)


def test_a_step_may_be_a_whole_number():
    """There: step_size=1 is refused."""
    assert om.first_derivative(lambda x: x**2, 3.0, step_size=1).derivative == pytest.approx(7.0)


@pytest.mark.parametrize("method", ["central_cross", "central_average"])
def test_a_method_that_is_not_there_is_refused_when_options_are_made(method):
    """There: accepted, and a ValueError within the run."""
    with pytest.raises(om.UnknownNameError, match="unknown method of numerical derivatives"):
        om.NumdiffOptions(method=method)


def test_marks_leave_functions_alone():
    """There: the mark is set on the user's own function."""

    def fun(x):
        return x

    marked = om.mark.least_squares(fun)
    assert marked is not fun
    assert not vars(fun)


def test_a_mark_survives_functools_partial():
    fun = functools.partial(ls(lambda x, shift: x - shift), shift=1.0)
    np.testing.assert_allclose(om.minimize(fun, START, "scipy_ls_lm").params, 1.0)


def test_the_gradient_of_a_scalar_does_not_disturb_a_least_squares_solver():
    """As there: the same call must run across algorithms; J is then numerical, and that is counted."""
    result = om.minimize(residuals, START, "scipy_ls_lm", jac=lambda x: 2 * (x - 1.0))
    assert result.success
    assert result.n_jac_evals == 0
    assert result.n_numdiff_evals > 0


def test_options_versions_and_seconds_stand_in_the_result():
    """There: none of them."""
    result = om.minimize(sphere, START, "scipy_lbfgsb", jac=gradient)
    assert result.options["algorithm"]["limited_memory_storage_length"] == 10
    assert {"optcore", "python", "numpy", "scipy"} <= set(result.versions)
    assert result.seconds > 0
