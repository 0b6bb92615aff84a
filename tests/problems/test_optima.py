"""Nothing that solvers find is below the best known values, and from their start most are reached."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from optcore_problems import Problem, get_suite
from tests.cases import in_one_test

SUITE = get_suite("more_wild")

# Where Levenberg-Marquardt ends at one of the listed local minima, from the start and from three points near it.
ENDS_ELSEWHERE = {"freudenstein_roth", "freudenstein_roth_x10", "bard_x10", "osborne_2_x10"}


def solve(problem: Problem, start: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        solution = least_squares(
            problem.residuals,
            start,
            jac=problem.jacobian,
            method="lm",
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
            max_nfev=2000,
        )
    return float(problem.fun(solution.x))


def rounding_of_f(problem: Problem) -> float:
    """Residuals are known to eps times the terms that they are differences of, f to 2 |r| times as much."""
    data = np.abs(problem.residuals(np.zeros(problem.n)))
    terms = data[np.isfinite(data)].max(initial=1.0)
    terms += (np.abs(problem.jacobian(problem.x_opt)) @ np.abs(problem.x_opt)).max()
    return 10 * np.finfo(float).eps * (problem.f_opt + 2.0 * np.sqrt(problem.m * problem.f_opt) * terms)


@in_one_test("problem", SUITE)
def test_no_solver_finds_less_than_the_best_known_value(problem: Problem) -> None:
    rng = np.random.default_rng(sum(problem.name.encode()))
    starts = [problem.start, *(problem.start * (1.0 + 0.1 * rng.standard_normal((3, problem.n))) + 0.01)]
    found = [solve(problem, start) for start in starts if np.isfinite(problem.residuals(start)).all()]
    assert min(found) >= problem.f_opt - rounding_of_f(problem)
    is_reached = min(found) - problem.f_opt <= 1e-7 * (problem.f_start - problem.f_opt)
    assert is_reached == (problem.name not in ENDS_ELSEWHERE)


@pytest.mark.parametrize("name", [*sorted(ENDS_ELSEWHERE), "chebyquad_n10"])
def test_the_start_leads_to_the_local_minimum(name: str) -> None:
    problem = SUITE[name]
    np.testing.assert_allclose(solve(problem, problem.start), problem.local_optima[0].f, rtol=1e-6)


@pytest.mark.parametrize("name", ["bard", "kowalik_osborne"])
def test_minima_at_infinity_are_approached(name: str) -> None:
    problem = SUITE[name]
    far = {
        "bard": np.array(
            [
                np.mean([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]),
                -1e13,
                -1e13,
            ]
        ),
        # x_1 = s, x_3 = c s, x_4 = d s with s to infinity: a fit of (u^2 + u b) / (c u + d)
        "kowalik_osborne": np.array([1.0, 0.0, -45.257191739323016, -28.231496899087819]) * 1e13
        + [0.0, -14.075883400603309, 0.0, 0.0],
    }[name]
    np.testing.assert_allclose(problem.fun(far), problem.local_optima[0].f, rtol=1e-9)
