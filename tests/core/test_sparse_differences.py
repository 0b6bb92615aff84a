"""Sparse jacobians: colours, what they cost, every formula at once, patterns that are found, and what is refused."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse

import optcore as om
from optcore.numdiff.colouring import colour
from optcore.numdiff.sparse import Pattern, read_pattern
from tests.core.counting import Counted
from tests.core.derivative_suite import exact


def tridiagonal(n):
    return scipy.sparse.diags_array([np.ones(n - 1), np.ones(n), np.ones(n - 1)], offsets=[-1, 0, 1])


def banded(n, width):
    offsets = range(-(width // 2), width // 2 + 1)
    return scipy.sparse.diags_array([np.ones(n - abs(k)) for k in offsets], offsets=list(offsets))


def laplacian(side):
    line, eye = tridiagonal(side), scipy.sparse.eye_array(side)
    return scipy.sparse.kron(line, eye) + scipy.sparse.kron(eye, line)


def blocks(count, rows, columns):
    return scipy.sparse.block_diag([scipy.sparse.coo_array(np.ones((rows, columns)))] * count)


def random(m, n, seed):
    return scipy.sparse.random_array((m, n), density=0.02, rng=np.random.default_rng(seed))


def n_colours(matrix):
    return read_pattern(matrix, matrix.shape[1]).n_colours


PATTERNS = {
    "tridiagonal": (tridiagonal(1000), 3),
    "seven a row": (banded(500, 7), 7),
    "laplacian": (laplacian(30), 7),
    "tridiagonal, large": (tridiagonal(100_000), 3),
    "tridiagonal, shuffled": (tridiagonal(20_000).tocsc()[:, np.random.default_rng(0).permutation(20_000)], 3),
    "eleven a row, large": (banded(20_000, 11), 11),
    "a dense row": (scipy.sparse.vstack([tridiagonal(50), np.ones((1, 50))]), 50),
    "blocks": (blocks(50, 10, 8), 8),
    "dense": (np.ones((4, 6)), 6),
    "empty": (np.zeros((4, 6)), 1),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_colours_are_as_few_as_they_can_be_and_no_two_columns_of_one_share_a_row(name):
    """The numbers: rows with as many entries need as many; 7 for the Laplacian is the best known by greedy orders."""
    matrix, expected = PATTERNS[name]
    pattern = read_pattern(matrix, matrix.shape[1])
    assert pattern.n_colours == expected
    together = pattern.rows * pattern.n_colours + pattern.colours[pattern.columns]
    assert len(np.unique(together)) == len(pattern.rows)


@pytest.mark.parametrize("seed", range(5))
def test_never_more_colours_than_scipy_needs(seed):
    matrix = random(300, 200, seed)
    groups = scipy.optimize._numdiff.group_columns(matrix)
    assert n_colours(matrix) <= groups.max() + 1


def test_colours_of_nothing():
    nothing = np.zeros(0, dtype=np.intp)
    assert colour(nothing, nothing, 3).tolist() == [0, 0, 0]


def broyden(x):
    """Broyden's tridiagonal function: More, Garbow and Hillstrom (1981), problem 30."""
    padded = np.concatenate([[0.0], x, [0.0]])
    return (3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1


N = 30
X = np.linspace(-1, 1, N)
TRIDIAGONAL = tridiagonal(N)


@pytest.mark.parametrize(
    ("method", "points", "rtol"),
    [("forward", 4, 1e-6), ("backward", 4, 1e-6), ("central", 7, 1e-8), ("complex_step", 5, 1e-14)],
)
def test_a_sparse_jacobian_costs_its_colours_and_is_the_dense_one(method, points, rtol):
    """3 colours and the base point, twice the colours for central differences; a complex step has one check."""
    counted = Counted(broyden)
    result = om.first_derivative(counted.call, X, method=method, sparsity=TRIDIAGONAL)
    assert len(counted) == points == sum(result.n_evaluations.values())
    assert result.n_rounds == 1
    assert isinstance(result.derivative, scipy.sparse.csr_array)
    assert result.derivative.nnz == TRIDIAGONAL.nnz
    dense = om.first_derivative(broyden, X, method=method).derivative
    np.testing.assert_allclose(result.derivative.toarray(), dense, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(result.derivative.toarray(), exact(broyden, X), rtol=rtol, atol=10 * rtol)


@pytest.mark.parametrize("method", ["forward", "central", "complex_step"])
def test_agrees_with_scipy_for_the_same_pattern(method):
    name = {"forward": "2-point", "central": "3-point", "complex_step": "cs"}[method]
    theirs = scipy.optimize._numdiff.approx_derivative(broyden, X, method=name, sparsity=TRIDIAGONAL)
    ours = om.first_derivative(broyden, X, method=method, sparsity=TRIDIAGONAL).derivative
    np.testing.assert_allclose(ours.toarray(), theirs.toarray(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["forward", "backward", "central", "complex_step"])
def test_each_column_has_the_formula_that_its_bounds_allow(method):
    lower, upper = np.full(N, -2.0), np.full(N, 2.0)
    lower[::3], upper[1::3] = X[::3], X[1::3]
    lower[5] = upper[5] = X[5]

    def within(x):
        assert (lower <= np.real(x)).all()
        assert (np.real(x) <= upper).all()
        return broyden(x)

    result = om.first_derivative(
        within, X, bounds=om.Bounds(lower, upper), method=method, sparsity=TRIDIAGONAL, on_failure="raise"
    )
    truth = exact(broyden, X)
    truth[:, 5] = 0
    np.testing.assert_allclose(result.derivative.toarray(), truth, rtol=1e-6, atol=1e-6)
    assert result.scheme["5"] == "fixed"


def test_trees_get_blocks():
    result = om.first_derivative(
        lambda p: broyden(np.concatenate([p["a"], p["b"]])), {"a": X[:10], "b": X[10:]}, sparsity=TRIDIAGONAL
    )
    np.testing.assert_allclose(result.derivative["a"], exact(broyden, X)[:, :10], rtol=1e-6, atol=1e-6)


def test_columns_with_failing_points_recover_alone():
    def fun(x):
        value = broyden(x)
        return np.where(x > X + 1e-12, np.nan, value) if x[3] > X[3] else value

    result = om.first_derivative(fun, X, sparsity=TRIDIAGONAL)
    assert result.scheme["3"] == "backward"
    assert result.failures
    derivative = result.derivative.toarray() if scipy.sparse.issparse(result.derivative) else result.derivative
    np.testing.assert_allclose(derivative, exact(broyden, X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_cores", [1, 2])
def test_minimize_uses_colours_and_gets_the_same_result(n_cores):
    fun = om.mark.least_squares(broyden)
    start = np.full(N, -1.0)
    options = om.NumdiffOptions(sparsity=TRIDIAGONAL, n_cores=n_cores)
    sparse = om.minimize(fun, start, "scipy_ls_trf", numdiff_options=options)
    dense = om.minimize(fun, start, "scipy_ls_trf")
    np.testing.assert_allclose(sparse.params, dense.params, atol=1e-7)
    assert sparse.n_numdiff_evals <= dense.n_numdiff_evals * 3 / N + 3
    assert sparse.fun < 1e-15


# rounds --------------------------------------------------------------------------------------------------------------

#: Methods of several rounds: norm-wise error that they reach on this function, and whether their error is a bound.
ROUNDS = {
    "richardson": ({"method": "richardson"}, 1e-12, True),
    "richardson at a noise": ({"method": "richardson", "noise": 1e-10}, 1e-8, True),
    "richardson, noise estimated": ({"method": "richardson", "noise": "estimate"}, 1e-12, True),
    "auto": ({"method": "auto"}, 1e-6, False),
    "calibrated": ({"step_size": "calibrated"}, 1e-6, False),
    "calibrated backward": ({"method": "backward", "step_size": "calibrated"}, 1e-6, False),
    "calibrated central": ({"method": "central", "step_size": "calibrated"}, 1e-9, False),
    "noise": ({"noise": 1e-14}, 1e-6, False),
    "noise estimated": ({"method": "central", "noise": "estimate"}, 1e-9, False),
    "shi": ({"step_size": "shi"}, 1e-6, False),
    "shi central": ({"method": "central", "step_size": "shi"}, 1e-9, False),
    "more_wild": ({"step_size": "more_wild"}, 1e-6, False),
}


@pytest.mark.parametrize("name", ROUNDS)
def test_methods_of_several_rounds_cost_colours_times_rounds_and_keep_their_bounds(name):
    """Tridiagonal: no round of these has more than four steps a param, symmetric: 8 points a colour and the noise."""
    kwargs, tol, is_bound = ROUNDS[name]
    counted = Counted(wavy)
    gradient = om.NumericalDerivative(counted.call, X, options=om.NumdiffOptions(sparsity=TRIDIAGONAL, **kwargs))
    for k, x in enumerate([X, 1.01 * X + 0.01]):
        before = len(counted)
        found = gradient(x)
        assert sum(found.n_evaluations.values()) == len(counted) - before <= found.n_rounds * 8 * 3 + 1 + 24
        truth = exact(wavy, x)
        assert found.derivative.nnz == TRIDIAGONAL.nnz
        wrong = np.abs(found.derivative.toarray() - truth)
        assert wrong.max() <= tol * np.abs(truth).max()
        if is_bound:
            assert (wrong <= found.error.toarray()).all()
            assert found.error.nnz == TRIDIAGONAL.nnz
        elif kwargs.get("step_size") != "shi":  # where one ratio serves several values
            entries = TRIDIAGONAL.toarray() > 0
            assert np.mean(wrong[entries] <= found.error.toarray()[entries]) > 0.95
        if k and not is_bound:  # the steps are kept
            assert sum(found.n_evaluations.values()) == (6 + 1 if "central" in name or name == "noise estimated" else 4)


def wavy(x):
    """Values with different curvatures, sizes and cancellation; tridiagonal."""
    padded = np.concatenate([x[:1] * 0, x, x[:1] * 0])
    scale = 10.0 ** np.linspace(-2, 3, x.size)
    return np.sin(x) * scale + np.exp(padded[:-2]) * x - 3.0 * padded[2:] ** 3 + 1e3


def spent_on_differences(result):
    return sum(number for purpose, number in result.n_evaluations.items() if purpose not in ("base", "noise"))


@pytest.mark.parametrize(
    "kwargs", [{"method": "richardson"}, {"step_size": "calibrated", "method": "central"}], ids=str
)
def test_several_rounds_give_with_a_pattern_what_they_give_without(kwargs):
    """Steps are chosen by what a column moves, so that they may differ a little where zeros are no entries."""
    sparse = om.first_derivative(wavy, X, sparsity=TRIDIAGONAL, **kwargs)
    dense = om.first_derivative(wavy, X, **kwargs)
    scale = np.abs(dense.derivative).max(axis=1, keepdims=True)
    assert (np.abs(sparse.derivative.toarray() - dense.derivative) <= 1e-11 * scale).all()
    # The level of noise costs the same.
    assert spent_on_differences(sparse) < spent_on_differences(dense) / 4


@pytest.mark.parametrize("method", ["forward", "central"])
@pytest.mark.parametrize("sparsity", [TRIDIAGONAL, None], ids=["pattern", "dense"])
def test_the_rule_of_shi_is_not_misled_by_values_that_a_param_does_not_enter(method, sparsity):
    """Their ratio of truncation to noise is zero at every step."""
    found = om.first_derivative(wavy, X, method=method, step_size="shi", sparsity=sparsity)
    truth = exact(wavy, X)
    derivative = found.derivative if sparsity is None else found.derivative.toarray()
    assert np.abs(derivative - truth).max() <= {"forward": 3e-7, "central": 3e-10}[method] * np.abs(truth).max()
    assert sum(found.n_evaluations.values()) < (100 if sparsity is not None else 600)


@pytest.mark.parametrize(
    "kwargs", [{"method": "richardson"}, {"step_size": "calibrated"}, {"step_size": "shi"}], ids=str
)
def test_several_rounds_stay_within_bounds_and_leave_fixed_and_idle_columns_out(kwargs):
    lower, upper = np.full(N, -2.0), np.full(N, 2.0)
    lower[::3], upper[1::3] = X[::3], X[1::3]
    lower[5] = upper[5] = X[5]
    pattern = TRIDIAGONAL.tolil()
    pattern[:, 10] = 0

    def within(x):
        assert (lower <= x).all()
        assert (x <= upper).all()
        assert x[10] == X[10]
        return wavy(x)

    found = om.first_derivative(within, X, bounds=om.Bounds(lower, upper), sparsity=pattern, **kwargs)
    truth = exact(wavy, X)
    truth[:, [5, 10]] = 0
    np.testing.assert_allclose(found.derivative.toarray(), truth, rtol=2e-5, atol=2e-5)
    assert found.scheme["5"] == found.scheme["10"] == "fixed"


@pytest.mark.parametrize("kwargs", [{"method": "richardson"}, {"step_size": "calibrated"}], ids=str)
def test_extrapolation_goes_around_points_without_a_value(kwargs):
    def fun(x):
        if x[3] > X[3]:
            raise ValueError("beyond")
        return wavy(x)

    found = om.first_derivative(fun, X, sparsity=TRIDIAGONAL, **kwargs)
    np.testing.assert_allclose(found.derivative.toarray(), exact(wavy, X), rtol=1e-7, atol=1e-7)
    assert {failure.leaf for failure in found.failures} == {""}  # several were moved
    with pytest.raises(om.UserFunctionError, match="beyond"):
        om.first_derivative(fun, X, sparsity=TRIDIAGONAL, **kwargs, on_failure="raise")


def test_params_of_one_colour_that_need_different_sides_are_tried_one_by_one():
    """3 and 6 are of one colour: no point with both moved to one side, or beyond both, has a value."""

    def fun(x):
        if x[3] > X[3] or x[6] < X[6]:
            raise ValueError("outside")
        return broyden(x)

    found = om.first_derivative(fun, X, sparsity=TRIDIAGONAL)
    np.testing.assert_allclose(found.derivative.toarray(), exact(broyden, X), rtol=1e-6, atol=1e-6)
    assert (found.scheme["3"], found.scheme["6"]) == ("backward", "forward")
    marked = om.first_derivative(
        lambda x: broyden(x) if x[3] == X[3] else broyden(x) * np.nan, X, sparsity=TRIDIAGONAL, on_failure="mark"
    )
    assert [name for name, scheme in marked.scheme.items() if scheme == "failed"] == ["3"]
    assert np.isnan(marked.derivative[2:5, 3]).all()


# in an optimization ---------------------------------------------------------------------------------------------------

HUGE = 2000


def test_two_thousand_params_go_into_a_sparse_solver_as_a_sparse_matrix(monkeypatch):
    seen = []
    real = scipy.optimize.least_squares

    def least_squares(fun, x0, jac, **options):
        def watched(x):
            seen.append(jac(x))
            return seen[-1]

        return real(fun, x0, jac=watched, **options)

    monkeypatch.setattr(scipy.optimize, "least_squares", least_squares)
    monkeypatch.setattr(Pattern, "dense", None)  # nothing of shape (m, n) is made
    counted = Counted(broyden)
    result = om.minimize(
        om.mark.least_squares(counted.call),
        np.full(HUGE, -1.0),
        "scipy_ls_trf",
        numdiff_options=om.NumdiffOptions(sparsity=tridiagonal(HUGE)),
    )
    assert all(isinstance(given, scipy.sparse.csr_array) for given in seen)
    assert result.fun < 1e-15
    assert len(counted) == result.n_fun_evals <= 4 * len(seen) + 4


@pytest.mark.parametrize("mark", [om.mark.least_squares, om.mark.likelihood], ids=["least_squares", "likelihood"])
@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_bfgs"])
def test_the_gradient_of_a_sum_of_terms_costs_colours_and_one_where_the_terms_are_known(mark, algorithm, monkeypatch):
    """Chained Rosenbrock: terms of two neighbours each have two colours, however many params there are."""
    monkeypatch.setattr(Pattern, "dense", None)
    n = 20
    pairs = scipy.sparse.diags_array([np.ones(n - 1), np.ones(n - 1)], offsets=[0, 1], shape=(n - 1, n))
    pattern = scipy.sparse.vstack([pairs, pairs]) if mark is om.mark.least_squares else pairs

    def terms(x):
        first, second = 10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]
        return np.concatenate([first, second]) if mark is om.mark.least_squares else first**2 + second**2

    start = np.linspace(0.5, 1.5, n)
    counted = Counted(terms)
    sparse, dense = (
        om.minimize(mark(fun), start, algorithm, numdiff_options=om.NumdiffOptions(sparsity=given))
        for fun, given in ((counted.call, pattern), (terms, None))
    )
    assert len(counted) == sparse.n_fun_evals
    n_gradients = sparse.n_numdiff_evals // 2
    assert sparse.n_numdiff_evals == 2 * n_gradients
    assert sparse.n_numdiff_evals * 5 < dense.n_numdiff_evals
    assert sparse.fun == pytest.approx(dense.fun, abs=1e-6)
    exact_gradient = scipy.optimize.rosen_der(start)
    found = om.first_derivative(terms, start, sparsity=pattern).derivative
    chained = 2 * terms(start) @ found if mark is om.mark.least_squares else found.sum(axis=0)
    np.testing.assert_allclose(chained, exact_gradient, rtol=1e-5)


@pytest.mark.parametrize("form", ["matrix", "tree", "detect"])
def test_a_pattern_covers_all_params_and_those_that_are_fixed_are_left_out(form):
    """Without every third param the others of a tridiagonal jacobian need two colours."""
    blocks = {"a": TRIDIAGONAL.tocsc()[:, :10], "b": TRIDIAGONAL.tocsc()[:, 10:]}
    sparsity = {"matrix": TRIDIAGONAL, "tree": blocks, "detect": "detect"}[form]
    counted = Counted(lambda p: broyden(np.concatenate([p["a"], p["b"]])))
    start = {"a": np.full(10, -1.0), "b": np.full(20, -1.0)}
    fixed = {"a": np.arange(10) % 3 == 0, "b": np.arange(10, 30) % 3 == 0}
    results = [
        om.minimize(
            om.mark.least_squares(counted.call),
            start,
            "scipy_ls_trf",
            fixed=fixed,
            numdiff_options=om.NumdiffOptions(sparsity=given),
        )
        for given in (sparsity, None)
    ]
    np.testing.assert_allclose(results[0].params["b"], results[1].params["b"], atol=1e-6)
    np.testing.assert_array_equal(results[0].params["a"][::3], -1)
    # Two colours (the value is known already); what a pattern is found with is NaN in each of 20, and a jacobian of 20.
    batches = np.bincount(results[0].history.batch)
    jacobians = batches[batches > 1].tolist()
    assert jacobians[:2] == ([20, 20] if form == "detect" else [2, 2])
    assert set(jacobians[2:]) == {2}


def test_a_hundred_thousand_params_need_nothing_dense(monkeypatch):
    monkeypatch.setattr(Pattern, "dense", None)
    n = 100_000
    x = np.full(n, -1.0) + 0.1 * np.sin(np.arange(n))
    truth = scipy.sparse.diags_array([-np.ones(n - 1), 3 - 4 * x, -2 * np.ones(n - 1)], offsets=[-1, 0, 1])
    for method, points, tol in (("central", 7, 1e-8), ("richardson", 13, 1e-11)):
        found = om.first_derivative(broyden, x, method=method, sparsity=tridiagonal(n))
        assert sum(found.n_evaluations.values()) == points
        assert abs(found.derivative - truth).max() < tol
        if found.error is not None:
            assert (abs(found.derivative - truth) - found.error).max() <= 0


@pytest.mark.parametrize(("evaluator", "n_cores"), [("batch", 1), ("threads", 2), ("processes", 2)])
def test_rounds_by_colours_go_to_every_backend(evaluator, n_cores):
    fun = wavy if evaluator != "batch" else lambda points: np.array([wavy(x) for x in points])
    found, serial = (
        om.first_derivative(given, X, method="richardson", sparsity=TRIDIAGONAL, batch_evaluator=name, n_cores=cores)
        for given, name, cores in ((fun, evaluator, n_cores), (wavy, "serial", 1))
    )
    np.testing.assert_array_equal(found.derivative.toarray(), serial.derivative.toarray())
    np.testing.assert_array_equal(found.error.toarray(), serial.error.toarray())


def test_a_pattern_of_the_free_params_only_is_refused_in_words():
    with pytest.raises(om.InvalidInputError, match=r"the 30 params, .* \(30, 29\), of which 1 are fixed: their"):
        om.minimize(
            om.mark.least_squares(broyden),
            X,
            "scipy_ls_trf",
            fixed=np.arange(N) == 3,
            numdiff_options=om.NumdiffOptions(sparsity=np.ones((N, N - 1))),
        )


# trees of blocks -----------------------------------------------------------------------------------------------------

TREE = {"a": np.array([1.0, 2.0, 3.0]), "b": 4.0}


def tree_fun(p):
    return {"r": p["a"] ** 2, "q": p["a"][:2] * p["b"], "s": p["b"] ** 3}


TREE_PATTERN = {
    "r": {"a": scipy.sparse.eye_array(3), "b": np.zeros(3)},
    "q": {"a": np.eye(3)[:2], "b": np.ones(2)},
    "s": {"a": np.zeros(3), "b": 1.0},
}


@pytest.mark.parametrize("method", ["forward", "richardson"])
def test_a_pattern_may_be_a_tree_like_the_derivative(method):
    gradient = om.NumericalDerivative(tree_fun, TREE, options=om.NumdiffOptions(method, sparsity=TREE_PATTERN))
    dense = om.first_derivative(tree_fun, TREE, method=method).derivative
    gradient(TREE)
    found = gradient(TREE)
    if method == "forward":
        assert found.n_evaluations == {"base": 1, "differences": 2}
    for name in ("r", "q", "s"):
        for leaf in ("a", "b"):
            np.testing.assert_allclose(found.derivative[name][leaf], dense[name][leaf], rtol=1e-6)


def test_a_tree_that_does_not_look_like_the_derivative_names_the_block():
    wrong = TREE_PATTERN | {"q": {"a": np.eye(3), "b": np.ones(2)}}
    with pytest.raises(
        om.InvalidInputError, match=r"sparsity must look like the derivative, .* residual 'q'.*\(3, 3\)"
    ):
        om.first_derivative(tree_fun, TREE, sparsity=wrong)
    missing = {"r": TREE_PATTERN["r"], "s": TREE_PATTERN["s"]}
    with pytest.raises(om.InvalidInputError, match=r"sparsity must look like the derivative, .*'q'"):
        om.first_derivative(tree_fun, TREE, sparsity=missing)
    with pytest.raises(om.InvalidInputError, match="sparsity is for functions with several values"):
        om.first_derivative(lambda p: p["b"], TREE, sparsity=TREE_PATTERN)


# found patterns ------------------------------------------------------------------------------------------------------


def test_a_pattern_is_found_at_the_first_derivative_and_used_from_then_on():
    gradient = om.NumericalDerivative(broyden, X, options=om.NumdiffOptions(sparsity="detect"))
    first = gradient(X)
    assert first.n_evaluations == {"probe": N, "base": 1, "differences": N}
    assert isinstance(first.derivative, scipy.sparse.csr_array)
    second = gradient(X + 0.1)
    assert second.n_evaluations == {"base": 1, "differences": 3}
    np.testing.assert_allclose(second.derivative.toarray(), exact(broyden, X + 0.1), rtol=1e-6, atol=1e-6)


def test_a_function_that_raises_at_nan_is_known_by_its_first_jacobian():
    def fun(x):
        if np.isnan(x).any():
            raise ValueError("NaN in")
        return broyden(x)

    options = om.NumdiffOptions(sparsity="detect")
    gradient = om.NumericalDerivative(fun, X, options=options)
    gradient(X)
    assert gradient(X + 0.1).n_evaluations["differences"] == 3
    result = om.minimize(om.mark.least_squares(fun), np.full(N, -1.0), "scipy_ls_trf", numdiff_options=options)
    assert result.fun < 1e-15


def test_a_pattern_that_turns_out_wrong_is_found_again():
    def fun(x):
        value = x**2
        return value + (x[::-1] if x[0] > 1 else 0)  # another pattern beyond 1, which NaN doesn't reveal

    x = np.full(6, 0.5)
    gradient = om.NumericalDerivative(fun, x, options=om.NumdiffOptions(sparsity="detect"))
    assert sum(gradient(x).n_evaluations.values()) == 1 + 6 + 6
    spent = []
    for _ in range(12):
        result = gradient(x + 1)
        spent.append(result.n_evaluations)
    assert any("check" in calls for calls in spent)
    derivative = result.derivative.toarray()
    np.testing.assert_allclose(derivative, 3 * np.eye(6) + np.eye(6)[::-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("sparsity", "message"),
    [
        (np.ones((3, 4)), "sparsity must be a matrix with one column for each of the 30 params"),
        (np.ones(30), "sparsity must be a matrix with one column for each of the 30 params"),
        (np.ones((3, 30)), "sparsity has 3 rows, but the function returned 30 values"),
        (np.ones((30, 31)), r"has the shape \(30, 31\); it looks transposed"),
        ("auto", "sparsity must be a matrix, 'detect' or None, but is 'auto'"),
        (3, "sparsity must be a matrix, 'detect' or None, but is 3"),
    ],
    ids=["columns", "vector", "rows", "transposed", "word", "number"],
)
def test_patterns_that_do_not_fit_say_why(sparsity, message):
    with pytest.raises(om.InvalidInputError, match=message):
        om.first_derivative(broyden, X, sparsity=sparsity)


@pytest.mark.parametrize("sparsity", ["detect", np.eye(3)], ids=["detect", "given"])
def test_functions_that_return_numbers_have_no_sparse_jacobian(sparsity):
    with pytest.raises(om.InvalidInputError, match="sparsity is for functions with several values"):
        om.first_derivative(lambda x: x @ x, np.ones(3), sparsity=sparsity)
