"""Noise on problems: a pure function of seed, problem and x, of the level and distribution that was asked for."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_HALF_EVEN, Context
from typing import Any

import numpy as np
import pytest
from scipy import stats

from optcore.errors import InvalidInputError, UnknownNameError
from optcore_problems import Problem, get_problem, get_suite
from optcore_problems.transform import Noise
from optcore_problems.transform.noise import oscillation, round_to_digits

ROSENBROCK = get_problem("more_wild/rosenbrock")
KINDS: list[dict[str, Any]] = [
    {"kind": "additive", "level": 0.1},
    {"kind": "additive", "level": 0.1, "distribution": "uniform", "seed": 7},
    {"kind": "multiplicative", "level": 1e-3},
    {"kind": "multiplicative", "level": 1e-3, "distribution": "uniform"},
    {"kind": "wild", "level": 1e-3},
    {"kind": "rounded", "level": 4},
]


def value(x: Any, xp: Any) -> Any:
    return 1.0 + (x * x).sum(axis=0)


def gradient(x: Any) -> Any:
    return 2.0 * x


SCALAR = Problem(name="bowl", start=np.ones(3), fun_xp=value, gradient_np=gradient, takes_columns=True)


def points(n: int, k: int = 10_000) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).uniform(-2.0, 2.0, (k, n))


@pytest.mark.parametrize("noise", KINDS, ids=str)
@pytest.mark.parametrize("problem", [ROSENBROCK, SCALAR], ids=["residuals", "scalar"])
def test_the_same_x_has_the_same_noise_however_it_is_asked(noise: dict[str, Any], problem: Problem) -> None:
    noisy = problem.with_noise(**noise)
    xs = points(problem.n, 20)
    one_by_one = [noisy.fun(x) for x in xs]
    assert [noisy.fun(x.tolist()) for x in xs[::-1]][::-1] == one_by_one
    assert [pickle.loads(pickle.dumps(noisy)).fun(x) for x in xs] == one_by_one
    assert [problem.with_noise(**noise).fun(x) for x in xs] == one_by_one
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(noisy.fun, xs)) == one_by_one
    np.testing.assert_allclose(noisy.fun_batch(xs), one_by_one, rtol=1e-14)
    if problem.m is not None:
        residuals = np.array([noisy.residuals(x) for x in xs])
        np.testing.assert_array_equal(noisy.residuals_batch(xs), residuals)
        np.testing.assert_allclose((residuals**2).sum(axis=1), one_by_one, rtol=1e-14)
    assert not np.allclose(one_by_one, [noisy.clean.fun(x) for x in xs], rtol=1e-8)
    assert [noisy.clean.fun(x) for x in xs] == [problem.fun(x) for x in xs]


def test_the_noise_is_the_same_in_another_process() -> None:
    script = (
        "from optcore_problems import get_problem\n"
        f"for noise in {KINDS!r}:\n"
        "    p = get_problem('more_wild/osborne_1').with_noise(**noise)\n"
        "    print([float(r).hex() for r in p.residuals(p.start)])"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    for noise, line in zip(KINDS, there.splitlines(), strict=True):
        p = get_problem("more_wild/osborne_1").with_noise(**noise)
        assert line == str([float(r).hex() for r in p.residuals(p.start)]), noise


def test_noise_is_what_its_definition_says_bit_by_bit() -> None:
    """The definition worked out by hand, so that it can't change unnoticed: stored runs depend on it."""
    import hashlib

    stream = "noise 3 additive uniform 0 more_wild/rosenbrock"
    x = np.array([0.5, -2.0])
    digest = hashlib.shake_128(stream.encode() + b"\0" + x.astype("<f8").tobytes()).digest(16)
    u = [int.from_bytes(digest[i : i + 8], "little", signed=True) * ((1 - 2**-52) / 2**63) for i in (0, 8)]
    noisy = ROSENBROCK.with_noise("additive", 0.25, distribution="uniform", seed=3)
    expected = ROSENBROCK.residuals(x) + 0.25 * np.array(u)
    np.testing.assert_array_equal(noisy.residuals(x), expected)


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("level", [1e-6, 0.3])
def test_residuals_have_noise_of_the_distribution_and_level(kind: str, distribution: str, level: float) -> None:
    problem = ROSENBROCK
    noisy = problem.with_noise(kind, level, distribution=distribution)
    xs = points(2)
    clean, disturbed = problem.residuals_batch(xs), noisy.residuals_batch(xs)
    u = (disturbed - clean) / level if kind == "additive" else (disturbed / clean - 1.0) / level
    law = stats.norm() if distribution == "normal" else stats.uniform(-1, 2)
    for column in u.T:
        assert stats.kstest(column, law.cdf).pvalue > 1e-3
    assert abs(stats.spearmanr(u[:, 0], u[:, 1]).statistic) < 4 / np.sqrt(len(xs))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_scalar_values_have_noise_of_the_distribution_and_level(distribution: str) -> None:
    xs = points(3)
    ratio = SCALAR.with_noise("multiplicative", 0.01, distribution=distribution).fun_batch(xs) / SCALAR.fun_batch(xs)
    law = stats.norm() if distribution == "normal" else stats.uniform(-1, 2)
    assert stats.kstest((ratio - 1) / 0.01, law.cdf).pvalue > 1e-3


