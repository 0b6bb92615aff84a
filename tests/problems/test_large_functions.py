"""Functions for any number of variables: their starts and minima, and their derivatives in every way there is."""

from __future__ import annotations

import importlib.util
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from optcore_problems import functions as f
from optcore_problems.least_squares import LeastSquaresFunction

SIZED = [
    *[(f.ExtendedRosenbrock, n) for n in (2, 10, 20)],
    *[(f.ExtendedPowellSingular, n) for n in (4, 12, 20)],
    *[(f.VariablyDimensioned, n) for n in (1, 6, 20)],
    *[(f.DiscreteBoundaryValue, n) for n in (1, 2, 10, 30)],
    *[(f.DiscreteIntegral, n) for n in (1, 2, 10, 30)],
    *[(f.BroydenTridiagonal, n) for n in (1, 2, 3, 10, 30)],
    *[(f.BroydenBanded, n) for n in (1, 2, 6, 7, 8, 10, 30)],
    *[(f.Bratu2D, n) for n in (4, 9, 16, 49)],
]
FUNCTIONS = [cls(n) for cls, n in SIZED]
ONE_SIZE = list({function.name: function for function in FUNCTIONS}.values())
each = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: f"{function.name}_n{function.n}")
each_kind = pytest.mark.parametrize("function", ONE_SIZE, ids=lambda function: function.name)
needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax, an optional library, is not installed"
)


def points(function: LeastSquaresFunction) -> NDArray[np.float64]:
    """The start and three points around it, a point a row."""
    away = np.random.default_rng(function.n).standard_normal((4, function.n))
    away[0] = 0.0
    return function.start() + 0.5 * away


def complex_step(function: LeastSquaresFunction, x: NDArray[np.float64]) -> NDArray[np.float64]:
    h = 1e-150
    return np.stack([function.residuals(x + 1j * h * e, np).imag / h for e in np.eye(function.n)], axis=1)


@each
def test_jacobians_equal_complex_step(function: LeastSquaresFunction) -> None:
    for x in points(function):
        expected = complex_step(function, x)
        assert expected.shape == (function.m, function.n)
        np.testing.assert_allclose(function.jacobian(x), expected, rtol=1e-13, atol=1e-14 * np.abs(expected).max())


@each
def test_many_points_give_what_each_gives(function: LeastSquaresFunction) -> None:
    rows = points(function)
    for X in (rows.T, rows.T + 1e-3j):
        before = X.copy()
        together = function.residuals(X, np)
        assert together.shape == (function.m, len(rows))
        alone = np.stack([function.residuals(np.ascontiguousarray(x), np) for x in X.T], axis=1)
        np.testing.assert_allclose(together, alone, rtol=1e-13, atol=1e-13)
        np.testing.assert_array_equal(X, before)


