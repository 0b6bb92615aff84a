"""Closed-form jacobians against complex step and JAX, both computed from the same residuals."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from optcore_problems import Problem, get_problem, get_suite
from tests.cases import in_one_test

SUITE = get_suite("more_wild")
MGH_ONLY = {3, 4, 5, 9, 11, 14, 18, *range(21, 27), *range(28, 32)}
SIZED = [
    get_problem(f"more_wild/{name}", n=n, m=m)
    for name, n, m in [
        ("linear_full_rank", 1, 1),
        ("linear_rank1_zero", 3, 4),
        ("watson", 2, None),
        ("watson", 31, None),
        ("chebyquad", 1, None),
        ("chebyquad", 5, 9),
        ("brown_almost_linear", 2, None),
        ("bdqrtic", 5, None),
        ("bdqrtic", 40, None),
        ("cube", 30, None),
        ("mancino", 30, None),
    ]
]
MGH = get_suite("mgh")
# The functions that more_wild doesn't have, in all sizes, and two whose start is another one there.
NEW = [p for p in MGH if p.tags["function"] in ("watson", "osborne_1") or p.tags["mgh"] in MGH_ONLY]
per_function = in_one_test("problem", [p for p in SUITE if p.tags["start"] == "standard"] + SIZED + NEW)
# One size of each function: compiling takes long.
ONE_SIZE = list({p.tags["function"]: p for p in SUITE if p.tags["start"] == "standard"}.values())
ONE_SIZE += list({p.tags["function"]: p for p in reversed(NEW) if p.tags["mgh"] in MGH_ONLY}.values())
per_code = pytest.mark.parametrize("problem", ONE_SIZE + SIZED[:8], ids=lambda p: p.full_name)
needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax, an optional library, is not installed"
)


def points(problem: Problem) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(np.arange(problem.n).sum() + 7)
    near = [problem.start + 0.1 * rng.standard_normal(problem.n) for _ in range(2)]
    far = [problem.start * (1.0 + 0.3 * rng.standard_normal(problem.n)) for _ in range(2)]
    return [problem.start.copy(), *near, *far]


def assert_jacobians_equal(actual: NDArray[Any], expected: NDArray[Any]) -> None:
    """Entry by entry, to rounding relative to the largest entry of the row and of the column."""
    size = np.minimum(np.abs(expected).max(axis=0), np.abs(expected).max(axis=1)[:, None])
    assert actual.shape == expected.shape
    assert np.all(np.isfinite(expected))
    assert np.all(np.abs(actual - expected) <= 2e-13 * size)


def gradient_size(problem: Problem, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the terms of 2 J'r add up to at most, by column: rounding errors are relative to this."""
    return 2.0 * np.abs(problem.residuals(x)).sum() * np.abs(problem.jacobian(x)).max(axis=0)


@per_function
def test_jacobian_equals_complex_step(problem: Problem) -> None:
    h = 1e-150
    for x in points(problem):
        columns = [problem.residuals(x + 1j * h * e).imag / h for e in np.eye(problem.n)]
        assert_jacobians_equal(problem.jacobian(x), np.stack(columns, axis=1))


@per_function
def test_complex_residuals_of_a_real_point_are_the_real_ones(problem: Problem) -> None:
    for x in points(problem):
        r = problem.residuals(x)
        c = problem.residuals(x.astype(complex))
        assert np.iscomplexobj(c)
        np.testing.assert_allclose(c.real, r, rtol=1e-12, atol=1e-13 * np.abs(r).max())
        np.testing.assert_array_equal(c.imag, 0.0)


@per_function
def test_gradient_equals_complex_step_of_fun(problem: Problem) -> None:
    h = 1e-150
    for x in points(problem):
        expected = np.array([problem.fun(x + 1j * h * e).imag / h for e in np.eye(problem.n)])
        assert np.all(np.abs(problem.gradient(x) - expected) <= 1e-13 * gradient_size(problem, x))


@per_function
def test_fun_is_the_sum_of_squares(problem: Problem) -> None:
    for x in points(problem):
        assert problem.residuals(x).shape == (problem.m,)
        np.testing.assert_allclose(problem.fun(x), (problem.residuals(x) ** 2).sum(), rtol=1e-14)


