"""Extrapolated derivatives: every entry within its bound, everywhere; what they cost; bounds, noise, vectors, trees."""

import numpy as np
import pytest
import scipy.differentiate
import scipy.special

import optcore as om
from optcore_problems import get_problem
from tests.core.counting import Counted, rosenbrock_jacobian, rosenbrock_residuals
from tests.core.derivative_suite import HARD, Hard, exact, osborne, osborne_residuals, rosenbrock_chain

#: Entries that are below the rounding of the function: the derivative of Brown's function in its second param is -4,
#: its values are 1e12.
BELOW_ROUNDING = {"brown badly scaled"}


def points_near(problem, count, seed=0):
    rng = np.random.default_rng(seed)
    return [problem.x * (1 + 0.03 * rng.normal(size=problem.x.size) * (k > 0)) for k in range(count)]


def relative(difference, truth):
    """Entry by entry; absolute where the entry is zero."""
    return np.abs(difference) / np.where(truth == 0, 1.0, np.abs(truth))


@pytest.mark.parametrize("name", HARD)
def test_every_entry_is_exact_to_nine_digits_and_within_its_bound_for_12_evaluations_and_5_rounds(name):
    problem = HARD[name]
    with np.errstate(invalid="ignore"):  # logarithms of negative numbers are part of the problem
        for x in points_near(problem, 6):
            result = om.first_derivative(problem.fun, x, method="richardson")
            truth = exact(problem.fun, x)
            error = np.abs(result.derivative - truth)
            assert (error <= result.error).all()
            assert (relative(error, truth) <= 1e-9).all() or name in BELOW_ROUNDING
            assert error.max() <= 1e-8 * np.abs(truth).max()
            assert sum(result.n_evaluations.values()) <= 1 + 12 * x.size
            assert result.n_rounds <= 5


#: Functions of one variable, their derivatives in closed form, and where they are smooth.
ELEMENTARY = {
    "exp": (np.exp, np.exp, [-3.0, 0.0, 0.7, 5.0]),
    "sin": (np.sin, np.cos, [-2.0, 0.0, 0.5, 9.0]),
    "log": (np.log, lambda x: 1 / x, [1e-3, 0.4, 1.0, 30.0]),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), [1e-2, 0.3, 4.0]),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2, [-1.0, 0.0, 0.2, 3.0]),
    "1/x": (lambda x: 1 / x, lambda x: -(x**-2.0), [-2.0, 0.05, 1.0, 100.0]),
    "x^5": (lambda x: x**5, lambda x: 5 * x**4, [-1.0, 0.3, 2.0]),
    "x^2.5": (lambda x: x**2.5, lambda x: 2.5 * x**1.5, [0.1, 1.0, 7.0]),
    "gauss": (lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x), [-1.5, 0.1, 0.8, 2.5]),
    "erf": (scipy.special.erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x), [-1.0, 0.0, 0.4, 2.0]),
    "bessel": (scipy.special.j0, lambda x: -scipy.special.j1(x), [0.3, 2.0, 7.0, 12.0]),
    "gamma": (scipy.special.gamma, lambda x: scipy.special.gamma(x) * scipy.special.psi(x), [0.2, 1.0, 3.3, 6.0]),
    "runge": (lambda x: 1 / (1 + 25 * x * x), lambda x: -50 * x / (1 + 25 * x * x) ** 2, [-0.9, 0.05, 0.4]),
    "atan": (np.arctan, lambda x: 1 / (1 + x * x), [-3.0, 0.0, 1.0]),
    "fast sine": (lambda x: np.sin(40 * x), lambda x: 40 * np.cos(40 * x), [0.0, 0.33, 1.0, 5.0]),
    "offset": (lambda x: np.exp(x) + 1e6, np.exp, [-1.0, 0.0, 2.0]),
}
SCALES = [1e-8, 1e-4, 1e-2, 1.0, 1e3, 1e7]


def test_on_16_functions_at_many_points_and_scales_the_bound_holds_for_99_of_100_entries():
    held, precise, total = 0, 0, 0
    evaluations = []
    for fun, slope, points in ELEMENTARY.values():
        for scale in SCALES:
            for x in points:
                with np.errstate(all="ignore"):  # the first steps may lead out of the domain
                    result = om.first_derivative(
                        lambda t, fun=fun, scale=scale: float(fun(t[0] / scale)),
                        np.array([x * scale]),
                        method="richardson",
                    )
                truth = slope(x) / scale
                error = abs(result.derivative[0] - truth)
                held += error <= result.error[0]
                # What the rounding of x alone does to the value: x / scale isn't exact.
                rounding = np.finfo(float).eps * (abs(fun(x)) + abs(x * slope(x))) / max(abs(x), 1e-2) / scale
                precise += error <= 1e-9 * abs(truth) + 100 * rounding
                total += 1
                evaluations.append(sum(result.n_evaluations.values()) - 1)
    assert total == 6 * sum(len(points) for _, _, points in ELEMENTARY.values())
    assert held >= 0.99 * total
    assert precise >= 0.98 * total
    assert np.mean(evaluations) <= 12


