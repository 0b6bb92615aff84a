"""optimagic's algorithms as `optimagic:NAME`: what is called is what is counted, and points are those of optimagic.

Its import takes seconds, so that it happens in this module only, and not before a test runs.
"""

import functools
import pickle
import re
import subprocess
import sys

import cloudpickle
import numpy as np
import pytest

import optcore as om
from optcore.solvers import optimagic as module
from optcore.solvers.algorithm import get_algorithm
from optcore.solvers.optimagic import optimagic_algorithm, optimagic_algorithms
from tests.cases import in_one_test
from tests.core.counting import (
    CENTRE,
    ELLIPSE_START,
    ROSENBROCK_START,
    Counted,
    Given,
    counts_of,
    ellipse,
    ellipse_gradient,
    ellipse_jacobian,
    ellipse_residuals,
    rosenbrock,
    rosenbrock_gradient,
    rosenbrock_jacobian,
    rosenbrock_residuals,
    rows_of,
)

#: One for each way in which optimagic asks for values and derivatives, and for each library that it comes with.
ALGORITHMS = [
    "scipy_lbfgsb",  # both at once
    "scipy_slsqp",  # one after the other
    "scipy_trust_constr",
    "scipy_neldermead",
    "neldermead_parallel",  # in batches, by a function that swallows exceptions
    "pounders",  # in batches
    "scipy_ls_lm",
    "scipy_ls_trf",
    "nag_dfols",
    "nag_pybobyqa",
    "nlopt_slsqp",
    "nlopt_bobyqa",
    "iminuit_migrad",
    "scipy_differential_evolution",
    "scipy_dual_annealing",
    "nlopt_crs2_lm",
]
SOURCES = {"fun": ["fun"], "jac": ["fun", "jac"], "fun_and_jac": ["fun_and_jac"], "all": ["fun", "jac", "fun_and_jac"]}
#: nlopt calls on with an exception set, and what Python collects just then complains (jax has something to say there).
calls_on = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
each_algorithm = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=calls_on) if name == "nlopt_crs2_lm" else name for name in ALGORITHMS]
)
BOX = om.Bounds(-2.0, 2.0)


@functools.cache
def cls_of(name):
    """The class, or a skip with the reason."""
    pytest.importorskip("optimagic", reason="optimagic is an extra")
    cls = get_algorithm(f"optimagic:{name}")
    if missing := cls.missing():
        pytest.skip(missing)
    return cls


def needed_bounds(cls):
    return BOX if cls.needs_bounds else None


def run(name, source, **kwargs):
    cls = cls_of(name)
    given = Given(cls.kind, SOURCES[source])
    kwargs = {"bounds": needed_bounds(cls), **kwargs}
    result = om.minimize(params=ROSENBROCK_START, algorithm=f"optimagic:{name}", **given.arguments, **kwargs)
    return given, result


# counts, budgets, failures -------------------------------------------------------------------------------------------


@each_algorithm
@pytest.mark.parametrize("source", SOURCES)
@in_one_test("max_evaluations", [7, 30])
def test_the_budget_is_exact_and_counters_agree_with_the_calls(name, source, max_evaluations):
    given, result = run(name, source, budget=om.Budget(max_evaluations=max_evaluations))
    assert counts_of(result) == given.counts == rows_of(result)
    assert given.counts["fun"] + given.counts["fun_and_jac"] <= max_evaluations
    assert result.fun == np.nanmin(result.history.fun[result.history.asked]) == rosenbrock(result.params)
    if result.status is om.Status.BUDGET_EVALUATIONS:
        assert given.counts["fun"] + given.counts["fun_and_jac"] == max_evaluations
    else:
        assert result.fun < 1e-6  # solvers of least squares with derivatives need fewer


@each_algorithm
def test_nothing_is_printed_and_the_user_sees_all_calls_of_a_whole_run(name, capfd):
    given, result = run(name, "all", budget=om.Budget(max_evaluations=150))
    assert counts_of(result) == given.counts == rows_of(result)
    assert result.n_numdiff_evals == 0
    assert result.fun < result.start_fun
    assert result.status in ("converged", "budget_evaluations")
    assert capfd.readouterr() == ("", "")


