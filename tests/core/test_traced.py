"""Patterns by tracing JAX functions, where asdex is installed, and by probing where it isn't or tracing fails."""

import math

import numpy as np
import pytest
import scipy.sparse

import optcore as om
from optcore.numdiff import traced
from tests.core.counting import Counted
from tests.core.test_sparse_differences import N, broyden, tridiagonal

jax = pytest.importorskip("jax")
jnp = jax.numpy
try:
    import asdex  # noqa: F401

    WHY_NOT = ""
except ImportError as error:  # it isn't installed, or, as its 0.5.2, doesn't know the JAX that is (0.12)
    WHY_NOT = str(error)
needs_asdex = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def broyden_jax(x):
    padded = jnp.concatenate([jnp.zeros(1), x, jnp.zeros(1)])
    return (3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1


X = np.linspace(-1, 1, N)
DETECT = om.NumdiffOptions(sparsity="detect")
#: Ways to write a function of JAX.
FORMS = {
    "plain": broyden_jax,
    "jit": jax.jit(broyden_jax),
    "marked": om.mark.least_squares(broyden_jax),
    "lambda": lambda x: jnp.asarray(broyden_jax(x)),
    "value": lambda x: om.FunctionValue(jnp.asarray(broyden_jax(x)), info={}),
}


@needs_asdex
@pytest.mark.parametrize("name", FORMS)
def test_a_function_of_jax_tells_its_pattern_without_a_call(name):
    gradient = om.NumericalDerivative(FORMS[name], X, options=DETECT)
    first = gradient(X)
    assert first.n_evaluations == {"base": 1, "differences": 3, "check": 1}
    assert first.derivative.nnz == tridiagonal(N).nnz
    np.testing.assert_allclose(first.derivative.toarray(), jax.jacobian(broyden_jax)(X), rtol=1e-6, atol=1e-6)
    assert gradient(X + 0.1).n_evaluations == {"base": 1, "differences": 3}


@needs_asdex
def test_trees_of_jax_arrays_and_fixed_params_are_traced_too():
    def fun(p):
        return {"r": broyden_jax(jnp.concatenate([p["a"], p["b"]])), "s": p["b"][0] ** 2}

    params = {"a": jnp.asarray(X[:10]), "b": jnp.asarray(X[10:])}
    found = om.first_derivative(fun, params, sparsity="detect")
    assert found.n_evaluations == {"base": 1, "differences": 3, "check": 1}
    np.testing.assert_allclose(found.derivative["r"]["b"], jax.jacobian(fun)(params)["r"]["b"], rtol=1e-6, atol=1e-6)
    result = om.minimize(
        om.mark.least_squares(lambda p: broyden_jax(jnp.concatenate([p["a"], p["b"]]))),
        params,
        "scipy_ls_trf",
        fixed="a",
        numdiff_options=DETECT,
    )
    batches = np.bincount(result.history.batch)
    assert batches.max() == 3


def numpy_inside(x):
    return jnp.asarray(broyden(np.asarray(x)))


def math_inside(x):
    return broyden_jax(x) + jnp.zeros(1) * math.exp(x[0])


@pytest.mark.parametrize("fun", [numpy_inside, math_inside], ids=["numpy", "math"])
def test_where_tracing_fails_nan_tells_the_pattern(fun):
    """The call that tracing begins ends where a number is needed."""
    gradient = om.NumericalDerivative(fun, X, options=DETECT)
    assert gradient(X).n_evaluations == {"probe": N, "base": 1, "differences": N}
    second = gradient(X + 0.1)
    assert second.n_evaluations["differences"] <= 4
    np.testing.assert_allclose(second.derivative.toarray()[1:], jax.jacobian(broyden_jax)(X + 0.1)[1:], atol=1e-5)


def test_without_asdex_nan_tells_the_pattern(monkeypatch):
    monkeypatch.setattr(traced, "find_spec", lambda name: None)
    found = om.first_derivative(broyden_jax, X, sparsity="detect")
    assert found.n_evaluations == {"probe": N, "base": 1, "differences": N}


def test_functions_that_do_not_name_jax_are_not_called_for_tracing():
    counted = Counted(broyden)
    found = om.first_derivative(counted.call, X, sparsity="detect")
    assert len(counted) == sum(found.n_evaluations.values()) == 2 * N + 1


def test_a_traced_pattern_that_is_wrong_is_found_out_at_once(monkeypatch):
    """Whatever asdex says is compared with a real difference."""
    from optcore.numdiff import pattern

    too_small = scipy.sparse.eye_array(N)
    monkeypatch.setattr(pattern, "traced_pattern", lambda *_: pattern.read_pattern(too_small, N))
    gradient = om.NumericalDerivative(broyden_jax, X, options=DETECT)
    first = gradient(X)
    assert first.n_evaluations == {"base": 1, "differences": 1 + N, "check": 1, "probe": N}
    np.testing.assert_allclose(first.derivative.toarray(), jax.jacobian(broyden_jax)(X), rtol=1e-6, atol=1e-6)
    assert gradient(X + 0.1).n_evaluations == {"base": 1, "differences": 3}


@pytest.mark.parametrize("kwargs", [{"method": "richardson"}, {"step_size": "calibrated"}], ids=str)
def test_a_found_pattern_serves_methods_of_several_rounds(kwargs):
    gradient = om.NumericalDerivative(broyden, X, options=om.NumdiffOptions(sparsity="detect", **kwargs))
    found = gradient(X)
    assert found.n_evaluations["probe"] == N
    assert sum(found.n_evaluations.values()) < 2 * N + 100
    np.testing.assert_allclose(found.derivative.toarray(), jax.jacobian(broyden_jax)(X), rtol=1e-9, atol=1e-9)
    found = gradient(X + 0.1)
    assert sum(found.n_evaluations.values()) < 70
    np.testing.assert_allclose(found.derivative.toarray(), jax.jacobian(broyden_jax)(X + 0.1), rtol=1e-5, atol=1e-5)


def test_noise_is_no_entry_and_no_contradiction():
    rng = np.random.default_rng(0)

    def noisy(x):
        return broyden(x) + 1e-6 * rng.standard_normal(N)

    gradient = om.NumericalDerivative(noisy, X, options=om.NumdiffOptions("central", sparsity="detect", noise=1e-6))
    for k in range(12):
        found = gradient(X + 0.001 * k)
    assert found.derivative.nnz == tridiagonal(N).nnz
    assert "probe" not in found.n_evaluations
    np.testing.assert_allclose(found.derivative.toarray(), jax.jacobian(broyden_jax)(X + 0.011), atol=1e-2)
