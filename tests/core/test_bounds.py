"""Bounds in every form; they are never left, neither by results nor by difference points."""

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import scipy.optimize
from hypothesis import given, settings

import optcore as om
from optcore.bounds import flatten_bounds
from optcore.tree import Converter
from tests.core.counting import (
    CENTRE,
    ELLIPSE_START,
    LIBRARIES,
    ONE_NUMBER,
    Given,
    ellipse,
    ellipse_gradient,
    ellipse_jacobian,
    ellipse_residuals,
    of,
)
from tests.core.trees import Line, Pair

INF = np.inf
SERIES = pd.Series([1.0, 2.0, 3.0], index=["a", "b", "c"])
TREE = {"a": 1.0, "b": np.array([2.0, 3.0])}


@pytest.mark.parametrize(
    ("params", "bounds", "lower", "upper"),
    [
        (np.ones(2), None, [-INF, -INF], [INF, INF]),
        (np.ones(2), om.Bounds(), [-INF, -INF], [INF, INF]),
        (np.ones(2), om.Bounds(0, 2), [0, 0], [2, 2]),
        (np.ones(2), om.Bounds(lower=np.array([0, -1])), [0, -1], [INF, INF]),
        (np.ones(2), om.Bounds([0, None], [None, 2]), [0, -INF], [INF, 2]),
        (np.ones(2), scipy.optimize.Bounds(0, 2), [0, 0], [2, 2]),
        (np.ones(2), scipy.optimize.Bounds([0, -INF], [2, 3]), [0, -INF], [2, 3]),
        (np.ones(2), [(0, 2), (None, 3)], [0, -INF], [2, 3]),
        (np.ones(2), ((0, 2), [None, None]), [0, -INF], [2, INF]),
        (np.ones(2), np.array([[0.0, 2.0], [-1.0, 3.0]]), [0, -1], [2, 3]),
        ([1.0, 2.0], [(0, 2), (None, 3)], [0, -INF], [2, 3]),
        ([1.0, 2.0], om.Bounds([0, 1], [2, 3]), [0, 1], [2, 3]),
        (1.0, om.Bounds(0, 2), [0], [2]),
        (np.ones((2, 2)), om.Bounds(np.zeros((2, 2))), [0, 0, 0, 0], [INF] * 4),
        (TREE, om.Bounds({"a": 0}, {"b": np.array([5, 6])}), [0, -INF, -INF], [INF, 5, 6]),
        (TREE, om.Bounds({"b": [0, None]}, {"a": None, "b": 7}), [-INF, 0, -INF], [INF, 7, 7]),
        ({"x": TREE, "y": 1.0}, om.Bounds({"x": 0}), [0, 0, 0, -INF], [INF] * 4),
        (SERIES, om.Bounds(pd.Series([0.0, -1, -2], index=["c", "b", "a"])), [-2, -1, 0], [INF] * 3),
        (SERIES, om.Bounds(pd.Series([0.0], index=["b"])), [-INF, 0, -INF], [INF] * 3),
        (SERIES, om.Bounds(np.zeros(3)), [0, 0, 0], [INF] * 3),
        (Pair(1.0, [2.0, 3.0]), om.Bounds({"alpha": 0}, {"beta": [None, 5]}), [0, -INF, -INF], [INF, INF, 5]),
        (Pair(1.0, [2.0, 3.0]), om.Bounds(Pair(0, None)), [0, -INF, -INF], [INF] * 3),
        (Line(1.0, 2.0), om.Bounds({"level": 0}), [-INF, 0], [INF, INF]),
        (TREE, om.Bounds({"b": np.array(1)}), [-INF, 1, 1], [INF] * 3),
        (np.ones((2, 2)), om.Bounds([[0, None], [None, 1]]), [0, -INF, -INF, 1], [INF] * 4),
        ([1.0, 2.0], om.Bounds(np.array([0.0, 1.0])), [0, 1], [INF, INF]),
        (SERIES.to_frame("value"), om.Bounds(SERIES.to_frame("value") - 1), [0, 1, 2], [INF] * 3),
    ],
    ids=str,
)
def test_every_form_of_bounds_is_read_by_key(params, bounds, lower, upper):
    converter = Converter(params)
    flat = flatten_bounds(bounds, converter, converter.start)
    np.testing.assert_array_equal(flat.lower, lower)
    np.testing.assert_array_equal(flat.upper, upper)
    assert flat.any == bool(np.isfinite([*lower, *upper]).any())


