"""Steps that are measured once and reused; when they are measured again; noise levels and rules for noisy functions."""

import hashlib

import numpy as np
import pytest

import optcore as om
from optcore.bounds import FlatBounds
from optcore.numdiff import noise, rules
from tests.core.counting import Counted
from tests.core.derivative_suite import HARD, exact, osborne_residuals, rosenbrock_chain

NINE = list(HARD)[:9]
ROSENBROCK = HARD["rosenbrock"]


def with_noise(fun, size):
    """Uniform noise that depends on x only, so that the same point has the same value."""

    def noisy(x):
        digest = hashlib.blake2b(np.ascontiguousarray(x).tobytes(), digest_size=8).digest()
        return fun(x) + size * (2 * int.from_bytes(digest, "big") / 2**64 - 1)

    return noisy


def moved_points(problem, count=5):
    rng = np.random.default_rng(1)
    return [problem.x * (1 + 0.03 * rng.normal(size=problem.x.size)) for _ in range(count)]


#: Relative error of the largest entry, and of each, that single differences are to reach.
REACH = {"forward": (1e-7, 3e-6), "central": (2e-10, 5e-9)}
#: Where they can't: 2 (noise |f''|)^(1/2), or (3 noise)^(2/3) |f'''|^(1/3) / 2, of the size of the gradient is more
#: than that. For "logs" both terms of the central error have a standard deviation of 1.4e-10.
BEYOND = {("logs", "central"): 6e-10, ("rosenbrock at zero", "central"): 5e-10}


@pytest.mark.parametrize("method", ["forward", "central"])
@pytest.mark.parametrize("name", HARD)
def test_calibrated_steps_are_exact_at_the_price_of_plain_ones_at_points_that_moved(name, method):
    problem = HARD[name]
    options = om.NumdiffOptions(method=method, step_size="calibrated")
    held = total = 0
    with np.errstate(invalid="ignore"), om.NumericalDerivative(problem.fun, problem.x, options=options) as gradient:
        first = gradient(problem.x)
        assert first.n_evaluations["noise"] <= 12
        for x in moved_points(problem):
            result = gradient(x)
            truth = exact(problem.fun, x)
            error = np.abs(result.derivative - truth)
            n = x.size
            assert result.n_evaluations == {"base": 1, "differences": n if method == "forward" else 2 * n}
            assert result.n_rounds == 1
            norm_wise, entry_wise = REACH[method]
            assert error.max() <= BEYOND.get((name, method), norm_wise) * np.abs(truth).max()
            if name != "brown badly scaled":  # one of its entries is below rounding
                assert (error <= entry_wise * np.where(truth == 0, 1, np.abs(truth))).all()
            held, total = held + (error <= result.error).sum(), total + n
    assert held >= 0.7 * total  # an estimate, not a bound; over all functions it is 97 of 100


def cosines(x):
    return np.cos(x).sum() + np.cosh(x[0]) + 0.1 * x.sum()


#: At zero their second or third derivatives, or differences of these, vanish by symmetry.
EVEN = {"cosines": (cosines, np.zeros(3))} | {
    name: (HARD[name].fun, HARD[name].x) for name in ("rosenbrock at zero", "logit at zero", "parabola at zero")
}


@pytest.mark.parametrize("move", [0.03, 0.3])
@pytest.mark.parametrize(("method", "reach"), [("forward", 3e-5), ("central", 1e-7)])
@pytest.mark.parametrize("name", EVEN)
def test_steps_measured_where_a_derivative_vanishes_by_symmetry_serve_beside_that_point(name, method, reach, move):
    fun, x = EVEN[name]
    options = om.NumdiffOptions(method=method, step_size="calibrated", recalibrate="never")
    gradient = om.NumericalDerivative(fun, x, options=options)
    gradient(x)
    rng = np.random.default_rng(0)
    for _ in range(5):
        moved = x + move * rng.normal(size=x.size)
        truth = exact(fun, moved)
        assert np.abs(gradient(moved).derivative - truth).max() <= reach * np.abs(truth).max()


