"""A derivative that belongs to its function is never called wrong; one that doesn't is found, named and explained."""

import dataclasses
import pickle
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest

import optcore as om
from optcore.errors import InvalidFunctionError, InvalidInputError, UserFunctionError, WrongDerivativeError
from optcore_problems import get_problem, get_suite
from tests.cases import in_one_test
from tests.core.counting import Counted, Given, counts_of, rosenbrock, rosenbrock_gradient, rows_of

SUITE = get_suite("more_wild")
NAMES = [problem.name for problem in SUITE]
least_squares, likelihood = om.mark.least_squares, om.mark.likelihood
X = np.array([1.0, -2.0, 0.5, 3.0])


def square(x):
    return x @ x


def check_jacobian(problem, mutate=lambda jacobian: jacobian, **kwargs):
    return om.check_derivative(
        least_squares(problem.residuals),
        problem.start,
        least_squares(lambda x: mutate(problem.jacobian(x).copy())),
        **kwargs,
    )


def check_gradient(problem, mutate=lambda gradient: gradient, **kwargs):
    return om.check_derivative(problem.fun, problem.start, lambda x: mutate(problem.gradient(x).copy()), **kwargs)


def verdicts(check):
    return {leaf.name: leaf.verdict for leaf in check.leaves}


# right derivatives pass ----------------------------------------------------------------------------------------------


@in_one_test("name", NAMES)
def test_no_right_derivative_of_a_published_problem_is_called_wrong(name):
    problem = SUITE[name]
    for seed in (0, 1):
        jacobian, gradient = check_jacobian(problem, seed=seed), check_gradient(problem, seed=seed)
        assert jacobian.ok, jacobian
        assert gradient.ok, gradient
        assert not gradient.undecided
        # What can't be judged is lost in rounding: below 1e-11 where residuals are of the order of one.
        assert all(abs(leaf.given) < 1e-11 and "rounding" in leaf.reason for leaf in jacobian.undecided), jacobian


@pytest.mark.parametrize("name", ["brown_badly_scaled", "powell_badly_scaled"])
def test_the_badly_scaled_problems_of_more_garbow_and_hillstrom_pass(name):
    """More, Garbow & Hillstrom (1981), problems 4 and 3; start, a point near the solution, and one of mixed scales."""
    residuals, jacobian, points = {
        "brown_badly_scaled": (
            lambda x: np.array([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2]),
            lambda x: np.array([[1, 0], [0, 1], [x[1], x[0]]], dtype=float),
            [(1.0, 1.0), (1e6, 2e-6), (999999.0, 1e-8)],
        ),
        "powell_badly_scaled": (
            lambda x: np.array([1e4 * x[0] * x[1] - 1, np.exp(-x[0]) + np.exp(-x[1]) - 1.0001]),
            lambda x: np.array([[1e4 * x[1], 1e4 * x[0]], [-np.exp(-x[0]), -np.exp(-x[1])]]),
            [(0.0, 1.0), (1.098e-5, 9.106), (1e-8, 20.0)],
        ),
    }[name]
    for point in points:
        check = om.check_derivative(least_squares(residuals), np.array(point), least_squares(jacobian))
        assert check.ok, check
        assert not check.undecided
        assert om.check_derivative(
            lambda x: np.sum(residuals(x) ** 2), np.array(point), lambda x: 2 * jacobian(x).T @ residuals(x)
        ).ok


SCALES = 10.0 ** np.arange(-8, 9, 2)
DIFFICULT = {
    "huge offset": (lambda x: 1e8 + x @ x, X, lambda x: 2 * x),
    "huge offset, small slope": (lambda x: 1e8 + 1e-3 * (x @ x), X, lambda x: 2e-3 * x),
    "zero params": (lambda x: np.sum(np.sin(x)), np.zeros(3), np.cos),
    "zero params and offset": (lambda x: 1e6 + np.sum(np.sin(x)), np.zeros(3), np.cos),
    "mixed scales": (lambda x: np.sum(np.exp(x / SCALES)), 0.7 * SCALES, lambda x: np.exp(x / SCALES) / SCALES),
    "unknown scales": (lambda x: np.sum(np.sin(x * SCALES)), np.full(9, 0.3), lambda x: np.cos(x * SCALES) * SCALES),
    "unknown scales at zero": (
        lambda x: np.sum(np.sin(x / SCALES)),
        np.zeros(9),
        lambda x: np.cos(x / SCALES) / SCALES,
    ),
    "logarithms near zero": (lambda x: np.sum(np.log(x)), 10.0 ** -np.arange(1, 9), lambda x: 1 / x),
    "params that are nearly zero": (lambda x: np.sum(np.sin(x)), np.array([1e-12, 1e-20, -1e-300, 5e-324]), np.cos),
    "large params": (lambda x: np.sum(np.cos(x)), np.array([1e4, 1e8]), lambda x: -np.sin(x)),
    "an optimum": (square, np.zeros(3), lambda x: 2 * x),
    "cancellation": (lambda x: np.sum((1 + x) ** 2 - 1 - 2 * x), X, lambda x: 2 * x),
    "a fast oscillation": (lambda x: np.sum(x + 1e-6 * np.sin(1e6 * x)), X, lambda x: 1 + np.cos(1e6 * x)),
    "a plateau": (lambda x: float(np.exp(-1e3) * x[0]), X[:1], lambda x: np.array([np.exp(-1e3)])),
}