def outside_is(what):
    """The four functions of a least-squares problem that is not defined everywhere."""

    def check(x, answer):
        if (np.abs(x) < 1.5).all():
            return answer
        if isinstance(what, Exception):
            raise what
        return answer * what

    return {
        "scalar": lambda x: check(x, float((x - 0.8) @ (x - 0.8))),
        "residuals": lambda x: check(x, x - 0.8),
        "gradient": lambda x: check(x, 2 * (x - 0.8)),
        "jacobian": lambda x: check(x, np.eye(2)),
    }


@each_algorithm
@in_one_test("source", ["fun", "jac"])
@in_one_test("what", [np.nan, np.inf, ZeroDivisionError("out")])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # infinity times zero in the functions below
def test_functions_that_fail_in_places_are_survived_with_continue(name, source, what):
    cls = cls_of(name)
    given = Given(cls.kind, SOURCES[source], **outside_is(what))
    start = np.array([-1.2, -0.9])
    result = om.minimize(
        params=start, algorithm=cls, bounds=needed_bounds(cls), budget=om.Budget(max_evaluations=100),
        error_handling="continue", **given.arguments,
    )  # fmt: skip
    assert counts_of(result) == given.counts == rows_of(result)
    assert np.isfinite(result.fun)
    assert result.fun <= result.start_fun
    assert (np.abs(result.params) < 1.5).all()


