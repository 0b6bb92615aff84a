"""The global solvers of scipy: the iterates of a direct call, seeds, bounds, and what they can't work with."""

import warnings

import numpy as np
import pytest
import scipy.optimize

import optcore as om
from tests.core.counting import Counted

START = np.array([1.0, 1.0])
LOWER, UPPER = np.array([-2.0, -1.5]), np.array([3.0, 2.5])
BOX = om.Bounds(LOWER, UPPER)
PAIRS = list(zip(LOWER, UPPER, strict=True))
BEST = np.array([0.3, -0.4])


def wavy(x):
    """Many minima, the lowest one, of value 0, at BEST."""
    d = x - BEST
    return d @ d + 2 * np.sum(1 - np.cos(6 * d))


def wavy_gradient(x):
    d = x - BEST
    return 2 * d + 12 * np.sin(6 * d)


LOCALLY = {"method": "L-BFGS-B", "jac": wavy_gradient, "bounds": PAIRS, "options": {"ftol": 2e-9, "gtol": 1e-5}}

#: algorithm, its options, and the same as a direct call of scipy 1.17 (optimagic's defaults spelled out).
DIRECT = [
    ("scipy_differential_evolution", {}, lambda f: scipy.optimize.differential_evolution(
        f, PAIRS, x0=START, rng=0, atol=1e-8)),
    ("scipy_differential_evolution",
     {"strategy": "rand1exp", "mutation_constant": [0.4, 0.9], "recombination_constant": 0.5, "seed": 3,
      "polish": False, "population_size_multiplier": 5, "sampling_method": "sobol", "convergence_ftol_rel": 1e-4,
      "stopping_maxiter": 30},
     lambda f: scipy.optimize.differential_evolution(
         f, PAIRS, x0=START, rng=3, atol=1e-8, strategy="rand1exp", mutation=(0.4, 0.9), recombination=0.5, popsize=5,
         init="sobol", tol=1e-4, maxiter=30, polish=False)),
    ("scipy_direct", {}, lambda f: scipy.optimize.direct(f, PAIRS, eps=2e-9, maxfun=10**6)),
    ("scipy_direct",
     {"locally_biased": False, "convergence_ftol_rel": 1e-3, "volume_hyperrectangle_tolerance": 1e-6,
      "length_hyperrectangle_tolerance": 1e-3, "stopping_maxiter": 40},
     lambda f: scipy.optimize.direct(
         f, PAIRS, eps=1e-3, maxfun=10**6, locally_biased=False, vol_tol=1e-6, len_tol=1e-3, maxiter=40)),
    ("scipy_direct", {"convergence_minimum_criterion_value": 0.0, "convergence_minimum_criterion_tolerance": 1e-2},
     lambda f: scipy.optimize.direct(f, PAIRS, eps=2e-9, maxfun=10**6, f_min=0.0, f_min_rtol=1e-2)),
    ("scipy_dual_annealing", {"stopping_maxiter": 50}, lambda f: scipy.optimize.dual_annealing(
        f, PAIRS, maxiter=50, x0=START, rng=0, minimizer_kwargs=LOCALLY)),
    ("scipy_dual_annealing",
     {"stopping_maxiter": 40, "no_local_search": True, "initial_temperature": 3000, "visit": 2.2, "accept": -8.0,
      "restart_temperature_ratio": 1e-3, "seed": 5},
     lambda f: scipy.optimize.dual_annealing(
         f, PAIRS, maxiter=40, x0=START, rng=5, no_local_search=True, initial_temp=3000, visit=2.2, accept=-8.0,
         restart_temp_ratio=1e-3)),
    ("scipy_dual_annealing", {"stopping_maxfun": 90}, lambda f: scipy.optimize.dual_annealing(
        f, PAIRS, maxfun=90, x0=START, rng=0, minimizer_kwargs=LOCALLY)),
    ("scipy_basinhopping", {"n_local_optimizations": 15}, lambda f: scipy.optimize.basinhopping(
        f, START, niter=15, rng=0, minimizer_kwargs=LOCALLY)),
    ("scipy_basinhopping",
     {"n_local_optimizations": 30, "temperature": 0.5, "stepsize": 1.2, "interval": 4, "target_accept_rate": 0.3,
      "stepwise_factor": 0.7, "convergence_n_unchanged_iterations": 8, "seed": 7},
     lambda f: scipy.optimize.basinhopping(
         f, START, niter=30, T=0.5, stepsize=1.2, interval=4, target_accept_rate=0.3, stepwise_factor=0.7,
         niter_success=8, rng=7, minimizer_kwargs=LOCALLY)),
    ("scipy_shgo", {}, lambda f: scipy.optimize.shgo(
        f, PAIRS, n=128, minimizer_kwargs={"method": "L-BFGS-B", "jac": wavy_gradient, "options": {"ftol": 2e-9}})),
    ("scipy_shgo",
     {"sampling_method": "sobol", "n_sampling_points": 32, "n_simplex_iterations": 2, "local_algorithm": "SLSQP",
      "local_algo_options": {"convergence_ftol_abs": 1e-7}},
     lambda f: scipy.optimize.shgo(
         f, PAIRS, n=32, iters=2, sampling_method="sobol",
         minimizer_kwargs={"method": "SLSQP", "jac": wavy_gradient, "options": {"ftol": 1e-7}})),
    ("scipy_shgo", {"max_local_minimizations_per_iteration": 1, "minimize_every_iteration": False},
     lambda f: scipy.optimize.shgo(
         f, PAIRS, n=128, options={"local_iter": 1, "minimize_every_iter": False},
         minimizer_kwargs={"method": "L-BFGS-B", "jac": wavy_gradient, "options": {"ftol": 2e-9}})),
]  # fmt: skip


