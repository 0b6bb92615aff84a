"""Every method of numerical derivatives on every problem of the suite, against closed forms and JAX."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import optcore as om
from optcore.marks import Kind
from optcore_bench.strategies import make_strategy, objective
from optcore_problems import get_suite

PROBLEMS = list(get_suite("more_wild"))
KINDS = [Kind.SCALAR, Kind.LEAST_SQUARES]
#: The largest error of an entry relative to the largest entry.
LIMITS = {"forward": 1e-5, "backward": 1e-5, "central": 1e-7, "richardson": 1e-9, "complex_step": 1e-13}
has_jax = importlib.util.find_spec("jax") is not None


def taken(problem: Any, kind: Kind, method: Any) -> Any:
    return om.first_derivative(objective(problem, kind), problem.start, bounds=problem.bounds, method=method)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", LIMITS)
def test_every_method_agrees_with_closed_forms_on_all_problems(method: str, kind: Kind) -> None:
    held = total = 0
    for problem in PROBLEMS:
        truth = problem.jacobian(problem.start) if kind is Kind.LEAST_SQUARES else problem.gradient(problem.start)
        with np.errstate(all="ignore"):
            result = taken(problem, kind, method)
        error = np.abs(result.derivative - truth)
        assert error.max() <= LIMITS[method] * np.abs(truth).max(), problem.full_name
        if method == "richardson":
            held += int((error <= result.error).sum())
            total += error.size
            assert sum(result.n_evaluations.values()) <= 1 + 20 * problem.n
            assert result.n_rounds <= 8
    assert held >= 0.99 * total


@pytest.mark.skipif(not has_jax, reason="jax is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_every_method_agrees_with_jax(kind: Kind) -> None:
    """On every eighth problem: compiling takes its time, and tests of the core go over all of them."""
    automatic = make_strategy("jax")
    for problem in PROBLEMS[::8]:
        truth = automatic.derivative(problem, kind, problem.start)
        for method, limit in LIMITS.items():
            with np.errstate(all="ignore"):
                found = taken(problem, kind, method).derivative
            assert np.abs(found - truth).max() <= limit * np.abs(truth).max(), (problem.full_name, method)
