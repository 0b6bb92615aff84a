"""Params of any structure: what comes in goes out as it came, matched by key, and what doesn't fit is named."""

import pickle

import hypothesis.strategies as st
import numpy as np
import optree
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

import optcore as om
from optcore.residuals import ResidualReader
from optcore.structure import NAMESPACE
from optcore.tree import Converter
from tests.core.trees import FRAME, TABLE, TREES, Line, Pair, assert_same

each_tree = pytest.mark.parametrize(("params", "flat", "names"), TREES.values(), ids=TREES)


@each_tree
def test_params_flatten_to_the_vector_and_names_that_are_expected(params, flat, names):
    converter = Converter(params)
    np.testing.assert_array_equal(converter.start, flat)
    np.testing.assert_array_equal(converter.flatten(params), flat)
    assert list(converter.names) == names


@each_tree
def test_leaves_come_back_as_they_came(params, flat, names):
    assert_same(params, Converter(params).unflatten(np.array(flat, dtype=float)))


@each_tree
def test_minimize_gives_params_of_that_kind_to_fun_and_returns_them(params, flat, names):
    target = np.arange(1, len(flat) + 1) / 2
    converter = Converter(params)

    def fun(p):
        assert_same(converter.unflatten(converter.flatten(p)), p)
        return float(((converter.flatten(p) - target) ** 2).sum())

    result = om.minimize(fun, params, "scipy_lbfgsb")
    assert_same(result.params, converter.unflatten(converter.flatten(result.params)))
    np.testing.assert_allclose(converter.flatten(result.params), target, atol=1e-5)
    assert result.fun == fun(result.params)
    assert_same(params, result.start_params)
    assert list(result.history.names) == names


@each_tree
def test_a_gradient_with_the_structure_of_params_is_read_back(params, flat, names):
    converter = Converter(params)
    rows = np.arange(1.0, 1 + len(flat))
    np.testing.assert_array_equal(converter.gradient(converter.tree_of(rows), "jac"), rows)


@each_tree
def test_a_jacobian_of_residuals_is_read_back(params, flat, names):
    converter = Converter(params)
    reader = ResidualReader(converter)
    reader.residuals({"one": np.zeros((2, 2)), "another": 3.0}, "fun")
    jacobian = np.arange(5.0 * len(flat)).reshape(5, len(flat))
    np.testing.assert_array_equal(reader.jacobian(reader.tree_of(jacobian), "jac"), jacobian)


numbers = st.floats(-1e6, 1e6) | st.integers(-1000, 1000)
arrays = hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=3), elements=st.floats(-1e6, 1e6))
trees = st.recursive(
    numbers | arrays,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.text("abcdef", min_size=1, max_size=3), inner, min_size=1, max_size=3)
        | st.tuples(inner, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(Line, inner, inner)
    ),
    max_leaves=6,
)


def shuffled(tree, random):
    """The same tree with the keys of its dicts in another order."""
    if isinstance(tree, dict):
        keys = list(tree)
        random.shuffle(keys)
        return {key: shuffled(tree[key], random) for key in keys}
    if isinstance(tree, Pair):
        return Pair(*(shuffled(entry, random) for entry in tree))
    if isinstance(tree, Line):
        return Line(shuffled(tree.slope, random), shuffled(tree.level, random))
    return type(tree)(shuffled(entry, random) for entry in tree) if isinstance(tree, (list, tuple)) else tree


@given(trees)
@settings(max_examples=80, deadline=None)
def test_flattening_and_restoring_any_tree_changes_nothing(params):
    converter = Converter(params)
    assert_same(params, converter.unflatten(converter.start))
    np.testing.assert_array_equal(converter.flatten(converter.unflatten(converter.start)), converter.start)
    assert len(set(converter.names)) == converter.n


@given(trees, st.randoms())
@settings(max_examples=80, deadline=None)
def test_the_order_of_keys_never_matters(params, random):
    converter = Converter(params)
    np.testing.assert_array_equal(converter.flatten(shuffled(params, random)), converter.start)
    np.testing.assert_array_equal(converter.gradient(shuffled(params, random), "jac"), converter.start)


