"""The suite of More & Wild: what is in it, and that every function is the published one."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from optcore_problems import Problem, get_problem, get_suite
from tests.cases import in_one_test
from tests.problems.reference_values import (
    OTHER_RESIDUALS,
    OTHER_SIZES,
    PUBLISHED_LOCAL_OPTIMA,
    PUBLISHED_OPTIMA,
    VALUES,
    second_point,
)

SUITE = get_suite("more_wild")
every_problem = in_one_test("problem", SUITE)
per_function = in_one_test("problem", SUITE.filter(tags={"start": "standard"}))

# The rows of dfo.dat, the data file that comes with the publication: nprob, n, m, power of ten of the start.
DFO_DAT = """
1 9 45 0   1 9 45 1   2 7 35 0   2 7 35 1   3 7 35 0   3 7 35 1   4 2 2 0    4 2 2 1    5 3 3 0    5 3 3 1
6 4 4 0    6 4 4 1    7 2 2 0    7 2 2 1    8 3 15 0   8 3 15 1   9 4 11 0   10 3 16 0  11 6 31 0  11 6 31 1
11 9 31 0  11 9 31 1  11 12 31 0 11 12 31 1 12 3 10 0  13 2 10 0  14 4 20 0  14 4 20 1  15 6 6 0   15 7 7 0
15 8 8 0   15 9 9 0   15 10 10 0 15 11 11 0 16 10 10 0 17 5 33 0  18 11 65 0 18 11 65 1 19 8 8 0   19 10 12 0
19 11 14 0 19 12 16 0 20 5 5 0   20 6 6 0   20 8 8 0   21 5 5 0   21 5 5 1   21 8 8 0   21 10 10 0 21 12 12 0
21 12 12 1 22 8 8 0   22 8 8 1
"""
# MGH numbers by nprob, from the list of functions in More, Garbow & Hillstrom (1981).
MGH = [32, 33, 34, 1, 7, 13, 2, 8, 15, 10, 20, 12, 6, 16, 35, 27, 17, 19, None, None, None, None]

STARTS = {
    "linear_full_rank": [1.0] * 9,
    "linear_rank1": [1.0] * 7,
    "linear_rank1_zero": [1.0] * 7,
    "rosenbrock": [-1.2, 1.0],
    "helical_valley": [-1.0, 0.0, 0.0],
    "powell_singular": [3.0, -1.0, 0.0, 1.0],
    "freudenstein_roth": [0.5, -2.0],
    "bard": [1.0, 1.0, 1.0],
    "kowalik_osborne": [0.25, 0.39, 0.415, 0.39],
    "meyer": [0.02, 4000.0, 250.0],
    "watson_n6": [0.5] * 6,
    "watson_n9": [0.5] * 9,
    "watson_n12": [0.5] * 12,
    "box_3d": [0.0, 10.0, 20.0],
    "jennrich_sampson": [0.3, 0.4],
    "brown_dennis": [25.0, 5.0, -5.0, -1.0],
    "brown_almost_linear": [0.5] * 10,
    "osborne_1": [0.5, 1.5, 1.0, 0.01, 0.02],
    "osborne_2": [1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5],
    "heart_eight": [-0.3, -0.39, 0.3, -0.344, -1.2, 2.69, 1.59, -1.5],
}
STARTS |= {f"chebyquad_n{n}": [j / (n + 1) for j in range(1, n + 1)] for n in (6, 7, 8, 9, 10, 11)}
STARTS |= {f"bdqrtic_n{n}": [1.0] * n for n in (8, 10, 11, 12)}
STARTS |= {f"cube_n{n}": [0.5] * n for n in (5, 6, 8)}


def mancino_start(n: int) -> list[float]:
    start = []
    for i in range(1, n + 1):
        total = (i - 50.0) ** 3
        for j in range(1, n + 1):
            h = np.sqrt(i / j)
            total += h * (np.sin(np.log(h)) ** 5 + np.cos(np.log(h)) ** 5)
        start.append(-8.710996e-4 * total)
    return start


STARTS |= {f"mancino_n{n}": mancino_start(n) for n in (5, 8, 10, 12)}


def rows() -> list[tuple[int, int, int, int]]:
    numbers = [int(word) for word in DFO_DAT.split()]
    return [tuple(numbers[k : k + 4]) for k in range(0, len(numbers), 4)]


def test_the_rows_are_those_of_the_data_file_in_its_order() -> None:
    assert len(SUITE) == 53
    held = [(p.tags["nprob"], p.n, p.m, int(p.tags["start"] == "x10")) for p in SUITE]
    assert held == rows()


def test_the_names_say_function_size_and_start() -> None:
    names = []
    functions = list(dict.fromkeys(p.tags["function"] for p in SUITE))
    for nprob, n, _, power in rows():
        sized = len({row[1] for row in rows() if row[0] == nprob}) > 1
        names.append(functions[nprob - 1] + (f"_n{n}" if sized else "") + ("_x10" if power else ""))
    assert [p.name for p in SUITE] == names
    assert names[23] == "watson_n12_x10"
    assert len(functions) == 22


@every_problem
def test_tags_and_texts_are_complete(problem: Problem) -> None:
    assert problem.suite == "more_wild"
    assert problem.tags["kind"] == "least_squares"
    assert problem.tags["mgh"] == MGH[problem.tags["nprob"] - 1]
    assert problem.tags["class"] in ("linear", "zero_residual", "nonzero_residual")
    assert problem.tags["class"] != "zero_residual" or problem.f_opt == 0.0
    assert problem.version == "1"
    assert problem.bounds is None
    assert len(problem.reference) > 20
    assert problem.f_opt_source.startswith(("exact", "closed form", "best known: "))


@every_problem
def test_the_start_is_exact_and_read_only(problem: Problem) -> None:
    name, is_scaled = problem.name.removesuffix("_x10"), problem.name.endswith("_x10")
    np.testing.assert_allclose(problem.start, (10.0 if is_scaled else 1.0) * np.array(STARTS[name]), rtol=1e-14, atol=0)
    assert problem.start.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        problem.start[0] = 0.0


@every_problem
def test_values_and_jacobians_agree_with_other_programs(problem: Problem) -> None:
    f_start, f_second, norm_start, norm_second = VALUES[problem.name]
    x = second_point(problem.start)
    np.testing.assert_allclose([problem.f_start, problem.fun(x)], [f_start, f_second], rtol=1e-12)
    norms = [np.linalg.norm(problem.jacobian(at)) for at in (problem.start, x)]
    np.testing.assert_allclose(norms, [norm_start, norm_second], rtol=1e-12)


@pytest.mark.parametrize(("size", "value"), OTHER_SIZES.items(), ids=str)
def test_other_sizes_agree_with_other_programs(size: tuple[str, int, int], value: float) -> None:
    name, n, m = size
    problem = get_problem(f"more_wild/{name}", n=n, m=m)
    assert (problem.n, problem.m) == (n, m)
    np.testing.assert_allclose(problem.fun(1.0 / np.arange(2.0, n + 2.0)), value, rtol=1e-12)


@pytest.mark.parametrize(("size", "expected"), OTHER_RESIDUALS.items(), ids=str)
def test_other_numbers_of_residuals_agree_with_minpack(
    size: tuple[str, int, int], expected: tuple[float, float]
) -> None:
    name, n, m = size
    problem = get_problem(f"more_wild/{name}", n=n, m=m)
    np.testing.assert_allclose((problem.f_start, np.linalg.norm(problem.jacobian(problem.start))), expected, rtol=1e-12)


def test_two_starts_differ_from_those_published_with_the_functions() -> None:
    # More, Garbow & Hillstrom have -1 and 0 there; f at their starts: 0.87903 and 30.
    osborne, watson = SUITE["osborne_1"], SUITE["watson_n6"]
    assert osborne.start[2] == 1.0
    np.testing.assert_allclose(osborne.fun(np.array([0.5, 1.5, -1.0, 0.01, 0.02])), 0.87903, rtol=1e-5)
    np.testing.assert_allclose(watson.fun(np.zeros(6)), 30.0, rtol=1e-14)


@every_problem
def test_the_best_value_is_the_value_at_the_best_point(problem: Problem) -> None:
    assert problem.x_opt is not None
    rounding = 1e-15 * np.abs(problem.residuals(problem.start)).max() ** 2
    np.testing.assert_allclose(problem.fun(problem.x_opt), problem.f_opt, rtol=1e-11, atol=rounding)


@every_problem
def test_the_gradient_vanishes_at_the_best_point_to_rounding(problem: Problem) -> None:
    r, J = problem.residuals(problem.x_opt), problem.jacobian(problem.x_opt)
    # The entries of r are known to eps times the terms they are the difference of, J'r to as much times |J|;
    # a point known to eps moves the gradient by |J'J x| eps.
    terms = np.abs(problem.residuals(np.zeros(problem.n)))
    noise = np.abs(J).T @ (np.abs(r) + np.where(np.isfinite(terms), terms, 0.0) + np.abs(J) @ np.abs(problem.x_opt))
    assert np.all(np.abs(problem.gradient(problem.x_opt)) <= 20 * np.finfo(float).eps * (noise + 1e-300))


@pytest.mark.parametrize(("name", "value"), PUBLISHED_OPTIMA.items())
def test_best_values_are_the_published_ones(name: str, value: float) -> None:
    np.testing.assert_allclose(SUITE[name].f_opt, value, rtol=2e-6)


@pytest.mark.parametrize(("name", "value"), PUBLISHED_LOCAL_OPTIMA.items())
def test_local_minima_are_the_published_ones(name: str, value: float) -> None:
    np.testing.assert_allclose(SUITE[name].local_optima[0].f, value, rtol=1e-5)


@every_problem
def test_local_minima_have_the_value_listed(problem: Problem) -> None:
    for f, x in problem.local_optima:
        assert f >= problem.f_opt
        if x is not None:
            np.testing.assert_allclose(problem.fun(np.array(x)), f, rtol=1e-12, atol=1e-25)
            np.testing.assert_allclose(problem.gradient(np.array(x)), 0.0, atol=1e-12 * problem.f_start)


@every_problem
def test_a_problem_pickles_small_with_its_functions(problem: Problem) -> None:
    pickled = pickle.dumps(problem)
    copy = pickle.loads(pickled)
    assert len(pickled) < 5000
    assert copy.full_name == problem.full_name
    np.testing.assert_array_equal(copy.residuals(problem.start), problem.residuals(problem.start))
    np.testing.assert_array_equal(copy.jacobian(problem.start), problem.jacobian(problem.start))
    assert not copy.start.flags.writeable


@every_problem
def test_the_pattern_holds_every_nonzero_and_nothing_else(problem: Problem) -> None:
    if problem.tags["function"] not in ("bdqrtic", "cube", "mancino"):
        assert problem.sparsity is None
        return
    J = problem.jacobian(second_point(problem.start))
    np.testing.assert_array_equal(problem.sparsity.toarray(), J != 0.0)


@per_function
def test_jacobians_are_new_arrays(problem: Problem) -> None:
    first = problem.jacobian(problem.start)
    expected = first.copy()
    first[:] = np.nan
    np.testing.assert_array_equal(problem.jacobian(problem.start), expected)