def test_a_sum_of_squares_has_the_relative_deviation_that_is_documented() -> None:
    problem, level = get_problem("more_wild/osborne_1"), 1e-4
    xs = problem.start * (1 + 1e-6 * points(5, 2000))
    relative = problem.with_noise("multiplicative", level).fun_batch(xs) / problem.fun_batch(xs) - 1
    assert 2 * level / np.sqrt(33) < relative.std() < 2 * level


def test_noise_is_independent_between_seeds_problems_and_nested_noises() -> None:
    xs = points(2, 4000)

    def noise_of(problem: Problem, **more: Any) -> np.ndarray[Any, Any]:
        noisy = problem.with_noise("additive", 1.0, **more)
        return noisy.residuals_batch(xs)[:, 0] - problem.residuals_batch(xs)[:, 0]

    one, seed = noise_of(ROSENBROCK), noise_of(ROSENBROCK, seed=1)
    other = noise_of(get_problem("more_wild/jennrich_sampson"))
    from_far = noise_of(get_problem("more_wild/rosenbrock_x10"))
    nested = noise_of(ROSENBROCK.with_noise("additive", 1.0))
    for another in (seed, other, from_far, nested):
        assert abs(stats.spearmanr(one, another).statistic) < 4 / np.sqrt(len(xs))


def test_two_levels_of_one_noise_differ_by_the_level_only() -> None:
    low, high = (ROSENBROCK.with_noise("additive", level).residuals(ROSENBROCK.start) for level in (1e-3, 1e-1))
    clean = ROSENBROCK.residuals(ROSENBROCK.start)
    np.testing.assert_allclose((high - clean) / (low - clean), 100.0, rtol=1e-9)


def test_minus_zero_is_zero_and_neighbours_have_other_noise() -> None:
    noisy = ROSENBROCK.with_noise("additive", 1.0)
    assert noisy.fun([0.0, -0.0]) == noisy.fun([-0.0, 0.0])
    assert abs(noisy.fun([1.0, 1.0]) - noisy.fun([1.0, np.nextafter(1.0, 2.0)])) > 1e-3


def test_what_is_not_finite_stays_so() -> None:
    def infinite(x: Any, xp: Any) -> Any:
        return xp.stack([x[0] * np.inf, x[0] * np.nan])

    problem = Problem(name="inf", start=np.ones(1), m=2, residuals_xp=infinite)
    for noise in KINDS:
        np.testing.assert_array_equal(problem.with_noise(**noise).residuals([2.0]), [np.inf, np.nan])


# --- the oscillation -------------------------------------------------------------------------------------------------


