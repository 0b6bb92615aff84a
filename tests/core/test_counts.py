"""What was called is what is counted, recorded and budgeted: every algorithm times every source of derivatives."""

import functools
import time

import numpy as np
import pytest

import optcore as om
from tests.cases import in_one_test
from tests.core.counting import (
    CENTRE,
    ELLIPSE_START,
    LIBRARIES,
    ONE_NUMBER,
    ROSENBROCK_START,
    Given,
    counts_of,
    ellipse,
    ellipse_gradient,
    ellipse_jacobian,
    ellipse_residuals,
    of,
    place,
    rosenbrock,
    rosenbrock_residuals,
    rows_of,
)

ALGORITHMS = [a.name for a in om.algos if a.library in LIBRARIES]
#: Where the user's functions come from; numerical derivatives with the options in the second place.
SOURCES = {
    "fun": (["fun"], None),
    "jac": (["fun", "jac"], None),
    "fun_and_jac": (["fun_and_jac"], None),
    "all": (["fun", "jac", "fun_and_jac"], None),
    "central": (["fun"], om.NumdiffOptions(method="central")),
    "complex_step": (["fun"], om.NumdiffOptions(method="complex_step")),
}
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
#: Without derivatives the ways of taking them make no difference.
PAIRS = [
    (name, source)
    for name in ALGORITHMS
    for source in SOURCES
    if getattr(om.algos, name).needs_jac or source in ("fun", "fun_and_jac", "all")
]
each_pair = pytest.mark.parametrize(("algorithm", "source"), PAIRS)


def run(algorithm, source, *, ellipsoid=False, **kwargs):
    names, options = SOURCES[source]
    ellipsoid = ellipsoid or algorithm in ONE_NUMBER
    functions = (ellipse, ellipse_gradient, ellipse_residuals, ellipse_jacobian) if ellipsoid else ()
    given = Given(of(algorithm).kind, names, *functions)
    where = place(algorithm, ELLIPSE_START if ellipsoid else ROSENBROCK_START)
    result = om.minimize(algorithm=algorithm, numdiff_options=options, **where, **given.arguments, **kwargs)
    return given, result


@functools.cache
def run_100(algorithm, source):
    return run(algorithm, source, budget=om.Budget(max_evaluations=100))


@each_pair
def test_counters_and_history_agree_with_the_calls_that_the_function_counted(algorithm, source):
    given, result = run_100(algorithm, source)
    assert counts_of(result) == given.counts == rows_of(result)
    assert result.n_numdiff_evals == (result.history.task == "numdiff").sum()
    assert given.counts["fun"] + given.counts["fun_and_jac"] <= 100


@each_pair
@in_one_test("max_evaluations", [7, 23])
def test_the_budget_is_exact_and_the_result_is_the_best_so_far(algorithm, source, max_evaluations):
    given, result = run(algorithm, source, budget=om.Budget(max_evaluations=max_evaluations))
    assert given.counts["fun"] + given.counts["fun_and_jac"] <= max_evaluations
    asked = result.history.fun[result.history.asked]
    assert result.fun == np.nanmin(asked) == result.history.monotone_fun[-1]
    assert result.fun == (ellipse if algorithm in ONE_NUMBER else rosenbrock)(result.params)
    if result.status is om.Status.BUDGET_EVALUATIONS:
        assert given.counts["fun"] + given.counts["fun_and_jac"] == max_evaluations
        assert result.message == f"the budget of {max_evaluations} evaluations is spent"
        assert not result.success
    else:  # a good solver of least squares needs fewer, and one of functions of one number
        assert result.fun < 1e-6


#: Evaluations that solvers need which sample much, and options without which they don't get there.
PATIENCE = {
    "nlopt_ags": (12_000, {"stopping_maxfun": 20_000}),
    "nlopt_crs2_lm": (2500, {"stopping_maxfun": 20_000}),
    "nlopt_direct": (800, {}),
    "nlopt_esch": (6000, {"stopping_maxfun": 20_000}),
    "nlopt_isres": (8000, {"stopping_maxfun": 20_000}),
    "scipy_brute": (2000, {"n_grid_points": 12}),
    "scipy_differential_evolution": (2500, {}),
    "scipy_shgo": (1200, {}),
}
#: How near these come, in params: the spacing of a grid, and what evolution without a model reaches.
NEARNESS = {"nlopt_ags": 0.1, "nlopt_esch": 0.03, "scipy_brute": 6.1 / 11 / 2}


