"""The same call gives the same bits, whatever was in memory before."""

import hashlib

import numpy as np
import pytest
import scipy.optimize

import optcore as om
from optcore_problems import get_problem

EPS = np.finfo(float).eps


def litter(generator):
    """Leave numbers in memory that a solver may find where it should not look."""
    junk = [
        np.full(int(generator.integers(1, 300)), generator.standard_normal())
        for _ in range(int(generator.integers(1, 30)))
    ]
    del junk[::2]


def jacobian_by_differences(problem, h=6e-6):
    def jacobian(x):
        steps = h * np.eye(x.size)
        return np.array([(problem.residuals(x + s) - problem.residuals(x - s)) / (2 * h) for s in steps]).T

    return jacobian


@pytest.mark.parametrize("name", ["bdqrtic_n10", "bdqrtic_n11", "bdqrtic_n12"])
def test_levenberg_marquardt_repeats_although_minpack_reads_past_the_end_of_the_jacobian(name):
    # A direct call of scipy 1.17 takes two to three different paths here within 60 repetitions.
    problem = get_problem(f"more_wild/{name}")
    generator = np.random.default_rng(0)
    paths = set()
    for _ in range(60):
        litter(generator)
        result = om.minimize(
            om.mark.least_squares(problem.residuals),
            problem.start,
            "scipy_ls_lm",
            jac=om.mark.least_squares(jacobian_by_differences(problem)),
            algo_options=om.algos.scipy_ls_lm.tight,
        )
        paths.add(hashlib.sha256(result.history.flat_params.tobytes()).hexdigest())
    assert len(paths) == 1


@pytest.mark.parametrize(
    "name",
    ["rosenbrock", "bard", "osborne_1", "osborne_2", "kowalik_osborne", "brown_dennis", "mancino_n5", "watson_n6"],
)
def test_levenberg_marquardt_takes_the_path_of_a_direct_call_of_scipy(name):
    problem = get_problem(f"more_wild/{name}")
    points = []

    def residuals(x):
        points.append(x.copy())
        return problem.residuals(x)

    scipy.optimize.least_squares(
        residuals, problem.start, jac=problem.jacobian, method="lm", ftol=2e-9, gtol=1e-8, xtol=1e-8
    )
    result = om.minimize(
        om.mark.least_squares(problem.residuals),
        problem.start,
        "scipy_ls_lm",
        jac=om.mark.least_squares(problem.jacobian),
    )
    ours = result.history.flat_params[result.history.task == "fun"]
    direct = np.array([x for i, x in enumerate(points) if i == 0 or not np.array_equal(x, points[i - 1])])
    np.testing.assert_array_equal(ours, direct)
