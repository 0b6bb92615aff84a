"""Derivatives that don't fit params are errors at the first call: they name the leaf, what came, what was expected."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import optcore as om
from tests.cases import in_one_test
from tests.core.trees import FRAME, SERIES, TABLE, Line, Pair

VECTOR = np.array([1.0, 2.0, 3.0])
DICT = {"b": 1.0, "a": np.array([2.0, 3.0])}
NESTED = {"x": [1.0, Pair(2.0, np.array([3.0, 4.0]))]}
LEAVES = r"'x[0]', 'x[1].alpha', 'x[1].beta'"

#: params, a gradient that doesn't fit them, and what the message says
GRADIENTS = [
    # one entry short or long
    (VECTOR, np.ones(2), "{} returned shape (2,), but params have shape (3,)"),
    (VECTOR, np.ones(4), "{} returned shape (4,), but params have shape (3,)"),
    (VECTOR, [1.0, 2.0], "{} returned shape (2,), but params have shape (3,)"),
    (DICT, {"b": 1.0, "a": np.ones(1)}, "{} at leaf 'a' has shape (1,), but params have (2,) there"),
    (DICT, {"b": 1.0, "a": [1.0, 2.0, 3.0]}, "{} at leaf 'a' has shape (3,), but params have (2,) there"),
    (NESTED, {"x": [1.0, Pair(2.0, np.ones(1))]}, "{} at leaf 'x[1].beta' has shape (1,), but params have (2,) there"),
    (SERIES, np.ones(3), "{} has shape (3,), but params have (2,) there"),
    (SERIES, SERIES[:1], "{} has the index ['b'], but params have ['b', 'a']"),
    (FRAME, np.ones(1), "{} has shape (1,), but params have (2,) there"),
    ([1.0, 2.0], np.ones(3), "{} returned shape (3,), but params have shape (2,)"),
    # another key, or one less
    (DICT, {"b": 1.0, "c": np.ones(2)}, "{} has a leaf 'c' that params don't have; params have 'a', 'b'"),
    (DICT, {"b": 1.0}, "{} lacks the leaf 'a' of params"),
    (DICT, {**DICT, "c": 1.0}, "{} has a leaf 'c' that params don't have; params have 'a', 'b'"),
    (NESTED, {"x": [1.0]}, "{} lacks the leaf 'x[1].alpha' of params"),
    (NESTED, {"x": [1.0, {"alpha": 1.0, "gamma": 1.0}]},
     f"{{}} has a leaf \"x[1]['gamma']\" that params don't have; params have {LEAVES}"),
    (Line(1.0, 2.0), {"slope": 1.0}, "{} lacks the leaf 'level' of params"),
    ([1.0, 2.0], [1.0], "{} lacks the leaf '1' of params"),
    ([1.0, 2.0], [1.0, 2.0, 3.0], "{} has a leaf '2' that params don't have; params have '0', '1'"),
    (SERIES, pd.Series([1.0, 2.0], index=["a", "c"]), "{} has the index ['a', 'c'], but params have ['b', 'a']"),
    (FRAME, pd.Series([1.0, 2.0], index=["a", "r"]), "{} has the index ['a', 'r'], but params have ['r', 's']"),
    (FRAME, TABLE, "{} has the columns ['x', 'y']; give a Series, or call the column that is meant 'value'"),
    (TABLE, TABLE.rename(columns={"x": "z"}), "{} has the columns ['z', 'y'], but params have ['x', 'y']"),
    (pd.Series([1.0, 2.0, 3.0], index=list("aba")), pd.Series([1.0, 2.0, 3.0], index=list("baa")),
     "{} has the index ['b', 'a', 'a'], but params have ['a', 'b', 'a']: with labels that come twice the order must"),
    # turned
    (VECTOR, np.ones((3, 1)), "{} returned shape (3, 1), but params have shape (3,); reshape it to (3,)"),
    (VECTOR, np.ones((1, 3)), "{} returned shape (1, 3), but params have shape (3,); reshape it to (3,)"),
    (VECTOR, np.eye(3),
     "{} returned shape (3, 3), but params have shape (3,); mark the jacobian of residuals with om.ma"),
    (np.ones((2, 3)), np.ones((3, 2)), "{} has shape (3, 2), but params have (2, 3) there; transpose it"),
    (np.ones((2, 2)), np.ones(4), "{} has shape (4,), but params have (2, 2) there"),
    (DICT, {"b": np.ones(1), "a": np.ones(2)},
     "{} at leaf 'b' has shape (1,), but params have () there; return a number"),
    (DICT, {"b": 1.0, "a": np.ones((2, 1))},
     "{} at leaf 'a' has shape (2, 1), but params have (2,) there; reshape it to"),
    (SERIES, np.ones((2, 1)), "{} has shape (2, 1), but params have (2,) there; reshape it to (2,)"),
    (5.0, np.ones(1), "{} has shape (1,), but params have () there; return a number"),
    # None
    (VECTOR, None, "{} returned None; is a return statement missing?"),
    (DICT, None, "{} must have the structure of params, with the leaves 'a', 'b', but is None; is a return statement"),
    (DICT, {"b": None, "a": np.ones(2)}, "{} at leaf 'b' returned None; is a return statement missing?"),
    (NESTED, {"x": [1.0, Pair(None, np.ones(2))]}, "{} at leaf 'x[1].alpha' returned None"),
    (SERIES, None, "{} returned None; is a return statement missing?"),
    # complex, text
    (VECTOR, VECTOR * 1j, "{} must be real numbers, but returned array([0.+1.j, 0.+2.j, 0.+3.j]) of type complex128"),
    (VECTOR, list("abc"), "{} must be real numbers, but returned ['a', 'b', 'c'] of type <U1"),
    (DICT, {"b": 1j, "a": np.ones(2)}, "{} at leaf 'b' must be real numbers, but returned 1j of type complex128"),
    (DICT, {"b": "2.0", "a": np.ones(2)}, "{} at leaf 'b' must be real numbers, but returned '2.0'"),
    ({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": "2.0"}, "{} at leaf 'b' must be real numbers, but returned '2.0'"),
    (NESTED, {"x": [1.0, Pair(2.0, np.ones(2) * 1j)]}, "{} at leaf 'x[1].beta' must be real numbers"),
    (SERIES, SERIES * 1j, "{} must be real numbers, but returned"),
    # NaN
    (VECTOR, np.array([1.0, np.nan, 1.0]),
     "{} is nan for '1' at params array([1., 2., 3.]); mend it, or survive such points"),
    (DICT, {"b": 1.0, "a": np.array([1.0, np.nan])}, "{} is nan for 'a[1]' at params {'b': 1.0, 'a': array([2., 3.])}"),
    (NESTED, {"x": [1.0, Pair(np.nan, np.ones(2))]}, "{} is nan for 'x[1].alpha' at params"),
    (SERIES, SERIES * np.nan, "{} is nan for 'b', 'a' at params"),
    (FRAME, np.array([1.0, np.nan]), "{} is nan for 's' at params"),
    # another structure
    (VECTOR, 3.0, "{} returned shape (), but params have shape (3,)"),
    (VECTOR, {"a": VECTOR}, "{} returned {'a': array([1., 2., 3.])}, which can't be read as an array of shape (3,)"),
    (np.ones((2, 2)), {"a": 1.0}, "{} returned {'a': 1.0}, which can't be read as an array of shape (2, 2)"),
    (SERIES, {"b": 1.0, "a": 1.0}, "{} returned {'b': 1.0, 'a': 1.0}, which can't be read as an array of shape (2,)"),
    (5.0, {"a": 1.0}, "{} returned {'a': 1.0}, which can't be read as a number"),
    (DICT, np.ones(3), "{} must have the structure of params, with the leaves 'a', 'b', but is an array of shape (3,)"),
    (DICT, 3.0, "{} must have the structure of params, with the leaves 'a', 'b', but is 3.0"),
    (NESTED, {"x": np.ones(4)},
     f"{{}} at 'x' must have the structure of params, with the leaves {LEAVES}, but is an array"),
    ({"a": 1.0}, {"a": {"k": 1.0}}, "{} at leaf 'a' returned {'k': 1.0}, which can't be read as a number"),
]  # fmt: skip


def expected(message, what):
    """A regular expression for the message."""
    return re.escape(message.replace("{}", what, 1))


def given(what, value, derivative, mark):
    """The arguments of minimize with a derivative that comes from jac or fun_and_jac, and the number of its calls."""
    calls = []

    def jac(p):
        calls.append(p)
        return derivative

    if what == "jac":
        return {"fun": mark(lambda p: value), "jac": mark(jac)}, calls
    return {"fun_and_jac": mark(lambda p: (value, jac(p)))}, calls


@in_one_test("what", ["jac", "fun_and_jac"])
@pytest.mark.parametrize(("params", "derivative", "message"), GRADIENTS, ids=[str(i) for i in range(len(GRADIENTS))])
def test_a_gradient_that_does_not_fit_is_an_error_at_the_first_call(params, derivative, message, what):
    arguments, calls = given(what, 1.0, derivative, om.mark.scalar)
    with pytest.raises(om.InvalidFunctionError, match=expected(message, what)):
        om.minimize(params=params, algorithm="scipy_lbfgsb", **arguments)
    assert len(calls) == 1


R3 = np.ones(3)
R_DICT = {"r": np.ones(3), "q": 1.0}
R_SERIES = pd.Series([1.0, 2.0, 3.0], index=["u", "v", "w"])

#: residuals, params, a jacobian that doesn't fit, and what the message says
JACOBIANS = [
    # one entry short
    (R3, VECTOR[:2], np.ones((2, 2)), "{} has shape (2, 2), but expected (3, 2)"),
    (R3, VECTOR[:2], np.ones((3, 1)), "{} has shape (3, 1), but expected (3, 2)"),
    (R3, DICT, {"b": np.ones(3), "a": np.ones((3, 1))},
     "{} at leaf 'a' has shape (3, 1), but expected (3, 2) (residual shape + param shape)"),
    (R3, NESTED, {"x": [np.ones(3), Pair(np.ones(2), np.ones((3, 2)))]},
     "{} at leaf 'x[1].alpha' has shape (2,), but expec"),
    (R3, SERIES, np.ones((3, 1)), "{} has shape (3, 1), but expected (3, 2)"),
    (R_DICT, VECTOR, {"r": np.ones((3, 2)), "q": VECTOR}, "{} of residual 'r' has shape (3, 2), but expected (3, 3)"),
    (R_DICT, DICT, {"r": {"b": R3, "a": np.ones((3, 2))}, "q": {"b": 1.0, "a": R3}},
     "{} of residual 'q' at leaf 'a' has shape (3,), but expected (2,)"),
    # another key
    (R3, DICT, {"b": R3, "c": np.ones((3, 2))}, "{} has a leaf 'c' that params don't have; params have 'a', 'b'"),
    (R3, DICT, {"b": R3}, "{} lacks the leaf 'a' of params"),
    (R_DICT, VECTOR, {"s": np.eye(3), "q": R3},
     "{} has a leaf 's' that the residuals don't have; the residuals have 'q'"),
    (R_DICT, VECTOR, {"r": np.eye(3)}, "{} lacks the leaf 'q' of the residuals"),
    (R_DICT, DICT, {"r": {"b": R3}, "q": DICT}, "{} of residual 'r' lacks the leaf 'a' of params"),
    (R_SERIES, SERIES, pd.DataFrame(np.ones((3, 2)), R_SERIES.index, ["a", "z"]),
     "{} has the columns ['a', 'z'], but params have ['b', 'a']"),
    (R_SERIES, SERIES, pd.DataFrame(np.ones((3, 2)), ["u", "v", "x"], ["a", "b"]),
     "{} has the index ['u', 'v', 'x'], but the residuals have ['u', 'v', 'w']"),
    # turned
    (R3, VECTOR[:2], np.ones((2, 3)), "{} has shape (2, 3), but expected (3, 2); transpose it"),
    (R3, DICT, {"b": R3, "a": np.ones((2, 3))},
     "{} at leaf 'a' has shape (2, 3), but expected (3, 2) (residual shape + param shape); transpose it"),
    (R3, DICT, {"b": np.ones((3, 1)), "a": np.ones((3, 2))},
     "{} at leaf 'b' has shape (3, 1), but expected (3,) (resid"),
    (R3, {"b": 1.0}, {"b": np.ones((3, 1))}, "{} at leaf 'b' has shape (3, 1), but expected (3,) (residual shape + pa"),
    (R3, SERIES, np.ones((2, 3)), "{} has shape (2, 3), but expected (3, 2); transpose it"),
    (R3, SERIES, pd.DataFrame(np.ones((2, 3)), index=["b", "a"]),
     "{} has the columns [0, 1, 2], but params have ['b', 'a']"),
    # None, complex, NaN
    (R3, VECTOR, None, "{} returned None; is a return statement missing?"),
    (R3, DICT, None, "{} must have the structure of params, with the leaves 'a', 'b', but is None"),
    (R3, DICT, {"b": None, "a": np.ones((3, 2))}, "{} at leaf 'b' returned None"),
    (R_DICT, VECTOR, {"r": np.eye(3), "q": None}, "{} of residual 'q' returned None"),
    (R3, VECTOR, np.eye(3) * 1j, "{} must be real numbers, but returned"),
    (R3, DICT, {"b": R3 * 1j, "a": np.ones((3, 2))}, "{} at leaf 'b' must be real numbers"),
    (R3, VECTOR, np.diag([1, np.nan, 1]), "{} is nan for '1' at params array([1., 2., 3.])"),
    (R3, DICT, {"b": R3, "a": np.array([[1, np.nan]] * 3)},
     "{} is nan for 'a[1]' at params {'b': 1.0, 'a': array([2., 3.])"),
    (R3, NESTED, {"x": [R3 * np.nan, Pair(R3, np.ones((3, 2)))]}, "{} is nan for 'x[0]' at params"),
    (R3, SERIES, np.full((3, 2), np.nan), "{} is nan for 'b', 'a' at params"),
    (R3, VECTOR, scipy.sparse.diags_array([1, np.nan, 1]), "{} is nan for '1' at params array([1., 2., 3.])"),
    # another structure
    (R3, VECTOR, 3.0, "{} has shape (), but expected (3, 3)"),
    (R3, VECTOR, R3, "{} has shape (3,), but expected (3, 3)"),
    (R3, VECTOR, {"a": np.eye(3)}, "which can't be read as an array of shape (3, 3)"),
    (R3, DICT, np.eye(3),
     "{} must have the structure of params, with the leaves 'a', 'b', but is an array of shape (3, 3)"),
    (R_DICT, VECTOR, np.ones((4, 3)),
     "{} must have the structure of the residuals, with the leaves 'q', 'r', but is an arr"),
    (R_DICT, DICT, {"r": np.eye(3), "q": DICT},
     "{} of residual 'r' must have the structure of params, with the leaves 'a', 'b'"),
    # sparse
    (R3, VECTOR[:2], scipy.sparse.eye_array(2), "{} is sparse of shape (2, 2), but expected (3, 2)"),
    (R3, VECTOR[:2], scipy.sparse.csr_matrix(np.ones((2, 3))),
     "{} is sparse of shape (2, 3), but expected (3, 2); transpose it"),
    (R3, VECTOR, scipy.sparse.eye_array(3) * 1j, "{} must be real numbers, but is sparse of type complex128"),
    (R3, DICT, {"b": scipy.sparse.coo_array(np.ones((1, 3))), "a": np.ones((3, 2))},
     "{} at leaf 'b' is sparse of shape (1, 3), but expected (3, 1); transpose it"),
    (R_DICT, VECTOR, {"r": scipy.sparse.eye_array(2), "q": R3},
     "{} of residual 'r' is sparse of shape (2, 2), but expected (3, 3)"),
]  # fmt: skip


@in_one_test("what", ["jac", "fun_and_jac"])
@in_one_test("algorithm", ["scipy_ls_trf", "scipy_lbfgsb"])
@pytest.mark.parametrize(
    ("residuals", "params", "derivative", "message"), JACOBIANS, ids=[str(i) for i in range(len(JACOBIANS))]
)
def test_a_jacobian_that_does_not_fit_is_an_error_at_the_first_call(
    residuals, params, derivative, message, what, algorithm
):
    arguments, calls = given(what, residuals, derivative, om.mark.least_squares)
    with pytest.raises(om.InvalidFunctionError, match=expected(message, what)):
        om.minimize(params=params, algorithm=algorithm, **arguments)
    assert len(calls) == 1


@pytest.mark.parametrize("what", ["jac", "fun_and_jac"])
def test_contributions_of_a_likelihood_name_the_leaf_too(what):
    arguments, calls = given(what, R3, {"b": R3, "a": np.ones((3, 3))}, om.mark.likelihood)
    with pytest.raises(
        om.InvalidFunctionError, match=f"{what} at leaf 'a' has shape \\(3, 3\\), but expected \\(3, 2\\)"
    ):
        om.maximize(params=DICT, algorithm="scipy_lbfgsb", **arguments)
    assert len(calls) == 1


def test_what_fits_at_the_first_call_and_not_later_is_an_error_too():
    answers = iter([np.ones(2), np.ones(3)])
    with pytest.raises(om.InvalidFunctionError, match=r"jac returned shape \(3,\), but params have shape \(2,\)"):
        om.minimize(lambda x: x @ x, np.ones(2), "scipy_lbfgsb", jac=lambda x: next(answers))