def distinct(points):
    seen = {x.tobytes(): x for x in points}
    return np.array(list(seen.values()))


@pytest.mark.parametrize(
    ("algorithm", "options", "direct"), DIRECT, ids=lambda value: "" if callable(value) else str(value)[:50]
)
def test_global_solvers_make_the_iterates_of_a_direct_call_of_scipy(algorithm, options, direct):
    counted = Counted(wavy)
    expected = direct(counted.call)
    ours = om.minimize(wavy, START, algorithm, jac=wavy_gradient, bounds=BOX, algo_options=options)
    asked = ours.history.flat_params[ours.history.task == "fun"]
    np.testing.assert_array_equal(distinct(asked), distinct([START, *counted.points]))
    np.testing.assert_array_equal(ours.claims["x"], expected.x)
    assert ours.success == expected.success
    assert ours.n_iterations == expected.nit
    message = expected.message
    assert ours.message == ("; ".join(message) if isinstance(message, list) else message)


GLOBAL = om.algos.filter(is_global=True).names
SEEDED = [a.name for a in om.algos.filter(is_global=True) if "seed" in a.option_names() and a.name != "nlopt_direct"]


@pytest.mark.parametrize("algorithm", SEEDED)
def test_the_seed_decides_and_is_0_unless_given(algorithm):
    def run(**options):
        budget = om.Budget(max_evaluations=60)
        result = om.minimize(wavy, START, algorithm, jac=wavy_gradient, bounds=BOX, budget=budget, algo_options=options)
        return result.history.flat_params

    if not getattr(om.algos, algorithm).available():
        pytest.skip("an extra")
    np.testing.assert_array_equal(run(), run(seed=0))
    assert not np.array_equal(run(), run(seed=1))
    assert not np.array_equal(run(seed=None), run(seed=None))


@pytest.mark.parametrize("algorithm", GLOBAL)
def test_no_point_leaves_the_bounds_and_the_lowest_minimum_is_found(algorithm):
    if not getattr(om.algos, algorithm).available():
        pytest.skip("an extra")
    options = {"stopping_maxfun": 10_000} if "stopping_maxfun" in getattr(om.algos, algorithm).option_names() else {}
    budget = om.Budget(400 if algorithm == "scipy_shgo" else 3000)  # its graph of points takes long
    result = om.minimize(wavy, START, algorithm, jac=wavy_gradient, bounds=BOX, algo_options=options, budget=budget)
    points = result.history.flat_params
    assert (points >= LOWER).all()
    assert (points <= UPPER).all()
    np.testing.assert_allclose(result.params, BEST, atol=0.2)  # in its basin; the next ones are 1 away
    assert result.n_numdiff_evals == 0


