"""NLopt: options under its own names, its failures in words, its seeds, and its way with exceptions."""

import numpy as np
import pytest

import optcore as om
from optcore.solvers.nlopt import MESSAGES
from optcore_problems import get_problem
from tests.core.counting import ROSENBROCK_START, Counted, rosenbrock, rosenbrock_gradient

nlopt = pytest.importorskip("nlopt", reason="NLopt is an extra")

LOWER, UPPER = np.array([-2.0, -1.5]), np.array([2.2, 2.7])
BOX = om.Bounds(LOWER, UPPER)

#: algorithm, options, NLopt's algorithm, calls that set the same on an nlopt.opt
DIRECT = [
    ("nlopt_bobyqa", {"convergence_xtol_rel": 1e-3, "convergence_ftol_rel": 1e-4}, "LN_BOBYQA",
     {"xtol_rel": 1e-3, "ftol_rel": 1e-4}),
    ("nlopt_cobyla", {"stopping_maxfun": 300}, "LN_COBYLA", {"maxeval": 300}),
    ("nlopt_neldermead", {"convergence_xtol_abs": 1e-3}, "LN_NELDERMEAD", {"xtol_abs": 1e-3}),
    ("nlopt_sbplx", {}, "LN_SBPLX", {}),
    ("nlopt_newuoa", {}, "LN_NEWUOA_BOUND", {}),
    ("nlopt_lbfgsb", {}, "LD_LBFGS", {}),
    ("nlopt_lbfgsb", {"memory": 2}, "LD_LBFGS", {"vector_storage": 2}),
    ("nlopt_tnewton", {}, "LD_TNEWTON_PRECOND_RESTART", {}),
    ("nlopt_tnewton", {"preconditioned": False}, "LD_TNEWTON_RESTART", {}),
    ("nlopt_tnewton", {"preconditioned": False, "restarts": False, "limited_memory_storage_length": 3}, "LD_TNEWTON",
     {"vector_storage": 3}),
    ("nlopt_var", {}, "LD_VAR1", {}),
    ("nlopt_var", {"rank_1_update": False}, "LD_VAR2", {}),
    ("nlopt_slsqp", {}, "LD_SLSQP", {}),
    ("nlopt_mma", {"convergence_ftol_abs": 1e-3}, "LD_MMA", {"ftol_abs": 1e-3}),
    ("nlopt_ccsaq", {"stopping_maxfun": 200}, "LD_CCSAQ", {"maxeval": 200}),
    ("nlopt_direct", {"stopping_maxfun": 200}, "GN_DIRECT", {"maxeval": 200}),
    ("nlopt_direct", {"stopping_maxfun": 200, "locally_biased": True, "random_search": True, "seed": 4},
     "GN_DIRECT_L_RAND", {"maxeval": 200, "seed": 4}),
    ("nlopt_direct", {"stopping_maxfun": 200, "locally_biased": True, "unscaled_bounds": True}, "GN_DIRECT_L_NOSCAL",
     {"maxeval": 200}),
    ("nlopt_crs2_lm", {"population_size": 15}, "GN_CRS2_LM", {"maxeval": 1000, "population": 15}),
    ("nlopt_isres", {"stopping_maxfun": 300, "seed": 2}, "GN_ISRES", {"maxeval": 300, "seed": 2}),
    ("nlopt_esch", {"stopping_maxfun": 300}, "GN_ESCH", {"maxeval": 300}),
    ("nlopt_ags", {"stopping_maxfun": 200}, "GN_AGS", {"maxeval": 200}),
    ("nlopt_mlsl", {"stopping_maxfun": 250}, "GD_MLSL", {"maxeval": 250, "local": "LD_LBFGS"}),
    ("nlopt_mlsl", {"stopping_maxfun": 250, "local_algorithm": "nlopt_bobyqa", "low_discrepancy": True,
                    "local_algo_options": {"convergence_xtol_rel": 1e-2}},
     "GN_MLSL_LDS", {"maxeval": 250, "local": "LN_BOBYQA", "local_xtol": 1e-2}),
]  # fmt: skip