@pytest.mark.parametrize(
    ("params", "bounds", "message"),
    [
        (TREE, om.Bounds({"a": 3}, {"a": 2}), "bounds of 'a': lower 3.0 must not be above upper 2.0"),
        (TREE, om.Bounds({"b": np.array([0, np.nan])}), r"bounds of 'b\[1\]': lower nan must not be above upper inf"),
        (
            TREE,
            om.Bounds({"a": 2}),
            r"the start of 'a' is 1.0, outside its bounds \[2.0, inf\]; start within the bound",
        ),
        (np.ones(2), [(0, 2), (-1, 0.5)], r"the start of '1' is 1.0, outside its bounds \[-1.0, 0.5\]"),
        (TREE, om.Bounds({"c": 0}), "bounds.lower has a leaf 'c' that params don't have; params have 'a', 'b'"),
        (
            TREE,
            om.Bounds(upper={"b": np.ones(3)}),
            r"bounds.upper at leaf 'b' has shape \(3,\), but params have \(2,\)",
        ),
        (TREE, om.Bounds({"a": "x"}), "bounds.lower at leaf 'a' must be real numbers"),
        (np.ones(2), om.Bounds(np.zeros(3)), r"bounds.lower has shape \(3,\), but params have \(2,\)"),
        (np.ones(2), [(0, 2)] * 3, r"bounds.lower has shape \(3,\), but params have \(2,\)"),
        (np.ones(2), [("x", 2), (0, 1)], "bounds must be pairs of numbers or None, but got"),
        (np.ones(2), (0, 2), "bounds must be om.Bounds, scipy.optimize.Bounds or a list of"),
        (np.ones(2), "positive", "bounds must be om.Bounds, .* but got 'positive'"),
        (
            Pair(1.0, 2.0),
            om.Bounds({"gamma": 0}),
            "bounds.lower has a leaf 'gamma' that params don't have",
        ),
        (
            TREE,
            om.Bounds(np.zeros(3)),
            "bounds.lower must have the structure of params, with the leaves 'a', 'b'",
        ),
        (SERIES, om.Bounds(pd.Series([0.0], index=["d"])), "bounds.lower has the entry 'd' that params don't have"),
    ],
    ids=str,
)
def test_bounds_that_do_not_fit_name_the_leaf(params, bounds, message):
    with pytest.raises(om.InvalidInputError, match=message):
        om.minimize(lambda p: 1.0, params, "scipy_lbfgsb", bounds=bounds)


def test_a_solver_without_bounds_says_which_have_them():
    with pytest.raises(om.InvalidInputError, match=r"scipy_bfgs can't handle bounds; .*filter\(supports_bounds=True\)"):
        om.minimize(ellipse, ELLIPSE_START, "scipy_bfgs", bounds=om.Bounds(0, 2))
    assert om.minimize(ellipse, ELLIPSE_START, "scipy_bfgs", bounds=om.Bounds(-INF, INF)).success


#: Global ones have tests of their own, since they take long.
BOUNDED = [
    a.name
    for a in om.algos.filter(supports_bounds=True, is_global=False)
    if a.library in LIBRARIES and a.name not in ONE_NUMBER
]


@pytest.mark.parametrize("algorithm", BOUNDED)
@pytest.mark.parametrize("source", ["fun", "jac"])
def test_bounded_solvers_find_the_optimum_on_the_bounds_and_results_are_within(algorithm, source):
    names = ["fun"] if source == "fun" else ["fun", "jac"]
    given = Given(of(algorithm).kind, names, ellipse, ellipse_gradient, ellipse_residuals, ellipse_jacobian)
    lower, upper = np.array([0.5, -5.0, 0.0]), np.array([3.0, 5.0, 1.5])
    result = om.minimize(
        params=ELLIPSE_START, algorithm=algorithm, bounds=om.Bounds(lower, upper), budget=om.Budget(2000),
        **given.arguments,
    )  # fmt: skip
    np.testing.assert_allclose(result.params, np.clip(CENTRE, lower, upper), atol=5e-3)
    assert (lower <= result.params).all()
    assert (result.params <= upper).all()


boxes = st.lists(
    st.tuples(
        st.floats(-1e3, 1e3),
        st.sampled_from([0.0, 1e-300, 1e-16, 1e-12, 1e-9, 1e-7, 1e-3, 1.0, 1e3]),  # width
        st.sampled_from([0.0, 1e-9, 0.3, 0.5, 0.999999, 1.0]),  # where in the box
    ),
    min_size=1,
    max_size=4,
)