@given(trees, trees, st.randoms())
@settings(max_examples=100, deadline=None)
def test_derivative_trees_and_arrays_are_inverse_to_each_other(params, residuals, random):
    converter = Converter(params)
    reader = ResidualReader(converter)
    m = reader.residuals(residuals, "fun").size
    jacobian = np.arange(1.0, 1 + m * converter.n).reshape(m, converter.n)
    tree = reader.tree_of(jacobian)
    np.testing.assert_array_equal(reader.jacobian(tree, "jac"), jacobian)
    assert_same(reader.tree_of(reader.jacobian(tree, "jac")), tree)
    np.testing.assert_array_equal(reader.jacobian(shuffled(tree, random), "jac"), jacobian)
    gradient = jacobian[0]
    assert_same(converter.tree_of(converter.gradient(converter.tree_of(gradient), "jac")), converter.tree_of(gradient))
    np.testing.assert_array_equal(converter.gradient(shuffled(converter.tree_of(gradient), random), "jac"), gradient)


@given(trees)
@settings(max_examples=80, deadline=None)
def test_vectors_survive_the_way_through_params(params):
    converter = Converter(params)
    x = np.linspace(-1e3, 1e3, converter.n)
    np.testing.assert_array_equal(converter.flatten(converter.unflatten(x)), x)
    np.testing.assert_array_equal(converter.flatten(pickle.loads(pickle.dumps(converter)).unflatten(x)), x)
    z = x + 1j
    leaves = optree.tree_leaves(converter.unflatten(z), namespace=NAMESPACE)  # within a complex step
    np.testing.assert_array_equal(np.concatenate([np.ravel(leaf) for leaf in leaves]), z)


def test_user_functions_may_write_to_their_params():
    def fun(p):
        p["a"] -= 1
        value = float(p["a"] @ p["a"])
        p["a"][:] = np.nan
        return value

    result = om.minimize(fun, {"a": np.zeros(2)}, "scipy_lbfgsb")
    np.testing.assert_allclose(result.params["a"], 1, atol=1e-5)
    start = np.zeros(2)
    om.minimize(lambda x: float(np.multiply(x, x, out=x).sum()), start, "scipy_neldermead", budget=om.Budget(9))
    np.testing.assert_array_equal(start, 0)


# derivatives by key, never by position -------------------------------------------------------------------------------

WEIGHTS = {"b": 1.0, "a": 10.0}


