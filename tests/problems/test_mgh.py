"""The suite of More, Garbow & Hillstrom: what is in it, that every function is the published one, and its minima."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from math import pi

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import least_squares

from optcore.errors import InvalidInputError
from optcore_problems import Problem, functions, get_problem, get_suite
from tests.cases import in_one_test
from tests.problems.mgh_values import CUTEST, MINPACK, OTHERWISE_IN_CUTEST, PRINTED, PRINTED_LOCAL, second_point

SUITE = get_suite("mgh")
every_problem = in_one_test("problem", SUITE)

# The functions by their number in the publication, with the sizes n, or (n, m), that the suite holds.
FUNCTIONS = [
    ("rosenbrock", [(2, 2)]),
    ("freudenstein_roth", [(2, 2)]),
    ("powell_badly_scaled", [(2, 2)]),
    ("brown_badly_scaled", [(2, 3)]),
    ("beale", [(2, 3)]),
    ("jennrich_sampson", [(2, 10)]),
    ("helical_valley", [(3, 3)]),
    ("bard", [(3, 15)]),
    ("gaussian", [(3, 15)]),
    ("meyer", [(3, 16)]),
    ("gulf_rd", [(3, 99)]),
    ("box_3d", [(3, 10)]),
    ("powell_singular", [(4, 4)]),
    ("wood", [(4, 6)]),
    ("kowalik_osborne", [(4, 11)]),
    ("brown_dennis", [(4, 20)]),
    ("osborne_1", [(5, 33)]),
    ("biggs_exp6", [(6, 13)]),
    ("osborne_2", [(11, 65)]),
    ("watson", [(6, 31), (9, 31), (12, 31), (20, 31)]),
    ("ext_rosenbrock", [(2, 2), (10, 10), (20, 20)]),
    ("ext_powell_singular", [(4, 4), (12, 12), (20, 20)]),
    ("penalty_1", [(4, 5), (10, 11)]),
    ("penalty_2", [(4, 8), (10, 20)]),
    ("variably_dimensioned", [(6, 8), (10, 12), (20, 22)]),
    ("trigonometric", [(10, 10), (30, 30)]),
    ("brown_almost_linear", [(10, 10), (30, 30), (40, 40)]),
    ("discrete_boundary_value", [(10, 10), (30, 30)]),
    ("discrete_integral", [(10, 10), (30, 30)]),
    ("broyden_tridiagonal", [(10, 10), (30, 30)]),
    ("broyden_banded", [(10, 10), (30, 30)]),
    ("linear_full_rank", [(5, 10), (10, 20), (5, 50)]),
    ("linear_rank1", [(5, 10), (10, 20), (5, 50)]),
    ("linear_rank1_zero", [(5, 10), (10, 20), (5, 50)]),
    ("chebyquad", [(5, 5), (6, 6), (7, 7), (8, 8), (9, 9), (10, 10), (1, 8), (8, 16)]),
]


def published_start(function: str, n: int) -> list[float]:
    i = np.arange(1.0, n + 1)
    grid = i / (n + 1)
    fixed = {
        "rosenbrock": [-1.2, 1.0],
        "freudenstein_roth": [0.5, -2.0],
        "powell_badly_scaled": [0.0, 1.0],
        "brown_badly_scaled": [1.0, 1.0],
        "beale": [1.0, 1.0],
        "jennrich_sampson": [0.3, 0.4],
        "helical_valley": [-1.0, 0.0, 0.0],
        "bard": [1.0, 1.0, 1.0],
        "gaussian": [0.4, 1.0, 0.0],
        "meyer": [0.02, 4000.0, 250.0],
        "gulf_rd": [5.0, 2.5, 0.15],
        "box_3d": [0.0, 10.0, 20.0],
        "powell_singular": [3.0, -1.0, 0.0, 1.0],
        "wood": [-3.0, -1.0, -3.0, -1.0],
        "kowalik_osborne": [0.25, 0.39, 0.415, 0.39],
        "brown_dennis": [25.0, 5.0, -5.0, -1.0],
        "osborne_1": [0.5, 1.5, -1.0, 0.01, 0.02],
        "biggs_exp6": [1.0, 2.0, 1.0, 1.0, 1.0, 1.0],
        "osborne_2": [1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5],
        "watson": [0.0] * n,
        "ext_rosenbrock": [-1.2, 1.0] * (n // 2),
        "ext_powell_singular": [3.0, -1.0, 0.0, 1.0] * (n // 4),
        "penalty_1": list(i),
        "penalty_2": [0.5] * n,
        "variably_dimensioned": list(1.0 - i / n),
        "trigonometric": [1.0 / n] * n,
        "brown_almost_linear": [0.5] * n,
        "discrete_boundary_value": list(grid * (grid - 1.0)),
        "discrete_integral": list(grid * (grid - 1.0)),
        "broyden_tridiagonal": [-1.0] * n,
        "broyden_banded": [-1.0] * n,
        "linear_full_rank": [1.0] * n,
        "linear_rank1": [1.0] * n,
        "linear_rank1_zero": [1.0] * n,
        "chebyquad": list(grid),
    }
    return fixed[function]


def test_the_suite_holds_all_functions_in_their_order_and_sizes() -> None:
    expected = [(number, name, *size) for number, (name, sizes) in enumerate(FUNCTIONS, 1) for size in sizes]
    assert [(p.tags["mgh"], p.tags["function"], p.n, p.m) for p in SUITE] == expected
    assert len(SUITE) == 66


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (("watson", 20, None), "watson_n20"),
        (("chebyquad", 8, 16), "chebyquad_n8_m16"),
        (("chebyquad", 8, None), "chebyquad_n8"),
        (("chebyquad", 1, 8), "chebyquad_n1_m8"),
        (("linear_rank1", 10, None), "linear_rank1_n10_m20"),
        (("linear_full_rank", 5, 50), "linear_full_rank_n5_m50"),
        (("gulf_rd", None, None), "gulf_rd"),
        (("box_3d", 3, 10), "box_3d"),
    ],
    ids=str,
)
def test_sizes_that_the_suite_holds_are_its_problems(size: tuple[str, int, int], name: str) -> None:
    function, n, m = size
    assert get_problem(f"mgh/{function}", n=n, m=m) is SUITE[name]


@pytest.mark.parametrize(
    ("function", "n", "m"),
    [
        ("watson", 2, 31), ("watson", 31, 31), ("ext_rosenbrock", 100, 100), ("ext_powell_singular", 8, 8),
        ("penalty_1", 1, 2), ("penalty_2", 1, 2), ("penalty_2", 7, 14), ("variably_dimensioned", 1, 3),
        ("trigonometric", 1, 1), ("trigonometric", 5, 5), ("brown_almost_linear", 2, 2), ("gulf_rd", 3, 3),
        ("gulf_rd", 3, 100), ("biggs_exp6", 6, 6), ("biggs_exp6", 6, 30), ("chebyquad", 11, 11),
        ("discrete_boundary_value", 1, 1), ("discrete_integral", 1, 1), ("broyden_tridiagonal", 1, 1),
        ("broyden_banded", 3, 3),
    ],
)  # fmt: skip
def test_other_sizes_have_values_and_jacobians(function: str, n: int, m: int) -> None:
    problem = get_problem(f"mgh/{function}", n=n, m=m)
    assert (problem.n, problem.m) == (n, m)
    np.testing.assert_array_equal(problem.start, published_start(function, n))
    x = second_point(problem.start)
    columns = [problem.residuals(x + 1e-150j * e).imag / 1e-150 for e in np.eye(n)]
    np.testing.assert_allclose(problem.jacobian(x), np.stack(columns, axis=1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("function", "n", "m"),
    [
        ("watson", 1, None), ("watson", 32, None), ("ext_rosenbrock", 3, None), ("ext_powell_singular", 6, None),
        ("gulf_rd", 3, 101), ("gulf_rd", 3, 2), ("biggs_exp6", 6, 5), ("trigonometric", 5, 6), ("penalty_1", 4, 4),
        ("rosenbrock", 3, None), ("wood", 4, 4), ("penalty_2", 0, None),
    ],
)  # fmt: skip
def test_sizes_that_do_not_exist_are_errors_that_say_which_do(function: str, n: int, m: int | None) -> None:
    with pytest.raises(InvalidInputError, match=f"{function} has no size n={n}.*; its sizes: n "):
        get_problem(f"mgh/{function}", n=n, m=m)


@every_problem
def test_starts_are_the_published_ones(problem: Problem) -> None:
    expected = published_start(problem.tags["function"], problem.n)
    np.testing.assert_allclose(problem.start, expected, rtol=1e-14, atol=0)


@every_problem
def test_texts_and_tags_are_complete(problem: Problem) -> None:
    assert problem.suite == "mgh"
    assert f"function {problem.tags['mgh']}" in problem.reference
    assert problem.tags["class"] in ("linear", "zero_residual", "nonzero_residual")
    assert (problem.tags["class"] == "zero_residual") <= (problem.f_opt == 0.0)
    assert problem.f_opt_source.startswith(("exact", "closed form", "best known: "))
    assert len(problem.description) > 40
    assert problem.takes_columns
    assert len(pickle.dumps(problem)) < 8000


@pytest.mark.parametrize("name", MINPACK)
def test_values_and_jacobians_agree_with_minpack(name: str) -> None:
    problem = SUITE[name]
    x = second_point(problem.start)
    values = (problem.f_start, problem.fun(x), *(np.linalg.norm(problem.jacobian(at)) for at in (problem.start, x)))
    # MINPACK subtracts the sum of n cosines from n, and so has an error of eps n where f is 1e-3.
    np.testing.assert_allclose(values, MINPACK[name], rtol=1e-11 if name.startswith("trigonometric") else 1e-12)


@pytest.mark.parametrize("name", CUTEST)
def test_values_and_gradients_agree_with_cutest(name: str) -> None:
    problem = SUITE[name]
    x = second_point(problem.start)
    values = (problem.f_start, problem.fun(x), *(np.linalg.norm(problem.gradient(at)) for at in (problem.start, x)))
    np.testing.assert_allclose(values, CUTEST[name][1:], rtol=1e-12)


def test_every_problem_has_a_second_source() -> None:
    # Function 21 is copies of function 1, whose values are in both tables.
    without = {p.name for p in SUITE} - set(MINPACK) - set(CUTEST)
    assert without == {"ext_rosenbrock_n2", "ext_rosenbrock_n10", "ext_rosenbrock_n20"}
    for problem in map(SUITE.__getitem__, without):
        x = problem.start + np.sin(np.arange(problem.n))
        pairs = [SUITE["rosenbrock"].residuals(pair) for pair in x.reshape(-1, 2)]
        np.testing.assert_allclose(problem.residuals(x), np.concatenate(pairs), rtol=1e-14, atol=1e-14)


def osborne_2_of_cutest(x: NDArray[np.float64]) -> NDArray[np.float64]:
    t, y = np.arange(65.0) / 10.0 + 0.2, functions.Osborne2._Y
    peaks = sum(x[k] * np.exp(-((t - x[k + 7]) ** 2) * x[k + 4]) for k in (1, 2, 3))
    return y - x[0] * np.exp(-t * x[4]) - peaks


def kowalik_osborne_of_cutest(x: NDArray[np.float64]) -> NDArray[np.float64]:
    u, y = np.append(functions.KowalikOsborne._U[:-1], 0.0624), functions.KowalikOsborne._Y
    return y - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def helical_valley_of_cutest(x: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = np.arctan2(x[1], x[0]) * 0.15915494
    return np.array([10.0 * (x[2] - 10.0 * angle), 10.0 * (np.hypot(x[0], x[1]) - 1.0), x[2]])


def trigonometric_of_cutest(x: NDArray[np.float64]) -> NDArray[np.float64]:
    i = np.arange(1.0, x.size + 1)
    return x.size - np.cos(x).sum() + i * (1.0 - np.cos(x) - np.sin(x))


def brown_almost_linear_of_cutest(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.append(x[:-1] + x.sum() - (x.size + 1.0), np.prod(x[:10]) - 1.0)


def watson_of_cutest(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Only twelve variables enter p, and all of them its derivative."""
    t = np.arange(1.0, 30.0)[:, None] / 29.0
    j = np.arange(x.size)
    p, slope = (t ** j[:12]) @ x[:12], (j[1:] * t ** j[:-1]) @ x[1:]
    return np.concatenate((slope - p**2 - 1.0, x[:1], x[1:2] - x[:1] ** 2 - 1.0))