@given(boxes, st.sampled_from(["forward", "backward", "central", "complex_step"]))
@settings(max_examples=250, deadline=None)
def test_difference_points_never_leave_the_box_however_small(entries, method):
    lower = np.array([low for low, _, _ in entries])
    upper = lower + [width for _, width, _ in entries]
    x = np.clip(lower + [share * width for _, width, share in entries], lower, upper)
    seen = []

    def fun(p):
        seen.append(np.real(p))
        return (p * np.arange(1, p.size + 1)).sum()

    result = om.first_derivative(fun, x, bounds=om.Bounds(lower, upper), method=method)
    assert all((lower <= p).all() and (p <= upper).all() for p in seen)
    fixed = lower == upper
    assert (result.derivative[fixed] == 0).all()
    assert [result.scheme[str(i)] == "fixed" for i in range(x.size)] == fixed.tolist()
    wide = upper - lower >= 1e-7
    np.testing.assert_allclose(result.derivative[wide], np.arange(1, x.size + 1)[wide], rtol=1e-2)


@pytest.mark.parametrize(("lower", "upper"), [(0.5, np.nextafter(0.5, 1)), (np.nextafter(0.5, 0), 0.5)])
@pytest.mark.parametrize("method", ["forward", "backward", "central", "richardson"])
def test_a_box_of_one_rounding_error_has_a_derivative(lower, upper, method):
    bounds = om.Bounds(np.array([lower]), np.array([upper]))
    result = om.first_derivative(lambda x: float(x[0]), np.array([0.5]), bounds=bounds, method=method)
    assert result.derivative[0] == pytest.approx(1.0)


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_slsqp", "scipy_ls_trf", "nlopt_lbfgsb"])
@pytest.mark.parametrize("method", ["forward", "backward", "central"])
def test_no_evaluation_of_a_bounded_solver_and_its_derivatives_leaves_the_bounds(algorithm, method):
    given = Given(of(algorithm).kind, ["fun"], ellipse, ellipse_gradient, ellipse_residuals, ellipse_jacobian)
    lower, upper = np.array([0.5, -0.6, 0.0]), np.array([1.0, 1.0, 1.5])
    om.minimize(
        params=np.array([1.0, -0.6, 1.5]),
        algorithm=algorithm,
        bounds=om.Bounds(lower, upper),
        numdiff_options=om.NumdiffOptions(method=method),
        **given.arguments,
    )
    points = np.array(given.counted["fun"].points)
    assert (points >= lower).all()
    assert (points <= upper).all()


def test_params_fixed_by_their_bounds_stay_and_cost_nothing():
    bounds = om.Bounds(np.array([1.0, -INF, -INF]), np.array([1.0, INF, INF]))
    result = om.minimize(ellipse, ELLIPSE_START, "scipy_lbfgsb", bounds=bounds)
    assert result.params[0] == 1.0
    np.testing.assert_allclose(result.params[1:], CENTRE[1:], atol=1e-4)
    assert set(np.bincount(result.history.batch)) == {3}  # the point and two differences


@pytest.mark.parametrize("method", ["forward", "backward", "central"])
def test_where_a_solver_leaves_the_bounds_derivatives_are_right_and_results_within(method):
    """Interior points of scipy's trust-constr may lie outside; its keep_feasible stops at starts on a bound."""
    lower, upper = np.array([0.5, -0.6, 0.0]), np.array([1.0, 1.0, 1.5])
    options = om.NumdiffOptions(method=method)
    result = om.minimize(
        ellipse,
        np.array([1.0, -0.6, 1.5]),
        "scipy_trust_constr",
        bounds=om.Bounds(lower, upper),
        numdiff_options=options,
    )
    assert ((lower <= result.params) & (result.params <= upper)).all()
    np.testing.assert_allclose(result.params, [0.5, -0.6, 1.5], atol=1e-2)
    outside = result.history.flat_params[(result.history.flat_params < lower).any(axis=1)]
    assert len(outside) > 0


@pytest.mark.parametrize("method", ["forward", "backward", "central"])
def test_a_derivative_asked_for_outside_the_bounds_is_still_right(method):
    def solver(fun, jac, x0):
        solver.gradient = jac(np.array([-0.3, 2.0]))
        return x0

    om.minimize(
        lambda x: float(x @ x),
        np.array([0.5, 0.5]),
        solver,
        bounds=om.Bounds(0, 1),
        numdiff_options=om.NumdiffOptions(method=method),
    )
    np.testing.assert_allclose(solver.gradient, [-0.6, 4.0], rtol=1e-6)
