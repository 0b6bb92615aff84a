"""A Problem on its own: what it takes, what it refuses, what it knows."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.optimize

from optcore import Bounds
from optcore.errors import InvalidInputError
from optcore_problems import Problem, get_problem, get_suite
from optcore_problems.namespace import array_namespace, per_column

ROSENBROCK = get_problem("more_wild/rosenbrock")


def line(x: Any, xp: Any) -> Any:
    return xp.concatenate([x, 2.0 * x]) - 1.0


def quartic(x: Any, xp: Any) -> Any:
    return xp.sum(x**4)


def quartic_gradient(x: np.ndarray) -> np.ndarray:
    return 4.0 * x**3


SCALAR = Problem(name="quartic", start=np.array([1.0, -2.0]), fun_xp=quartic, gradient_np=quartic_gradient, f_opt=0.0)
NO_JACOBIAN = Problem(name="line", start=np.array([1.0, -2.0]), m=4, residuals_xp=line)


@pytest.mark.parametrize("x", [[1, 2], (1.0, 2.0), np.array([1, 2]), np.array([1.0, 2.0], dtype=np.float32)], ids=str)
def test_numbers_of_any_kind_become_float64(x: Any) -> None:
    assert ROSENBROCK.fun(x) == 100.0
    assert ROSENBROCK.residuals(x).dtype == np.float64
    assert ROSENBROCK.jacobian(x).dtype == np.float64
    np.testing.assert_array_equal(ROSENBROCK.gradient(x), ROSENBROCK.gradient(np.array([1.0, 2.0])))


@pytest.mark.parametrize("kind", [np.longdouble, np.clongdouble])
def test_extended_precision_is_kept(kind: Any) -> None:
    assert ROSENBROCK.residuals(np.array([1, 2], dtype=kind)).dtype == kind


@pytest.mark.parametrize("method", ["fun", "residuals", "jacobian", "gradient"])
@pytest.mark.parametrize(
    "x", [np.zeros(3), np.zeros((1, 2)), np.array(1.0), [], np.zeros(3, dtype=complex), [1]], ids=str
)
def test_a_wrong_shape_is_named(method: str, x: Any) -> None:
    shape = np.asarray(x).shape
    with pytest.raises(InvalidInputError) as error:
        getattr(ROSENBROCK, method)(x)
    assert str(error.value) == f"problem 'more_wild/rosenbrock' takes one x of shape (2,), but it has {shape}"


@pytest.mark.parametrize("x", [["a", "b"], [None, {}], "ab", [[1.0], [1.0, 2.0]]], ids=str)
@pytest.mark.parametrize("method", ["fun", "jacobian"])
def test_what_is_not_numeric_is_refused(method: str, x: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"'more_wild/rosenbrock' takes .* numbers, but x is"):
        getattr(ROSENBROCK, method)(x)


@pytest.mark.parametrize("method", ["jacobian", "gradient"])
def test_closed_form_derivatives_refuse_complex_points(method: str) -> None:
    with pytest.raises(InvalidInputError, match="take a real x, not complex128"):
        getattr(ROSENBROCK, method)(np.array([1.0 + 1j, 2.0]))


@pytest.mark.parametrize("name", ["meyer", "osborne_1", "jennrich_sampson", "heart_eight", "bard", "helical_valley"])
def test_out_of_range_gives_inf_or_nan_without_a_warning(name: str) -> None:
    problem = get_problem(f"more_wild/{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in (np.full(problem.n, 1e200), np.full(problem.n, -1e200), np.zeros(problem.n)):
            values = [problem.fun(x), problem.fun(x.astype(complex))]
            problem.jacobian(x)
            problem.gradient(x)
            assert len(values) == 2
        assert not np.isfinite([problem.fun(np.full(problem.n, far)) for far in (-1e200, 1e200)]).all()


@pytest.mark.parametrize("suite", ["more_wild", "mgh"])
def test_the_value_is_the_product_of_the_residuals_to_the_bit(suite: str) -> None:
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        for problem in get_suite(suite):
            start = problem.start * rng.uniform(0.5, 1.5, problem.n)
            for x in (start, start + 1j * rng.normal(size=problem.n)):
                r = problem.residuals(x)
                found, expected = problem.fun(x), r @ r
                assert type(found) is type(expected)
                assert found.tobytes() == expected.tobytes()


def test_problems_are_frozen_and_replace_keeps_start_and_best_value_apart() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ROSENBROCK.name = "x"  # type: ignore[misc]
    elsewhere = dataclasses.replace(ROSENBROCK, start=[0.0, 0.0], name="elsewhere")
    assert elsewhere.f_start == 1.0
    assert ROSENBROCK.f_start == pytest.approx(24.2, rel=1e-15)
    assert elsewhere.start.dtype == np.float64
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(elsewhere)).start, [0.0, 0.0])


def test_the_start_is_a_copy() -> None:
    start = np.array([1.0, 2.0])
    problem = Problem(name="line", start=start, m=4, residuals_xp=line)
    start[0] = 7.0
    assert problem.start[0] == 1.0


def test_a_scalar_problem_has_value_and_gradient_only() -> None:
    assert SCALAR.m is None
    assert SCALAR.f_start == 17.0
    np.testing.assert_array_equal(SCALAR.gradient([1, -2]), [4.0, -32.0])
    with pytest.raises(InvalidInputError, match="'quartic' has no residuals; use fun and gradient"):
        SCALAR.residuals(SCALAR.start)
    with pytest.raises(InvalidInputError, match="'quartic' has no residuals, so no jacobian"):
        SCALAR.jacobian(SCALAR.start)
    assert pickle.loads(pickle.dumps(SCALAR)).f_start == 17.0


def test_a_missing_jacobian_says_what_to_use_instead() -> None:
    for method in (NO_JACOBIAN.jacobian, NO_JACOBIAN.gradient):
        with pytest.raises(
            InvalidInputError, match=r"problem 'line' has no .* in closed form; use numerical derivatives"
        ):
            method(NO_JACOBIAN.start)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs residuals_xp or fun_xp, one of them"),
        ({"residuals_xp": line, "fun_xp": quartic, "m": 4}, "needs residuals_xp or fun_xp, one of them"),
        ({"residuals_xp": line}, "m is the number of residuals"),
        ({"fun_xp": quartic, "m": 4}, "m is the number of residuals"),
        ({"fun_xp": quartic, "start": [[1.0]]}, r"start must be a vector, not of shape \(1, 1\)"),
        ({"fun_xp": quartic, "start": []}, r"start must be a vector, not of shape \(0,\)"),
        ({"fun_xp": quartic, "x_opt": [1.0, 2.0, 3.0]}, r"x_opt has shape \(3,\), start \(2,\)"),
        ({"residuals_xp": line, "m": 0}, "m must be at least 1, not 0"),
        ({"fun_xp": quartic, "bounds": [(0, 1)]}, "problem 'mine': bounds.lower"),
        ({"fun_xp": quartic, "bounds": [(0, 3), (3, 4)]}, r"'mine': the start of .* is 2.0, outside its bounds"),
        (
            {"fun_xp": quartic, "bounds": [(0, 3), (4, 3)]},
            "bounds of .*: lower 4.0 must not be above upper 3.0",
        ),
    ],
)
def test_a_problem_that_does_not_fit_together_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Problem(**({"name": "mine", "start": [1.0, 2.0]} | arguments))


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(lower=0.0, upper=[2.0, 3.0]),
        scipy.optimize.Bounds([0.0, 0.0], [2.0, 3.0]),
        [(0, 2), (0, 3)],
        np.array([[0.0, 2.0], [0.0, 3.0]]),
    ],
    ids=["optcore", "scipy", "pairs", "array"],
)
def test_bounds_of_every_form_are_kept_as_two_vectors(bounds: Any) -> None:
    problem = Problem(name="mine", start=[1.0, 2.0], fun_xp=quartic, bounds=bounds)
    for kept in (problem, pickle.loads(pickle.dumps(problem)), dataclasses.replace(problem, start=[2.0, 2.0])):
        assert kept.bounds is not None
        np.testing.assert_array_equal(kept.bounds.lower, [0.0, 0.0])
        np.testing.assert_array_equal(kept.bounds.upper, [2.0, 3.0])
        assert not kept.bounds.lower.flags.writeable


def test_residuals_of_another_number_than_m_are_named() -> None:
    problem = Problem(name="mine", start=[1.0, 2.0], m=3, residuals_xp=line)
    for method in (problem.fun, problem.residuals):
        with pytest.raises(InvalidInputError, match=r"has m=3 residuals, but residuals_xp returned shape \(4,\)"):
            method(problem.start)


def sines(x: Any, xp: Any) -> Any:
    return xp.concatenate([xp.sin(x), x[:1] * x[1:] * per_column(x, np.array([2.0]))])


BATCHES = {
    "columns": Problem(name="sines", start=[1.0, 2.0], m=3, residuals_xp=sines, takes_columns=True),
    "one by one": NO_JACOBIAN,
}


@pytest.mark.parametrize("problem", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("dtype", [float, complex, int])
def test_many_points_give_what_one_at_a_time_gives(problem: Problem, dtype: type) -> None:
    x = np.arange(8).reshape(4, 2).astype(dtype)
    np.testing.assert_array_equal(problem.residuals_batch(x), [problem.residuals(row) for row in x])
    np.testing.assert_allclose(problem.fun_batch(x), [problem.fun(row) for row in x], rtol=1e-15)
    assert problem.residuals_batch(x).shape == (4, problem.m)


def test_many_points_of_a_scalar_problem() -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]])
    np.testing.assert_array_equal(SCALAR.fun_batch(x), [17.0, 337.0, 1.0])
    with pytest.raises(InvalidInputError, match="'quartic' has no residuals; use fun_batch"):
        SCALAR.residuals_batch(x)
    for wrong in (np.zeros(2), np.zeros((2, 3))):
        with pytest.raises(InvalidInputError, match=r"takes points of shape \(k, 2\)"):
            SCALAR.fun_batch(wrong)


def test_numpy_is_the_namespace_of_all_but_jax() -> None:
    for x in (np.zeros(2), [1.0], 3.0, None):
        assert array_namespace(x) is np


def test_jax_arrays_and_tracers_have_jax_numpy() -> None:
    jax = pytest.importorskip("jax", reason="jax, an optional library, is not installed")
    seen = []
    jax.jit(lambda x: seen.append(array_namespace(x)) or x)(jax.numpy.ones(2))
    assert seen == [jax.numpy]
    assert array_namespace(jax.numpy.ones(2)) is jax.numpy


def test_jax_is_not_imported_for_numpy_arrays() -> None:
    code = (
        "import sys, optcore_problems as p\n"
        "for q in p.get_suite('more_wild'): q.fun(q.start), q.jacobian(q.start), q.fun(q.start + 0j)\n"
        "assert 'jax' not in sys.modules and 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