@pytest.mark.parametrize("step_size", ["calibrated", "shi", "more_wild"])
@pytest.mark.parametrize("method", ["forward", "central"])
def test_the_estimated_error_of_measured_steps_is_rarely_exceeded(step_size, method):
    if (step_size, method) == ("more_wild", "central"):
        return  # there is no such rule
    held = total = 0
    for problem in HARD.values():
        options = om.NumdiffOptions(method=method, step_size=step_size)
        gradient = om.NumericalDerivative(problem.fun, problem.x, options=options)
        with np.errstate(invalid="ignore"):
            gradient(problem.x)
            for x in moved_points(problem):
                result = gradient(x)
                held += (np.abs(result.derivative - exact(problem.fun, x)) <= result.error).sum()
                total += x.size
    assert held >= 0.95 * total


@pytest.mark.parametrize(
    ("options", "limit", "calls"),
    [
        ({"step_size": "calibrated"}, 2e-4, 11),
        ({"method": "central", "step_size": "calibrated"}, 5e-6, 21),
        ({"step_size": "shi"}, 4e-4, 11),
        ({"step_size": "more_wild"}, 4e-4, 11),
        ({"method": "central", "step_size": "shi"}, 1e-5, 21),
        ({"noise": "estimate"}, 2e-4, 11),
        ({"noise": 6e-7}, 4e-4, 11),
    ],
    ids=str,
)
def test_measured_steps_suit_noise_of_1e_6(options, limit, calls):
    """scipy's 2-point has an error of 0.12 here, 3-point of 2.4e-4, at the same number of evaluations."""
    fun = with_noise(rosenbrock_chain, 1e-6)
    gradient = om.NumericalDerivative(fun, ROSENBROCK.x, options=om.NumdiffOptions(**options))
    gradient(ROSENBROCK.x)
    for x in moved_points(ROSENBROCK, 8):
        result = gradient(x)
        truth = exact(rosenbrock_chain, x)
        assert np.abs(result.derivative - truth).max() <= limit * np.abs(truth).max()
        assert sum(result.n_evaluations.values()) == calls


def test_jacobians_use_measured_steps_too():
    x = np.array([0.5, 1.5, -1.0, 0.01, 0.02])
    gradient = om.NumericalDerivative(
        osborne_residuals, x, options=om.NumdiffOptions(method="central", step_size="calibrated")
    )
    first = gradient(x)
    assert np.shape(first.noise) == (33,)
    result = gradient(1.01 * x)
    truth = exact(osborne_residuals, 1.01 * x)
    scale = np.abs(truth).max(axis=0)
    assert (np.abs(result.derivative - truth) <= 1e-9 * scale).all()
    assert result.error.shape == (33, 5)


def test_measured_steps_stay_within_bounds():
    lower, upper = np.zeros(2), np.array([1.0, 2.0])

    def fun(x):
        assert (lower <= x).all()
        assert (x <= upper).all()
        return np.exp(x[0]) + np.sqrt(x[1]) + x[0] * x[1]

    for step_size in ("calibrated", "shi", "more_wild"):
        gradient = om.NumericalDerivative(
            fun,
            np.array([0.0, 1.0]),
            bounds=om.Bounds(lower, upper),
            options=om.NumdiffOptions(step_size=step_size, on_failure="raise"),
        )
        for x in (np.array([0.0, 1.0]), np.array([1.0, 2.0]), np.array([0.5, 0.1])):
            np.testing.assert_allclose(gradient(x).derivative, exact(_inside, x), rtol=1e-5)


def _inside(x):
    return np.exp(x[0]) + np.sqrt(x[1]) + x[0] * x[1]


# when steps are measured again ---------------------------------------------------------------------------------------