@each_algorithm
@pytest.mark.parametrize("error", [ZeroDivisionError("my own text"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_what_a_function_raises_comes_through_and_ends_the_calls(name, error):
    cls = cls_of(name)
    given = Given(cls.kind, ["fun"])
    counted = given.counted["fun"]
    function = counted.function

    def boom(x):
        if len(counted) == 4:
            raise error
        return function(x)

    counted.function = boom
    arguments = {"params": ROSENBROCK_START, "algorithm": cls, "bounds": needed_bounds(cls), **given.arguments}
    if isinstance(error, KeyboardInterrupt):
        result = om.minimize(on_interrupt="return", **arguments)
        assert result.status is om.Status.INTERRUPTED
        assert result.fun == np.nanmin(result.history.fun[result.history.asked])
    else:
        with pytest.raises(
            om.UserFunctionError, match="fun raised ZeroDivisionError: my own text; at params"
        ) as caught:
            om.minimize(**arguments)
        assert caught.value.__cause__ is error
    assert len(counted) == 4


# against optimagic itself --------------------------------------------------------------------------------------------

#: Their own start-up calls and points that are asked for again aside, the points must be the same.
AGAINST = [
    ("scipy_lbfgsb", {}, None),
    ("scipy_lbfgsb", {"limited_memory_storage_length": 2, "convergence.gtol_abs": 1e-2}, ((-2, -2), (0.5, 2))),
    ("scipy_slsqp", {}, None),
    ("scipy_conjugate_gradient", {"stopping_maxiter": 5}, None),
    ("neldermead_parallel", {"init_simplex_method": "pfeffer"}, None),
    ("pounders", {"trustregion_initial_radius": 0.3}, None),
    ("scipy_ls_trf", {}, ((-2, -2), (0.5, 2))),
    ("nlopt_slsqp", {}, ((-2, -2), (0.5, 2))),
    ("nag_dfols", {"stopping_maxfun": 20}, None),
    ("nag_pybobyqa", {"convergence_minimal_trustregion_radius_tolerance": 1e-2}, ((-2, -2), (0.5, 2))),
    ("scipy_differential_evolution", {"seed": 3, "stopping_maxiter": 2}, ((-2, -2), (0.5, 2))),
    ("scipy_dual_annealing", {"seed": 3, "stopping_maxiter": 2}, ((-2, -2), (2, 2))),
]


def plain(name, options, bounds):
    """A run of optimagic: its result, and the points at which it asks for fun or fun_and_jac."""
    optimagic = pytest.importorskip("optimagic")
    fun, marked = Counted(rosenbrock), optimagic.mark.scalar
    jac = rosenbrock_gradient
    if cls_of(name).kind == "least_squares":
        fun, marked, jac = Counted(rosenbrock_residuals), optimagic.mark.least_squares, rosenbrock_jacobian
    box = None if bounds is None else optimagic.Bounds(*(np.array(side, dtype=float) for side in bounds))
    options = {option.replace(".", "_"): value for option, value in options.items()}
    result = optimagic.minimize(
        marked(lambda x: fun.call(x)),
        ROSENBROCK_START,
        name,
        jac=marked(lambda x: jac(x)),
        bounds=box,
        algo_options=options,
    )
    return result, fun.points


def distinct(points):
    seen = {np.asarray(x).tobytes(): x for x in points}
    return np.array(list(seen.values()))


@pytest.mark.parametrize(("name", "options", "bounds"), AGAINST, ids=str)
def test_points_and_optimum_are_those_of_optimagic(name, options, bounds):
    theirs, points = plain(name, options, bounds)
    given = Given(cls_of(name).kind, ["fun", "jac"])
    ours = om.minimize(
        params=ROSENBROCK_START, algorithm=f"optimagic:{name}", algo_options=options,
        bounds=None if bounds is None else om.Bounds(*map(np.array, bounds)), **given.arguments,
    )  # fmt: skip
    np.testing.assert_array_equal(distinct(given.counted["fun"].points), distinct(points))
    np.testing.assert_array_equal(ours.claims["x"], theirs.params)
    assert ours.fun <= theirs.fun
    assert ours.message == (theirs.message or "")
    assert ours.n_iterations == theirs.n_iterations
    assert ours.success == bool(theirs.success)


def test_a_harmonised_option_means_the_same_here_and_there():
    cls_of("scipy_lbfgsb")
    options = {"limited_memory_storage_length": 3, "convergence_ftol_rel": 1e-4}
    one, two = (
        om.minimize(rosenbrock, ROSENBROCK_START, name, jac=rosenbrock_gradient, algo_options=options)
        for name in ("scipy_lbfgsb", "optimagic:scipy_lbfgsb")
    )
    np.testing.assert_array_equal(one.params, two.params)
    assert two.algorithm == "optimagic:scipy_lbfgsb"


def test_the_nag_solvers_read_their_tables_as_optimagic_does():
    """Options that are tables, with everything that optimagic sends to the libraries, resets included."""
    cls_of("nag_dfols")
    tables = {
        "trustregion_reset_options": {"use_resets": True, "reset_type": "hard", "auto_detect_history": 5},
        "convergence_slow_progress": {"max_insufficient_improvements": 4},
        "convergence_minimal_trustregion_radius_tolerance": 1e-2,
    }
    for name, fun in (("nag_dfols", om.mark.least_squares(rosenbrock_residuals)), ("nag_pybobyqa", rosenbrock)):
        ours, theirs = (
            om.minimize(fun, ROSENBROCK_START, algorithm, algo_options=tables, budget=om.Budget(60))
            for algorithm in (name, f"optimagic:{name}")
        )
        np.testing.assert_array_equal(ours.history.flat_params, theirs.history.flat_params)


# likelihood ----------------------------------------------------------------------------------------------------------

_RNG = np.random.default_rng(0)
X = np.column_stack([np.ones(60), _RNG.normal(size=60)])
SIDE = np.where(_RNG.uniform(size=60) < 1 / (1 + np.exp(-X @ [0.3, 1.0])), 1.0, -1.0)


def loglikes(beta):
    """Of a logit model, shape (60,)."""
    return -np.logaddexp(0, -SIDE * (X @ beta))


def scores(beta):
    """Their derivatives, shape (60, 2)."""
    return X * (SIDE / (1 + np.exp(SIDE * (X @ beta))))[:, None]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_likelihood_algorithm_gets_contributions_and_their_derivatives(direction):
    """The points are those of optimagic, whose bhhh (0.5) goes along the gradient, up where it is to go down."""
    optimagic = pytest.importorskip("optimagic")
    sign = 1 if direction == "maximize" else -1
    fun, jac = Counted(lambda b: sign * loglikes(b), "likelihood"), Counted(lambda b: sign * scores(b), "likelihood")
    options = {"stopping_maxiter": 20}
    ours = getattr(om, direction)(
        fun.marked, np.array([0.2, 0.9]), "optimagic:bhhh", jac=jac.marked, algo_options=options
    )
    points = []

    def note(b):
        points.append(b.copy())
        return sign * loglikes(b)

    theirs = getattr(optimagic, direction)(
        optimagic.mark.likelihood(note), np.array([0.2, 0.9]), algorithm="bhhh", algo_options=options,
        jac=optimagic.mark.likelihood(lambda b: sign * scores(b)),
    )  # fmt: skip
    np.testing.assert_array_equal(distinct(fun.points), distinct(points))
    np.testing.assert_array_equal(ours.claims["x"], theirs.params)
    assert counts_of(ours) == {"fun": len(fun), "jac": len(jac), "fun_and_jac": 0} == rows_of(ours)
    assert ours.status == "stopped"  # it makes no claim
    assert ours.fun == sign * loglikes(ours.params).sum()


def test_derivatives_of_contributions_are_taken_numerically_where_none_are_given():
    cls_of("bhhh")
    given, numerical = (
        om.maximize(
            om.mark.likelihood(loglikes), np.array([0.2, 0.9]), "optimagic:bhhh", algo_options={"stopping_maxiter": 5},
            **kwargs,
        )
        for kwargs in ({"jac": om.mark.likelihood(scores)}, {"numdiff_options": om.NumdiffOptions(method="central")})
    )  # fmt: skip
    np.testing.assert_allclose(numerical.params, given.params, rtol=1e-4)
    assert numerical.n_numdiff_evals > 0


def test_a_likelihood_algorithm_survives_failures_and_says_what_it_needs():
    cls_of("bhhh")
    calls = []

    def sometimes(beta):
        calls.append(beta)
        if len(calls) % 3 == 0:
            raise ZeroDivisionError
        return loglikes(beta)

    result = om.maximize(
        om.mark.likelihood(sometimes), np.array([0.2, 0.9]), "optimagic:bhhh", jac=om.mark.likelihood(scores),
        error_handling="continue", budget=om.Budget(max_evaluations=20),
    )  # fmt: skip
    assert result.n_fun_evals == len(calls) == 20
    message = (
        "optimagic:bhhh is a likelihood solver, but the function is scalar; mark a function that returns contributions "
        "with om.mark.likelihood, or choose a scalar solver such as scipy_lbfgsb"
    )
    with pytest.raises(om.InvalidInputError, match=message):
        om.minimize(rosenbrock, ROSENBROCK_START, "optimagic:bhhh")


# bounds, seeds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["scipy_lbfgsb", "pounders", "nlopt_bobyqa", "nag_pybobyqa", "iminuit_migrad"])
def test_bounds_hold_and_params_that_they_fix_cost_nothing(name):
    cls = cls_of(name)
    given = Given(cls.kind, ["fun"], ellipse, ellipse_gradient, ellipse_residuals, ellipse_jacobian)
    lower, upper = np.array([1.0, -0.6, 0.0]), np.array([1.0, 3.0, 3.5])
    result = om.minimize(
        params=ELLIPSE_START, algorithm=cls, bounds=om.Bounds(lower, upper), budget=om.Budget(400), **given.arguments
    )
    np.testing.assert_allclose(result.params, np.clip(CENTRE, lower, upper), atol=1e-2)
    points = np.array(given.counted["fun"].points)
    assert ((lower <= points) & (points <= upper)).all()
    assert (points[:, 0] == 1.0).all()
    fixed = om.minimize(params=ELLIPSE_START, algorithm=cls, bounds=om.Bounds(1.0, 1.0), **given.arguments)
    assert (fixed.status, fixed.n_fun_evals) == ("converged", 1)


@pytest.mark.parametrize("bounds", [None, om.Bounds(lower=-2.0), om.Bounds([-2.0, None], 2.0)], ids=str)
def test_an_algorithm_that_needs_finite_bounds_says_so(bounds):
    cls_of("scipy_direct")
    with pytest.raises(
        om.InvalidInputError, match="optimagic:scipy_direct searches within bounds; give finite lower and upper ones"
    ):
        om.minimize(rosenbrock, list(ROSENBROCK_START), "optimagic:scipy_direct", bounds=bounds)


@pytest.mark.parametrize("name", ["scipy_differential_evolution", "scipy_dual_annealing", "nlopt_crs2_lm"])
def test_random_algorithms_repeat_and_leave_the_users_numbers_alone(name):
    cls, budget = cls_of(name), om.Budget(max_evaluations=60)
    drawn = []

    def fun(x):
        drawn.append(np.random.random())  # noqa: NPY002
        return rosenbrock(x)

    np.random.seed(5)  # noqa: NPY002
    seeds = [{}, {}, {"seed": 8}] if "seed" in cls.option_names() else [{}, {}]
    histories = [
        om.minimize(fun, ROSENBROCK_START, cls, bounds=BOX, algo_options=options, budget=budget).history.flat_params
        for options in seeds
    ]
    np.testing.assert_array_equal(histories[0], histories[1])
    assert len(seeds) == 2 or not np.array_equal(histories[0], histories[2])
    np.random.seed(5)  # noqa: NPY002
    np.testing.assert_array_equal(drawn, np.random.random(len(drawn)))  # noqa: NPY002


# the register --------------------------------------------------------------------------------------------------------


def test_all_of_optimagic_is_there_with_what_it_says_of_itself():
    pytest.importorskip("optimagic")
    from optimagic.algorithms import ALL_ALGORITHMS

    classes = {cls.name.removeprefix("optimagic:"): cls for cls in optimagic_algorithms()}
    assert classes.keys() == ALL_ALGORITHMS.keys()
    for name, cls in classes.items():
        info = ALL_ALGORITHMS[name].algo_info
        assert cls is get_algorithm(f"optimagic:{name}") is pickle.loads(pickle.dumps(cls))
        assert cls.kind == info.solver_type.value
        assert (cls.needs_jac, cls.supports_bounds, cls.is_global, cls.available()) == (
            info.needs_jac, info.supports_bounds, info.is_global, info.is_available,
        )  # fmt: skip
        assert cls.is_deterministic == ("seed" not in cls.option_names())
        assert cls.__doc__
        if info.is_available:
            made, tight = cls(), cls.from_options(cls.tight)
            assert made == pickle.loads(pickle.dumps(made)) == cloudpickle.loads(cloudpickle.dumps(made))
            assert f"optimagic_{name}(" in repr(made)
            assert all(getattr(tight, option) == value for option, value in cls.tight.items())
    assert classes["scipy_lbfgsb"].tight == om.algos.scipy_lbfgsb.tight
    assert classes["nlopt_bobyqa"].built_on == ("nlopt",)
    assert classes["pounders"].built_on == ()


def test_instances_travel_to_a_process_that_has_not_seen_them():
    made = cls_of("scipy_lbfgsb")(stopping_maxiter=3)
    code = (
        "import sys, pickle; made = pickle.loads(sys.stdin.buffer.read()); import optcore as om, numpy as np; "
        "print(om.minimize(lambda x: ((x - 3) ** 4).sum(), np.ones(2), made).n_iterations)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(made), capture_output=True, check=True)
    assert done.stdout.split() == [b"3"]


def test_options_come_on_top_of_those_of_an_instance():
    made = cls_of("scipy_lbfgsb")(stopping_maxiter=2)
    assert om.minimize(rosenbrock, ROSENBROCK_START, made).n_iterations == 2
    assert om.minimize(rosenbrock, ROSENBROCK_START, made, algo_options={"stopping.maxiter": 3}).n_iterations == 3


@pytest.mark.parametrize(
    ("algorithm", "options", "error", "message"),
    [
        ("optimagic:scipy_lbfgs", {}, LookupError,
         "unknown algorithm of optimagic 'scipy_lbfgs'; did you mean 'scipy_lbfgsb'?"),
        ("optimagic:scipy_lbfgsb", {"stopping_maxit": 3}, LookupError,
         "unknown option of optimagic:scipy_lbfgsb 'stopping_maxit'; did you mean 'stopping_maxiter'?"),
        ("optimagic:pounders", {"stopping_maxiter": -3}, ValueError,
         "optimagic:pounders refuses its options: Could not convert the value of the field stopping_maxiter"),
        ("optimagic:pounders", {"n_cores": 2}, ValueError,
         "optimagic:pounders has n_cores=2, but its calls are counted one after the other: leave n_cores at 1"),
        ("optimagic:neldermead_parallel", {"init_simplex_method": "none"}, ValueError,
         "optimagic:neldermead_parallel can't start: KeyError: '_none'"),
        ("optimism:scipy_lbfgsb", {}, LookupError, "unknown algorithm 'optimism:scipy_lbfgsb'; did you mean 'scipy_lb"),
    ],
)  # fmt: skip
def test_what_can_not_be_says_why(algorithm, options, error, message):
    pytest.importorskip("optimagic")
    with pytest.raises(error, match=re.escape(message)):
        om.minimize(rosenbrock, ROSENBROCK_START, algorithm, algo_options=options)


def test_a_class_that_optimagic_does_not_have_is_no_attribute():
    pytest.importorskip("optimagic")
    with pytest.raises(AttributeError, match="unknown algorithm of optimagic 'pounder'; did you mean 'pounders'"):
        _ = module.optimagic_pounder
    with pytest.raises(AttributeError, match=r"module 'optcore\.solvers\.optimagic' has no attribute 'pounders'"):
        _ = module.pounders


def test_an_algorithm_that_breaks_down_leaves_the_best_so_far():
    cls_of("bhhh")
    flat = om.mark.likelihood(lambda b: -((b - 1) ** 2))
    singular = om.mark.likelihood(lambda b: np.diag([-2 * (b[0] - 1), 0.0]))
    result = om.maximize(flat, np.zeros(2), "optimagic:bhhh", jac=singular)
    assert result.message == "optimagic:bhhh failed: LinAlgError: Singular matrix"
    assert (result.status, result.success) == ("stopped", False)
    assert result.fun == result.start_fun


@pytest.mark.parametrize(
    ("name", "installed", "message"),
    [
        ("pygmo_sade", False, "optimagic:pygmo_sade needs pygmo, which is not installed: pip install pygmo"),
        ("bayes_opt", False, "needs bayes_opt, which is not installed: pip install bayesian-optimization"),
        ("pygmo_sade", True, "optimagic can't run optimagic:pygmo_sade with what is installed; see its list"),
    ],
)
def test_a_library_that_optimagic_lacks_is_named(monkeypatch, name, installed, message):
    pytest.importorskip("optimagic")
    cls = optimagic_algorithm(name)
    find_spec = module.importlib.util.find_spec
    monkeypatch.setattr(cls, "available", classmethod(lambda cls: False))
    monkeypatch.setattr(
        module.importlib.util,
        "find_spec",
        lambda wanted: (wanted if installed else None) if wanted == cls.backend()[0] else find_spec(wanted),
    )
    with pytest.raises(om.MissingLibraryError, match=message):
        om.minimize(rosenbrock, ROSENBROCK_START, cls, bounds=BOX)


def test_without_optimagic_its_algorithms_say_how_to_install_it(monkeypatch):
    monkeypatch.setattr(module, "_is_installed", lambda: False)
    monkeypatch.setattr(module._NotInstalled, "available", classmethod(lambda cls: False))
    message = r"optimagic:pounders needs optimagic, which is not installed: pip install 'optcore\[optimagic\]'"
    with pytest.raises(om.MissingLibraryError, match=message):
        om.minimize(rosenbrock, ROSENBROCK_START, "optimagic:pounders", algo_options={"any": 1})
    stands_in = get_algorithm("optimagic:pounders")()
    assert pickle.loads(pickle.dumps(stands_in)).name == "optimagic:pounders"
    assert list(optimagic_algorithms()) == []


def test_asking_for_other_algorithms_does_not_import_optimagic():
    code = (
        "import sys, numpy as np, optcore as om; om.minimize(lambda x: x @ x, np.ones(2), 'scipy_lbfgsb')\n"
        "list(om.algos), repr(om.algos), dir(om.algos), 'optimagic:pounders' in om.algos\n"
        "try: om.minimize(lambda x: x @ x, np.ones(2), 'optimagik:pounders')\n"
        "except LookupError: print('optimagic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