@pytest.mark.parametrize("case", DIFFICULT)
def test_right_derivatives_pass_where_differences_are_difficult(case):
    fun, start, jac = DIFFICULT[case]
    check = om.check_derivative(fun, start, jac)
    assert check.ok, check
    assert not check.undecided, check


@pytest.mark.parametrize("case", [case for case in DIFFICULT if case not in ("a fast oscillation", "a plateau")])
def test_wrong_derivatives_are_found_where_differences_are_difficult(case):
    fun, start, jac = DIFFICULT[case]
    for j in range(start.size):
        factors = np.where(np.arange(start.size) == j, 2.0, 1.0)
        check = om.check_derivative(fun, start, lambda x, factors=factors: factors * jac(x))
        if case == "unknown scales" and j == 0:
            # An entry of 1e-8 beside one of 1e8: rounding of params may change the latter by more than the former.
            assert check.undecided[0].entry == "params[0]"
            assert check.leaves[0].n_undecided == 1
            continue
        assert not check.ok, check
        assert check.wrong[0].n_wrong == 1
        assert check.wrong[0].entry == (f"params[{j}]" if start.size > 1 else "params")


@pytest.mark.parametrize("noise", [1e-12, 1e-9, 1e-6, 1e-4, 1e-2, 1.0, 100.0])
def test_noise_makes_entries_undecided_but_never_wrong(noise):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        slopes, start = rng.normal(size=(4, 4)), rng.normal(size=4)

        def fun(x, slopes=slopes, rng=rng):
            return np.sum(np.exp(slopes @ x)) + noise * rng.normal()

        check = om.check_derivative(fun, start, lambda x, slopes=slopes: np.exp(slopes @ x) @ slopes, seed=seed)
        assert check.ok, check


def test_noise_that_drowns_the_derivative_is_undecided_and_says_why():
    rng = np.random.default_rng(0)
    check = om.check_derivative(lambda x: x @ x + 10 * rng.normal(), X, lambda x: 3 * x)
    assert check.ok
    assert verdicts(check) == {"params": "undecided"}
    assert check.leaves[0].n_undecided == 4
    assert "noise" in check.leaves[0].reason
    assert "4 undecided" in str(check)


@pytest.mark.parametrize("resolution", [1e-10, 1e-7, 1e-5, 1e-3])
def test_values_that_are_rounded_are_no_mistake_of_the_derivative(resolution):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        slopes, start = rng.normal(size=(4, 4)), rng.normal(size=4)

        def fun(x, slopes=slopes):
            return resolution * round(np.sum(np.exp(slopes @ x)) / resolution)

        assert om.check_derivative(fun, start, lambda x, slopes=slopes: np.exp(slopes @ x) @ slopes, seed=seed).ok


def test_single_precision_within_a_function_is_no_mistake_of_the_derivative():
    for seed in range(25):
        rng = np.random.default_rng(seed)
        start = rng.normal(size=4) * 10.0 ** rng.uniform(-3, 3, 4)
        slopes = rng.normal(size=(6, 4)) / np.abs(start)

        def fun(x, slopes=slopes):
            return float(np.sum(np.tanh(slopes.astype(np.float32) @ x.astype(np.float32))))

        assert om.check_derivative(fun, start, lambda x, A=slopes: (1 - np.tanh(A @ x) ** 2) @ A, seed=seed).ok


