"""ECnoise: against the formulas written anew, how often it is right, and what it makes of noise that isn't simple."""

from itertools import pairwise
from math import factorial

import numpy as np
import pytest

import optcore as om
from optcore.bounds import FlatBounds
from optcore.numdiff import noise
from tests.core.derivative_suite import HARD, exact, rosenbrock_chain

ROSENBROCK = HARD["rosenbrock"]


def level_by_formula(values):
    """More & Wild (2011): the k-th differences by binomial sums, sigma_k^2 = (k!)^2 / (2 k)! mean of their squares.

    None where the values are too close (half of the first differences vanish), too far (they spread over more than a
    tenth of the largest), or where no three levels in a row agree.
    """
    values = [float(v) for v in values]
    m = len(values)
    first = [b - a for a, b in pairwise(values)]
    if sum(d == 0 for d in first) >= m / 2:
        return None
    if max(values) - min(values) > 0.1 * max(abs(max(values)), abs(min(values))):
        return None
    sigma, mixed = {}, {}
    for k in range(1, m):
        differences = []
        for i in range(m - k):
            terms = [
                (-1) ** (k - j) * factorial(k) / (factorial(j) * factorial(k - j)) * values[i + j] for j in range(k + 1)
            ]
            differences.append(sum(terms))
        mean = sum(d * d for d in differences) / (m - k)
        sigma[k] = (factorial(k) ** 2 / factorial(2 * k) * mean) ** 0.5
        mixed[k] = min(differences) < 0 < max(differences)
    for k in range(1, m - 2):
        three = [sigma[k + j] for j in range(3)]
        if max(three) <= 4 * min(three) and mixed[k]:
            return sigma[k]
    return None


@pytest.mark.parametrize("points", [4, 7, 9])
def test_the_level_is_that_of_the_formulas(points):
    rng = np.random.default_rng(points)
    found = missed = 0
    for _ in range(300):
        size, slope, curvature = 10.0 ** rng.uniform([-7, -7, -7], [-1, -1, -1])
        t = np.arange(points)
        values = 1 + slope * t + curvature * t**2 + size * rng.normal(size=points)
        expected = level_by_formula(values)
        ours = noise.judge(values)
        if expected is None:
            missed += 1
            assert np.isnan(ours.level[0])
        else:
            found += 1
            # Differences of high order have lost the digits that the values have in common.
            assert ours.level[0] == pytest.approx(expected, rel=1e-6)
    assert found > 50
    assert missed > 10


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-6, 1e-3])
def test_over_200_seeds_the_level_is_nearly_always_within_a_factor_of_four(size):
    """The estimate rests on six differences: a factor of two either way is what it has."""
    ratios = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = om.first_derivative(
            lambda x, rng=rng: rosenbrock_chain(x) + size * rng.normal(),
            ROSENBROCK.x,
            method="richardson",
            noise="estimate",
            tol=1e-3,
        )
        ratios.append(found.noise / size)
    ratios = np.array(ratios)
    # Of 2e3, the size of the function here, rounding is 1e-13.
    assert np.mean((ratios > 1 / 4) & (ratios < 4)) >= 0.97
    assert 0.7 < np.median(ratios) < 1.4


def test_where_no_noise_is_found_it_is_that_of_rounding():
    lines = noise.search(np.array([0.3, -0.2]), FlatBounds.none(2), 2.0**-52)
    next(lines)
    constant, levels, tries = np.array([5.0, 0.0]), None, 0
    while levels is None:
        try:
            tries += 1
            lines.send((constant, np.tile(constant, (6, 1))))
        except StopIteration as stop:
            levels = stop.value
    assert tries == noise.MOST_TRIES_IN_VAIN
    assert levels[0] == pytest.approx(5 * 2.0**-52)
    assert 0 < levels[1] < 1e-300  # of a value that is zero everywhere nothing is rounded


def test_the_rounding_of_the_last_digit_is_the_least():
    sizes = np.array([1.0, 1.99, 2.0, 1e-300, 0.0, np.inf])
    spacing = np.array([2.0**-52, 2.0**-52, 2.0**-51, np.spacing(1e-300), 0.0, 0.0])
    np.testing.assert_allclose(noise.rounding_level(sizes, 2.0**-52), spacing / 12**0.5 + np.finfo(float).tiny)


# noise that isn't one number -----------------------------------------------------------------------------------------


def worst(fun, smooth, **options):
    """Largest norm-wise error over eight points that moved, and the share of entries within the estimated error."""
    x = ROSENBROCK.x
    gradient = om.NumericalDerivative(fun, x, options=om.NumdiffOptions(**options))
    gradient(x)
    rng = np.random.default_rng(2)
    errors, held = [], []
    for _ in range(8):
        moved = x * (1 + 0.03 * rng.normal(size=x.size))
        result, truth = gradient(moved), exact(smooth, moved)
        off = np.abs(result.derivative - truth)
        errors.append(off.max() / np.abs(truth).max())
        held += (off <= result.error).tolist()
    return max(errors), np.mean(held)


@pytest.mark.parametrize("level", [1e-9, 1e-6])
def test_multiplicative_noise_is_one_level_near_x(level):
    """Its size is level |f|, and f is 2e3."""
    rng = np.random.default_rng(0)

    def fun(x):
        return rosenbrock_chain(x) * (1 + level * rng.normal())

    error, held = worst(fun, rosenbrock_chain, method="central", step_size="calibrated")
    # h^2 |f'''| / 6 + noise / h with |f'''| = 2900 is smallest at 3/2 noise^(2/3) (f''' / 3)^(1/3); twice as much for
    # its tails; the gradient is 216 or more.
    assert error <= 2 * 1.5 * (2e3 * level) ** (2 / 3) * (2900 / 3) ** (1 / 3) / 216
    assert held > 0.95


def test_noise_that_only_some_params_bring_counts_for_all():
    """A line through all params sees it; steps of the others are longer than they need to be, and no worse than that
    level allows."""
    rng = np.random.default_rng(0)
    base = ROSENBROCK.x

    def fun(x):
        return rosenbrock_chain(x) + (1e-6 * rng.normal() if x[0] != base[0] else 0.0)

    result = om.first_derivative(fun, base, method="richardson", noise="estimate", tol=1e-4)
    assert 1e-7 < result.noise < 1e-5
    assert (np.abs(result.derivative - exact(rosenbrock_chain, base)) <= result.error).all()


@pytest.mark.parametrize("digits", [6, 9])
def test_values_rounded_to_some_digits_are_noisy_by_these(digits):
    """Piecewise constant functions: their plateaus are narrower than the steps."""

    def fun(x):
        return float(f"{rosenbrock_chain(x):.{digits - 1}e}")

    unit = 10.0 ** (3 - digits + 1)  # of the last digit, where f is in the thousands
    result = om.first_derivative(fun, ROSENBROCK.x, method="richardson", noise="estimate", tol=1e-4)
    assert unit / 12**0.5 / 4 < result.noise < 4 * unit / 12**0.5
    error, held = worst(fun, rosenbrock_chain, method="central", step_size="calibrated")
    assert error <= 2 * 1.5 * unit ** (2 / 3) * (2900 / 3) ** (1 / 3) / 216
    assert held > 0.95


# no noise at all -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HARD)
def test_a_complex_step_is_exact_to_rounding_on_all_hard_functions(name):
    problem = HARD[name]
    result = om.first_derivative(problem.fun, problem.x, method="complex_step")
    truth = problem.gradient
    assert np.abs(result.derivative - truth).max() <= 1e-14 * np.abs(truth).max()
