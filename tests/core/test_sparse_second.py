"""Second derivatives with a pattern: of gradients by star colours, of values by pairs; against JAX and dense ones."""

import numpy as np
import pytest
import scipy.sparse

import optcore as om
from optcore.numdiff.colouring import colour, colour_symmetric
from optcore.numdiff.symmetric import HessianPattern
from optcore.tree import Converter
from tests.core.counting import Counted
from tests.core.derivative_suite import exact
from tests.core.test_sparse_differences import banded, laplacian, tridiagonal


def arrow(n):
    pattern = scipy.sparse.eye_array(n).tolil()
    pattern[0, :] = pattern[:, 0] = 1
    return pattern


def random_symmetric(n, seed):
    upper = scipy.sparse.random_array((n, n), density=3 / n, rng=np.random.default_rng(seed))
    return upper + upper.T


#: Patterns, and the fewest colours known: 2 for an arrow, 3 for a path (Gebremedhin et al. 2005, section 4.2).
PATTERNS = {
    "tridiagonal": (tridiagonal(200), 3),
    "arrow": (arrow(50), 2),
    "diagonal": (scipy.sparse.eye_array(10), 1),
    "banded": (banded(100, 5), 5),
    "laplacian": (laplacian(12), 6),
    "dense": (np.ones((6, 6)), 6),
    "empty": (np.zeros((4, 4)), 1),
} | {f"random {seed}": (random_symmetric(60, seed), 60) for seed in range(8)}


@pytest.mark.parametrize("name", PATTERNS)
def test_every_entry_can_be_read_in_its_row_or_in_its_column(name):
    """What is read where all columns of a colour are added up is what the matrix has there."""
    matrix, most = PATTERNS[name]
    n = matrix.shape[0]
    known = HessianPattern.read(matrix, Converter(np.zeros(n)))
    pattern = known.readable()
    assert pattern.n_colours <= most
    assert pattern.n_colours <= colour(known.rows, known.columns, n).max(initial=0) + 1
    rng = np.random.default_rng(0)
    numbers = known.dense(np.ones(len(known.rows))) * rng.normal(size=(n, n))
    numbers = numbers + numbers.T
    compressed = np.stack([numbers[:, pattern.colours == c].sum(axis=1) for c in range(pattern.n_colours)])
    entries, spread = known.symmetrized(pattern, compressed[pattern.colours[pattern.columns], pattern.rows])
    np.testing.assert_allclose(known.dense(entries), numbers, rtol=1e-12)
    np.testing.assert_allclose(spread, 0, atol=1e-12)


def test_star_colours_need_no_path_of_four_with_two():
    matrix = random_symmetric(40, 1).toarray() != 0
    colours = colour_symmetric(*np.nonzero(matrix), 40)
    around = [np.flatnonzero(row & (np.arange(40) != i)) for i, row in enumerate(matrix)]
    for a in range(40):
        for b in around[a]:
            assert colours[a] != colours[b]
            for c in around[b]:
                for d in around[c]:
                    assert len({a, b, c, d}) < 4 or len({colours[k] for k in (a, b, c, d)}) > 2


N = 12
X = np.linspace(0.4, 1.6, N)


def hub(x):
    """Every param meets the first one only."""
    return (np.sin(x[1:]) * x[0] ** 2 + x[1:] ** 3).sum() + x[0] ** 4


def hub_gradient(x):
    first = (2 * np.sin(x[1:]) * x[0]).sum() + 4 * x[0] ** 3
    return np.concatenate([[first], np.cos(x[1:]) * x[0] ** 2 + 3 * x[1:] ** 2])


def chain(x):
    return (np.exp(x[1:] * x[:-1]) + x[1:] ** 3).sum()


def chain_gradient(x):
    inner = np.exp(x[1:] * x[:-1])
    return np.concatenate([x[1:] * inner, [0.0]]) + np.concatenate([[0.0], x[:-1] * inner + 3 * x[1:] ** 2])