def directly(code, settings):
    """The points of NLopt's own run, and its return code."""
    points = []

    def evaluate(x, gradient):
        points.append(x.copy())
        if gradient.size:
            gradient[:] = rosenbrock_gradient(x)
        return rosenbrock(x)

    settings = {"xtol_rel": 1e-5, "ftol_rel": 2e-9, "maxeval": 10**6, **settings}
    nlopt.srand(settings.pop("seed", 0))
    solver = nlopt.opt(getattr(nlopt, code), 2)
    solver.set_min_objective(evaluate)
    solver.set_lower_bounds(LOWER)
    solver.set_upper_bounds(UPPER)
    if "local" in settings:
        local = nlopt.opt(getattr(nlopt, settings.pop("local")), 2)
        local.set_xtol_rel(settings.pop("local_xtol", 1e-5))
        local.set_ftol_rel(2e-9)
        local.set_maxeval(10**6)
        local.set_lower_bounds(LOWER)
        local.set_upper_bounds(UPPER)
        solver.set_local_optimizer(local)
    for name, value in settings.items():
        getattr(solver, f"set_{name}")(value)
    solver.optimize(ROSENBROCK_START)
    return points, solver.last_optimize_result()


def distinct(points):
    seen = {x.tobytes(): x for x in points}
    return np.array(list(seen.values()))


@pytest.mark.parametrize(("algorithm", "options", "code", "settings"), DIRECT, ids=lambda value: str(value)[:40])
def test_solvers_make_the_iterates_of_a_direct_call_of_nlopt(algorithm, options, code, settings):
    points, ended = directly(code, settings)
    ours = om.minimize(
        rosenbrock, ROSENBROCK_START, algorithm, jac=rosenbrock_gradient, bounds=BOX, algo_options=options
    )
    asked = ours.history.flat_params[ours.history.task == "fun"]
    np.testing.assert_array_equal(distinct(asked), distinct([ROSENBROCK_START, *points]))
    assert ours.message == MESSAGES[ended]
    assert ours.success == (1 <= ended <= 4)


def test_praxis_and_newuoa_without_bounds_are_those_of_nlopt():
    for algorithm, code in (("nlopt_praxis", nlopt.LN_PRAXIS), ("nlopt_newuoa", nlopt.LN_NEWUOA)):
        points = []
        nlopt.srand(0)
        solver = nlopt.opt(code, 2)
        solver.set_min_objective(lambda x, g, points=points: (points.append(x.copy()), rosenbrock(x))[1])
        solver.set_xtol_rel(1e-5)
        solver.set_ftol_rel(2e-9)
        solver.optimize(ROSENBROCK_START)
        ours = om.minimize(rosenbrock, ROSENBROCK_START, algorithm)
        np.testing.assert_array_equal(distinct(ours.history.flat_params), distinct(points))


def test_the_limit_of_evaluations_is_told():
    short = om.minimize(rosenbrock, ROSENBROCK_START, "nlopt_bobyqa", algo_options={"stopping_maxfun": 9})
    assert (short.n_fun_evals, short.message, short.success) == (9, "maxeval was reached", False)


# failures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["nlopt_lbfgsb", "nlopt_tnewton", "nlopt_var"])
def test_a_line_search_that_finds_no_lower_value_is_a_failure_with_a_remedy(algorithm):
    start = 10 * ROSENBROCK_START
    result = om.minimize(rosenbrock, start, algorithm, jac=rosenbrock_gradient)
    assert not result.success
    assert result.message.startswith(
        "the line search failed: none of the steps that it tried gave a lower value; the f"
    )
    np.testing.assert_array_equal(result.params, start)
    scaled = om.minimize(lambda x: rosenbrock(x) / 1e5, start, algorithm, jac=lambda x: rosenbrock_gradient(x) / 1e5)
    assert scaled.fun < 1e-9  # the remedy