def test_the_bound_knows_that_functions_round_their_arguments():
    """Chebyquad is symmetric in x_j and 1 - x_j. Its start is too, but for rounding: the derivative in the middle is
    1e-15, and no difference shows it, since 2 x - 1 rounds that away."""
    for n in (9, 11):
        problem = get_problem(f"more_wild/chebyquad_n{n}")
        result = om.first_derivative(problem.fun, problem.start, method="richardson")
        assert (np.abs(result.derivative - exact(problem.fun, problem.start)) <= result.error).all()


def test_agrees_with_scipy_differentiate_where_that_works():
    x = np.array([0.3, 0.7, 1.9, 4.4])
    scipys = scipy.differentiate.derivative(lambda t: np.sin(t) * np.exp(-t), x)
    for value, truth in zip(x, scipys.df, strict=True):
        ours = om.first_derivative(lambda t: np.sin(t) * np.exp(-t), float(value), method="richardson")
        assert abs(ours.derivative - truth) <= ours.error + 1e-12


#: numdifftools 0.11.2, Gradient and Jacobian with default options, and statsmodels 0.15.0, approx_fprime_cs (the
#: second row of the gradient), of the functions below at (0.3, -1.2, 0.8).
NUMDIFFTOOLS_GRADIENT = [-0.160211861903133, 0.150144708595035, 0.572253473567409]
STATSMODELS_GRADIENT = [-0.160211861903083, 0.150144708595037, 0.57225347356742]
NUMDIFFTOOLS_JACOBIAN = [
    [-0.600578834380134, 0.150144708595039, 0.48607577732636],
    [-5.688888888888387, 0.0, 6.4],
    [-0.180706638923654, 0.180706638923658, 0.0],
]


def published(x):
    return np.exp(x[0] * x[1]) * np.sin(x[2]) + np.log(1 + x[0] ** 2) * x[2]


def published_vector(x):
    return np.array([np.exp(x[0] * x[1]) * np.sin(x[2]), x[2] ** 3 / x[0], np.tanh(x[1] - x[0])])


def test_agrees_with_numdifftools_and_statsmodels():
    x = np.array([0.3, -1.2, 0.8])
    result = om.first_derivative(published, x, method="richardson")
    np.testing.assert_allclose(result.derivative, NUMDIFFTOOLS_GRADIENT, rtol=1e-10)
    np.testing.assert_allclose(result.derivative, STATSMODELS_GRADIENT, rtol=1e-9)
    jacobian = om.first_derivative(published_vector, x, method="richardson")
    np.testing.assert_allclose(jacobian.derivative, NUMDIFFTOOLS_JACOBIAN, rtol=1e-9, atol=1e-11)


def test_each_entry_of_a_jacobian_has_a_bound_of_its_own():
    x = np.array([0.5, 1.5, -1.0, 0.01, 0.02])
    result = om.first_derivative(osborne_residuals, x, method="richardson")
    truth = exact(osborne_residuals, x)
    assert result.derivative.shape == result.error.shape == truth.shape == (33, 5)
    assert (np.abs(result.derivative - truth) <= result.error).all()
    # A change of the residuals moves each column by rounding, and entries differ by a factor of a thousand.
    np.testing.assert_allclose(result.derivative, truth, rtol=1e-9, atol=1e-11)


def test_entries_of_very_different_sizes_are_judged_one_by_one():
    def fun(x):
        return np.array([1e6 * np.sin(x[0]), 1e-6 * np.cos(3 * x[0]) + x[1] ** 2])

    x = np.array([0.7, 1e-3])
    result = om.first_derivative(fun, x, method="richardson")
    truth = exact(fun, x)
    assert (np.abs(result.derivative - truth) <= result.error).all()
    np.testing.assert_allclose(result.derivative, truth, rtol=1e-9)


def test_a_looser_tolerance_costs_less():
    spent = [
        sum(om.first_derivative(osborne, HARD["osborne 1"].x, method="richardson", tol=tol).n_evaluations.values())
        for tol in (1e-2, 1e-9, 1e-13)
    ]
    assert spent[0] <= spent[1] < spent[2]