FUNCTIONS = {
    "hub": (hub, hub_gradient, arrow(N), 2),
    "chain": (chain, chain_gradient, tridiagonal(N), 3),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("method", "per_colour", "rtol"), [("forward", 1, 1e-6), ("central", 2, 1e-8), ("complex_step", 1, 1e-13)]
)
def test_of_gradients_costs_its_colours(name, method, per_colour, rtol):
    _, gradient, pattern, colours = FUNCTIONS[name]
    counted = Counted(gradient)
    found = om.second_derivative(hub, X, jac=counted.call, method=method, sparsity=pattern)
    assert len(counted) == per_colour * colours + 1 + (method == "complex_step")
    assert isinstance(found.derivative, scipy.sparse.csr_array)
    assert found.derivative.nnz == pattern.nnz
    truth = exact(gradient, X)
    np.testing.assert_allclose(found.derivative.toarray(), truth, rtol=rtol, atol=rtol * np.abs(truth).max())
    assert (found.derivative != found.derivative.T).nnz == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_extrapolated_ones_of_gradients_are_within_their_bounds(name):
    _, gradient, pattern, colours = FUNCTIONS[name]
    counted = Counted(gradient)
    found = om.second_derivative(hub, X, jac=counted.call, method="richardson", sparsity=pattern)
    wrong = np.abs(found.derivative.toarray() - exact(gradient, X))
    assert (wrong <= found.error.toarray()).all()
    assert wrong.max() < 1e-9
    assert len(counted) < 12 * colours * 2


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("method", "rtol"), [("forward", 1e-3), ("central", 1e-5), ("richardson", 1e-8)])
def test_of_values_pairs_that_the_pattern_leaves_out_cost_nothing(name, method, rtol):
    fun, gradient, pattern, _ = FUNCTIONS[name]
    counted, dense = Counted(fun), Counted(fun)
    found = om.second_derivative(counted.call, X, method=method, sparsity=scipy.sparse.triu(pattern))
    whole = om.second_derivative(dense.call, X, method=method)
    truth = exact(gradient, X)
    np.testing.assert_allclose(found.derivative.toarray(), truth, atol=rtol * np.abs(truth).max())
    np.testing.assert_array_equal(found.derivative.toarray()[truth != 0], whole.derivative[truth != 0])
    pairs = (pattern.nnz - N) // 2
    calls = {"forward": 1 + 2 * N + pairs, "central": 1 + 2 * N + 4 * pairs}
    assert len(counted) == calls.get(method, len(counted)) < len(dense)
    if method == "richardson":
        assert (np.abs(found.derivative.toarray() - truth) <= found.error.toarray() + 0.0).all()


def test_trees_get_trees_and_patterns_may_be_trees():
    params = {"a": X[0], "b": X[1:]}
    n = N - 1
    pattern = {"a": {"a": 1.0, "b": np.ones(n)}, "b": {"a": np.ones(n), "b": np.eye(n)}}
    truth = exact(hub_gradient, X)

    def as_vector(p):
        return np.concatenate([[p["a"]], p["b"]])

    def jac(p):
        gradient = hub_gradient(as_vector(p))
        return {"a": gradient[0], "b": gradient[1:]}

    for given in (pattern, arrow(N)):
        of_values = om.second_derivative(lambda p: hub(as_vector(p)), params, sparsity=given)
        of_gradients = om.second_derivative(hub, params, jac=jac, sparsity=given)
        for found, rtol in ((of_values, 1e-4), (of_gradients, 1e-7)):
            np.testing.assert_allclose(found.derivative["a"]["b"], truth[0, 1:], rtol=rtol)
            np.testing.assert_allclose(found.derivative["b"]["b"], truth[1:, 1:], rtol=rtol, atol=1e-8)
        assert sum(of_gradients.n_evaluations.values()) == 5


def test_agrees_with_jax():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):

        def fun(x):
            return (jax.numpy.exp(x[1:] * x[:-1]) + x[1:] ** 3).sum()

        truth = np.asarray(jax.hessian(fun)(X))
        found = om.second_derivative(fun, X, jac=jax.grad(fun), method="richardson", sparsity=tridiagonal(N))
        np.testing.assert_allclose(found.derivative.toarray(), truth, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sparsity": np.ones((3, N))}, r"must be a matrix of shape \(12, 12\).* has the shape \(3, 12\)"),
        ({"sparsity": "detect"}, "the pattern of second derivatives of values must be given"),
        ({"sparsity": {"a": 1}}, "sparsity must look like the second derivative"),
    ],
    ids=["shape", "detect", "tree"],
)
def test_patterns_that_do_not_fit_say_why(kwargs, message):
    with pytest.raises(om.InvalidInputError, match=message):
        om.second_derivative(hub, X, **kwargs)


def test_the_pattern_of_gradients_can_be_detected():
    found = om.second_derivative(chain, X, jac=chain_gradient, sparsity="detect")
    assert isinstance(found.derivative, scipy.sparse.csr_array)
    assert found.n_evaluations["probe"] == N
    np.testing.assert_allclose(found.derivative.toarray(), exact(chain_gradient, X), rtol=1e-7, atol=1e-7)