@pytest.mark.parametrize("algorithm", [a.name for a in om.algos if a.needs_bounds and a.name != "scipy_bounded"])
def test_missing_bounds_are_named_before_anything_is_called(algorithm):
    if not getattr(om.algos, algorithm).available():
        pytest.skip("an extra")
    counted = Counted(lambda p: 0.0)
    start = {"a": 1.0, "b": 2.0, "c": 3.0}
    with pytest.raises(
        om.InvalidInputError, match=f"{algorithm} searches within bounds; .* missing for 'a', 'b', 'c'$"
    ):
        om.minimize(counted.call, start, algorithm)
    with pytest.raises(om.InvalidInputError, match=r"; give finite lower and upper ones, .* missing for 'b', 'c'$"):
        om.minimize(counted.call, start, algorithm, bounds=om.Bounds({"a": 0, "b": 0}, {"a": 5, "c": 4}))
    assert len(counted) == 0


@pytest.mark.parametrize("algorithm", GLOBAL)
def test_a_param_whose_bounds_are_equal_stays_where_it_is_or_is_named(algorithm):
    cls = getattr(om.algos, algorithm)
    if not cls.available():
        pytest.skip("an extra")
    counted = Counted(lambda p: wavy(np.array([p["a"], p["c"]])) + (p["b"] - 1) ** 2)
    arguments = {"params": {"a": 1, "b": 2, "c": 1}, "algorithm": algorithm, "budget": om.Budget(900)}
    bounds = om.Bounds({"a": -2, "b": 2, "c": -1.5}, {"a": 3, "b": 2, "c": 2.5})
    if cls.needs_room:
        message = f"{algorithm} needs lower bounds below the upper ones, but they are equal for 'b'; use fixed= for"
        with pytest.raises(om.InvalidInputError, match=message):
            om.minimize(counted.call, bounds=bounds, **arguments)
        assert len(counted) == 0
        result = om.minimize(counted.call, bounds=bounds, fixed={"b": True}, **arguments)  # the remedy
    else:
        result = om.minimize(counted.call, bounds=bounds, **arguments)
    assert {p.item()["b"] for p in counted.points} == {2.0}
    assert result.fun < result.start_fun


def test_a_grid_is_evaluated_as_a_whole_and_its_best_point_is_the_result():
    result = om.minimize(wavy, START, "scipy_brute", bounds=BOX, algo_options={"n_grid_points": 7})
    axes = [np.linspace(low, high, 7) for low, high in PAIRS]
    grid = np.array([[a, b] for a in axes[0] for b in axes[1]])
    np.testing.assert_allclose(result.history.flat_params[1:], grid, atol=1e-14)
    best = grid[np.argmin([wavy(x) for x in grid])]
    np.testing.assert_allclose(result.params, best, atol=1e-14)
    assert result.message == "all 49 points of the grid were evaluated"
    polished = om.minimize(
        wavy, START, "scipy_brute", bounds=BOX,
        algo_options={"n_grid_points": 7, "polishing_function": scipy.optimize.fmin},
    )  # fmt: skip
    direct = scipy.optimize.brute(wavy, PAIRS, Ns=7, finish=scipy.optimize.fmin)
    np.testing.assert_array_equal(polished.claims["x"], direct)
    assert polished.fun < result.fun


def test_a_grid_of_functions_of_one_number_and_one_that_is_too_large():
    result = om.minimize(lambda x: (x[0] - 0.5) ** 2, np.ones(1), "scipy_brute", bounds=[(0, 2)])
    assert result.n_fun_evals == 21
    lined = om.minimize(lambda x: x @ x, np.ones(2), "scipy_brute", bounds=[(0, 2), (1, 1)])
    assert (lined.n_fun_evals, lined.message) == (21, "all 20 points of the grid were evaluated")
    with pytest.raises(
        om.InvalidInputError, match=r"would evaluate 20\^6 points, more than 10,000,000; lower n_grid_p"
    ):
        om.minimize(lambda x: x @ x, np.ones(6), "scipy_brute", bounds=[(0, 2)] * 6)


def test_direct_stops_at_the_budget_with_little_memory():
    result = om.minimize(wavy, START, "scipy_direct", bounds=BOX, budget=om.Budget(max_evaluations=33))
    assert (result.n_fun_evals, result.status) == (33, "budget_evaluations")