def phi(x: list[float]) -> float:
    """The formula of More & Wild (2009), written in plain Python."""
    one, largest, two = sum(map(abs, x)), max(map(abs, x)), math.sqrt(sum(v * v for v in x))
    phi0 = 0.9 * math.sin(100 * one) * math.cos(100 * largest) + 0.1 * math.cos(two)
    return phi0 * (4 * phi0**2 - 3)


def test_the_oscillation_is_that_of_the_formula_for_one_point_or_many() -> None:
    xs = points(4, 50)
    expected = [phi(x.tolist()) for x in xs]
    np.testing.assert_allclose([oscillation(x) for x in xs], expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(oscillation(xs.T), expected, rtol=1e-11, atol=1e-13)
    assert np.abs(expected).max() <= 1.0


def test_the_value_under_wild_noise_is_that_of_the_publication() -> None:
    noisy = ROSENBROCK.with_noise("wild", 0.5)
    for x in points(2, 20):
        np.testing.assert_allclose(noisy.fun(x), (1 + 0.5 * phi(x.tolist())) * ROSENBROCK.fun(x), rtol=1e-10)


def test_wild_noise_has_the_derivatives_of_the_oscillation_by_complex_steps_and_jax() -> None:
    jax = pytest.importorskip("jax")
    noisy = ROSENBROCK.with_noise("wild", 0.1)
    x = np.array([-1.2, 0.7])
    f, rel, g = ROSENBROCK.fun(x), 1 + 0.1 * phi(x.tolist()), ROSENBROCK.gradient(x)
    # By hand: phi = T3(phi0), |x|_1 = x1 - x0 here, |x|_inf = -x0, both within their branch.
    one, largest, two = x[1] - x[0], -x[0], math.hypot(*x)
    phi0 = 0.9 * math.sin(100 * one) * math.cos(100 * largest) + 0.1 * math.cos(two)
    slope_one = 90 * math.cos(100 * one) * math.cos(100 * largest)
    slope_largest = -90 * math.sin(100 * one) * math.sin(100 * largest)
    slope_two = -0.1 * math.sin(two)
    phi0_gradient = slope_one * np.array([-1.0, 1.0]) + slope_largest * np.array([-1.0, 0.0]) + slope_two * x / two
    expected = rel * g + 0.1 * f * (12 * phi0**2 - 3) * phi0_gradient
    complex_step = [noisy.fun(x + 1e-200j * e).imag / 1e-200 for e in np.eye(2)]
    np.testing.assert_allclose(complex_step, expected, rtol=1e-10)
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        np.testing.assert_allclose(jax.grad(noisy.fun)(x), expected, rtol=1e-10)
    np.testing.assert_array_equal(noisy.gradient(x), g)
    assert noisy.excludes == {}


# --- rounding --------------------------------------------------------------------------------------------------------


def test_rounding_keeps_the_digits_that_decimal_arithmetic_keeps() -> None:
    rng = np.random.default_rng(2)
    values = rng.uniform(-1, 1, 3000) * 10.0 ** rng.integers(-200, 200, 3000)
    for digits in (1, 4, 15):
        context = Context(prec=digits, rounding=ROUND_HALF_EVEN)
        exact = [float(context.create_decimal_from_float(v)) for v in values.tolist()]
        np.testing.assert_allclose(round_to_digits(values, digits), exact, rtol=1e-14)
    extremes = np.array([0.0, np.inf, 5e-324, -1e308])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(round_to_digits(extremes, 3), extremes, rtol=1e-14)


def test_rounded_values_are_constant_between_steps() -> None:
    noisy = SCALAR.with_noise("rounded", 3)
    assert noisy.fun([1.0, 1.0, 0.0]) == noisy.fun([1.0, 1.0, 1e-3]) == 3.0


# --- what the problem says of itself ---------------------------------------------------------------------------------


def test_closed_forms_optima_and_values_at_the_start_are_those_without_noise() -> None:
    noisy = ROSENBROCK.with_noise("additive", 0.5)
    x = np.array([0.3, 2.0])
    np.testing.assert_array_equal(noisy.gradient(x), ROSENBROCK.gradient(x))
    np.testing.assert_array_equal(noisy.jacobian(x), ROSENBROCK.jacobian(x))
    assert noisy.f_start == ROSENBROCK.f_start != noisy.fun(noisy.start)
    assert noisy.f_opt == 0.0
    assert (noisy.name, noisy.clean, noisy.original) == ("rosenbrock", ROSENBROCK, ROSENBROCK)
    no_closed_form = Problem(name="mine", start=np.ones(1), m=1, residuals_xp=lambda x, xp: x)
    with pytest.raises(InvalidInputError, match="no gradient in closed form"):
        no_closed_form.with_noise().gradient([1.0])


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (Noise(), "multiplicative 0.001"),
        (Noise("additive", 0.5, "uniform", 3), "additive uniform 0.5 seed 3"),
        (Noise("uniform", 0.5), "additive uniform 0.5"),
        (Noise("normal", 1), "additive 1"),
        (Noise("wild", 1e-3, seed=4), "wild 0.001"),
        (Noise("rounded", 6.0), "rounded 6"),
    ],
)
def test_noise_is_said_in_words_and_read_back_from_a_table(noise: Noise, words: str) -> None:
    assert noise.words == words
    assert Noise.from_plain(noise.to_plain()) == noise
    assert ROSENBROCK.transform(noise).noise == words


