"""Derivative strategies: what they hand to minimize, where they don't fit, and how exact they are."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import numpy as np
import pytest

import optcore as om
from optcore.marks import Kind, kind_of
from optcore_bench.strategies import (
    NotApplicableError,
    derivative_error,
    make_strategy,
    objective,
    strategy_names,
    strategy_table,
)
from optcore_problems import Problem, get_problem

NAMES = strategy_names()
WITH_DERIVATIVE = [name for name in NAMES if name != "none"]
KINDS = [Kind.SCALAR, Kind.LEAST_SQUARES]
has_jax = importlib.util.find_spec("jax") is not None
needs_jax = pytest.mark.skipif(not has_jax, reason="jax is not installed")

ROSENBROCK = get_problem("more_wild/rosenbrock")
#: By hand at the start (-1.2, 1): r = (10 (x2 - x1^2), 1 - x1), J = ((-20 x1, 10), (-1, 0)), gradient 2 J'r.
JACOBIAN = np.array([[24.0, 10.0], [-1.0, 0.0]])
GRADIENT = np.array([2 * (24.0 * -4.4 - 2.2), 2 * 10 * -4.4])


def usable(name: str) -> Any:
    return pytest.param(name, marks=needs_jax) if name == "jax" else name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [usable(name) for name in WITH_DERIVATIVE])
def test_every_strategy_gives_the_derivative_of_rosenbrock(name: str, kind: Kind) -> None:
    found = make_strategy(name).derivative(ROSENBROCK, kind, ROSENBROCK.start)
    expected = JACOBIAN if kind is Kind.LEAST_SQUARES else GRADIENT
    assert found.shape == expected.shape
    tolerance = {"forward": 1e-5, "backward": 1e-5, "calibrated": 1e-6, "sparse": 1e-5}.get(name, 1e-8)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [usable(name) for name in WITH_DERIVATIVE])
def test_minimize_takes_what_every_strategy_hands_over(name: str, kind: Kind) -> None:
    algorithm = "scipy_ls_lm" if kind is Kind.LEAST_SQUARES else "scipy_lbfgsb"
    arguments = make_strategy(name).arguments(ROSENBROCK, kind, ROSENBROCK.start)
    result = om.minimize(objective(ROSENBROCK, kind), ROSENBROCK.start, algorithm, **arguments)
    np.testing.assert_allclose(result.params, [1.0, 1.0], atol=1e-3)
    numerical = name not in ("analytic", "fun_and_jac", "jax")
    assert (result.n_numdiff_evals > 0) == numerical
    assert (result.n_fun_and_jac_evals > 0) == (name == "fun_and_jac" or (name == "jax" and kind is Kind.SCALAR))


def test_scalar_solvers_get_the_scalar_function_and_others_the_residuals() -> None:
    assert kind_of(objective(ROSENBROCK, Kind.SCALAR)) is Kind.SCALAR
    assert objective(ROSENBROCK, Kind.SCALAR)(ROSENBROCK.start) == pytest.approx(24.2)
    residuals = objective(ROSENBROCK, Kind.LEAST_SQUARES)
    assert kind_of(residuals) is Kind.LEAST_SQUARES
    np.testing.assert_allclose(residuals(ROSENBROCK.start), [-4.4, 2.2])


def test_the_error_is_the_largest_difference_over_the_largest_entry() -> None:
    step = 1e-3
    strategy = make_strategy({"strategy": "forward", "step_size": step})
    # f(x + h e1) - f(x) = h f1 + h^2/2 f11 + h^3/6 f111 + h^4/24 f1111, by hand for rosenbrock at (-1.2, 1)
    x1, x2 = -1.2, 1.0
    f11, f111, f1111 = 1200 * x1**2 - 400 * x2 + 2, 2400 * x1, 2400.0
    errors = [step / 2 * f11 + step**2 / 6 * f111 + step**3 / 24 * f1111, step / 2 * 200]
    expected = max(np.abs(errors)) / max(np.abs(GRADIENT))
    assert derivative_error(strategy, ROSENBROCK, Kind.SCALAR, ROSENBROCK.start) == pytest.approx(expected, rel=1e-7)


def test_the_error_is_absolute_where_the_derivative_is_zero() -> None:
    flat = Problem(name="flat", start=np.zeros(2), fun_xp=lambda x, xp: (x * x).sum(), gradient_np=lambda x: 2 * x)
    step = 1e-3  # forward differences of x^2 at 0 give exactly the step
    strategy = make_strategy({"strategy": "forward", "step_size": step})
    assert derivative_error(strategy, flat, Kind.SCALAR, flat.start) == pytest.approx(step, rel=1e-12)


def test_the_error_of_the_closed_form_is_zero_and_of_nothing_is_none() -> None:
    assert derivative_error(make_strategy("analytic"), ROSENBROCK, Kind.SCALAR, ROSENBROCK.start) == 0.0
    assert derivative_error(make_strategy("none"), ROSENBROCK, Kind.SCALAR, ROSENBROCK.start) is None
    bare = Problem(name="bare", start=np.ones(1), fun_xp=lambda x, xp: (x * x).sum())
    assert derivative_error(make_strategy("forward"), bare, Kind.SCALAR, bare.start) is None


@pytest.mark.parametrize(
    ("name", "algorithm", "reason"),
    [
        ("analytic", "scipy_neldermead", "runs under 'none'"),
        ("forward", "nag_dfols", "runs under 'none'"),
        ("none", "scipy_lbfgsb", "needs a derivative"),
        ("none", "scipy_ls_lm", "needs a derivative"),
        ("none", "scipy_neldermead", None),
        ("analytic", "scipy_lbfgsb", None),
        ("central", "scipy_ls_lm", None),
    ],
)
def test_pairs_that_can_not_be_have_a_reason(name: str, algorithm: str, reason: str | None) -> None:
    found = make_strategy(name).applicable(ROSENBROCK, getattr(om.algos, algorithm)())
    assert (found is None) if reason is None else (found is not None and reason in found)


@pytest.mark.parametrize("name", ["analytic", "fun_and_jac"])
def test_a_problem_without_closed_form_has_no_analytic_derivative(name: str) -> None:
    bare = Problem(name="bare", start=np.ones(1), fun_xp=lambda x, xp: (x * x).sum())
    assert make_strategy(name).applicable(bare, om.algos.scipy_bfgs()) == "bare has no derivative in closed form"


def test_without_jax_the_reason_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    reason = make_strategy("jax").missing(ROSENBROCK, Kind.SCALAR)
    assert reason is not None
    assert "pip install 'optcore[jax]'" in reason


@needs_jax
def test_jax_is_exact_in_double_precision_and_leaves_the_process_in_single() -> None:
    import jax.numpy as jnp

    before = jnp.ones(1).dtype
    for kind in KINDS:
        error = derivative_error(make_strategy("jax"), ROSENBROCK, kind, ROSENBROCK.start)
        assert error is not None
        assert error < 1e-14
    assert jnp.ones(1).dtype == before == np.float32


@needs_jax
def test_what_jax_can_not_trace_is_not_applicable() -> None:
    concrete = Problem(name="concrete", start=np.ones(1), fun_xp=lambda x, xp: float(x[0]) ** 2)
    with pytest.raises(NotApplicableError, match="concrete can't be traced by JAX: ConcretizationTypeError"):
        make_strategy("jax").arguments(concrete, Kind.SCALAR, concrete.start)


def test_options_are_resolved_with_their_defaults() -> None:
    strategy = make_strategy({"name": "forward-2", "strategy": "forward", "n_cores": 2})
    assert strategy.name == "forward-2"
    assert strategy.resolved_options["n_cores"] == 2
    assert strategy.resolved_options["scaling_factor"] == 1.0
    assert "method" not in strategy.resolved_options
    assert make_strategy(strategy) is strategy


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "a name or a table"),
        ({"strategy": "forward", "batch_evaluator": map}, "batch_evaluator must be a name"),
        ({"strategy": "forward", "name": ""}, "must be text"),
    ],
)
def test_what_is_no_strategy_is_refused(given: Any, words: str) -> None:
    with pytest.raises(om.InvalidInputError, match=words):
        make_strategy(given)


def test_the_complex_step_takes_the_evaluations_that_its_summary_says() -> None:
    problem = get_problem("more_wild/watson_n6")
    calls: list[Any] = []

    def fun(x: Any) -> Any:
        calls.append(x)
        return problem.fun(x)

    om.first_derivative(fun, problem.start, options=om.NumdiffOptions(method="complex_step"))
    assert problem.n + 1 <= len(calls) <= problem.n + 2
    assert "n evaluations a derivative, one or two more on the first" in dict(strategy_table())["complex_step"]


def test_sparse_differences_need_residuals_with_a_pattern() -> None:
    strategy = make_strategy("sparse")
    assert "only the jacobian of residuals is sparse" in (strategy.missing(ROSENBROCK, Kind.SCALAR) or "")
    problem = get_problem("more_wild/bdqrtic_n12")
    assert strategy.missing(problem, Kind.LEAST_SQUARES) is None
    found = strategy.derivative(problem, Kind.LEAST_SQUARES, problem.start)
    np.testing.assert_allclose(found.toarray(), problem.jacobian(problem.start), rtol=1e-5, atol=1e-5)
    dense = dataclasses.replace(problem, pattern=None)
    assert strategy.missing(dense, Kind.LEAST_SQUARES) == f"{problem.full_name} has no sparsity pattern"


#: Problems with sparse jacobians, small ones.
SPARSE = [get_problem(f"scalable/{name}") for name in ("broyden_tridiagonal_n10", "variably_dimensioned_n10")]


@pytest.mark.parametrize("problem", SPARSE, ids=lambda problem: problem.name)
@pytest.mark.parametrize("algorithm", ["scipy_ls_lm", "scipy_ls_trf", "scipy_ls_dogbox", "scipy_lbfgsb"])
@pytest.mark.parametrize("name", ["analytic", "fun_and_jac", usable("jax"), "complex_step", "forward", "sparse"])
def test_strategies_fit_problems_with_sparse_jacobians(name: str, algorithm: str, problem: Problem) -> None:
    strategy, solver = make_strategy(name), getattr(om.algos, algorithm)()
    if name == "sparse" and solver.kind is Kind.SCALAR:
        assert strategy.applicable(problem, solver) is not None
        return
    assert strategy.applicable(problem, solver) is None
    arguments = strategy.arguments(problem, solver.kind, problem.start)
    result = om.minimize(objective(problem, solver.kind), problem.start, algorithm, **arguments)
    assert result.fun < 1e-8
    error = derivative_error(strategy, problem, solver.kind, problem.start)
    assert error is not None
    assert error < (1e-6 if name in ("forward", "sparse") else 1e-14)


def test_the_error_of_a_sparse_jacobian_is_that_of_its_entries() -> None:
    problem, step = get_problem("scalable/discrete_boundary_value_n10"), 1e-3
    strategy = make_strategy({"strategy": "sparse", "step_size": step})
    # Of the diagonal alone: with u = x + t + 1 and h = 1/11, (h^2/2) ((u + s)^3 - u^3) / s - 3 (h^2/2) u^2.
    t = np.arange(1.0, 11.0) / 11.0
    u = problem.start + t + 1.0
    errors = (3.0 * u * step + step**2) / 2.0 / 11.0**2
    expected = errors.max() / (2.0 + 1.5 * u**2 / 11.0**2).max()
    found = derivative_error(strategy, problem, Kind.LEAST_SQUARES, problem.start)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["jax", "forward", "central", "complex_step", "richardson", "calibrated"])
def test_dense_jacobians_of_large_problems_are_not_tried(name: str) -> None:
    problem = get_problem("scalable/broyden_tridiagonal", n=100_000)
    strategy = make_strategy(name)
    if name != "jax" or has_jax:
        assert strategy.applicable(problem, om.algos.scipy_ls_trf()) == (
            "the dense jacobian of scalable/broyden_tridiagonal_n100000 would have 100000 x 100000 entries, 80.0 GB; "
            "jacobians that large must be sparse"
        )
        assert strategy.applicable(problem, om.algos.scipy_lbfgsb()) is None


def test_large_problems_are_for_their_closed_form_and_for_sparse_differences() -> None:
    problem = get_problem("scalable/broyden_tridiagonal", n=100_000)
    for strategy in map(make_strategy, ("analytic", "fun_and_jac", "sparse")):
        assert strategy.applicable(problem, om.algos.scipy_ls_trf()) is None
    sparse = derivative_error(make_strategy("sparse"), problem, Kind.LEAST_SQUARES, problem.start)
    assert sparse is not None
    assert sparse < 1e-6
    dense = get_problem("scalable/brown_almost_linear", n=100_000)
    for algorithm in (om.algos.scipy_ls_trf(), om.algos.scipy_lbfgsb()):
        reason = make_strategy("analytic").applicable(dense, algorithm)
        assert reason is not None
        assert "the dense jacobian of scalable/brown_almost_linear_n100000 would have" in reason
