"""Sparse jacobians: kept sparse for solvers that take them, dense or r'J for the others, with the same results."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

import optcore as om
from optcore import sparse
from optcore.leaves import Leaf
from optcore.residuals import ResidualReader
from optcore.tree import Converter

N = 40
START = -np.ones(N)
FORMATS = [sp.csr_array, sp.csr_matrix, sp.csc_array, sp.coo_matrix, sp.dia_array, sp.lil_matrix, sp.dok_array,
           sp.bsr_array]  # fmt: skip


def residuals(x):
    """Broyden's tridiagonal function: More, Garbow & Hillstrom (1981), number 30."""
    padded = np.concatenate([[0.0], x, [0.0]])
    return (3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1


def jacobian(x):
    return sp.diags_array([-np.ones(N - 1), 3 - 4 * x, -2 * np.ones(N - 1)], offsets=[-1, 0, 1])


mark = om.mark.least_squares


class Seen:
    """What scipy.optimize.least_squares was given."""

    def __init__(self, monkeypatch):
        self.jacobians = []
        real = scipy.optimize.least_squares

        def least_squares(fun, x0, jac, **options):
            def watched(x):
                self.jacobians.append(jac(x))
                return self.jacobians[-1]

            return real(fun, x0, jac=watched, **options)

        monkeypatch.setattr(scipy.optimize, "least_squares", least_squares)


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("algorithm", ["scipy_ls_trf", "scipy_ls_dogbox"])
def test_a_sparse_jacobian_of_any_format_reaches_scipy_as_one(algorithm, kind, monkeypatch):
    seen = Seen(monkeypatch)
    jac = mark(lambda x: kind(jacobian(x)))
    result = om.minimize(mark(residuals), START, algorithm, jac=jac)
    assert all(sp.issparse(given) and given.format == "csr" for given in seen.jacobians)
    assert len(seen.jacobians) == result.n_jac_evals > 1
    assert result.fun < 1e-12
    peer = scipy.optimize.least_squares(
        residuals, START, jac=lambda x: sp.csr_array(jacobian(x)), method=algorithm[9:], ftol=2e-9, gtol=1e-8, xtol=1e-8
    )
    assert result.claims["nfev"] == peer.nfev
    np.testing.assert_allclose(result.params, peer.x, atol=1e-12)


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [("scipy_ls_lm", {}), ("scipy_ls_trf", {"tr_solver": "exact"}), ("scipy_ls_dogbox", {"tr_solver": "exact"})],
)
def test_solvers_that_work_on_dense_jacobians_get_them(algorithm, options, monkeypatch):
    seen = Seen(monkeypatch)
    results = [
        om.minimize(mark(residuals), START, algorithm, jac=mark(jac), algo_options=options)
        for jac in (jacobian, lambda x: jacobian(x).toarray())
    ]
    assert all(type(given) is np.ndarray for given in seen.jacobians)
    np.testing.assert_array_equal(results[0].history.flat_params, results[1].history.flat_params)


def test_a_solver_of_ones_own_gets_a_dense_jacobian():
    def gauss_newton(x0, residuals, residuals_jacobian):
        for _ in range(10):
            given = residuals_jacobian(x0)
            assert type(given) is np.ndarray
            x0 = x0 - np.linalg.lstsq(given, residuals(x0))[0]
        return x0

    assert om.minimize(mark(residuals), START, gauss_newton, jac=mark(jacobian)).fun < 1e-20


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_bfgs"])
@pytest.mark.parametrize("form", ["jac", "fun_and_jac"])
def test_scalar_solvers_get_the_gradient_of_a_sparse_jacobian_without_making_it_dense(algorithm, form, monkeypatch):
    def refuse(self):
        raise AssertionError("made dense")

    for cls in (sp.csr_array, sp.dia_array):
        monkeypatch.setattr(cls, "toarray", refuse)
    given = {"fun": mark(residuals), "jac": mark(jacobian)}
    if form == "fun_and_jac":
        given = {"fun_and_jac": mark(lambda x: (residuals(x), jacobian(x)))}
    result = om.minimize(params=START, algorithm=algorithm, **given)
    monkeypatch.undo()
    dense = om.minimize(mark(residuals), START, algorithm, jac=mark(lambda x: jacobian(x).toarray()))
    assert result.fun < 1e-7
    np.testing.assert_allclose(result.params, dense.params, atol=1e-6)