def broyden_banded_of_cutest(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the 1; squares and cubes are exchanged in the inner rows, except for the neighbour above."""
    n, r = x.size, []
    for i in range(n):
        is_inner = 5 <= i < n - 2
        own, below = (x[i] ** 2, 3) if is_inner else (x[i] ** 3, 2)
        before = sum(x[j] + x[j] ** below for j in range(max(0, i - 5), i))
        after = x[i + 1] + x[i + 1] ** 2 if i + 1 < n else 0.0
        r.append(2.0 * x[i] + 5.0 * own - before - after)
    return np.array(r)


@pytest.mark.parametrize("name", OTHERWISE_IN_CUTEST)
def test_where_cutest_differs_it_is_for_the_reason_given(name: str) -> None:
    problem = SUITE[name]
    otherwise: Callable[[NDArray[np.float64]], NDArray[np.float64]] = globals()[f"{problem.tags['function']}_of_cutest"]
    points = (problem.start, second_point(problem.start))
    values = [float((otherwise(x) ** 2).sum()) for x in points]
    np.testing.assert_allclose(values, OTHERWISE_IN_CUTEST[name][1:3], rtol=1e-12)
    assert np.abs(problem.fun(points[1]) / values[1] - 1.0) > 1e-8
    assert any("CUTEst" in remark for remark in problem.remarks)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("osborne_1", "start's third entry is -1"),
        ("watson", "start is 0 in the publication"),
        ("gulf_rd", "misprint"),
        ("freudenstein_roth", "local minimum 48.98425"),
        ("chebyquad", "6.50395e-3"),
        ("biggs_exp6", "5.65565e-3"),
        ("kowalik_osborne", "0.0624"),
        ("osborne_2", "OSBORNEB"),
        ("penalty_2", "NLSProblems.jl"),
        ("box_3d", "BOX3"),
        ("brown_dennis", "funconstrain"),
        ("bard", "infinity"),
    ],
)
def test_disagreements_between_sources_are_said(function: str, words: str) -> None:
    for problem in SUITE.filter(tags={"function": function}):
        assert any(words in remark for remark in problem.remarks)


def cut_off(value: float, printed: str) -> bool:
    """Whether printed digits are those of the value, rounded or cut off: the publication has both."""
    digits, _, power = printed.partition("e")
    unit = 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
    return abs(value - float(printed)) < unit


def test_cut_off_tells_digits_apart() -> None:
    assert cut_off(3.0750560e-4, "3.07505e-4")
    assert cut_off(5.655649925e-3, "5.65565e-3")
    assert not cut_off(3.0752e-4, "3.07505e-4")


@every_problem
def test_least_values_are_the_printed_ones(problem: Problem) -> None:
    if problem.tags["class"] == "linear":
        m, n = problem.m, problem.n
        by_number = {32: m - n, 33: m * (m - 1) / (2 * (2 * m + 1)), 34: (m * m + 3 * m - 6) / (2 * (2 * m - 3))}
        assert problem.f_opt == by_number[problem.tags["mgh"]]
    elif problem.name == "chebyquad_n10":
        # The printed value is a local minimum.
        assert problem.f_opt < float(PRINTED_LOCAL[problem.name]) - 1e-3
    elif problem.name in PRINTED:
        assert cut_off(problem.f_opt, PRINTED[problem.name])
    elif problem.name in ("watson_n20", "chebyquad_n1_m8", "chebyquad_n8_m16"):
        assert problem.f_opt_source.startswith("best known")  # nothing is printed
    else:
        assert problem.f_opt == 0.0


@pytest.mark.parametrize(("name", "printed"), PRINTED_LOCAL.items())
def test_local_minima_are_the_printed_ones(name: str, printed: str) -> None:
    assert any(cut_off(local.f, printed) for local in SUITE[name].local_optima)


def rounding_of_f(problem: Problem, x: NDArray[np.float64]) -> float:
    """Residuals are known to eps times the terms that they are differences of, f to 2 |r| times as much."""
    r, J = problem.residuals(x), problem.jacobian(x)
    data = np.abs(problem.residuals(np.zeros(problem.n)))
    noise = np.finfo(float).eps * (1.0 + np.where(np.isfinite(data), data, 0.0) + np.abs(J) @ np.abs(x))
    return float((2.0 * np.abs(r) * noise + noise * noise).sum() * 10)


@every_problem
def test_values_and_gradients_at_the_minima_are_those_listed(problem: Problem) -> None:
    local = [(local.f, np.array(local.x)) for local in problem.local_optima if local.x is not None]
    for f, x in [(problem.f_opt, problem.x_opt), *local]:
        assert f >= problem.f_opt
        assert abs(problem.fun(x) - f) <= rounding_of_f(problem, x)
        r, J = np.abs(problem.residuals(x)), np.abs(problem.jacobian(x))
        data = np.abs(problem.residuals(np.zeros(problem.n)))
        noise = J.T @ (r + np.where(np.isfinite(data), data, 0.0) + J @ np.abs(x) + 1.0)
        assert np.all(np.abs(problem.gradient(x)) <= 20 * np.finfo(float).eps * noise)


# Newton's method in mpmath with 110 digits, on formulas of its own.
@pytest.mark.parametrize(
    ("name", "f", "x"),
    [
        ("penalty_1_n4", 2.249977500899937e-05, 0.2500074995875379),
        ("penalty_1_n10", 7.087651467090369e-05, 0.15812230111311634),
    ],
)
def test_the_closed_form_of_penalty_1_agrees_with_many_digits(name: str, f: float, x: float) -> None:
    np.testing.assert_allclose(SUITE[name].f_opt, f, rtol=1e-15)
    np.testing.assert_allclose(SUITE[name].x_opt, x, rtol=1e-15)


# Where Levenberg-Marquardt ends from the standard start instead, at one of the local minima listed or, for chebyquad
# with n = 1, at the start, which is stationary by symmetry.
ENDS_ELSEWHERE = {
    "freudenstein_roth": 48.98425367924001,
    "trigonometric_n10": 2.7950561218794563e-05,
    "trigonometric_n30": 9.896841037159079e-07,
    "chebyquad_n10": 0.006503954800882306,
    "chebyquad_n1_m8": 3.557893675988914,
    "chebyquad_n8_m16": 0.058956089042502734,
}


@every_problem
def test_levenberg_marquardt_solves_it_from_the_published_start(problem: Problem) -> None:
    # The first step of lm for biggs_exp6 is decided by rounding, see its description.
    method = "trf" if problem.name == "biggs_exp6" else "lm"
    solution = least_squares(
        problem.residuals,
        problem.start,
        jac=problem.jacobian,
        method=method,
        x_scale="jac",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
        max_nfev=2000,
    )
    f = problem.fun(solution.x)
    assert f >= problem.f_opt - rounding_of_f(problem, solution.x)
    if problem.name == "watson_n20":
        assert f < 1e-16
    else:
        expected = ENDS_ELSEWHERE.get(problem.name, problem.f_opt)
        assert abs(f - expected) <= 1e-13 * problem.f_start
    if problem.name in ENDS_ELSEWHERE and problem.name != "chebyquad_n1_m8":
        assert any(local.f == ENDS_ELSEWHERE[problem.name] for local in problem.local_optima)


@pytest.mark.parametrize(
    ("name", "reach"),
    [("biggs_exp6", 0.5), ("chebyquad_n1_m8", 0.5), ("chebyquad_n8_m16", 0.3), ("chebyquad_n10", 0.3)],
)
def test_nothing_below_the_best_known_value_from_many_starts(name: str, reach: float) -> None:
    problem, rng = SUITE[name], np.random.default_rng(11)
    found = []
    for _ in range(40):
        start = problem.start + rng.uniform(-reach, reach, problem.n)
        x = least_squares(problem.residuals, start, jac=problem.jacobian, xtol=1e-15, ftol=1e-15, gtol=1e-15).x
        assert problem.fun(x) >= problem.f_opt - rounding_of_f(problem, x)
        found.append(problem.fun(x))
    np.testing.assert_allclose(min(found), problem.f_opt, rtol=1e-9, atol=1e-12)


def test_the_second_minimum_of_beale_is_at_infinity() -> None:
    problem = SUITE["beale"]
    (local,) = problem.local_optima
    np.testing.assert_allclose(local.f, 1.5**2 + 2.25**2 + 2.625**2 - 13.875**2 / 14, rtol=1e-14)
    values = [problem.fun([-111 / 112 / gap, 1.0 + gap]) for gap in (1e-2, 1e-4, 1e-6)]
    assert values[0] > values[1] > values[2] > local.f
    np.testing.assert_allclose(values[2], local.f, rtol=1e-5)


@pytest.mark.parametrize(("share", "lowest"), [(1.5, "minimum"), (0.5, "saddle")])
def test_the_local_minima_of_biggs_have_factors_of_opposite_signs(share: float, lowest: str) -> None:
    problem = SUITE["biggs_exp6"]
    (local,) = problem.local_optima
    x = np.array(local.x)
    total = x[2] + x[5]
    x[[2, 5]] = share * total, (1.0 - share) * total
    assert abs(problem.fun(x) - local.f) < 1e-15
    # Second derivative along the direction that moves both equal exponents and keeps their weighted sum.
    direction = np.zeros(6)
    direction[[0, 4]] = x[5], -x[2]
    h = 1e-4
    ahead, back = (problem.gradient(x + sign * h * direction) @ direction for sign in (1.0, -1.0))
    assert (ahead - back > 0.0) == (lowest == "minimum")


@every_problem
def test_many_points_at_once_are_the_single_ones(problem: Problem) -> None:
    rng = np.random.default_rng(problem.n)
    points = problem.start * (1.0 + 0.1 * rng.standard_normal((4, problem.n))) + 0.01
    for x in (points, points + 1e-20j * rng.standard_normal(points.shape)):
        expected = np.stack([problem.residuals(row) for row in x])
        found = problem.residuals_batch(x)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13 * np.abs(expected).max())
        np.testing.assert_allclose(found.imag, expected.imag, rtol=1e-12, atol=1e-12 * np.abs(expected.imag).max())
    assert problem.residuals_batch(points[:1]).shape == (1, problem.m)
    assert problem.residuals_batch(points[:0]).shape == (0, problem.m)


@pytest.mark.parametrize(
    "function", [p for p in get_suite("more_wild") if p.tags["start"] == "standard"], ids=lambda p: p.name
)
def test_functions_of_more_wild_take_many_points_too(function: Problem) -> None:
    points = np.stack([function.start, second_point(function.start), 2.0 * function.start + 0.01])
    assert function.takes_columns
    expected = np.stack([function.residuals(row) for row in points])
    np.testing.assert_allclose(
        function.residuals_batch(points), expected, rtol=1e-12, atol=1e-13 * np.abs(expected).max()
    )


class TestGulf:
    """The data are between 25 and 52.6; where x_2 is one of them, |y_i - x_2|^x_3 has no derivative of its own."""

    def test_the_minimum_is_exact_for_every_number_of_residuals(self) -> None:
        for m in (3, 99, 100):
            problem = get_problem("mgh/gulf_rd", n=3, m=m)
            assert problem.fun([50.0, 25.0, 1.5]) < 1e-28

    def test_the_misprint_is_another_function(self) -> None:
        problem, x = SUITE["gulf_rd"], np.array([50.0, 25.0, 1.5])
        i = np.arange(1.0, 100.0)
        y = 25.0 + (-50.0 * np.log(i / 100.0)) ** (2.0 / 3.0)
        misprint = np.exp(-(np.abs(y * 99.0 * i * x[1]) ** x[2]) / x[0]) - i / 100.0
        assert (misprint**2).sum() > 30.0
        assert problem.fun(x) < 1e-28

    def test_powers_on_both_sides_of_the_data_have_their_derivatives(self) -> None:
        problem = SUITE["gulf_rd"]
        for x2 in (10.0, 27.0, 60.0):
            x = np.array([40.0, x2, 1.3])
            columns = [problem.residuals(x + 1e-150j * e).imag / 1e-150 for e in np.eye(3)]
            np.testing.assert_allclose(problem.jacobian(x), np.stack(columns, axis=1), rtol=1e-12, atol=1e-15)

    def test_a_distance_of_zero_gives_no_nan(self) -> None:
        problem, x = get_problem("mgh/gulf_rd", n=3, m=100), np.array([50.0, 25.0, 1.5])
        J = problem.jacobian(x)
        np.testing.assert_array_equal(J[-1], 0.0)
        columns = [problem.residuals(x + 1e-150j * e).imag / 1e-150 for e in np.eye(3)]
        np.testing.assert_allclose(J, np.stack(columns, axis=1), rtol=1e-12, atol=1e-15)


def test_helical_valley_knows_pi_to_all_digits() -> None:
    x = np.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(SUITE["helical_valley"].residuals(x)[0], -100.0 * np.arctan(1.0) / (2 * pi), rtol=1e-15)