@needs_jax
@each_kind
def test_jax_gives_the_same_residuals_and_jacobians(function: LeastSquaresFunction) -> None:
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        rows = jnp.asarray(points(function))

        def residuals(x: Any) -> Any:
            return function.residuals(x, jnp)

        def everything(x: Any, columns: Any) -> tuple[Any, Any, Any]:
            return residuals(x), jax.jacrev(residuals)(x), residuals(columns)

        # Compiling takes nearly all of the time: once, and without optimizations.
        lowered = jax.jit(everything).lower(rows[0], rows.T)
        compiled = lowered.compile({"xla_backend_optimization_level": "0"})
        for x in points(function):
            found, jacobian, together = compiled(x, rows.T)
            np.testing.assert_allclose(found, function.residuals(x, np), rtol=1e-13, atol=1e-13)
            np.testing.assert_allclose(jacobian, function.jacobian(x), rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(together, function.residuals(points(function).T, np), atol=1e-13)
    single = jax.eval_shape(residuals, jnp.ones(function.n, dtype=jnp.float32))
    assert single.shape == (function.m,)
    assert single.dtype == jnp.float32


@each
def test_patterns_hold_every_entry_and_nothing_else(function: LeastSquaresFunction) -> None:
    if function.pattern is None:
        assert function.sparse_jacobian is None
        return
    found = np.logical_or.reduce([complex_step(function, x) != 0.0 for x in points(function)])
    assert function.pattern().dtype == bool
    np.testing.assert_array_equal(function.pattern().toarray(), found)


@each
def test_the_known_minimum_is_one(function: LeastSquaresFunction) -> None:
    optimum = function.optimum()
    assert (optimum.f, optimum.source) == (0.0, "exact")
    if optimum.x is not None:
        J, rounding = np.abs(function.jacobian(optimum.x)), np.finfo(float).eps * (1.0 + np.abs(optimum.x))
        np.testing.assert_array_less(np.abs(function.residuals(optimum.x, np)), J @ rounding + 1e-300)


@pytest.mark.parametrize(
    "function",
    [function for function in FUNCTIONS if function.m == function.n > 1 and function.name != "ext_powell_singular"],
    ids=lambda function: f"{function.name}_n{function.n}",
)
def test_newton_finds_a_zero(function: LeastSquaresFunction) -> None:
    x = function.start()
    for _ in range(50):
        x -= np.linalg.solve(function.jacobian(x), function.residuals(x, np))
    np.testing.assert_allclose(function.residuals(x, np), 0.0, atol=1e-14)
    known = function.optimum().x
    if known is not None:
        np.testing.assert_allclose(x, known, atol=1e-13)


def test_zeros_are_known_in_the_sizes_of_the_collection() -> None:
    for cls in (f.DiscreteBoundaryValue, f.DiscreteIntegral, f.BroydenTridiagonal, f.BroydenBanded):
        assert [cls(n).optimum().x is not None for n in (9, 10, 30, 31)] == [False, True, True, False]


@each
def test_functions_pickle_by_their_size(function: LeastSquaresFunction) -> None:
    copy = pickle.loads(pickle.dumps(function))
    assert (type(copy), copy.n, copy.m) == (type(function), function.n, function.m)
    np.testing.assert_array_equal(copy.residuals(copy.start(), np), function.residuals(function.start(), np))


def test_starts_are_the_published_ones() -> None:
    h = 1.0 / 6.0
    expected = {
        f.ExtendedRosenbrock(4): [-1.2, 1.0, -1.2, 1.0],
        f.ExtendedPowellSingular(8): [3.0, -1.0, 0.0, 1.0, 3.0, -1.0, 0.0, 1.0],
        f.VariablyDimensioned(4): [0.75, 0.5, 0.25, 0.0],
        f.DiscreteBoundaryValue(5): [i * h * (i * h - 1.0) for i in range(1, 6)],
        f.DiscreteIntegral(5): [i * h * (i * h - 1.0) for i in range(1, 6)],
        f.BroydenTridiagonal(3): [-1.0, -1.0, -1.0],
        f.BroydenBanded(3): [-1.0, -1.0, -1.0],
    }
    for function, start in expected.items():
        np.testing.assert_allclose(function.start(), start, rtol=1e-15)


def test_numbers_in_the_collection_of_more_garbow_and_hillstrom() -> None:
    assert [function.mgh for function in ONE_SIZE] == [21, 22, 25, 28, 29, 30, 31, None]


def test_discrete_integral_is_the_double_sum_of_its_definition() -> None:
    n = 30
    h = 1.0 / (n + 1)
    t = [i * h for i in range(n + 2)]
    function = f.DiscreteIntegral(n)
    for x in points(function):
        cubes = [(x[j - 1] + t[j] + 1.0) ** 3 for j in range(1, n + 1)]
        expected = [
            x[i - 1]
            + h
            / 2.0
            * (
                (1.0 - t[i]) * sum(t[j] * cubes[j - 1] for j in range(1, i + 1))
                + t[i] * sum((1.0 - t[j]) * cubes[j - 1] for j in range(i + 1, n + 1))
            )
            for i in range(1, n + 1)
        ]
        np.testing.assert_allclose(function.residuals(x, np), expected, rtol=1e-13, atol=1e-15)
