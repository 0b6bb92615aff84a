"""Points at which the function fails: other side, smaller steps, an error or a marked entry that names the leaf."""

import numpy as np
import pytest

import optcore as om
from optcore.numdiff.recovery import attempts, fits
from tests.cases import in_one_test
from tests.core.counting import Counted

METHODS = ["forward", "backward", "central", "richardson"]
BROKEN = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "exception": ZeroDivisionError("out of here")}


def failing(where, what):
    """p["a"]^2 sin(p["b"]), which fails where `where` says so."""

    def fun(p):
        if where(p["b"]):
            if isinstance(what, Exception):
                raise what
            return what
        return p["a"] ** 2 * np.sin(p["b"])

    return fun


PARAMS = {"a": 3.0, "b": 0.5}
DERIVATIVE = {"a": 6 * np.sin(0.5), "b": 9 * np.cos(0.5)}


@in_one_test("what", BROKEN)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "where",
    [lambda b: b > 0.5, lambda b: b < 0.5, lambda b: b > 0.5 + 1e-9, lambda b: abs(b - 0.5) > 1e-6],
    ids=["above", "below", "just above", "except close by"],
)
def test_other_points_serve_where_some_fail(method, what, where):
    result = om.first_derivative(failing(where, BROKEN[what]), PARAMS, method=method)
    rtol = {"forward": 1e-5, "backward": 1e-5, "central": 1e-7, "richardson": 1e-8}[method]
    assert result.derivative["a"] == pytest.approx(DERIVATIVE["a"], rel=rtol)
    assert result.derivative["b"] == pytest.approx(DERIVATIVE["b"], rel=rtol)
    for leaf, point, reason in result.failures:
        assert leaf == "b"
        assert point["a"] == 3.0
        assert where(point["b"])
        assert reason == ("ZeroDivisionError: out of here" if what == "exception" else what)
    assert "failed" not in result.scheme.values()


@in_one_test("what", BROKEN)
@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_helps_the_error_names_the_leaf_and_the_reason(method, what):
    fun = failing(lambda b: b != 0.5, BROKEN[what])
    reason = "ZeroDivisionError: out of here" if what == "exception" else what
    with pytest.raises(om.InvalidFunctionError, match=rf"not finite at 'b': .*it is {reason} there.*on_failure='mark'"):
        om.first_derivative(fun, PARAMS, method=method)


@in_one_test("what", BROKEN)
@pytest.mark.parametrize("method", METHODS)
def test_marked_entries_are_nan_and_the_others_are_there(method, what):
    fun = failing(lambda b: b != 0.5, BROKEN[what])
    result = om.first_derivative(fun, PARAMS, method=method, on_failure="mark")
    assert np.isnan(result.derivative["b"])
    assert result.scheme["b"] == "failed"
    assert result.derivative["a"] == pytest.approx(DERIVATIVE["a"], rel=1e-6)
    assert {failure.leaf for failure in result.failures} == {"b"}


@pytest.mark.parametrize("method", METHODS)
def test_with_raise_the_first_failure_is_an_error(method):
    counted = Counted(failing(lambda b: b > 0.5, np.nan))
    with pytest.raises(om.InvalidFunctionError, match="'b'"):
        om.first_derivative(
            counted.call, PARAMS, method="forward" if method == "backward" else method, on_failure="raise"
        )
    with pytest.raises(om.UserFunctionError, match="ZeroDivisionError: out of here"):
        om.first_derivative(failing(lambda b: b != 0.5, BROKEN["exception"]), PARAMS, method=method, on_failure="raise")


def test_an_exception_at_params_themselves_is_an_error():
    with pytest.raises(om.UserFunctionError, match="ZeroDivisionError"):
        om.first_derivative(lambda x: 1 / 0, np.ones(2))


def test_what_recovery_costs_is_counted_and_only_paid_where_needed():
    counted = Counted(failing(lambda b: b > 0.5, np.nan))
    result = om.first_derivative(counted.call, PARAMS, method="forward")
    assert len(counted) == sum(result.n_evaluations.values()) == 4
    assert result.n_rounds == 2
    assert result.scheme == {"a": "forward", "b": "backward"}
    assert result.step["b"] < 0


def test_the_columns_of_a_jacobian_recover_one_by_one():
    def fun(x):
        return np.array([x[0] * x[1], np.log(x[1]), np.sqrt(1 - x[0]) if x[0] <= 1 else np.nan])

    x = np.array([1 - 1e-9, 2.0])
    result = om.first_derivative(fun, x, method="forward")
    assert result.scheme == {"0": "backward", "1": "forward"}
    np.testing.assert_allclose(result.derivative[:2], [[2.0, 1.0], [0.0, 0.5]], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n_cores", [1, 2])
def test_recovery_stays_within_bounds_and_is_the_same_in_parallel(n_cores):
    def fun(x):
        if x[0] < 0.5:
            raise ValueError("outside")
        return x[0] ** 2 if x[0] <= 1 else np.nan

    result = om.first_derivative(
        fun, np.array([1.0]), bounds=om.Bounds(0.5, 2.0), options=om.NumdiffOptions(method="central", n_cores=n_cores)
    )
    assert result.derivative[0] == pytest.approx(2.0, rel=1e-9)
    assert result.scheme == {"0": "backward_3"}
    assert result.failures[0].reason == "nan"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("what", ["nan", "exception"])
def test_an_optimization_survives_failing_difference_points(method, what):
    """The start is at the edge of the domain, which is not given as a bound."""

    def fun(x):
        if x[0] > 1:
            if what == "exception":
                raise ZeroDivisionError("outside")
            return np.inf
        return (x[0] - 0.5) ** 2 + (x[1] + x[0]) ** 2

    result = om.minimize(
        fun,
        np.array([1.0, 0.0]),
        "scipy_lbfgsb",
        numdiff_options=om.NumdiffOptions(method=method),
        error_handling="continue",
    )
    np.testing.assert_allclose(result.params, [0.5, -0.5], atol=1e-5)


def test_without_survival_an_exception_stops_an_optimization_at_once():
    counted = Counted(failing(lambda b: b > 0.5, ZeroDivisionError("mine")))
    with pytest.raises(om.UserFunctionError, match="ZeroDivisionError: mine"):
        om.minimize(counted.call, PARAMS, "scipy_lbfgsb")
    assert len(counted) == 3


def test_attempts_shrink_and_change_sides_and_fit():
    tried = list(attempts("central", 1.0))
    assert tried[:3] == [("forward_3", 1.0), ("backward_3", -1.0), ("central", 0.125)]
    assert [h for _, h in attempts("backward", -2.0)] == [2.0, -0.25, 0.25, -0.03125, 0.03125]
    assert fits("forward_3", 1.0, up=2.0, down=0.0)
    assert not fits("forward_3", 1.0, up=1.9, down=9.0)
    assert not fits("central", 1.0, up=5.0, down=0.5)
    assert fits("backward", -1.0, up=0.0, down=1.0)