def test_all_coordinates_of_a_round_are_one_batch_and_the_first_one_has_the_base_point():
    problem = Hard(rosenbrock_chain, np.tile([-1.2, 1.0], 3))
    batches = []

    def recording_map(function, points):
        batches.append(np.array(points))
        return map(function, points)

    options = om.NumdiffOptions(method="richardson", batch_evaluator=recording_map)
    result = om.first_derivative(problem.fun, problem.x, options=options)
    assert len(batches) == result.n_rounds == 2
    np.testing.assert_array_equal(batches[0][0], problem.x)
    assert {int(np.flatnonzero(x != problem.x)[0]) for x in batches[0][1:]} == set(range(6))


@pytest.mark.parametrize("n_cores", [1, 2])
def test_calls_are_counted_exactly(n_cores):
    counted = Counted(rosenbrock_chain)
    result = om.first_derivative(counted.call, np.array([0.3, -0.4]), method="richardson")
    assert len(counted) == sum(result.n_evaluations.values())
    assert len({x.tobytes() for x in counted.points}) == len(counted)
    parallel = om.first_derivative(rosenbrock_chain, np.array([0.3, -0.4]), method="richardson", n_cores=n_cores)
    np.testing.assert_array_equal(parallel.derivative, result.derivative)
    assert parallel.n_evaluations == result.n_evaluations


# bounds --------------------------------------------------------------------------------------------------------------


def watched(fun, lower, upper):
    """A function that fails the test when it is called outside the bounds."""

    def inner(x):
        assert (lower <= x).all()
        assert (x <= upper).all()
        return fun(x)

    return inner


@pytest.mark.parametrize("method", ["richardson", "central", "forward", "backward"])
@pytest.mark.parametrize("where", ["at lower", "at upper", "near lower", "narrow", "inside"])
def test_points_stay_within_bounds_and_the_derivative_is_right(method, where):
    x = np.array([0.5, 2.0, -1.0])
    lower, upper = x - 1.0, x + 1.0
    if where == "at lower":
        lower = x.copy()
    elif where == "at upper":
        upper = x.copy()
    elif where == "near lower":
        lower = x - 1e-7
    elif where == "narrow":
        lower, upper = x - 1e-5, x + 2e-5

    def smooth(x):
        return np.exp(x[0]) * np.sin(x[1]) + x[2] ** 3

    truth = exact(smooth, x)
    result = om.first_derivative(
        watched(smooth, lower, upper), x, bounds=om.Bounds(lower, upper), method=method, on_failure="raise"
    )
    rtol = {"richardson": 1e-10, "central": 1e-8, "forward": 1e-6, "backward": 1e-6}[method]
    if where == "narrow" and method == "richardson":
        rtol = 1e-8  # short steps leave rounding
    np.testing.assert_allclose(result.derivative, truth, rtol=rtol)
    if method == "richardson":
        assert (np.abs(result.derivative - truth) <= result.error).all()


@pytest.mark.parametrize(("bounds", "scheme"), [(om.Bounds(lower=1.0), "forward"), (om.Bounds(upper=1.0), "backward")])
def test_at_a_bound_the_scheme_says_to_which_side_it_went(bounds, scheme):
    extrapolated = om.first_derivative(np.exp, 1.0, bounds=bounds, method="richardson")
    assert set(extrapolated.scheme.values()) == {f"richardson_{scheme}"}
    three = om.first_derivative(np.exp, 1.0, bounds=bounds, method="central")
    assert set(three.scheme.values()) == {f"{scheme}_3"}
    assert abs(three.derivative - np.e) < 1e-9
    assert three.n_evaluations == {"base": 1, "differences": 2}


@pytest.mark.parametrize("method", ["richardson", "central", "forward", "complex_step"])
def test_a_fixed_param_has_the_derivative_zero_for_no_evaluation(method):
    counted = Counted(lambda x: x[0] ** 2 * x[1])
    result = om.first_derivative(
        counted.call, np.array([2.0, 3.0]), bounds=om.Bounds([0.0, 3.0], [9.0, 3.0]), method=method
    )
    np.testing.assert_allclose(result.derivative, [12.0, 0.0], rtol=1e-6)
    assert result.scheme["1"] == "fixed"
    assert result.step[1] == 0
    if method != "complex_step":  # its check moves nothing that is fixed either, but in the same point
        assert {float(x[1]) for x in counted.points} == {3.0}