@each_pair
def test_reaches_the_optimum_and_its_value_is_that_of_its_params(algorithm, source):
    max_evaluations, options = PATIENCE.get(algorithm, (250, {}))
    given, result = run(
        algorithm, source, ellipsoid=True, budget=om.Budget(max_evaluations=max_evaluations), algo_options=options
    )
    assert counts_of(result) == given.counts
    np.testing.assert_allclose(result.params, CENTRE[: result.params.size], atol=NEARNESS.get(algorithm, 3e-3))
    assert result.fun == ellipse(result.params)
    assert result.fun <= result.start_fun == ellipse(ELLIPSE_START[: result.params.size])
    assert result.status in ("converged", "budget_evaluations")


#: Revisits of points that were left long ago: Powell's line searches return to where they began; differences of
#: gradients are taken at points that coincide with those of forward differences; global solvers come back.
REVISITS = {
    *("scipy_powell", "scipy_newton_cg"),
    *(a.name for a in om.algos if a.is_global or a.name.startswith(("scipy_trust_", "scipy_dogleg"))),
}


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name not in REVISITS])
def test_nothing_is_computed_twice_at_one_point(algorithm):
    for source in (source for name, source in PAIRS if name == algorithm):
        given, _ = run_100(algorithm, source)
        for name, counted in given.counted.items():
            points = [x.tobytes() for x in counted.points]
            assert len(set(points)) == len(points), (source, name)


@pytest.mark.parametrize("algorithm", om.algos.filter(needs_jac=False, library="scipy").names)
def test_a_solver_without_derivatives_never_calls_jac(algorithm):
    given, result = run_100(algorithm, "all")
    assert given.counts["jac"] == given.counts["fun_and_jac"] == 0
    assert result.n_numdiff_evals == 0


@each_algorithm
@in_one_test("source", ["jac", "fun_and_jac", "all"])
def test_where_a_derivative_is_given_nothing_is_spent_on_numerical_ones(algorithm, source):
    _, result = run_100(algorithm, source)
    assert result.n_numdiff_evals == 0


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_bfgs", "scipy_trust_constr", "scipy_truncated_newton"])
@pytest.mark.parametrize(("method", "per_gradient"), [("forward", 3), ("backward", 3), ("central", 5)])
def test_a_gradient_and_its_value_are_one_batch(algorithm, method, per_gradient):
    options = om.NumdiffOptions(method=method)
    result = om.minimize(
        rosenbrock, ROSENBROCK_START, algorithm, numdiff_options=options, budget=om.Budget(max_evaluations=60)
    )
    assert set(np.bincount(result.history.batch)) == {per_gradient}
    firsts = np.flatnonzero(np.diff(result.history.batch, prepend=-1))
    assert (result.history.task[firsts] == "fun").all()
    assert (np.delete(result.history.task, firsts) == "numdiff").all()


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_slsqp", "scipy_ls_lm", "scipy_trust_constr"])
@pytest.mark.parametrize("method", ["forward", "central", "complex_step"])
def test_two_cores_give_bit_for_bit_the_history_of_one(algorithm, method):
    fun = rosenbrock_marked if of(algorithm).kind == "least_squares" else rosenbrock
    one, two = (
        om.minimize(
            fun,
            ROSENBROCK_START,
            algorithm,
            numdiff_options=om.NumdiffOptions(method=method, n_cores=n_cores),
            budget=om.Budget(max_evaluations=50),
        )
        for n_cores in (1, 2)
    )
    for name in ("task", "fun", "batch", "flat_params"):
        np.testing.assert_array_equal(getattr(one.history, name), getattr(two.history, name))
    assert (one.fun, one.status, one.message) == (two.fun, two.status, two.message)
    assert counts_of(one) == counts_of(two) == rows_of(two)


