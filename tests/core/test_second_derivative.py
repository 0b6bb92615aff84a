"""Second derivatives against closed forms, JAX, numdifftools and statsmodels; bounds, failures, trees, counts."""

import types

import numpy as np
import pytest

import optcore as om
from tests.core.counting import Counted
from tests.core.derivative_suite import HARD, rosenbrock_chain

X = np.array([0.3, -1.2, 0.8])
METHODS = ["forward", "backward", "central", "richardson"]
RTOL = {"forward": 3e-4, "backward": 5e-4, "central": 1e-6, "richardson": 1e-9}


def smooth(x):
    return np.exp(x[0] * x[1]) * np.sin(x[2]) + np.log(1 + x[0] ** 2) * x[2]


def gradient(x):
    e = np.exp(x[0] * x[1])
    return np.array(
        [
            x[1] * e * np.sin(x[2]) + 2 * x[0] / (1 + x[0] ** 2) * x[2],
            x[0] * e * np.sin(x[2]),
            e * np.cos(x[2]) + np.log(1 + x[0] ** 2),
        ]
    )


#: numdifftools 0.11.2, Hessian with default options, of `smooth` at X.
NUMDIFFTOOLS = np.array(
    [
        [1.946180671454219, 0.320308711669489, -0.032832217194103],
        [0.320308711669489, 0.045043412578574, 0.145822733198044],
        [-0.032832217194103, 0.145822733198044, -0.500482361983005],
    ]
)
#: statsmodels 0.15.0, approx_hess3, of the same; its error is about 1e-8.
STATSMODELS = np.array(
    [
        [1.946180686354637, 0.320308707240555, -0.032832209641735],
        [0.320308707240555, 0.045043415027774, 0.145822730458652],
        [-0.032832209641735, 0.145822730458652, -0.500482358620502],
    ]
)


@pytest.mark.parametrize("method", METHODS)
def test_agrees_with_numdifftools_and_statsmodels(method):
    result = om.second_derivative(smooth, X, method=method)
    np.testing.assert_allclose(result.derivative, NUMDIFFTOOLS, atol=RTOL[method])
    np.testing.assert_allclose(result.derivative, STATSMODELS, atol=RTOL[method] + 3e-8)
    np.testing.assert_array_equal(result.derivative, result.derivative.T)
    assert result.func_value == smooth(X)
    if method == "richardson":
        assert (np.abs(result.derivative - NUMDIFFTOOLS) <= result.error + 1e-11).all()


@pytest.mark.parametrize("name", [n for n in HARD if n not in ("meyer", "osborne 1", "logit at zero", "logs")])
def test_extrapolated_ones_are_within_their_bounds_of_those_of_jax(name):
    jax = pytest.importorskip("jax")
    problem = HARD[name]
    fun = types.FunctionType(problem.fun.__code__, {**problem.fun.__globals__, "np": jax.numpy})
    with jax.enable_x64(True):
        x = jax.numpy.array(problem.x)
        hessian = jax.jit(jax.hessian(fun)).lower(x).compile({"xla_backend_optimization_level": "0"})
        truth = np.asarray(hessian(x))
    result = om.second_derivative(problem.fun, problem.x, method="richardson")
    error = np.abs(result.derivative - truth)
    assert (error <= result.error).all()
    assert (error <= 1e-8 * np.where(truth == 0, 1, np.abs(truth))).all()
    assert error.max() <= 1e-9 * np.abs(truth).max()


@pytest.mark.parametrize(("method", "calls"), [("forward", 10), ("backward", 10), ("central", 19)])
def test_values_cost_what_the_method_promises_in_one_batch(method, calls):
    """1 + n + n (n + 1) / 2, or 2 n^2 + 1, for n = 3."""
    counted = Counted(smooth)
    result = om.second_derivative(counted.call, X, method=method)
    assert len(counted) == calls == sum(result.n_evaluations.values())
    assert len({x.tobytes() for x in counted.points}) == calls
    assert result.n_rounds == 1


@pytest.mark.parametrize("method", ["forward", "central", "complex_step", "richardson"])
def test_of_gradients_every_method_works(method):
    result = om.second_derivative(smooth, X, jac=gradient, method=method)
    rtol = {"forward": 1e-6, "central": 1e-8, "complex_step": 1e-12, "richardson": 1e-10}[method]
    np.testing.assert_allclose(result.derivative, NUMDIFFTOOLS, atol=rtol)
    np.testing.assert_array_equal(result.derivative, result.derivative.T)
    assert sum(result.n_evaluations.values()) <= 1 + 12 * 3


def test_without_options_differences_are_central():
    assert set(om.second_derivative(smooth, X).scheme.values()) == {"central"}
    forward = om.second_derivative(smooth, X, options=om.NumdiffOptions())
    assert set(forward.scheme.values()) == {"forward"}