def test_nested_noises_are_all_named_and_all_left_out_of_the_clean_problem() -> None:
    noisy = get_suite("more_wild").with_noise("rounded", 8).with_noise("wild", 0.1)["rosenbrock"]
    assert noisy.noise == "rounded 8 + wild 0.1"
    assert noisy.clean is ROSENBROCK
    assert noisy.fun([1.0, 2.0]) != noisy.clean.fun([1.0, 2.0])


@pytest.mark.parametrize("kind", ["additive", "multiplicative", "rounded"])
def test_strategies_that_noise_makes_senseless_are_excluded_and_refused(kind: str) -> None:
    noisy = ROSENBROCK.with_noise(kind, 3)
    assert set(noisy.excludes) == {"jax", "complex_step"}
    with pytest.raises(InvalidInputError, match="decided from the bits of a real x, but x is complex"):
        noisy.fun([1.0 + 1j, 2.0])
    jax = pytest.importorskip("jax")
    with pytest.raises(InvalidInputError, match=r"which an abstract x of type .*Tracer doesn't have"):
        jax.grad(noisy.fun)(np.ones(2))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"kind": "multiplicativ"}, UnknownNameError, "unknown kind of noise 'multiplicativ'; did you mean 'multiplic"),
        ({"distribution": "norml"}, UnknownNameError, "unknown distribution of noise 'norml'; did you mean 'normal'"),
        ({"levl": 1}, UnknownNameError, "unknown key of noise 'levl'; did you mean 'level'"),
        ({"level": 0}, InvalidInputError, "noise: level must be a number above 0, but is 0"),
        ({"level": "high"}, InvalidInputError, "noise: level must be a number above 0, but is 'high'"),
        ({"level": math.nan}, InvalidInputError, "noise: level must be a number above 0, but is nan"),
        ({"seed": -1}, InvalidInputError, "noise: seed must be a whole number of at least 0, but is -1"),
        ({"kind": "wild", "level": 1.0}, InvalidInputError, "level of wild noise must be below 1, but is 1.0"),
        ({"kind": "wild", "distribution": "normal"}, InvalidInputError, "'wild' has no distribution"),
        ({"kind": "rounded", "level": 2.5}, InvalidInputError, "number of digits, must be a whole number"),
        ({"kind": "rounded", "level": 16}, InvalidInputError, "must be a number of at least 1 and up to 15, but is 16"),
        ({"kind": "uniform", "distribution": "normal"}, InvalidInputError, "is a distribution, and 'normal' another"),
        ("strong", InvalidInputError, r"noise must be a table such as \{seed = 1\}, or true, but is 'strong'"),
    ],
    ids=str,
)
def test_what_can_not_be_is_an_error_in_words(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Noise.from_plain(given)
