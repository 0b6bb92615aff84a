"""Residuals of any structure: read as the first ones were, and their jacobians by key."""

import pickle
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest

import optcore as om
from optcore.residuals import ResidualReader
from optcore.tree import Converter
from tests.core.trees import SERIES, Line, Pair

INDEX = pd.Index(["u", "v", "w"])
ARRAY = np.arange(6.0).reshape(3, 2)  # by the residuals u, v, w and two params


def reader_of(params, value):
    reader = ResidualReader(Converter(params))
    reader.residuals(value, "fun")
    return reader


@pytest.mark.parametrize(
    ("value", "flat"),
    [
        (np.array([1.0, 2.0]), [1, 2]),
        (np.array([1, 2]), [1, 2]),
        ([1.0, 2], [1, 2]),
        (3.0, [3]),
        (np.array([[1.0, 2.0], [3.0, 4.0]]), [1, 2, 3, 4]),
        ({"b": [1.0, 2.0], "a": np.array([3.0])}, [3, 1, 2]),
        (Pair(np.ones(1), {"k": 2.0}), [1, 2]),
        (Line(np.ones(1), 2.0), [1, 2]),
        (pd.Series([1.0, 2.0], index=["a", "b"]), [1, 2]),
        (pd.DataFrame([[1.0, 2.0]]), [1, 2]),
        ({"a": np.zeros(0), "b": 1.0}, [1]),
    ],
    ids=str,
)
def test_residuals_are_read_as_a_vector_and_restored(value, flat):
    reader = reader_of(1.0, value)
    for _ in range(2):
        vector = reader.residuals(value, "fun")
        assert vector.dtype == np.float64
        np.testing.assert_array_equal(vector, flat)
    again = reader.residuals(reader.unflatten(vector), "fun")
    np.testing.assert_array_equal(again, flat)


@pytest.mark.parametrize(
    ("first", "later", "flat"),
    [
        ({"b": 1.0, "a": 2.0}, OrderedDict(b=3.0, a=4.0), [4, 3]),
        (OrderedDict(b=1.0, a=2.0), {"a": 4.0, "b": 3.0}, [3, 4]),
        (Pair(1.0, 2.0), {"beta": 4.0, "alpha": 3.0}, [3, 4]),
        (pd.Series([1.0, 2.0, 3.0], INDEX), pd.Series([6.0, 4.0, 5.0], ["w", "u", "v"]), [4, 5, 6]),
        (
            pd.DataFrame([[1.0, 2.0]], columns=["x", "y"]),
            pd.DataFrame([[4.0, 3.0]], columns=["y", "x"]),
            [3, 4],
        ),
    ],
    ids=str,
)
def test_later_residuals_are_matched_by_key(first, later, flat):
    np.testing.assert_array_equal(reader_of(1.0, first).residuals(later, "fun"), flat)


@pytest.mark.parametrize(
    ("first", "later", "message"),
    [
        (np.ones(3), np.ones(2), r"fun returned residuals of shape \[\(2,\)\], but at the start they had \[\(3,\)\]"),
        (np.ones(3), np.ones((3, 1)),
         r"residuals of shape \[\(3, 1\)\], but at the start they had \[\(3,\)\]; the number"),
        ({"a": 1.0, "b": 2.0}, {"a": 1.0}, "the answer of fun lacks the leaf 'b' of the residuals at the start"),
        ({"a": 1.0}, {"c": 1.0}, "the answer of fun has a leaf 'c' that the residuals at the start don't have"),
        (pd.Series([1.0], ["a"]), pd.Series([1.0], ["b"]),
         r"fun has the index \['b'\], but at the start they were \['a'\]"),
    ],
    ids=str,
)  # fmt: skip
def test_later_residuals_that_do_not_fit_the_first_say_how(first, later, message):
    with pytest.raises(om.InvalidFunctionError, match=message):
        reader_of(1.0, first).residuals(later, "fun")


def test_lists_of_lists_of_different_lengths_are_residuals_too():
    """Each list is a container, so nothing is lost."""
    np.testing.assert_array_equal(reader_of(1.0, [[1.0], [2.0, 3.0]]).residuals([[1.0], [2.0, 3.0]], "fun"), [1, 2, 3])