@pytest.mark.parametrize("method", ["richardson", "central", "forward"])
def test_a_box_of_1e_12_gives_a_derivative_and_an_honest_bound(method):
    lower, upper = np.array([1 - 1e-12]), np.array([1 + 1e-12])
    result = om.first_derivative(
        watched(lambda x: np.exp(x[0]), lower, upper), np.ones(1), bounds=om.Bounds(lower, upper), method=method
    )
    assert abs(result.derivative[0] - np.e) < 1e-2
    if method == "richardson":
        assert abs(result.derivative[0] - np.e) <= result.error[0] < 10


def test_a_start_outside_the_bounds_by_rounding_is_moved_onto_them():
    lower, upper = np.array([0.1 + 0.2]), np.array([1.0])  # 0.30000000000000004
    result = om.first_derivative(
        watched(lambda x: x[0] ** 2, lower, upper), np.array([0.3]), bounds=om.Bounds(lower, upper), method="richardson"
    )
    assert result.derivative[0] == pytest.approx(0.6)
    with pytest.raises(om.InvalidInputError, match=r"the start of '0' is 0.2999, outside its bounds"):
        om.first_derivative(lambda x: x[0], np.array([0.2999]), bounds=om.Bounds(lower, upper))


# noise ---------------------------------------------------------------------------------------------------------------


def test_a_known_level_of_noise_keeps_the_steps_long_and_the_bound_honest():
    rng = np.random.default_rng(5)
    truth = exact(rosenbrock_chain, HARD["rosenbrock"].x)
    held = total = 0
    for _ in range(20):
        result = om.first_derivative(
            lambda x: rosenbrock_chain(x) + 1e-6 * rng.normal(), HARD["rosenbrock"].x, method="richardson", noise=1e-6
        )
        error = np.abs(result.derivative - truth)
        assert error.max() <= 1e-5 * np.abs(truth).max()
        assert result.noise == 1e-6
        held, total = held + (error <= result.error).sum(), total + error.size
    assert held >= 0.99 * total


def test_estimated_noise_serves_as_well_as_a_known_one():
    rng = np.random.default_rng(5)
    problem = HARD["rosenbrock"]
    result = om.first_derivative(
        lambda x: rosenbrock_chain(x) + 1e-6 * rng.uniform(-1, 1),
        problem.x,
        method="richardson",
        noise="estimate",
        tol=1e-4,
    )
    error = np.abs(result.derivative - problem.gradient)
    assert error.max() <= 1e-6 * np.abs(problem.gradient).max()
    assert sum(result.n_evaluations.values()) <= 5 * 10 + 7
    assert result.n_evaluations["noise"] == 6
    assert 1e-7 < result.noise < 3e-6  # the standard deviation is 5.8e-7
    assert (error <= result.error).all()


# trees, kinds, minimize ----------------------------------------------------------------------------------------------


def test_errors_have_the_structure_of_the_derivative():
    result = om.first_derivative(
        lambda p: {"y": p["a"] * np.ones((2, 3)), "x": p["b"] @ p["b"]},
        {"a": 2.0, "b": np.array([1.0, 2.0])},
        method="richardson",
    )
    assert result.error["y"]["b"].shape == result.derivative["y"]["b"].shape == (2, 3, 2)
    assert result.error["x"]["a"] < 1e-9
    assert result.step["b"].shape == (2,)
    assert om.first_derivative(rosenbrock_chain, np.ones(2)).error is None


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_ls_trf"])
def test_minimize_takes_extrapolated_derivatives(algorithm):
    fun = (
        om.mark.least_squares(rosenbrock_residuals) if "ls" in algorithm else lambda x: float(np.sum(residuals(x) ** 2))
    )
    residuals = rosenbrock_residuals
    options = om.NumdiffOptions(method="richardson")
    result = om.minimize(fun, np.array([-1.2, 1.0]), algorithm, numdiff_options=options)
    np.testing.assert_allclose(result.params, [1, 1], atol=1e-4)
    exactly = om.minimize(
        fun,
        np.array([-1.2, 1.0]),
        algorithm,
        jac=om.mark.least_squares(rosenbrock_jacobian)
        if "ls" in algorithm
        else lambda x: 2 * rosenbrock_jacobian(x).T @ rosenbrock_residuals(x),
    )
    asked = result.history.task == "fun"
    np.testing.assert_allclose(
        result.history.flat_params[asked][:8], exactly.history.flat_params[exactly.history.task == "fun"][:8], rtol=1e-6
    )


def test_single_precision_is_found_out():
    result = om.first_derivative(
        lambda x: np.float32(np.sum(np.asarray(x, dtype=np.float32) ** 2)), np.array([1.5, -0.3]), method="richardson"
    )
    error = np.abs(result.derivative - [3.0, -0.6])
    assert (error <= result.error).all()
    assert error.max() < 1e-4