@needs_jax
@per_code
def test_jax_computes_the_same_in_a_batch_forward_and_in_reverse(problem: Problem) -> None:
    import jax

    def everything(x: Any) -> tuple[Any, Any, Any, Any]:
        return problem.residuals(x), jax.jacfwd(problem.residuals)(x), jax.grad(problem.fun)(x), problem.fun(x)

    batch = np.stack(points(problem))
    with jax.enable_x64(True):
        # Compiling takes nearly all of the time: once, and half of that without optimizations.
        lowered = jax.jit(jax.vmap(everything)).lower(jax.numpy.asarray(batch))
        found = lowered.compile({"xla_backend_optimization_level": "0"})(jax.numpy.asarray(batch))
    for x, residuals, jacobian, gradient, value in zip(batch, *map(np.asarray, found), strict=True):
        r = problem.residuals(x)
        np.testing.assert_allclose(residuals, r, rtol=1e-12, atol=1e-13 * np.abs(r).max())
        assert_jacobians_equal(jacobian, problem.jacobian(x))
        assert np.all(np.abs(gradient - problem.gradient(x)) <= 1e-13 * gradient_size(problem, x))
        np.testing.assert_allclose(value, problem.fun(x), rtol=1e-11)


@needs_jax
def test_jax_arrays_stay_jax_arrays_and_keep_single_precision() -> None:
    import jax
    import jax.numpy as jnp

    for problem in ONE_SIZE:
        r = jax.eval_shape(problem.residuals, jnp.asarray(problem.start, dtype=jnp.float32))
        assert r.shape == (problem.m,)
        assert r.dtype == jnp.float32
    assert isinstance(SUITE["rosenbrock"].residuals(jnp.ones(2)), jax.Array)


@needs_jax
def test_jax_integers_become_floats() -> None:
    import jax.numpy as jnp

    assert float(SUITE["rosenbrock"].fun(jnp.asarray([3, 2]))) == 4904.0


@pytest.mark.parametrize(
    ("x1", "x2"), [(0.0, 2.0), (0.0, -2.0), (1e-9, 2.0), (-1e-9, 2.0), (1e-9, -2.0), (2.0, 0.0), (-2.0, 0.0)]
)
def test_helical_valley_has_its_derivative_on_both_axes(x1: float, x2: float) -> None:
    problem, x, h = SUITE["helical_valley"], np.array([x1, x2, 0.5]), 1e-150
    columns = [problem.residuals(x + 1j * h * e).imag / h for e in np.eye(3)]
    np.testing.assert_allclose(problem.jacobian(x), np.stack(columns, axis=1), rtol=1e-13, atol=1e-13)
    if importlib.util.find_spec("jax"):
        import jax

        with jax.enable_x64(True):
            np.testing.assert_allclose(
                jax.jacobian(problem.residuals)(jax.numpy.asarray(x)), problem.jacobian(x), rtol=1e-13, atol=1e-13
            )


@pytest.mark.parametrize(
    ("x1", "x2", "turns"),
    [
        (1.0, 0.0, 0.0),
        (1.0, 1.0, 0.125),
        (0.0, 1.0, 0.25),
        (-1.0, 0.0, 0.5),
        (-1.0, -1.0, 0.625),
        (0.0, -1.0, -0.25),
        (1.0, -1.0, -0.125),
        (0.0, 0.0, 0.25),
    ],
)
def test_helical_valley_has_the_branch_of_minpack(x1: float, x2: float, turns: float) -> None:
    r = SUITE["helical_valley"].residuals(np.array([x1, x2, 0.0]))
    np.testing.assert_allclose(r[0], -100.0 * turns, rtol=1e-14)


@needs_jax
def test_jax_gradient_is_finite_where_a_product_has_zero_factors() -> None:
    import jax
    import jax.numpy as jnp

    problem = SUITE["brown_almost_linear"]
    for zeros in ([0], [0, 3]):
        x = np.full(10, 0.5)
        x[zeros] = 0.0
        with jax.enable_x64(True):
            np.testing.assert_allclose(jax.grad(problem.fun)(jnp.asarray(x)), problem.gradient(x), rtol=1e-12)