def calibrations(gradient, points):
    return ["calibration" in gradient(x).n_evaluations for x in points]


def test_steps_are_measured_again_when_told_to_and_not_otherwise():
    points = [np.array([1.0 + 0.01 * k, 2.0]) for k in range(6)]

    def of(recalibrate):
        options = om.NumdiffOptions(step_size="calibrated", recalibrate=recalibrate)
        return om.NumericalDerivative(rosenbrock_chain, points[0], options=options)

    assert calibrations(of("never"), points) == [True] + [False] * 5
    assert calibrations(of("on_failure"), points) == [True] + [False] * 5
    assert calibrations(of(2), points) == [True, False, True, False, True, False]


def test_steps_are_measured_again_where_a_param_has_another_order_of_magnitude():
    options = om.NumdiffOptions(step_size="calibrated")
    gradient = om.NumericalDerivative(rosenbrock_chain, np.ones(2), options=options)
    assert calibrations(gradient, [np.ones(2), np.array([2.0, 1.0]), np.array([30.0, 1.0])]) == [True, False, True]


def test_an_optimization_that_stalls_measures_again():
    """The noise is 1000 times larger in the valley than at the start, where the steps were first measured."""

    def fun(x):
        size = 1e-9 if np.linalg.norm(x - 1) > 1 else 1e-4
        return with_noise(rosenbrock_chain, size)(x)

    options = om.NumdiffOptions(step_size="calibrated")
    result = om.minimize(
        fun,
        np.array([-1.2, 1.0]),
        "scipy_lbfgsb",
        numdiff_options=options,
        algo_options={"convergence_ftol_rel": 0, "convergence_gtol_abs": 0},
        budget=om.Budget(max_evaluations=600),
    )
    per_batch = np.bincount(result.history.batch)
    assert (per_batch > 3).sum() > 2  # batches of calibrations have more points than n + 1


def test_auto_goes_from_forward_to_central_as_the_gradient_vanishes():
    results = {
        method: om.minimize(
            rosenbrock_chain,
            np.array([-1.2, 1.0, -1.2, 1.0]),
            "scipy_lbfgsb",
            numdiff_options=om.NumdiffOptions(method=method),
            algo_options={"convergence_ftol_rel": 0, "convergence_gtol_abs": 1e-10},
        )
        for method in ("forward", "auto")
    }
    sizes = np.bincount(results["auto"].history.batch)
    forward = np.flatnonzero(sizes == 5)
    central = np.flatnonzero(sizes == 9)
    assert len(forward) > 10
    assert len(central) >= 1
    assert forward[10] < central[0]
    assert results["auto"].fun < 1e-3 * results["forward"].fun
    assert results["auto"].fun < 1e-18


def test_parallel_and_serial_measure_the_same_steps():
    results = [
        om.minimize(
            rosenbrock_chain,
            np.array([-1.2, 1.0]),
            "scipy_lbfgsb",
            numdiff_options=om.NumdiffOptions(method="auto", n_cores=n_cores),
            budget=om.Budget(max_evaluations=120),
        )
        for n_cores in (1, 2)
    ]
    for name in ("task", "fun", "batch", "flat_params"):
        np.testing.assert_array_equal(getattr(results[0].history, name), getattr(results[1].history, name))


@pytest.mark.parametrize("max_evaluations", [1, 4, 9, 17, 40])
def test_the_budget_is_exact_within_calibrations(max_evaluations):
    counted = Counted(rosenbrock_chain)
    result = om.minimize(
        counted.call,
        np.array([-1.2, 1.0]),
        "scipy_lbfgsb",
        numdiff_options=om.NumdiffOptions(method="auto"),
        budget=om.Budget(max_evaluations=max_evaluations),
    )
    assert len(counted) == result.n_fun_evals == max_evaluations
    assert result.status is om.Status.BUDGET_EVALUATIONS