@pytest.mark.parametrize(
    ("params", "residuals", "derivative"),
    [
        (np.ones(2), np.ones(3), ARRAY),
        (np.ones(2), np.ones(3), ARRAY.tolist()),
        (np.ones(2), [1.0, 2.0, 3.0], ARRAY),
        (np.ones(2), [1.0, 2.0, 3.0], ARRAY.tolist()),
        (np.ones(2), (1.0, 2.0, 3.0), list(ARRAY)),
        ([1.0, 2.0], np.ones(3), ARRAY),
        ([1.0, 2.0], np.ones(3), list(ARRAY.T)),  # as JAX gives it: a list of params, each with the shape of residuals
        ([1.0, 2.0], [1.0, 2.0, 3.0], ARRAY),
        ([1.0, 2.0], [1.0, 2.0, 3.0], ARRAY.tolist()),
        ({"b": 1.0, "a": 2.0}, np.ones(3), {"b": ARRAY[:, 1], "a": ARRAY[:, 0]}),
        ({"b": 1.0, "a": 2.0}, [1.0, 2.0, 3.0], {"b": ARRAY[:, 1], "a": ARRAY[:, 0]}),
        ({"b": 1.0, "a": 2.0}, [1.0, 2.0, 3.0], [{"b": b, "a": a} for a, b in ARRAY]),
        (Pair(1.0, 2.0), [1.0, 2.0, 3.0], Pair(ARRAY[:, 0], ARRAY[:, 1])),
        (Pair(1.0, 2.0), {"y": np.ones(1), "x": np.ones(2)}, {"x": Pair(*ARRAY[:2].T), "y": Pair(*ARRAY[2:].T)}),
        (SERIES, np.ones(3), ARRAY),
        (SERIES, np.ones(3), pd.DataFrame(ARRAY[:, ::-1], columns=["a", "b"])),
        (SERIES, pd.Series(np.ones(3), INDEX), pd.DataFrame(ARRAY[::-1], index=INDEX[::-1], columns=["b", "a"])),
        (np.ones(2), pd.Series(np.ones(3), INDEX), pd.DataFrame(ARRAY[::-1], index=INDEX[::-1])),
        (np.ones(2), pd.Series(np.ones(3), INDEX), ARRAY),
        ({"b": 1.0, "a": 2.0}, pd.Series(np.ones(3), INDEX),
         {"a": pd.Series(ARRAY[::-1, 0], INDEX[::-1]), "b": ARRAY[:, 1]}),
        ({"s": SERIES}, {"r": pd.Series(np.ones(3), INDEX)},
         {"r": {"s": pd.DataFrame(ARRAY, INDEX, ["b", "a"]).loc[["v", "w", "u"], ["a", "b"]]}}),
        (np.ones((1, 2)), np.ones((3, 1)), ARRAY.reshape(3, 1, 1, 2)),
        (np.ones(2), [np.ones(2), 1.0], [ARRAY[:2], ARRAY[2]]),
    ],
    ids=str,
)  # fmt: skip
def test_jacobians_of_all_structures_are_read_by_key(params, residuals, derivative):
    np.testing.assert_array_equal(reader_of(params, residuals).jacobian(derivative, "jac"), ARRAY)


@pytest.mark.parametrize("start", [[-1.2, 1.0], (-1.2, 1.0), np.array([-1.2, 1.0])], ids=str)
@pytest.mark.parametrize("algorithm", ["scipy_ls_lm", "scipy_ls_trf", "scipy_lbfgsb"])
def test_what_scipy_takes_is_taken(start, algorithm):
    """Start values in a list, residuals in a list, an array as the jacobian."""
    fun = om.mark.least_squares(lambda x: [10 * (x[1] - x[0] ** 2), 1 - x[0]])
    jac = om.mark.least_squares(lambda x: np.array([[-20 * x[0], 10.0], [-1.0, 0.0]]))
    result = om.minimize(fun, start, algorithm, jac=jac)
    assert type(result.params) is type(start)
    np.testing.assert_allclose(result.params, 1, atol=1e-3)
    assert result.n_numdiff_evals == 0


def test_what_was_learnt_can_be_sent_elsewhere():
    reader = reader_of(1.0, {"r": pd.Series([1.0, 2.0], ["a", "b"]), "q": np.ones((2, 1))})
    other = ResidualReader(Converter(1.0))
    assert other.structure is None
    other.learn(pickle.loads(pickle.dumps(reader.structure)))
    later = {"q": np.ones((2, 1)), "r": pd.Series([5.0, 4.0], ["b", "a"])}
    np.testing.assert_array_equal(other.residuals(later, "fun"), [1, 1, 4, 5])


def test_a_jacobian_that_is_asked_for_before_any_residuals_is_read():
    reader = ResidualReader(Converter(np.ones(2)))
    np.testing.assert_array_equal(reader.jacobian(ARRAY, "jac"), ARRAY)
    np.testing.assert_array_equal(reader.jacobian(ARRAY.tolist(), "jac", 3), ARRAY)
    with pytest.raises(om.InvalidFunctionError, match=r"jac has shape \(3, 2\), but expected \(4, 2\)"):
        reader.jacobian(ARRAY, "jac", 4)
    with pytest.raises(om.InvalidFunctionError, match="jac returned None"):
        reader.jacobian(None, "jac")