@om.mark.least_squares
def rosenbrock_marked(x):
    return rosenbrock_residuals(x)


@pytest.mark.parametrize("n_cores", [1, 2])
@pytest.mark.parametrize("max_evaluations", [1, 2, 7, 23])
def test_the_budget_is_exact_within_a_parallel_batch(tmp_path, n_cores, max_evaluations):
    log = tmp_path / "calls"

    def fun(x):
        with log.open("a") as file:
            file.write("x")
        return rosenbrock(x)

    result = om.minimize(
        fun,
        ROSENBROCK_START,
        "scipy_lbfgsb",
        numdiff_options=om.NumdiffOptions(n_cores=n_cores),
        budget=om.Budget(max_evaluations=max_evaluations),
    )
    assert len(log.read_text()) == result.n_fun_evals == len(result.history) == max_evaluations
    assert result.status is om.Status.BUDGET_EVALUATIONS


@each_algorithm
def test_max_seconds_ends_the_run_with_the_best_so_far(algorithm):
    seconds = 0.06
    run(algorithm, "fun", budget=om.Budget(max_evaluations=1))  # imports the library
    began = time.perf_counter()
    given = slow(algorithm, 0.01)
    where = place(algorithm, ROSENBROCK_START)
    result = om.minimize(algorithm=algorithm, budget=om.Budget(max_seconds=seconds), **where, **given.arguments)
    assert time.perf_counter() - began < 5
    assert result.status is om.Status.BUDGET_SECONDS
    assert result.message == "the budget of 0.06 seconds is spent"
    assert (result.history.start_time <= seconds).all()
    assert counts_of(result) == given.counts
    assert result.fun == np.nanmin(result.history.fun[result.history.asked])


def slow(algorithm, seconds):
    def scalar(x):
        time.sleep(seconds)
        return ellipse(x) if algorithm in ONE_NUMBER else rosenbrock(x)

    def residuals(x):
        time.sleep(seconds)
        return rosenbrock_residuals(x)

    return Given(of(algorithm).kind, ["fun"], scalar=scalar, residuals=residuals)


@pytest.mark.parametrize(
    ("budget", "n", "limits"),
    [
        (om.Budget(), 3, (None, None)),
        (om.Budget(max_evaluations=5), 3, (5, None)),
        (om.Budget(max_gradients=5), 3, (20, None)),
        (om.Budget(max_evaluations=7, max_gradients=5), 3, (7, None)),
        (om.Budget(max_evaluations=70, max_gradients=5, max_seconds=2), 3, (20, 2)),
    ],
)
def test_a_budget_resolves_to_its_tightest_limits(budget, n, limits):
    assert budget.resolve(n) == limits


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_evaluations": 0}, "Budget.max_evaluations must be a whole number of at least 1, but is 0"),
        ({"max_evaluations": True}, "whole number of at least 1, but is True"),
        ({"max_gradients": 2.5}, "Budget.max_gradients must be a whole number of at least 1, but is 2.5"),
        ({"max_seconds": 0}, "Budget.max_seconds must be above 0, but is 0"),
        ({"max_seconds": float("nan")}, "Budget.max_seconds must be above 0, but is nan"),
    ],
)
def test_a_budget_that_can_not_be_says_why(kwargs, message):
    with pytest.raises(om.InvalidInputError, match=message):
        om.Budget(**kwargs)


def test_without_history_counts_are_kept_and_with_best_only_improvements():
    runs = {
        keep: om.minimize(rosenbrock, ROSENBROCK_START, "scipy_neldermead", collect_history=keep)
        for keep in (True, False, "best")
    }
    full = runs[True]
    assert len(runs[False].history) == len(runs[False].history.task) == 0
    assert all(counts_of(run) == counts_of(full) and run.fun == full.fun for run in runs.values())
    improvements = full.history.fun[np.flatnonzero(np.diff(full.history.monotone_fun, prepend=np.inf))]
    np.testing.assert_array_equal(runs["best"].history.fun, improvements)