# noise ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-12, 1e-8, 1e-4, 1e-2])
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_the_noise_of_a_smooth_function_is_found_within_a_factor_of_three(size, kind):
    """More & Wild (2011), section 5: the estimate is within a factor of 4 of the truth for nearly all samples."""
    rng = np.random.default_rng(0)
    good = 0
    for _ in range(50):
        draw = rng.normal if kind == "normal" else lambda: 3**0.5 * rng.uniform(-1, 1)
        values = np.cos(1.0 + 1e-7 * np.arange(7)) + size * np.array([draw() for _ in range(7)])
        found = noise.judge(values)
        good += bool(found.judgement[0] == noise.Judgement.FOUND and size / 3 < found.level[0] < 3 * size)
    assert good >= 45 * (size <= 1e-4) + 30 * (size > 1e-4)


def test_the_difference_table_is_that_of_a_polynomial_and_of_white_noise():
    # sigma_k^2 = (k!)^2 / (2k)! mean (Delta^k)^2: for alternating +1, -1 the k-th differences are +-2^k.
    found = noise.judge(10 + 1e-3 * np.array([1.0, -1, 1, -1, 1, -1, 1]))
    assert found.level[0] == pytest.approx(1e-3 * (4 / 2) ** 0.5)
    assert noise.judge(np.full(7, 3.0)).judgement[0] == noise.Judgement.TOO_CLOSE
    assert noise.judge(np.arange(7.0)).judgement[0] == noise.Judgement.TOO_FAR
    assert not noise.judge(1 + 1e-3 * np.arange(7.0) ** 2).level[0] > 1e-15  # smooth: only rounding is left


@pytest.mark.parametrize("x", [np.zeros(3), np.array([1.0, -1e6, 1e-3])])
@pytest.mark.parametrize("width", [np.inf, 1e-3, 1e-15])
def test_the_line_of_points_is_equally_spaced_and_within_bounds(x, width):
    bounds = FlatBounds(x.copy(), x + width * np.maximum(np.abs(x), 1))
    for spacing in (1e-12, 1e-8):
        points = noise.line(x, bounds, spacing)
        assert points.shape == (6, 3)
        assert (bounds.lower <= points).all()
        assert (points <= bounds.upper).all()
    free = noise.line(x, FlatBounds.none(3), 1e-6)
    steps = np.diff(np.insert(free, 3, x, axis=0), axis=0)
    np.testing.assert_allclose(steps, np.tile(steps[0], (6, 1)), rtol=1e-3)


def test_noise_of_a_vector_is_estimated_for_each_entry():
    rng = np.random.default_rng(3)
    sizes = np.array([1e-3, 1e-8, 1e-5])
    result = om.first_derivative(
        lambda x: np.array([x[0], x[1] ** 2, x[0] * x[1]]) + sizes * rng.normal(size=3),
        np.array([1.0, 2.0]),
        method="richardson",
        noise="estimate",
    )
    assert ((sizes / 5 < result.noise) & (result.noise < 5 * sizes)).all()


def drive(search, x, fun):
    """Run a generator of requests to its end: steps, and the number of points."""
    count = 0
    try:
        coordinate, shift = next(search)
        while True:
            points = np.tile(x, (len(coordinate), 1))
            points[np.arange(len(coordinate)), coordinate] += shift
            count += len(points)
            coordinate, shift = search.send(np.array([np.atleast_1d(fun(point)) for point in points]))
    except StopIteration as stop:
        return stop.value, count