def test_contributions_with_a_sparse_derivative_are_summed():
    fun = om.mark.likelihood(lambda x: -((x - 2.0) ** 2))
    result = om.maximize(fun, np.zeros(3), "scipy_lbfgsb", jac=om.mark.likelihood(lambda x: sp.diags_array(4 - 2 * x)))
    np.testing.assert_allclose(result.params, 2, atol=1e-6)


# trees of blocks -----------------------------------------------------------------------------------------------------

PARAMS = {"x": np.array([1.0, 2.0, 3.0]), "a": 4.0, "w": np.ones((2, 2))}


def tree_residuals(p):
    return {"r": p["x"] * p["a"], "q": p["w"].ravel() - p["x"][[0, 1, 2, 0]], "s": p["a"] ** 2 - 9.0}


def tree_jacobian(p, make):
    of_w = np.eye(4)
    return {
        "r": {"x": make(np.diag(np.full(3, p["a"]))), "a": p["x"], "w": np.zeros((3, 2, 2))},
        "q": {
            "x": make(-np.eye(3)[[0, 1, 2, 0]]),
            "a": np.zeros(4),
            "w": of_w.reshape(4, 2, 2) if make is np.asarray else make(of_w),
        },
        "s": {"x": np.zeros(3), "a": 2 * p["a"], "w": np.zeros((2, 2))},
    }


def reader_of(params, value, **options):
    reader = ResidualReader(Converter(params), **options)
    reader.residuals(value, "fun")
    return reader


def numerical_jacobian(params):
    return om.first_derivative(tree_residuals, params, method="central").derivative


@pytest.mark.parametrize("make", [sp.csr_array, sp.csc_matrix, sp.coo_array], ids=lambda kind: kind.__name__)
def test_blocks_may_be_sparse_or_dense_and_are_joined_to_one_sparse_jacobian(make):
    given = tree_jacobian(PARAMS, make)
    reader = reader_of(PARAMS, tree_residuals(PARAMS), keeps_sparse=True)
    joined = reader.jacobian(given, "jac")
    assert sp.issparse(joined)
    assert joined.dtype == np.float64
    exact = reader_of(PARAMS, tree_residuals(PARAMS)).jacobian(numerical_jacobian(PARAMS), "jac")
    np.testing.assert_allclose(joined.toarray(), exact, atol=1e-8)
    dense = reader_of(PARAMS, tree_residuals(PARAMS)).jacobian(given, "jac")
    np.testing.assert_array_equal(dense, joined.toarray())


@pytest.mark.parametrize("fixed", [None, "a", ["x[1]", "w"]])
@pytest.mark.parametrize("algorithm", ["scipy_ls_trf", "scipy_ls_lm", "scipy_lbfgsb"])
def test_sparse_and_dense_blocks_end_at_the_same_optimum(algorithm, fixed):
    results = [
        om.minimize(
            mark(tree_residuals), PARAMS, algorithm, jac=mark(lambda p, make=make: tree_jacobian(p, make)), fixed=fixed
        )
        for make in (sp.csr_array, np.asarray)
    ]
    assert results[0].fun == pytest.approx(results[1].fun, abs=1e-6)
    assert results[0].n_numdiff_evals == 0


def test_a_column_of_a_param_that_is_a_number_may_be_sparse():
    converter = Converter({"a": 1.0, "b": np.ones(2)})
    rows = converter.jacobian_rows({"a": sp.coo_array([[1.0], [0.0]]), "b": np.eye(2)}, Leaf((2,)), "jac")
    np.testing.assert_array_equal(rows.toarray(), [[1, 1, 0], [0, 0, 1]])


def test_a_sparse_gradient_is_read_too():
    gradient = Converter(np.ones(3)).gradient(sp.coo_array(([2.0], ([1],)), shape=(3,)), "jac")
    np.testing.assert_array_equal(gradient, [0, 2, 0])
    with pytest.raises(om.InvalidFunctionError, match=r"jac returned shape \(1, 3\), .* reshape it to \(3,\)"):
        Converter(np.ones(3)).gradient(sp.csr_array([[0.0, 2.0, 0.0]]), "jac")


def test_jacobians_stay_as_the_first_one_was():
    """Scipy decides by the first."""
    for first, second, expected in [(sp.csr_array, np.asarray, True), (np.asarray, sp.csr_array, False)]:
        reader = reader_of(np.ones(2), np.ones(2), keeps_sparse=True)
        for make in (first, second):
            assert sp.issparse(reader.jacobian(make(np.eye(2)), "jac")) is expected
    kinds = iter([np.asarray, sp.csr_array] * 50)
    jac = mark(lambda x: next(kinds)(jacobian(x).toarray()))
    assert om.minimize(mark(residuals), START, "scipy_ls_trf", jac=jac).fun < 1e-12