# local search --------------------------------------------------------------------------------------------------------

HYBRID = ["scipy_basinhopping", "scipy_shgo", "scipy_dual_annealing"]


@pytest.mark.parametrize("algorithm", HYBRID)
@pytest.mark.parametrize(
    ("local", "uses_gradients"),
    [("scipy_lbfgsb", True), ("L-BFGS-B", True), ("scipy_truncated_newton", True), ("trust-constr", True),
     ("scipy_neldermead", False), ("scipy_cobyla", False), ("Powell", False)],
)  # fmt: skip
def test_any_local_solver_serves_and_uses_the_derivatives_that_it_wants(algorithm, local, uses_gradients):
    fun, jac = Counted(wavy), Counted(wavy_gradient)
    result = om.minimize(
        fun.call, START, algorithm, jac=jac.call, bounds=BOX, budget=om.Budget(400),
        algo_options={"local_algorithm": local},
    )  # fmt: skip
    assert (len(fun), len(jac)) == (result.n_fun_evals, result.n_jac_evals)
    assert (result.n_jac_evals > 0) == uses_gradients
    assert result.n_numdiff_evals == 0
    assert ((result.params >= LOWER) & (result.params <= UPPER)).all()
    assert result.fun < result.start_fun


def test_without_a_jac_local_searches_take_differences_and_samples_do_not():
    result = om.minimize(wavy, START, "scipy_dual_annealing", bounds=BOX, budget=om.Budget(150))
    assert 0 < result.n_numdiff_evals < result.n_fun_evals
    batches = np.bincount(result.history.batch)
    assert set(batches) == {1, 2, 3}  # a sample, a gradient where one was taken, a value and its gradient in one round
    annealed = om.minimize(
        wavy, START, "scipy_dual_annealing", bounds=BOX, budget=om.Budget(150), algo_options={"no_local_search": True}
    )
    assert annealed.n_numdiff_evals == 0
    assert not om.algos.scipy_dual_annealing(no_local_search=True).needs_jac


def test_basinhopping_works_without_bounds_and_with_functions_of_the_user():
    steps, tests = [], []

    def take_step(x):
        steps.append(x)
        return x + 0.5

    def accept_test(f_new, x_new, f_old, x_old):
        tests.append((f_new, f_old))
        return True

    options = {"n_local_optimizations": 3, "take_step": take_step, "accept_test": accept_test}
    result = om.minimize(wavy, START, "scipy_basinhopping", jac=wavy_gradient, algo_options=options)
    assert (len(steps), len(tests), result.n_iterations) == (3, 3, 3)
    assert result.success


@pytest.mark.parametrize("algorithm", HYBRID)
def test_local_solvers_that_do_not_fit_say_why(algorithm):
    def run(**options):
        return om.minimize(wavy, START, algorithm, bounds=BOX, algo_options=options)

    with pytest.raises(LookupError, match="unknown local solver 'scipy_lbfgs'; did you mean 'scipy_lbfgsb'"):
        run(local_algorithm="scipy_lbfgs")
    with pytest.raises(om.InvalidInputError, match=f"scipy_bfgs, the local solver of {algorithm}, can't handle bounds"):
        run(local_algorithm="BFGS")
    with pytest.raises(LookupError, match=r"scipy calls it gtol; here it is convergence_gtol_abs"):
        run(local_algo_options={"gtol": 1e-3})
    with pytest.raises(
        om.InvalidInputError, match=r"local_algorithm of .* must be the name of a local solver, but is 3"
    ):
        run(local_algorithm=3)


@pytest.mark.parametrize("algorithm", GLOBAL)
def test_functions_that_fail_in_places_are_survived(algorithm):
    def fun(x):
        if x[0] > 1.2:
            raise ZeroDivisionError("out")
        return np.nan if x[1] > 1.2 else np.inf if x[0] < -1 else wavy(x)

    if not getattr(om.algos, algorithm).available():
        pytest.skip("an extra")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fun is nan", RuntimeWarning)
        result = om.minimize(
            fun, START, algorithm, bounds=BOX, budget=om.Budget(max_evaluations=400), error_handling="continue"
        )
    assert result.fun == wavy(result.params) < result.start_fun
