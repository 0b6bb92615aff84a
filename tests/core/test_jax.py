"""JAX: arrays as params, and jax.grad, jax.jacobian and jax.value_and_grad as they are."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import optcore as om

jax = pytest.importorskip("jax", reason="JAX is an extra")
jnp = jax.numpy

UNSORTED = {"b": jnp.array([1.0, 2.0]), "a": 0.5}


def smooth(p):
    return (p["b"][0] - 3) ** 2 + 2 * (p["b"][1] - p["a"]) ** 2 + (p["a"] - 1) ** 2


def residuals(p):
    return {"z": p["b"] - jnp.array([3.0, 1.0]), "y": 2 * (p["a"] - 1)}


@pytest.mark.parametrize(
    "given",
    [
        {"fun": smooth, "jac": jax.grad(smooth)},
        {"fun_and_jac": jax.value_and_grad(smooth)},
        {"fun": jax.jit(smooth), "jac": jax.jit(jax.grad(smooth))},
    ],
    ids=["grad", "value_and_grad", "jit"],
)
def test_gradients_of_jax_go_in_unwrapped_whatever_the_order_of_the_keys(given):
    result = om.minimize(params=UNSORTED, algorithm="scipy_lbfgsb", **given)
    np.testing.assert_allclose(result.params["b"], [3, 1], atol=1e-3)
    assert result.params["a"] == pytest.approx(1, abs=1e-3)
    assert isinstance(result.params["b"], jax.Array)
    assert type(result.params["a"]) is float
    assert list(result.params) == ["b", "a"]
    assert result.n_numdiff_evals == 0


@pytest.mark.parametrize("algorithm", ["scipy_ls_lm", "scipy_ls_trf", "scipy_lbfgsb"])
@pytest.mark.parametrize("jacobian", [jax.jacobian, jax.jacfwd], ids=["jacobian", "jacfwd"])
def test_jacobians_of_jax_go_in_unwrapped(algorithm, jacobian):
    result = om.minimize(
        om.mark.least_squares(residuals), UNSORTED, algorithm, jac=om.mark.least_squares(jacobian(residuals))
    )
    np.testing.assert_allclose(result.params["b"], [3, 1], atol=1e-3)
    assert result.fun < 1e-5
    assert result.n_numdiff_evals == 0


@pytest.mark.parametrize("start", [jnp.array(4.0), jnp.ones(3), jnp.ones((2, 2))], ids=["0-d", "vector", "matrix"])
def test_jax_arrays_come_back_as_jax_arrays_of_their_shape(start):
    def fun(x):
        assert isinstance(x, jax.Array)
        return jnp.sum((x - 2) ** 2)

    result = om.minimize(fun, start, "scipy_lbfgsb", jac=jax.grad(lambda x: jnp.sum((x - 2) ** 2)))
    assert isinstance(result.params, jax.Array)
    assert result.params.shape == start.shape
    np.testing.assert_allclose(result.params, 2, atol=1e-4)


@pytest.mark.parametrize("start", [jnp.ones(3), np.ones(3)], ids=["jax", "numpy"])
@pytest.mark.parametrize(("method", "n_cores"), [("forward", 1), ("central", 1), ("complex_step", 1), ("forward", 2)])
def test_steps_fit_the_single_precision_that_jax_computes_in(method, n_cores, start):
    """Steps for double precision would vanish there: the gradient would be zero and the start an optimum."""

    def fun(x):
        x = jax.numpy.asarray(x)
        return jax.numpy.sum((x - 3) ** 2)

    options = om.NumdiffOptions(method=method, n_cores=n_cores)
    result = om.minimize(fun, start, "scipy_lbfgsb", numdiff_options=options)
    np.testing.assert_allclose(result.params, 3, atol=2e-3)
    assert result.n_fun_evals == len(result.history)


@pytest.mark.parametrize("method", ["forward", "central"])
def test_numerical_derivatives_agree_with_those_of_jax(method):
    with jax.enable_x64(True):
        params = {"b": jnp.array([1.0, 2.0]), "a": 0.5}
        numerical = om.first_derivative(smooth, params, method=method).derivative
        exact = jax.grad(smooth)(params)
        np.testing.assert_allclose(numerical["b"], exact["b"], atol=1e-6)
        assert numerical["a"] == pytest.approx(float(exact["a"]), abs=1e-6)
        assert list(numerical) == ["b", "a"]


# structures of all kinds ---------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", ["alpha", "beta"])

STARTS = {
    "dict of arrays and numbers": UNSORTED,
    "ordered dict": OrderedDict(z=jnp.array([1.0, 2.0]), y=0.5),
    "namedtuple": Pair(jnp.ones(2), [0.5, jnp.zeros((1, 2))]),
    "nested": {"x": (1.0, {"k": jnp.ones((2, 2))}), "a": [jnp.array(3.0)]},
    "numpy arrays": {"b": np.ones(2), "a": np.array(0.5)},
    "int array": {"n": jnp.arange(3)},
}
each_start = pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)


def distances(p):
    """Distance of entry i from i + 1, in the order of keys of JAX, as residuals with shapes of their own."""
    leaves, tree = jax.tree.flatten(p)
    return jax.tree.unflatten(tree, [jnp.asarray(leaf) - (i + 1) for i, leaf in enumerate(leaves)])


def squared(p):
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(distances(p)))


@each_start
@pytest.mark.parametrize("source", ["grad", "value_and_grad", "jacrev"])
def test_gradients_fit_params_of_any_structure(start, source):
    floats = jax.tree.map(lambda leaf: leaf * 1.0, start)
    given = {
        "grad": {"fun": squared, "jac": jax.grad(squared)},
        "value_and_grad": {"fun_and_jac": jax.value_and_grad(squared)},
        "jacrev": {"fun": squared, "jac": jax.jacrev(squared)},
    }[source]
    result = om.minimize(params=start, algorithm="scipy_lbfgsb", **given)
    assert jax.tree.structure(result.params) == jax.tree.structure(floats)
    for i, (leaf, first) in enumerate(zip(jax.tree.leaves(result.params), jax.tree.leaves(start), strict=True)):
        np.testing.assert_allclose(leaf, i + 1, atol=1e-3)
        assert np.shape(leaf) == np.shape(first)
        assert isinstance(leaf, jax.Array) == isinstance(first, jax.Array)
    assert result.n_numdiff_evals == 0


@each_start
@pytest.mark.parametrize("algorithm", ["scipy_ls_trf", "scipy_lbfgsb"])
@pytest.mark.parametrize("jacobian", [jax.jacobian, jax.jacfwd], ids=["jacobian", "jacfwd"])
def test_jacobians_of_residuals_of_any_structure_have_the_shape_of_residuals_and_params(start, algorithm, jacobian):
    mark = om.mark.least_squares
    result = om.minimize(mark(distances), start, algorithm, jac=mark(jacobian(distances)))
    for i, leaf in enumerate(jax.tree.leaves(result.params)):
        np.testing.assert_allclose(leaf, i + 1, atol=1e-3)
    assert result.n_numdiff_evals == 0


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_ls_trf"])
@pytest.mark.parametrize(("fixed", "free"), [("a", ["b"]), ("b[0]", ["a"]), ({"b": True}, ["a"])], ids=str)
def test_derivatives_of_jax_are_reduced_to_what_is_free(algorithm, fixed, free):
    mark = om.mark.least_squares
    result = om.minimize(mark(residuals), UNSORTED, algorithm, jac=mark(jax.jacobian(residuals)), fixed=fixed)
    assert isinstance(result.params["b"], jax.Array)
    expected = {"a": 1.0, "b": [3.0, 1.0]}
    for name in free:
        np.testing.assert_allclose(result.params[name], expected[name], atol=1e-3)
    if fixed == "a":
        assert result.params["a"] == 0.5
    else:
        assert float(result.params["b"][0]) == 1.0


def test_short_floats_of_jax_are_read():
    """Numpy has no kind for bfloat16."""
    start = jnp.ones(2, dtype=jnp.bfloat16)
    result = om.minimize(
        lambda x: float(jnp.sum((x - 2) ** 2)), start, "scipy_lbfgsb", jac=lambda x: (2 * (x - 2)).astype(jnp.bfloat16)
    )
    np.testing.assert_allclose(result.params, 2, atol=1e-2)


def test_a_class_that_only_jax_knows_is_an_error_that_says_how_to_register_it():
    @jax.tree_util.register_pytree_node_class
    class Model:
        def tree_flatten(self):
            return (), None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls()

    with pytest.raises(om.InvalidInputError, match=r"params leaf 'm' must be numeric, .* register Model with optree"):
        om.minimize(lambda p: 1.0, {"m": Model()}, "scipy_lbfgsb")