# what can go wrong ---------------------------------------------------------------------------------------------------


def test_a_user_function_may_use_one_sparse_buffer_for_all_its_answers():
    buffer = sp.csr_array(jacobian(START))

    def jac(x):
        buffer.data[:] = sp.csr_array(jacobian(x)).data
        return buffer

    def solver(x0, residuals, residuals_jacobian):
        residuals_jacobian(x0)
        residuals_jacobian(x0 + 1)
        np.testing.assert_array_equal(residuals_jacobian(x0), jacobian(x0).toarray())
        return x0

    om.minimize(mark(residuals), START, solver, jac=mark(jac))
    assert om.minimize(mark(residuals), START, "scipy_ls_trf", jac=mark(jac)).fun < 1e-12


@pytest.mark.parametrize("error_handling", ["raise", "continue"])
@pytest.mark.parametrize("algorithm", ["scipy_ls_trf", "scipy_ls_dogbox", "scipy_lbfgsb"])
def test_nan_in_a_sparse_jacobian_is_an_error_or_survived(algorithm, error_handling):
    def jac(x):
        given = sp.csr_array(jacobian(x))
        if not np.array_equal(x, START):
            given[0, 1] = np.nan
        return given

    arguments = {"fun": mark(residuals), "params": START, "algorithm": algorithm, "jac": mark(jac)}
    if error_handling == "continue":
        result = om.minimize(**arguments, error_handling="continue", budget=om.Budget(60))
        assert np.isfinite(result.fun)
        assert result.fun < result.start_fun
    else:
        with pytest.raises(om.InvalidFunctionError, match="jac is nan for '1' at params array"):
            om.minimize(**arguments)


def test_where_the_function_has_no_value_nan_in_a_sparse_jacobian_is_left_out():
    """As for dense ones: there can't be a derivative where there is no value."""

    def fun(x):
        return np.full(N, np.inf) if x[0] < -1.5 else residuals(x)

    def jac(x):
        given = sp.csr_array(jacobian(x))
        return given * np.nan if x[0] < -1.5 else given

    def solver(x0, residuals, residuals_jacobian):
        beyond = x0 - 1.0
        residuals(beyond)
        assert (residuals_jacobian(beyond) == 0).all()
        return x0

    om.minimize(mark(fun), START, solver, jac=mark(jac))


# parts ---------------------------------------------------------------------------------------------------------------


def test_the_parts_agree_with_dense_arrays():
    dense = np.array([[0.0, np.nan, 2.0], [0.0, 0.0, np.nan], [1.0, 0.0, 0.0]])
    for form in (sp.csr_array, sp.csc_array):
        given = form(dense)
        assert sparse.is_sparse(given)
        assert set(sparse.nan_columns(given)) == set(sparse.nan_columns(dense)) == {1, 2}
        np.testing.assert_array_equal(sparse.without_nan(given).toarray(), sparse.without_nan(dense))
        np.testing.assert_array_equal(given.toarray(), dense)  # unchanged
        np.testing.assert_array_equal(sparse.to_dense(given), dense)
        np.testing.assert_array_equal(np.sort(sparse.entries(given)), [1.0, 2.0, np.nan, np.nan])
    assert not sparse.is_sparse(dense)
    assert sparse.nan_columns(np.array([1.0, np.nan])).tolist() == [1]


def test_entries_that_are_given_twice_are_summed():
    given = sp.coo_array(([1.0, 2.0, 5.0], ([0, 0, 1], [0, 0, 1])), shape=(2, 2))
    np.testing.assert_array_equal(sparse.to_csr(given).toarray(), [[3, 0], [0, 5]])


@pytest.mark.parametrize("axis", [0, 1])
def test_blocks_are_joined_as_numpy_joins_them(axis):
    blocks = [np.arange(4.0).reshape(2, 2), np.eye(2), np.full((2, 2), 7.0)]
    expected = np.concatenate(blocks, axis=axis)
    joined = sparse.stack(blocks, axis=axis)
    assert type(joined) is np.ndarray
    np.testing.assert_array_equal(joined, expected)
    mixed = sparse.stack([blocks[0], sp.csc_matrix(blocks[1]), blocks[2]], axis=axis)
    assert isinstance(mixed, sp.csr_array)
    np.testing.assert_array_equal(mixed.toarray(), expected)