@pytest.mark.parametrize("curvature", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("level", [1e-10, 1e-4])
def test_rules_for_noisy_functions_find_the_optimal_step_of_a_parabola(curvature, level):
    """Shi et al. accept 0.41 to 1.5 times 2 (noise / |f''|)^(1/2), or 3 at the third derivative; without noise it is
    exact. More & Wild: 8^(1/4) (noise / |f''|)^(1/2)."""
    x = np.array([0.3, -0.2])
    free = FlatBounds.none(2)

    def parabola(x):
        return 1.0 + 0.5 * curvature * (x**2).sum()

    base, noises = np.array([parabola(x)]), np.array([level])
    optimal = 2 * (level / curvature) ** 0.5
    h, count = drive(rules.shi(x, base, noises, free, central=False), x, parabola)
    clipped = np.minimum(optimal, 1.0)
    assert ((0.3 * clipped <= h) & (h <= 1.6 * clipped)).all()
    assert count <= 40
    h, count = drive(rules.more_wild(x, base, noises, free), x, parabola)
    assert ((0.5 * 8**0.25 / 2 * optimal <= h) & (h <= 1.5 * 8**0.25 / 2 * optimal)).all() or level / curvature > 1e-2
    assert count <= 4 * 7


@pytest.mark.parametrize("method", ["forward", "central"])
def test_values_without_curvature_do_not_make_steps_too_long_for_the_others(method):
    def fun(x):
        return np.array([x[0] + 1, np.exp(3 * x[0]), 0.0 * x[0], 1e-3 * np.sin(20 * x[0])])

    options = om.NumdiffOptions(method=method, step_size="shi")
    x = np.array([0.4])
    derivative = om.first_derivative(fun, x, options=options).derivative
    np.testing.assert_allclose(derivative, exact(fun, x), rtol=1e-6 if method == "forward" else 1e-8)


def test_a_jump_that_no_step_suits_is_not_stepped_over():
    """Linear but for a jump at 0.5: the search ends at steps that stay on the side of x."""
    options = om.NumdiffOptions(method="central", step_size="shi")
    result = om.first_derivative(lambda x: 2 * x[0] + (x[0] > 0.5), np.array([0.2]), options=options)
    assert result.derivative[0] == pytest.approx(2, rel=1e-9)
    assert 1e-3 < result.step[0] < 0.1


def test_the_central_rule_balances_noise_with_the_third_derivative():
    x, level = np.array([0.4]), 1e-9
    h, _ = drive(
        rules.shi(x, np.exp(x), np.array([level]), FlatBounds.none(1), central=True), x, lambda x: np.exp(x[0])
    )
    optimal = (3 * level / np.exp(0.4)) ** (1 / 3)
    assert optimal / 3 <= h[0] <= 3 * optimal


# refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"step_size": "calibratd"}, LookupError, "unknown step_size 'calibratd'; did you mean 'calibrated'?"),
        (
            {"step_size": "more_wild", "method": "central"},
            ValueError,
            "step_size='more_wild' goes with the methods forward, backward, but the method is 'central'",
        ),
        (
            {"step_size": "calibrated", "method": "richardson"},
            ValueError,
            "step_size='calibrated' goes with the methods forward, backward, central, but the method is 'richardson'",
        ),
        ({"method": "auto", "step_size": 1e-3}, ValueError, "method='auto' measures its steps: leave step_size out"),
        ({"noise": -1.0}, ValueError, "noise must be above 0, but is -1.0"),
        ({"noise": "much"}, ValueError, "noise must be a number above 0, 'estimate' or None, but is 'much'"),
        ({"noise": True}, ValueError, "noise must be a number above 0, 'estimate' or None, but is True"),
        ({"noise": 1e-3, "method": "complex_step"}, ValueError, "complex_step needs a function without noise"),
        ({"recalibrate": 0}, ValueError, "recalibrate must be 'on_failure', 'never' or a whole number of at least 1"),
        ({"on_failure": "ignore"}, LookupError, "unknown on_failure 'ignore'; there are: mark, raise, recover"),
        ({"tol": 0.0}, ValueError, "tol must be above 0, but is 0.0"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_say_why(kwargs, error, message):
    with pytest.raises(error) as caught:
        om.NumdiffOptions(**kwargs)
    assert message in str(caught.value)
