"""Problems that say the truth pass; each kind of lie is found, by the check that is there for it."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from optcore_problems import Certified, LocalOptimum, Problem, get_problem, get_suite, list_suites
from optcore_problems.checks import Verdict, check_problem, has_failed

BARD = get_problem("more_wild/bard")
CUBE = get_problem("more_wild/cube_n5")
FREUDENSTEIN = get_problem("more_wild/freudenstein_roth")
needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax, an optional library, is not installed"
)


def verdicts(problem: Problem, *, jax: bool = False, **options: Any) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in check_problem(problem, jax=jax, **options)}


@pytest.mark.parametrize("suite", list_suites())
def test_every_problem_that_ships_passes(suite: str) -> None:
    for problem in get_suite(suite):
        wrong = [check for check in check_problem(problem, jax=False) if check.verdict is Verdict.WRONG]
        assert wrong == [], problem.full_name


TRANSFORMED = [
    transformed
    for p in (
        BARD,
        CUBE,
        FREUDENSTEIN,
        get_problem("nist_strd/misra1a_start1"),
        get_problem("scalable/broyden_tridiagonal", n=10),
    )
    for transformed in (
        p.with_scaling(),
        p.with_starts(2)[1],
        p.with_bounds().with_scaling(decades=1) if p.x_opt is not None else p,
        p.with_noise(),
        p.with_failures(0.5, "exception").with_scaling(),
        p.with_noise("rounded", 3).with_cost(60.0),
    )
]


@pytest.mark.parametrize("problem", TRANSFORMED, ids=lambda p: f"{p.full_name} {p.noise}")
def test_transformed_problems_pass_without_their_noise_failures_and_cost(problem: Problem) -> None:
    checks = check_problem(problem, jax=False)
    assert [check for check in checks if check.verdict is Verdict.WRONG] == []
    assert {check.name: check.verdict for check in checks}["complex step"] is Verdict.OK


def bowl(x: Any, xp: Any) -> Any:
    return ((x - 1.0) ** 2).sum()


def bowl_gradient(x: np.ndarray) -> np.ndarray:
    return 2.0 * (x - 1.0)


BOWL = Problem(
    name="bowl",
    start=[3.0, -1.0],
    bounds=[(2.0, 5.0), (None, None)],
    fun_xp=bowl,
    gradient_np=bowl_gradient,
    f_opt=1.0,
    x_opt=[2.0, 1.0],
)


def test_a_scalar_problem_whose_minimum_is_at_a_bound_passes() -> None:
    found = verdicts(BOWL)
    assert found["gradient"] is found["optimum"] is found["lowest"] is found["complex step"] is Verdict.OK


def shifted(function: Callable[..., Any], size: float) -> Callable[..., Any]:
    return lambda *arguments: function(*arguments) + size


def scaled_entry(function: Callable[..., Any], factor: float, column: int = 1) -> Callable[..., Any]:
    def jacobian(x: Any) -> Any:
        J = function(x)
        J[3, column] *= factor
        return J

    return jacobian


def real_part_only(x: Any, xp: Any) -> Any:
    """Loses the imaginary part of one variable, as a buffer of floats does."""
    r = BARD.residuals_xp(x, xp)  # type: ignore[misc]
    return r + 0.0 if not np.iscomplexobj(r) else r - r[0].imag * 1j


def other_in_jax(x: Any, xp: Any) -> Any:
    return BARD.residuals_xp(x, xp) + (0.0 if xp is np else 1e-6)  # type: ignore[misc]


def one_column_only(x: Any, xp: Any) -> Any:
    """Right for one point, wrong for many: constants meet the wrong axis."""
    r = x - 1.0
    return xp.concatenate([r, r * r]) if x.ndim == 1 else xp.concatenate([r, r * r[::-1]])


def raises(x: Any, xp: Any) -> Any:
    raise ZeroDivisionError("no value here")


def short_pattern() -> Any:
    held = CUBE.sparsity.tolil()
    held[2, 1] = False
    return scipy.sparse.csr_array(held)


#: What is changed, the check that must find it, and a part of its sentence.
LIES: dict[str, tuple[Problem, dict[str, Any], str, str]] = {
    "f_opt too high": (BARD, {"f_opt": BARD.f_opt * (1 + 1e-9)}, "optimum", "but f_opt ="),  # type: ignore[operator]
    "f_opt too low": (BARD, {"f_opt": BARD.f_opt * (1 - 1e-9)}, "optimum", "but f_opt ="),  # type: ignore[operator]
    "f_opt a local minimum": (
        FREUDENSTEIN,
        {"f_opt": 48.98425367924001, "x_opt": FREUDENSTEIN.local_optima[0].x, "start": [6.0, 5.0]},
        "lowest",
        "a solver from the start has",
    ),
    "x_opt off by 1e-9": (BARD, {"x_opt": BARD.x_opt * (1 + 1e-9)}, "gradient", "at x_opt is"),  # type: ignore[operator]
    "a jacobian entry off by 1e-8": (
        BARD, {"jacobian_np": scaled_entry(BARD.jacobian_np, 1 + 1e-8)}, "complex step", "differ by",  # type: ignore[arg-type]
    ),
    "a jacobian entry of the wrong sign": (
        CUBE, {"jacobian_np": scaled_entry(CUBE.jacobian_np, -1.0, column=2)}, "complex step", "differ by",  # type: ignore[arg-type]
    ),
    "residuals without imaginary part": (BARD, {"residuals_xp": real_part_only}, "complex step", "differ by"),
    "a local minimum that is none": (
        BARD, {"local_optima": (LocalOptimum(17.0, (0.84, -20.0, -20.0)),)}, "local minima", "not 17.0",
    ),
    "a local minimum below the global one": (
        BARD, {"local_optima": (LocalOptimum(0.008),)}, "lowest", "the local minimum 1 has 0.008, below",
    ),
    "an entry missing in the pattern": (CUBE, {"pattern": short_pattern}, "pattern", "1 entries of the jacobian"),
    "a pattern of another shape": (
        CUBE, {"pattern": lambda: scipy.sparse.eye_array(4)}, "pattern", "the pattern has shape (4, 4), not (5, 5)",
    ),
    "residuals that raise": (BARD, {"residuals_xp": raises}, "start", "ZeroDivisionError: no value here"),
    "residuals of another number": (BARD, {"m": 14}, "start", "has m=14 residuals"),
    "many points computed wrongly": (
        Problem(name="mine", start=[2.0, 3.0], m=4, residuals_xp=one_column_only, takes_columns=True),
        {}, "batch", "many points",
    ),
    "a certified sum of squares that isn't reproduced": (
        BARD,
        {"certified": Certified(BARD.x_opt, BARD.x_opt, 8.2148773066e-3 * (1 + 1e-8), "nobody")},  # type: ignore[arg-type]
        "certified", "certified 0.00821487738",
    ),
    "an optimum that isn't the certified one": (
        BARD,
        {"certified": Certified(BARD.x_opt * (1 + 1e-8), BARD.x_opt, 8.2148773066e-3, "nobody")},  # type: ignore[operator, arg-type]
        "certified", "x_opt has 8.0 of the certified digits",
    ),
    "an optimum outside the bounds": (BOWL, {"x_opt": [1.0, 1.0]}, "optimum", "x_opt is outside the bounds"),
    "a slope at the optimum": (BOWL, {"x_opt": [2.0, 1.5], "f_opt": 1.25}, "gradient", "entry 1 at x_opt"),
    "infinite at the start": (BARD, {"residuals_xp": shifted(BARD.residuals_xp, np.inf)}, "start", "is inf"),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize(("problem", "change", "check", "sentence"), LIES.values(), ids=LIES)
def test_a_lie_is_found(problem: Problem, change: dict[str, Any], check: str, sentence: str) -> None:
    found = check_problem(dataclasses.replace(problem, **change), jax=False)
    assert has_failed(found)
    (named,) = (one for one in found if one.name == check)
    assert named.verdict is Verdict.WRONG
    assert sentence in named.detail


@needs_jax
def test_jax_finds_residuals_that_depend_on_the_namespace() -> None:
    assert verdicts(BARD, jax=True)["jax"] is Verdict.OK
    lie = dataclasses.replace(BARD, residuals_xp=other_in_jax)
    (found,) = (check for check in check_problem(lie) if check.name == "jax")
    assert found.verdict is Verdict.WRONG
    assert found.detail == "JAX computes other values than numpy"


@needs_jax
def test_jax_finds_a_wrong_jacobian() -> None:
    lie = dataclasses.replace(BARD, jacobian_np=scaled_entry(BARD.jacobian_np, 1 + 1e-8))  # type: ignore[arg-type]
    assert verdicts(lie, jax=True)["jax"] is Verdict.WRONG


def test_a_stored_run_below_f_opt_is_named() -> None:
    assert verdicts(BARD, stored={"more_wild/bard": 0.0083})["lowest"] is Verdict.OK
    (found,) = (c for c in check_problem(BARD, jax=False, stored={"more_wild/bard": 0.0082}) if c.name == "lowest")
    assert found.verdict is Verdict.WRONG
    assert "a stored run has 0.0082, below f_opt" in found.detail


def test_what_cannot_be_checked_is_skipped_with_its_reason() -> None:
    bare = Problem(name="bare", start=[1.0, 2.0], fun_xp=bowl, excludes={"complex_step": "it has abs", "jax": "a loop"})
    reasons = {check.name: check.detail for check in check_problem(bare) if check.verdict is Verdict.SKIPPED}
    assert reasons["complex step"] == "it has abs"
    assert reasons["optimum"] == reasons["lowest"] == "no f_opt"
    assert reasons["pattern"] == "dense"
    assert reasons["gradient"] == "no derivative in closed form"
    assert reasons["jax"] in ("a loop", "jax isn't installed")
    assert not has_failed(check_problem(bare))


def test_many_variables_are_compared_in_some_directions() -> None:
    large = get_problem("more_wild/cube", n=2000)
    found = verdicts(large)
    assert found["complex step"] is found["pattern"] is found["gradient"] is Verdict.OK
    lie = dataclasses.replace(large, jacobian_np=scaled_entry(large.jacobian_np, 1 + 1e-8, column=2))  # type: ignore[arg-type]
    assert verdicts(lie)["complex step"] is Verdict.WRONG