@pytest.mark.parametrize("jac", [None, lambda p: {"a": 2 * p["a"] * p["b"].sum(), "b": np.full(2, p["a"] ** 2)}])
def test_trees_have_the_structure_of_jax_hessian(jac):
    params = {"b": np.array([1.0, 2.0]), "a": 3.0}
    result = om.second_derivative(lambda p: p["a"] ** 2 * p["b"].sum(), params, jac=jac, method="richardson")
    assert result.derivative["a"]["a"] == pytest.approx(6.0)
    np.testing.assert_allclose(result.derivative["a"]["b"], [6.0, 6.0], rtol=1e-9)
    np.testing.assert_allclose(result.derivative["b"]["a"], [6.0, 6.0], rtol=1e-9)
    assert result.derivative["b"]["b"].shape == result.error["b"]["b"].shape == (2, 2)
    np.testing.assert_allclose(result.derivative["b"]["b"], 0, atol=1e-9)


def test_a_number_has_a_number():
    result = om.second_derivative(lambda x: x**3, 2.0, method="richardson")
    assert result.derivative == pytest.approx(12.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", ["lower", "upper", "corner"])
def test_points_stay_within_bounds(method, where):
    lower, upper = X - 2, X + 2
    if where == "lower":
        lower = X.copy()
    elif where == "upper":
        upper = X.copy()
    else:
        lower[0], upper[1] = X[0], X[1]

    def fun(x):
        assert (lower <= x).all()
        assert (x <= upper).all()
        return smooth(x)

    result = om.second_derivative(fun, X, bounds=om.Bounds(lower, upper), method=method)
    # At a bound the formulas for one side are of first order.
    np.testing.assert_allclose(result.derivative, NUMDIFFTOOLS, atol=1e-8 if method == "richardson" else 5e-3)
    if method == "richardson":
        assert (np.abs(result.derivative - NUMDIFFTOOLS) <= result.error + 1e-11).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_fixed_param_has_zeros(method):
    bounds = om.Bounds([-5, X[1], -5], [5, X[1], 5])
    counted = Counted(smooth)
    result = om.second_derivative(counted.call, X, bounds=bounds, method=method)
    assert result.scheme["1"] == "fixed"
    np.testing.assert_array_equal(result.derivative[1], 0)
    np.testing.assert_allclose(result.derivative[0, 2], NUMDIFFTOOLS[0, 2], atol=RTOL[method])
    assert {float(x[1]) for x in counted.points} == {X[1]}


@pytest.mark.parametrize("method", ["central", "richardson"])
def test_failing_points_are_replaced_by_closer_ones(method):
    x = np.array([1e-3, 2.0])

    def fun(x):
        if x[0] <= 0:
            raise ValueError("negative")
        return np.log(x[0]) * x[1] ** 2

    result = om.second_derivative(fun, x, method=method, typical_x=np.array([1.0, 1.0]))
    truth = np.array([[-4e6, 4e3], [4e3, 2 * np.log(1e-3)]])
    np.testing.assert_allclose(result.derivative, truth, rtol=1e-2 if method == "central" else 1e-6)


def test_where_nothing_helps_the_error_names_the_leaves():
    def fun(p):
        return p["a"] ** 2 if p["b"] == 1.0 else np.nan

    with pytest.raises(om.InvalidFunctionError, match=r"not finite for 'a' and 'b': the function gave nan around"):
        om.second_derivative(fun, {"a": 1.0, "b": 1.0})
    marked = om.second_derivative(fun, {"a": 1.0, "b": 1.0}, on_failure="mark")
    assert marked.scheme["b"] == "failed"
    assert np.isnan(marked.derivative["a"]["b"])
    assert marked.derivative["a"]["a"] == pytest.approx(2.0)


def test_noise_makes_the_steps_longer_and_is_in_the_bound():
    rng = np.random.default_rng(0)
    x = np.array([-1.2, 1.0, 0.5])
    truth = om.second_derivative(rosenbrock_chain, x, method="richardson").derivative
    result = om.second_derivative(
        lambda x: rosenbrock_chain(x) + 1e-6 * rng.normal(), x, method="richardson", noise=1e-6
    )
    error = np.abs(result.derivative - truth)
    assert (error <= result.error).all()
    assert error.max() <= 1e-3 * np.abs(truth).max()


def test_workers_give_the_same_bit_for_bit():
    one, two = (om.second_derivative(smooth, X, method="richardson", n_cores=n) for n in (1, 2))
    np.testing.assert_array_equal(one.derivative, two.derivative)
    assert one.n_evaluations == two.n_evaluations


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        (
            {"method": "complex_step"},
            ValueError,
            "second derivatives of values are taken by forward, backward, central",
        ),
        ({"step_size": "calibrated"}, ValueError, "step_size='calibrated' goes with first derivatives"),
        ({"noise": 1e-3}, ValueError, "for second derivatives of noisy values give noise as a number and use method"),
        ({"metod": "central"}, LookupError, "unknown argument of second_derivative 'metod'; did you mean 'method'?"),
        ({"options": 3}, ValueError, "numdiff options must be om.NumdiffOptions(...), but got 3"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_say_why(kwargs, error, message):
    with pytest.raises(error) as caught:
        om.second_derivative(smooth, X, **kwargs)
    assert message in str(caught.value)


@pytest.mark.parametrize("func", [3, lambda x: x], ids=["no function", "a vector"])
def test_functions_that_do_not_fit_say_why(func):
    with pytest.raises(om.OptcoreError, match=r"func must be a function, but got 3|must return a number, but returned"):
        om.second_derivative(func, X)