def test_rounding_within_a_function_that_cancels_is_no_mistake_of_the_derivative():
    """(s + x)^2 - s^2 - 2 s x is x^2, but below the spacing of floats around s a computer finds the slope -2 s."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        s, start = 10.0 ** rng.uniform(0, 10), rng.normal(size=4)
        check = om.check_derivative(
            lambda x, s=s: np.sum((s + x) ** 2 - s**2 - 2 * s * x), start, lambda x: 2 * x, seed=seed
        )
        assert check.ok, check


def test_a_kink_at_the_start_is_no_mistake_and_is_noted():
    check = om.check_derivative(lambda x: np.maximum(x, 0).sum(), np.zeros(2), lambda x: (x > 0) * 1.0)
    assert check.ok
    assert any("can't be judged at the start (a kink or noise" in note for note in check.notes)


@pytest.mark.parametrize("slope", [-1.0, 0.3, 1.0])
def test_at_a_kink_alone_nothing_can_be_judged(slope):
    check = om.check_derivative(lambda x: np.abs(x).sum(), np.zeros(2), lambda x: np.full(2, slope), n_points=0)
    assert check.ok
    assert verdicts(check) == {"params": "undecided"}
    assert "kink" in check.leaves[0].reason


# wrong derivatives are found -----------------------------------------------------------------------------------------


def mistaken(jacobian, how, i, j, k):
    """The jacobian (a new array) with a mistake in the entry (i, j); k is another column."""
    match how:
        case "factor 2":
            jacobian[i, j] *= 2
        case "sign":
            jacobian[i, j] *= -1
        case "missing":
            jacobian[i, j] = 0
        case "a thousandth":
            jacobian[i, j] *= 1.001
        case "swapped":
            jacobian[i, [j, k]] = jacobian[i, [k, j]]
        case "shifted":
            jacobian = np.roll(jacobian, 1, axis=1)
        case "transposed":
            jacobian = jacobian.T
    return jacobian


MISTAKES = ["factor 2", "sign", "missing", "a thousandth", "swapped", "shifted", "transposed"]


@pytest.mark.parametrize("how", MISTAKES)
def test_random_mistakes_are_found_in_all_functions_that_are_published(how):
    seed = MISTAKES.index(how)
    rng = np.random.default_rng(seed)
    for problem in SUITE.filter(tags={"start": "standard"}):
        if how == "transposed" and problem.m != problem.n:
            continue
        right, size = problem.jacobian(problem.start), np.maximum(np.abs(problem.start), 0.1)
        # Entries that change their residual by more than 1e-9 of it when the param changes by its size.
        seen = np.argwhere(
            np.abs(right) * size > 1e-9 * np.maximum(np.abs(problem.residuals(problem.start)), 1)[:, None]
        )
        i, j = (int(index) for index in rng.choice(seen))
        k = int((j + rng.integers(1, problem.n)) % problem.n)
        wrong = mistaken(right.copy(), how, i, j, k)
        if np.allclose(wrong, right, rtol=1e-4, atol=0):
            continue  # rows with equal entries
        check = check_jacobian(problem, lambda jacobian, i=i, j=j, k=k: mistaken(jacobian, how, i, j, k), seed=seed)
        assert not check.ok, problem.name
        if how in ("factor 2", "sign", "missing", "a thousandth"):
            assert check.wrong[0].n_wrong == 1
            assert check.wrong[0].entry == f"params[{j}] of residual[{i}]"
        gradient_check = check_gradient(
            problem, lambda g, j=j, k=k: mistaken(g[None], "factor 2" if how == "transposed" else how, 0, j, k)[0]
        )
        g = problem.gradient(problem.start)[None]
        if how != "transposed" and not np.allclose(mistaken(g.copy(), how, 0, j, k), g, rtol=1e-4):
            assert not gradient_check.ok, problem.name


def test_what_differs_at_random_points_only_is_found():
    """The sign of x'x at x = 0 can't be seen there."""
    assert not om.check_derivative(square, np.zeros(2), lambda x: -2 * x).ok
    assert om.check_derivative(square, np.zeros(2), lambda x: -2 * x, n_points=0).ok


# leaves and structures -----------------------------------------------------------------------------------------------

Point = namedtuple("Point", ["u", "v"])


def nested(p):
    return p["b"] ** 2 + 3 * p["c"][0] + p["c"][1] ** 3 + float((p["beta"] ** 2).sum()) + p["q"].u * p["q"].v


def nested_start():
    return {
        "q": Point(1.0, 2.0),
        "beta": pd.Series([1.0, 2.0], index=["age", "sex"]),
        "c": [0.5, 1.5],
        "b": 3.0,
    }


def nested_jac(p):
    return {"b": 2 * p["b"], "c": [3.0, 3 * p["c"][1] ** 2], "beta": 2 * p["beta"], "q": Point(p["q"].v, p["q"].u)}


def test_leaves_are_named_and_judged_each_by_itself():
    assert om.check_derivative(nested, nested_start(), nested_jac).ok

    def wrong(p):
        jac = nested_jac(p)
        jac["beta"]["age"] = 7.0
        jac["c"][1] = -jac["c"][1]
        return jac

    check = om.check_derivative(nested, nested_start(), wrong)
    assert verdicts(check) == {
        "b": "ok",
        "beta": "wrong",
        "c[0]": "ok",
        "c[1]": "wrong",
        "q.u": "ok",
        "q.v": "ok",
    }
    beta = next(leaf for leaf in check.leaves if leaf.name == "beta")
    assert beta.entry == "beta['age']"
    assert (beta.n_wrong, beta.n_entries) == (1, 2)
    at = check.points[beta.point]
    assert beta.given == 7.0
    assert beta.numerical == pytest.approx(2 * at["beta"]["age"], abs=max(beta.error, 1e-12))
    assert beta.error < 1e-6
    assert check.guesses == ("jac has the wrong sign at c[1].",)


def test_arrays_of_residuals_in_a_tree_are_named():
    def residuals(p):
        return {"r": p["a"] * np.arange(1.0, 3.0), "s": [p["a"] * p["b"][1], p["b"][0]]}

    def jacobian(p):
        return {
            "r": {"a": np.arange(1.0, 3.0), "b": np.zeros((2, 2))},
            "s": [{"a": p["b"][1], "b": np.array([0, -p["a"]])}, {"a": 0.0, "b": np.array([1.0, 0.0])}],
        }

    check = om.check_derivative(
        least_squares(residuals), {"a": 2.0, "b": np.array([1.0, 3.0])}, least_squares(jacobian)
    )
    assert verdicts(check) == {"a": "ok", "b": "wrong"}
    assert check.wrong[0].entry == "b[1] of s[0]"
    assert check.guesses == ("jac has the wrong sign at b[1] of s[0].",)


def test_functions_of_all_kinds_are_checked_each_against_its_own():
    problem = get_problem("more_wild/bard")

    def residuals(x) -> om.LeastSquaresFunctionValue:
        return om.LeastSquaresFunctionValue(problem.residuals(x))

    jacs = [problem.gradient, least_squares(problem.jacobian), likelihood(lambda x: -problem.jacobian(x))]
    funs = {"scalar": problem.fun, "least_squares": residuals, "likelihood": problem.residuals}
    check = om.check_derivative(funs, problem.start, jacs)
    assert {leaf.source: leaf.verdict for leaf in check.leaves} == {
        "jac (scalar)": "ok",
        "jac (least_squares)": "ok",
        "jac (likelihood)": "wrong",
    }
    assert check.guesses == ("jac (likelihood) has the wrong sign everywhere.",)


def test_a_gradient_is_checked_against_residuals_and_contributions_where_there_is_no_scalar_function():
    problem = get_problem("more_wild/bard")
    assert om.check_derivative(least_squares(problem.residuals), problem.start, problem.gradient).ok
    check = om.check_derivative(least_squares(problem.residuals), problem.start, lambda x: problem.gradient(x) / 2)
    assert check.guesses == (
        "jac is half the derivative everywhere: a factor 2 is missing (the gradient of a sum of squares r'r is 2 J'r).",
    )
    contributions = likelihood(problem.residuals)
    assert om.check_derivative(contributions, problem.start, lambda x: problem.jacobian(x).sum(axis=0)).ok


def test_fun_and_jac_needs_no_fun_and_both_derivatives_are_compared():
    both = Counted(lambda x: (x @ x, 2 * x))
    check = om.check_derivative(None, X, fun_and_jac=both.call)
    assert check.ok
    assert check.n_fun_and_jac_evals == check.n_evaluations == len(both) == 3 * (1 + 4 * X.size)
    check = om.check_derivative(square, X, lambda x: 2 * x, fun_and_jac=lambda x: (x @ x, x))
    assert {leaf.source: leaf.verdict for leaf in check.leaves} == {"jac": "ok", "fun_and_jac": "wrong"}


def test_a_derivative_without_a_function_of_its_kind_is_noted_or_refused():
    problem = get_problem("more_wild/bard")
    jacs = [problem.gradient, least_squares(problem.jacobian)]
    check = om.check_derivative(problem.fun, problem.start, jacs)
    assert check.ok
    assert check.notes == ("jac is a least_squares one, but there is no fun or fun_and_jac that it belongs to",)
    with pytest.raises(InvalidInputError, match="nothing to check: jac is a least_squares one"):
        om.check_derivative(problem.fun, problem.start, least_squares(problem.jacobian))
    with pytest.raises(InvalidInputError, match="nothing to check: give fun and jac, or fun_and_jac"):
        om.check_derivative(problem.fun, problem.start)


def test_kwargs_reach_the_functions():
    def fun(x, a):
        return a * (x @ x)

    assert om.check_derivative(fun, X, lambda x, a: 2 * a * x, fun_kwargs={"a": 3}).ok
    assert not om.check_derivative(fun, X, lambda x, a: 2 * a * x, fun_kwargs={"a": 3}, jac_kwargs={"a": 4}).ok


def test_derivatives_from_jax_pass_in_single_and_double_precision():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def fun(p):
        return jnp.sum(jnp.exp(p["w"] / 3) * jnp.cos(p["w"])) + p["b"] ** 2 * 1e-2

    for x64 in (False, True):
        with jax.enable_x64(x64):
            start = {"w": jnp.array([0.3, -1.2, 2.0]), "b": 2.0}
            check = om.check_derivative(fun, start, jax.grad(fun))
            assert check.ok, check
            assert not check.undecided
            assert om.check_derivative(fun, start, fun_and_jac=jax.value_and_grad(fun)).ok
            wrong = om.check_derivative(fun, start, lambda p: jax.tree.map(lambda g: -g, jax.grad(fun)(p)))
            assert wrong.guesses == ("jac has the wrong sign everywhere.",)
            array = om.check_derivative(
                lambda x: jnp.sum(x**3), np.array([0.1, 0.7]), jax.grad(lambda x: jnp.sum(x**3))
            )
            assert array.ok


# bounds, failures, what isn't finite ---------------------------------------------------------------------------------


def test_no_point_leaves_the_bounds_and_derivatives_at_bounds_are_judged():
    lower, upper = np.array([0.0, 1.0, -1e-9, 2.0]), np.array([1e-3, 1.0 + 1e-6, 1e-9, 3.0])
    start = np.array([1e-3, 1.0, 0.0, 3.0])
    fun = Counted(lambda x: np.sum(np.sqrt(x + 1) + x**3))
    jac = Counted(lambda x: 0.5 / np.sqrt(x + 1) + 3 * x**2)
    check = om.check_derivative(fun.call, start, jac.call, bounds=om.Bounds(lower, upper))
    points = np.array([*fun.points, *jac.points])
    assert (points >= lower).all()
    assert (points <= upper).all()
    assert check.ok
    assert not check.undecided, check
    assert not om.check_derivative(fun.call, start, lambda x: 2 * jac.call(x), bounds=om.Bounds(lower, upper)).ok


def test_what_bounds_fix_is_undecided_and_not_evaluated():
    fun = Counted(square)
    check = om.check_derivative(fun.call, X, lambda x: 3 * x, bounds=om.Bounds(X, X))
    assert verdicts(check) == {"params": "undecided"}
    assert check.leaves[0].reason == "fixed by its bounds"
    assert len(fun) == 3  # the start and two points that are the same


def test_fixed_entries_are_not_compared():
    def jac(p):
        return nested_jac(p) | {"b": 1.0, "c": [7.0, 3 * p["c"][1] ** 2]}

    assert verdicts(om.check_derivative(nested, nested_start(), jac))["c[0]"] == "wrong"
    check = om.check_derivative(nested, nested_start(), jac, fixed=["b", "c[0]"])
    assert verdicts(check) == {"beta": "ok", "c[1]": "ok", "q.u": "ok", "q.v": "ok"}
    arguments = {"fun": nested, "params": nested_start(), "jac": jac, "bounds": om.Bounds(lower=-10, upper=10)}
    arguments |= {"algorithm": "scipy_lbfgsb", "check_derivatives": True}
    assert om.minimize(**arguments, fixed=["b", "c[0]"]).success
    with pytest.raises(WrongDerivativeError, match=r"wrong at 'b', 'c\[0\]'"):
        om.minimize(**arguments)


@pytest.mark.parametrize("algorithm", ["scipy_ls_trf", "scipy_lbfgsb"])
def test_sparse_jacobians_are_compared_like_dense_ones(algorithm):
    from scipy import sparse

    def residuals(x):
        return np.append(x[1:] ** 2 - x[:-1], x[0] - 1)

    def jacobian(x, factor=1.0):
        rows = sparse.lil_array((x.size, x.size))
        rows.setdiag(-1.0)
        rows.setdiag(2 * factor * x[1:], 1)
        rows[-1, :] = 0.0
        rows[-1, 0] = 1.0
        return rows.tocsr()

    start = np.linspace(0.5, 2, 8)
    wrong = least_squares(lambda x: jacobian(x, 0.5))
    assert om.check_derivative(least_squares(residuals), start, least_squares(jacobian)).ok
    check = om.check_derivative(least_squares(residuals), start, wrong)
    assert check.wrong[0].n_wrong == 7
    assert check.guesses[0].startswith("jac is half the derivative at params[1] of residual[0]")
    functions = {"fun": least_squares(residuals), "params": start, "algorithm": algorithm, "check_derivatives": True}
    om.minimize(**functions, jac=least_squares(jacobian))
    with pytest.raises(WrongDerivativeError, match="is half the derivative"):
        om.minimize(**functions, jac=wrong)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_derivative_that_is_not_finite_is_wrong_and_says_so(value):
    check = om.check_derivative(
        lambda p: p["a"] ** 2 + p["b"], {"a": 1.0, "b": 2.0}, lambda p: {"a": 2 * p["a"], "b": value}
    )
    assert verdicts(check) == {"a": "ok", "b": "wrong"}
    assert check.wrong[0].reason == f"the given derivative is {value}"
    assert check.wrong[0].numerical == pytest.approx(1.0)


def test_a_point_where_a_function_raises_is_skipped_and_reported():
    def fun(x):
        if x[0] > 1.0:
            raise ValueError("too large")
        return x @ x

    check = om.check_derivative(fun, X, lambda x: 2 * x, n_points=6)
    assert check.ok
    assert "fun raised ValueError (too large), so that nothing was compared at point " in check.notes[1]
    assert "fun raised ValueError (too large) at steps around the start" in check.notes[0]

    def jac(x):
        if x[0] != X[0]:
            raise ZeroDivisionError("elsewhere")
        return 3 * x

    check = om.check_derivative(square, X, jac)
    assert not check.ok
    assert check.notes == (
        "jac raised ZeroDivisionError (elsewhere), so that nothing was compared at point 1, point 2",
    )


def test_functions_that_raise_or_are_not_finite_at_the_start_are_errors():
    def raises(x):
        raise ValueError("no")

    with pytest.raises(UserFunctionError, match=r"fun raised ValueError: no; at params array") as info:
        om.check_derivative(raises, X, lambda x: 2 * x)
    assert isinstance(info.value.__cause__, ValueError)
    with pytest.raises(UserFunctionError, match="jac raised ValueError: no"):
        om.check_derivative(square, X, raises)
    with pytest.raises(InvalidFunctionError, match=r"not finite \(nan or inf\) at array"):
        om.check_derivative(lambda x: np.nan, X, lambda x: 2 * x)


def test_values_that_are_not_finite_nearby_leave_what_can_be_judged():
    def fun(x):
        return np.inf if x[0] != 1.0 else x @ x

    check = om.check_derivative(fun, X, lambda x: 2 * x, n_points=0)
    assert check.ok
    assert check.leaves[0].entry == "params[0]"
    assert check.leaves[0].n_undecided == 1
    assert check.leaves[0].reason == "the function isn't finite around it"


def test_values_on_one_side_are_enough():
    def fun(x):
        return np.inf if x[0] > 1.0 + 1e-9 else x @ x

    check = om.check_derivative(fun, X, lambda x: 2 * x, n_points=0)
    assert check.ok
    assert not check.undecided
    assert not om.check_derivative(fun, X, lambda x: 2.1 * x, n_points=0).ok


BAD_STRUCTURES = {
    "one entry short": (lambda p: {"a": 1.0, "c": np.ones(1)}, r"jac at leaf 'c' has shape \(1,\).*\(2,\)"),
    "another key": (lambda p: {"a": 1.0, "d": np.ones(2)}, "jac has a leaf 'd' that params don't have"),
    "a key missing": (lambda p: {"a": 1.0}, "jac lacks the leaf 'c' of params"),
    "None": (lambda p: None, "jac must have the structure of params, .* but is None; is a return statement missing"),
    "complex": (lambda p: {"a": 1j, "c": np.ones(2)}, "jac at leaf 'a' must be real numbers"),
}


@pytest.mark.parametrize("case", BAD_STRUCTURES)
def test_a_wrong_structure_is_the_same_error_as_in_minimize(case):
    jac, message = BAD_STRUCTURES[case]
    arguments = (lambda p: p["a"] + p["c"].sum(), {"a": 1.0, "c": np.ones(2)})
    with pytest.raises(InvalidFunctionError, match=message) as here:
        om.check_derivative(*arguments, jac)
    with pytest.raises(InvalidFunctionError, match=message) as there:
        om.minimize(*arguments, "scipy_lbfgsb", jac=jac)
    assert str(here.value) == str(there.value)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"n_points": -1}, "n_points must be a whole number of at least 0, but is -1"),
        ({"n_points": 1.5}, "n_points must be a whole number of at least 0, but is 1.5"),
        ({"seed": "a"}, "seed must be a whole number of at least 0, but is 'a'"),
        ({"tolerance": 0}, "tolerance must be a number between 0 and 1, but is 0"),
        ({"bounds": om.Bounds(lower=2.0)}, "outside its bounds"),
    ],
)
def test_arguments_that_do_not_fit_are_named(argument, message):
    with pytest.raises(InvalidInputError, match=message):
        om.check_derivative(square, X, lambda x: 2 * x, **argument)


# guesses -------------------------------------------------------------------------------------------------------------


def curved(x):
    return np.sum(np.exp(x) + x**3) + x[0] * x[-1]


def curved_gradient(x):
    gradient = np.exp(x) + 3 * x**2
    gradient[0] += x[-1]
    gradient[-1] += x[0]
    return gradient


def replaced(x, **entries):
    gradient = curved_gradient(x)
    for name, value in entries.items():
        gradient[int(name[1:])] = value
    return gradient


CURVED = np.array([0.4, 1.3, -0.8, 2.1])
GUESSES = {
    "sign": (lambda x: -curved_gradient(x), "jac has the wrong sign everywhere."),
    "sign of one": (lambda x: curved_gradient(x) * [1, -1, 1, 1], "jac has the wrong sign at params[1]."),
    "half": (lambda x: curved_gradient(x) / 2, "jac is half the derivative everywhere: a factor 2 is missing"),
    "twice": (lambda x: curved_gradient(x) * 2, "jac is twice the derivative everywhere: a factor 1/2 is missing"),
    "-2": (lambda x: -2 * curved_gradient(x), "jac is -2 times the derivative everywhere: sign and a factor 2"),
    "any factor": (
        lambda x: 1.7 * curved_gradient(x),
        "jac is 1.7 times the derivative everywhere: a constant factor.",
    ),
    "shifted": (lambda x: np.roll(curved_gradient(x), 1), "shifted by one: the entry of each param stands at the next"),
    "shifted back": (
        lambda x: np.append(curved_gradient(x)[1:], 0.0),
        "shifted by one: the entry of each param stands at the previous",
    ),
    "swapped": (lambda x: curved_gradient(x)[[0, 2, 1, 3]], "jac: params[1] and params[2] are swapped."),
    "copied": (lambda x: replaced(x, _3=curved_gradient(x)[0]), "jac at params[3] is what belongs to params[0]."),
    "missing": (lambda x: replaced(x, _2=0.0), "jac is zero where the derivative isn't, at params[2]."),
    "of the logarithm": (
        lambda x: curved_gradient(x) / curved(x),
        "is the derivative of the logarithm of the function",
    ),
    "by the logarithm": (
        lambda x: curved_gradient(x) * x,
        "is the derivative with respect to the logarithm of the param everywhere",
    ),
    "inexact": (
        lambda x: curved_gradient(x) * (1 + 1e-3 * np.sin(50 * x)),
        "jac is off by less than 3% everywhere: perhaps the function is an approximation itself",
    ),
}


@pytest.mark.parametrize("case", GUESSES)
def test_the_usual_mistakes_are_recognized(case):
    jac, guess = GUESSES[case]
    check = om.check_derivative(curved, CURVED, jac)
    assert not check.ok
    assert len(check.guesses) == 1
    assert guess in check.guesses[0]
    assert guess[:30] in str(check)


def test_two_mistakes_get_a_sentence_each_and_an_unknown_one_gets_none():
    check = om.check_derivative(curved, CURVED, lambda x: curved_gradient(x) * [-1, 1, 0, 1])
    assert check.guesses == (
        "jac is zero where the derivative isn't, at params[2].",
        "jac has the wrong sign at params[0].",
    )
    assert om.check_derivative(curved, CURVED, lambda x: curved_gradient(x) + np.sin(x)).guesses == ()


@pytest.mark.parametrize("name", ["chebyquad_n6", "freudenstein_roth", "helical_valley", "heart_eight"])
def test_a_transposed_jacobian_is_recognized(name):
    check = check_jacobian(SUITE[name], lambda jacobian: jacobian.T)
    assert check.guesses == ("jac is transposed: the shape must be (number of values, number of params).",)


def test_shifted_residuals_and_squares_are_recognized():
    problem = SUITE["kowalik_osborne"]
    check = check_jacobian(problem, lambda jacobian: np.roll(jacobian, 1, axis=0))
    assert check.guesses == ("jac is shifted by one: the entry of each value stands at the next one.",)
    check = om.check_derivative(
        least_squares(problem.residuals),
        problem.start,
        least_squares(lambda x: 2 * problem.residuals(x)[:, None] * problem.jacobian(x)),
    )
    assert check.guesses == ("jac is the derivative of the squares of the values everywhere.",)


def test_a_permutation_gets_a_few_sentences_only():
    start = np.linspace(0.5, 3, 20)
    order = np.random.default_rng(0).permutation(20)
    check = om.check_derivative(curved, start, lambda x: curved_gradient(x)[order])
    assert len(check.guesses) == 6
    assert check.guesses[0] == f"jac at params[0] is what belongs to params[{order[0]}]."
    assert check.guesses[-1].endswith("more entries in the wrong place.")


def test_a_mean_instead_of_a_sum_is_recognized():
    problem = SUITE["bard"]
    check = om.check_derivative(
        likelihood(problem.residuals), problem.start, likelihood(lambda x: problem.jacobian(x) / 15)
    )
    assert check.guesses == ("jac is 1/15 of the derivative everywhere; 15 is the number of contributions.",)


# what a check is -----------------------------------------------------------------------------------------------------


def test_checks_repeat_with_a_seed_and_differ_between_seeds():
    first, again, other = (check_gradient(SUITE["bard"], seed=seed) for seed in (3, 3, 4))
    assert first.leaves == again.leaves
    assert not np.array_equal(first.points[1], other.points[1])
    assert np.array_equal(first.points[0], other.points[0])


def test_random_points_move_every_entry_by_up_to_a_tenth_and_zeros_too():
    start = np.array([0.0, 1e-8, -5.0, 1e8])
    check = om.check_derivative(square, start, lambda x: 2 * x, n_points=50)
    moved = np.array(check.points[1:]) - start
    reach = np.array([0.01, 1e-9, 0.5, 1e7])
    assert (np.abs(moved) <= reach).all()
    assert (np.abs(moved).max(axis=0) > 0.8 * reach).all()
    assert (moved != 0).all()


def test_evaluations_are_counted():
    fun, jac = Counted(curved), Counted(curved_gradient)
    check = om.check_derivative(fun.call, CURVED, jac.call)
    assert check.n_fun_evals == check.n_evaluations == len(fun) == 3 * (1 + 4 * CURVED.size)
    assert check.n_jac_evals == len(jac) == 3
    assert f"({len(fun)} evaluations)" in str(check)


def test_a_check_prints_as_a_table_that_fits_120_columns():
    start = {f"a_parameter_with_a_very_long_name_{i}": np.full(3, i + 1.0) for i in range(60)}

    def fun(p):
        return sum(np.sum(x**3) for x in p.values()) * 1e-10

    def jac(p):
        return {name: -3e-10 * x**2 * ([1, 2, 3] if name.endswith("_59") else [-1, -1, -1]) for name, x in p.items()}

    check = om.check_derivative(fun, start, jac, fun_and_jac=lambda p: (fun(p), jac(p)), n_points=1)
    text = str(check)
    assert repr(check) == text
    assert max(map(len, text.splitlines())) <= 120
    lines = text.splitlines()
    assert lines[0].startswith("derivative check: 360 entries at 2 points: 6 wrong")
    assert lines[1].split() == [
        "leaf",
        "verdict",
        "worst",
        "entry",
        "point",
        "given",
        "numerical",
        "±",
        "wrong",
        "open",
        "of",
    ]
    assert lines[2] == "jac:"
    assert "wrong" in lines[3]  # the worst leaves first
    assert lines[4] == "fun_and_jac:"
    assert "... and 80 more leaves, see .leaves" in text


def test_a_check_is_a_frame_html_and_can_be_pickled():
    check = om.check_derivative(nested, nested_start(), lambda p: nested_jac(p) | {"b": 1.0})
    frame = check.to_frame()
    assert list(frame.columns) == [field.name for field in dataclasses.fields(type(check.leaves[0]))]
    assert frame.set_index("name")["verdict"].to_dict() == verdicts(check)
    html = check._repr_html_()
    assert html.count("<tr>") == 1 + len(check.leaves)
    assert "wrong" in html
    assert pickle.loads(pickle.dumps(check)).leaves == check.leaves
    assert isinstance(check.ok, bool)
    assert isinstance(check, om.DerivativeCheck)
    with pytest.raises(dataclasses.FrozenInstanceError):
        check.notes = ()


def test_importing_optcore_imports_neither_the_check_nor_pandas():
    code = "import sys, optcore; print([m for m in ('pandas', 'optcore.derivative_check') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# minimize(check_derivatives=True) ------------------------------------------------------------------------------------

SOURCES = {"jac": ["fun", "jac"], "fun_and_jac": ["fun_and_jac"], "all": ["fun", "jac", "fun_and_jac"], "fun": ["fun"]}
SOLVERS = ["scipy_lbfgsb", "scipy_bfgs", "scipy_slsqp", "scipy_ls_trf", "scipy_ls_lm", "scipy_neldermead"]


@pytest.mark.parametrize("algorithm", SOLVERS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_right_derivative_changes_nothing_but_the_counts_which_stay_exact(algorithm, source):
    start = np.array([-1.2, 1.0])
    given = Given(getattr(om.algos, algorithm).kind, SOURCES[source])
    checked = om.minimize(params=start, algorithm=algorithm, check_derivatives=True, **given.arguments)
    assert counts_of(checked) == given.counts == rows_of(checked)
    assert checked.n_numdiff_evals == (checked.history.task == "numdiff").sum()
    plain = om.minimize(
        params=start, algorithm=algorithm, **Given(getattr(om.algos, algorithm).kind, SOURCES[source]).arguments
    )
    assert np.array_equal(checked.params, plain.params)
    assert checked.fun == plain.fun
    extra = sum(counts_of(checked).values()) - sum(counts_of(plain).values())
    used = source != "fun" and getattr(om.algos, algorithm).needs_jac
    assert extra == (3 * (1 + 4 * 2 + (2 if source == "all" else source == "jac")) if used else 0)


def test_points_of_the_check_are_never_the_result_nor_the_best_so_far():
    """From a start at the optimum of one param, random points are better than all that a stopped solver asks for."""

    def both(x):
        return rosenbrock(x), rosenbrock_gradient(x)

    start = np.array([-1.2, 1.0])
    result = om.minimize(
        fun_and_jac=both, params=start, algorithm="scipy_lbfgsb", check_derivatives=True, budget=om.Budget(28)
    )
    values = result.history.fun
    assert result.n_fun_and_jac_evals == 28
    assert np.nanmin(values) < result.fun == result.start_fun == result.history.monotone_fun[-1]
    assert np.array_equal(result.params, start)


@pytest.mark.parametrize("max_evaluations", [1, 5, 20, 27, 28, 29, 60])
@pytest.mark.parametrize("source", ["jac", "fun_and_jac"])
def test_the_budget_holds_within_the_check(max_evaluations, source):
    given = Given("scalar", SOURCES[source])
    result = om.minimize(
        params=np.array([-1.2, 1.0]),
        algorithm="scipy_lbfgsb",
        budget=om.Budget(max_evaluations=max_evaluations),
        check_derivatives=True,
        **given.arguments,
    )
    assert counts_of(result) == given.counts == rows_of(result)
    assert given.counts["fun"] + given.counts["fun_and_jac"] == max_evaluations or result.success
    assert result.status is om.Status.BUDGET_EVALUATIONS or max_evaluations == 60
    assert result.fun == rosenbrock(result.params)


@pytest.mark.parametrize("direction", [om.minimize, om.maximize])
def test_a_wrong_derivative_is_an_error_that_names_the_leaf_and_has_the_check(direction):
    def fun(p):
        return -(p["a"] ** 2) - (p["b"] - 1) ** 2 if direction is om.maximize else p["a"] ** 2 + (p["b"] - 1) ** 2

    sign = -1 if direction is om.maximize else 1
    start = {"a": 1.0, "b": 3.0}

    def jac(p):
        return {"a": sign * 2 * p["a"], "b": sign * (p["b"] - 1)}

    with pytest.raises(WrongDerivativeError, match=r"jac returned is wrong at 'b'\. At .*for b: jac gives") as info:
        direction(fun, start, "scipy_lbfgsb", jac=jac, check_derivatives=True)
    assert isinstance(info.value, InvalidFunctionError)
    assert verdicts(info.value.check) == {"a": "ok", "b": "wrong"}
    assert "jac is half the derivative at b: a factor 2 is missing." in str(info.value)
    assert "print(error.check) shows all leaves, and check_derivatives=False" in str(info.value)
    assert pickle.loads(pickle.dumps(info.value)).check.guesses == info.value.check.guesses
    direction(fun, start, "scipy_lbfgsb", jac=jac)  # trusted without the check
    assert direction(fun, start, "scipy_neldermead", jac=jac, check_derivatives=True).success  # jac isn't used


def test_jacobians_that_serve_through_the_chain_rule_and_bounds_are_checked():
    problem = SUITE["bard"]
    arguments = {"params": problem.start, "fun": least_squares(problem.residuals), "bounds": om.Bounds(lower=1.0)}
    right, wrong = least_squares(problem.jacobian), least_squares(lambda x: problem.jacobian(x) * [1, 1, -1])
    for algorithm in ("scipy_lbfgsb", "scipy_ls_trf"):
        result = om.minimize(algorithm=algorithm, jac=right, check_derivatives=True, **arguments)
        assert (result.history.flat_params >= 1.0).all()
        with pytest.raises(WrongDerivativeError, match=r"wrong sign at params\[2\]"):
            om.minimize(algorithm=algorithm, jac=wrong, check_derivatives=True, **arguments)
        with pytest.raises(WrongDerivativeError, match=r"wrong sign at params\[2\]"):
            om.minimize(
                algorithm=algorithm,
                params=problem.start,
                fun_and_jac=least_squares(lambda x: (problem.residuals(x), wrong(x))),
                check_derivatives=True,
            )


@pytest.mark.parametrize("error_handling", ["raise", "continue"])
def test_failures_at_points_of_the_check_are_survived_and_recorded(error_handling):
    def fun(x):
        if x[0] > 1.0:
            raise ValueError("too large")
        return x @ x

    counted = Counted(fun)
    result = om.minimize(
        counted.call,
        X,
        "scipy_lbfgsb",
        jac=lambda x: 2 * x,
        check_derivatives=True,
        error_handling=error_handling,
    )
    assert result.success
    assert len(counted) == result.n_fun_evals == np.isin(result.history.task, ["fun", "numdiff"]).sum()
    assert np.isnan(result.history.fun[result.history.task == "numdiff"]).any()


def test_check_derivatives_must_be_a_bool_and_entries_that_cannot_be_judged_pass_silently():
    with pytest.raises(InvalidInputError, match="check_derivatives must be one of False, True, but is 'yes'"):
        om.minimize(square, X, "scipy_lbfgsb", check_derivatives="yes")
    rng = np.random.default_rng(0)
    om.minimize(
        lambda x: x @ x + 10 * rng.normal(),
        X,
        "scipy_lbfgsb",
        jac=lambda x: 3 * x,
        check_derivatives=True,
        budget=om.Budget(max_evaluations=400),
    )