@pytest.mark.parametrize("name", ["mancino_n8", "mancino_n10", "mancino_n12"])
def test_a_line_search_that_has_shrunk_to_rounding_is_convergence(name):
    problem = get_problem(f"more_wild/{name}")
    result = om.minimize(
        problem.fun, problem.start, "nlopt_lbfgsb", jac=problem.gradient, algo_options=om.algos.nlopt_lbfgsb.tight
    )
    assert result.message == "converged up to rounding errors: the last line search ended where it began"
    assert result.status == "converged"
    assert result.fun < 1e-30 * result.start_fun


def test_stopping_at_rounding_errors_is_told_as_such():
    result = om.minimize(rosenbrock, ROSENBROCK_START, "nlopt_bobyqa", algo_options=om.algos.nlopt_bobyqa.tight)
    assert (result.message, result.status) == ("NLopt stopped because of rounding errors", "stopped")
    assert result.fun < 1e-25


def test_what_nlopt_says_of_invalid_arguments_is_passed_on():
    result = om.minimize(rosenbrock, ROSENBROCK_START, "nlopt_crs2_lm", bounds=BOX, algo_options={"population_size": 2})
    assert result.message.startswith("NLopt was given invalid arguments: ")
    assert not result.success


EVERY = om.algos.filter(library="nlopt").names


@pytest.mark.parametrize("algorithm", EVERY)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError], ids=lambda e: e.__name__)
def test_no_user_code_is_called_after_an_exception_and_it_passes_through(algorithm, error):
    fun = Counted(rosenbrock)
    function = fun.function

    def raising(x):
        if len(fun) == 9:
            raise error("my own text")
        return function(x)

    fun.function = raising
    expected = om.UserFunctionError if error is ZeroDivisionError else error
    bounds = BOX if getattr(om.algos, algorithm).needs_bounds else None
    with pytest.raises(expected) as caught:
        om.minimize(fun.call, ROSENBROCK_START, algorithm, jac=rosenbrock_gradient, bounds=bounds)
    assert len(fun) == 9
    assert "my own text" in str(caught.value)


@pytest.mark.parametrize("algorithm", ["nlopt_cobyla", "nlopt_ags"])
def test_infinite_values_are_survived_where_nlopt_alone_never_returns(algorithm):
    counted = Counted(lambda x: np.inf if len(counted) % 3 == 0 else rosenbrock(x))
    bounds = BOX if algorithm == "nlopt_ags" else None
    result = om.minimize(counted.call, ROSENBROCK_START, algorithm, bounds=bounds, budget=om.Budget(200))
    assert result.fun < result.start_fun
    assert np.isinf(result.history.fun).any()


@pytest.mark.parametrize(
    ("algorithm", "n", "options", "message"),
    [
        ("nlopt_newuoa", 1, {}, "nlopt_newuoa needs at least 2 params, but there is 1; use a solver such as scipy_br"),
        ("nlopt_ags", 11, {}, "nlopt_ags takes at most 10 params, but there are 11; use nlopt_direct"),
        ("nlopt_direct", 2, {"random_search": True}, "random_search of nlopt_direct needs locally_biased=True"),
        ("nlopt_praxis", 2, {}, "nlopt_praxis can't handle bounds"),
        ("nlopt_mlsl", 2, {"local_algorithm": "nlopt_praxis"}, "unknown local solver 'nlopt_praxis'"),
        ("nlopt_lbfgsb", 2, {"ftol_rel": 1}, "nlopt calls it ftol_rel; here it is convergence_ftol_rel"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_why(algorithm, n, options, message):
    with pytest.raises((om.InvalidInputError, LookupError), match=message):
        om.minimize(lambda x: x @ x, np.ones(n), algorithm, bounds=[(-1, 2)] * n, algo_options=options)