@pytest.mark.parametrize("keys", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("start", [{"b": 1.0, "a": 2.0}, {"a": 2.0, "b": 1.0}], ids=str)
def test_a_gradient_dict_in_any_order_of_keys_ends_at_the_optimum(start, keys):
    result = om.minimize(
        lambda p: sum(w * (p[k] - w) ** 2 for k, w in WEIGHTS.items()),
        start,
        "scipy_lbfgsb",
        jac=lambda p: {k: 2 * WEIGHTS[k] * (p[k] - WEIGHTS[k]) for k in keys},
    )
    assert result.params == pytest.approx(WEIGHTS, abs=1e-4)


def test_residuals_in_a_dict_and_jacobians_by_key_in_any_order():
    @om.mark.least_squares
    def fun(p):
        return {"z": p["b"] - 1, "y": 2 * (p["a"] - 2)}

    @om.mark.least_squares
    def jac(p):
        return {"y": {"b": 0.0, "a": 2.0}, "z": {"a": 0.0, "b": 1.0}}

    for algorithm in ("scipy_ls_lm", "scipy_lbfgsb"):
        result = om.minimize(fun, {"b": 5.0, "a": 7.0}, algorithm, jac=jac)
        assert result.params == pytest.approx({"a": 2.0, "b": 1.0}, abs=1e-6)


@pytest.mark.parametrize(
    "permuted",
    [lambda g: g[["y", "x"]], lambda g: g.loc[["s", "r"]], lambda g: g.loc[["s", "r"], ["y", "x"]]],
    ids=["columns", "rows", "both"],
)
def test_a_gradient_data_frame_is_matched_by_index_and_columns(permuted):
    target = TABLE * 10
    result = om.minimize(
        lambda p: float(((p - target) ** 2).to_numpy().sum()),
        TABLE,
        "scipy_lbfgsb",
        jac=lambda p: permuted(2 * (p - target)),
    )
    pd.testing.assert_frame_equal(result.params, target)


def test_a_gradient_series_is_matched_by_index_also_for_a_value_column():
    target = pd.Series([7.0, 3.0], index=["s", "r"])

    def fun(p):
        return float(((p["value"] - target) ** 2).sum())

    def jac(p):
        return (2 * (p["value"] - target))[["s", "r"]]

    result = om.minimize(fun, FRAME, "scipy_lbfgsb", jac=jac)
    assert result.params["value"].to_dict() == pytest.approx({"r": 3.0, "s": 7.0})
    pd.testing.assert_series_equal(result.params["lower"], FRAME["lower"])


def test_a_jac_may_return_lists_where_params_have_arrays():
    result = om.minimize(
        lambda p: float(p["a"] @ p["a"]), {"a": np.ones(2)}, "scipy_lbfgsb", jac=lambda p: {"a": list(2 * p["a"])}
    )
    np.testing.assert_allclose(result.params["a"], 0, atol=1e-8)
    result = om.minimize(lambda x: x @ x, np.ones(2), "scipy_lbfgsb", jac=lambda x: [2 * x[0], 2 * x[1]])
    np.testing.assert_allclose(result.params, 0, atol=1e-8)


# what doesn't fit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (None, "params are missing: give the start values"),
        ({}, "params are empty: there is nothing to optimize in {}"),
        (np.zeros(0), "params are empty"),
        ({"a": np.zeros(0)}, "params are empty"),
        ({"a": 1.0, "b": None}, "params leaf 'b' must be a number or an array, but is None"),
        ({"a": 1.0, "b": "text"}, "params leaf 'b' must be real numbers, but is 'text'"),
        ({"a": [1.0, {"k": 1j}]}, r"params leaf \"a\[1\]\['k'\]\" must be real numbers, but is 1j of type complex128"),
        (np.array([1j]), "params must be real numbers"),
        ({"a": True}, "params leaf 'a' must be real numbers, but is True of type bool"),
        (np.array(["a"]), "params must be real numbers"),
        ({"a": object()}, "params leaf 'a' must be numeric, but is <object"),
        ({"a": {1, 2}}, "params leaf 'a' must be numeric, but is {1, 2}"),
        ({"a": pd.Series(["x"])}, "params leaf 'a' must be"),
        (Pair(1.0, "x"), "params leaf 'beta' must be real numbers"),
        (np.array([1.0, np.nan]), "the start of '1' is nan; start at a finite value"),
        ({"a": [1.0, np.inf]}, r"the start of 'a\[1\]' is inf; start at a finite value"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_a_start_that_can_not_be_one_is_an_error_that_names_the_leaf(params, message):
    with pytest.raises(om.InvalidInputError, match=message):
        om.minimize(lambda p: 1.0, params, "scipy_lbfgsb")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones(2), r"fun must return a number, but returned shape \(2,\); mark it with om.mark.least_squares"),
        (np.ones(1), r"fun must return a number, but returned shape \(1,\); return a number"),
        (np.ones((2, 2)), r"fun must return a number, but returned shape \(2, 2\); return a number"),
        (None, "fun must return a number, but returned None"),
        ("1.0", "fun must return a number, but returned the text '1.0'"),
        (1 + 1j, r"fun returned the complex number \(1\+1j\); return a real one"),
        (np.complex128(1), "fun returned the complex number"),
    ],
    ids=str,
)
def test_a_scalar_function_that_returns_something_else_says_what(value, message):
    with pytest.raises(om.InvalidFunctionError, match=message):
        om.minimize(lambda x: value, np.ones(2), "scipy_neldermead")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "fun returned no residuals: None"),
        ([], r"fun returned no residuals: \[\]"),
        (np.array(["a"]), "fun must return numbers, but returned array"),
        ({"r": "text"}, "fun must return numbers, but returned {'r': 'text'} at 'r'"),
        (np.array([1j]), "fun returned complex numbers; return real ones"),
    ],
    ids=str,
)
def test_residuals_that_are_none_say_what_came(value, message):
    with pytest.raises(om.InvalidFunctionError, match=message):
        om.minimize(om.mark.least_squares(lambda x: value), np.ones(2), "scipy_ls_trf")


def test_the_number_of_residuals_must_not_change():
    lengths = iter([3, 3, 3, 2])
    fun = om.mark.least_squares(lambda x: np.full(next(lengths), x.sum()))
    with pytest.raises(om.InvalidFunctionError, match=r"residuals of shape \[\(2,\)\], .* they had \[\(3,\)\]"):
        om.minimize(fun, np.ones(2), "scipy_ls_trf")


def test_fun_and_jac_must_return_a_pair():
    with pytest.raises(om.InvalidFunctionError, match=r"fun_and_jac must return a pair \(value, derivative\)"):
        om.minimize(fun_and_jac=lambda x: x @ x, params=np.ones(2), algorithm="scipy_lbfgsb")
