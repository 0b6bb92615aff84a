"""Algorithms: options as in a direct call of the library, the register, and solvers that users bring."""

import contextlib
import dataclasses
import pickle
import types

import numpy as np
import pytest
import scipy.optimize

import optcore as om
from optcore.solvers.algorithm import algorithm_names, get_algorithm
from tests.core.counting import (
    LIBRARIES,
    ONE_NUMBER,
    ROSENBROCK_START,
    Counted,
    ellipse,
    place,
    rosenbrock,
    rosenbrock_gradient,
    rosenbrock_jacobian,
    rosenbrock_residuals,
)

#: algorithm, its options, method of scipy and the same options in scipy's words. Without options: optimagic's
#: documented defaults, spelled out for scipy.
SCIPY = [
    ("scipy_lbfgsb", {}, "L-BFGS-B", {"ftol": 2e-9, "gtol": 1e-5, "maxcor": 10, "maxls": 20}),
    ("scipy_lbfgsb", {"limited_memory_storage_length": 2, "convergence.gtol_abs": 1e-2, "max_line_search_steps": 3},
     "L-BFGS-B", {"ftol": 2e-9, "gtol": 1e-2, "maxcor": 2, "maxls": 3}),
    ("scipy_lbfgsb", {"stopping_maxiter": 5}, "L-BFGS-B", {"ftol": 2e-9, "gtol": 1e-5, "maxiter": 5}),
    ("scipy_lbfgsb", {"stopping_maxfun": 12}, "L-BFGS-B", {"ftol": 2e-9, "gtol": 1e-5, "maxfun": 12}),
    ("scipy_bfgs", {}, "BFGS", {"gtol": 1e-5, "xrtol": 1e-5}),
    ("scipy_bfgs", {"convergence_gtol_abs": 1e-2, "norm": 2.0, "armijo_condition": 1e-3, "curvature_condition": 0.5},
     "BFGS", {"gtol": 1e-2, "norm": 2.0, "c1": 1e-3, "c2": 0.5, "xrtol": 1e-5}),
    ("scipy_conjugate_gradient", {}, "CG", {"gtol": 1e-5}),
    ("scipy_conjugate_gradient", {"convergence_gtol_abs": 0.1, "norm": 1.0}, "CG", {"gtol": 0.1, "norm": 1.0}),
    ("scipy_newton_cg", {}, "Newton-CG", {"xtol": 1e-5, "maxiter": 10**6}),
    ("scipy_newton_cg", {"convergence_xtol_rel": 1e-2, "stopping_maxiter": 30}, "Newton-CG",
     {"xtol": 1e-2, "maxiter": 30}),
    ("scipy_slsqp", {}, "SLSQP", {"ftol": 1e-8, "maxiter": 10**6}),
    ("scipy_slsqp", {"convergence_ftol_abs": 1e-2}, "SLSQP", {"ftol": 1e-2}),
    ("scipy_truncated_newton", {}, "TNC", {"ftol": 0, "xtol": 0, "gtol": 1e-5, "maxfun": 10**6}),
    ("scipy_truncated_newton", {"max_hess_evaluations_per_iteration": 3, "line_search_severity": 0.5,
                                "max_step_for_line_search": 0.5, "func_min_estimate": -1.0},
     "TNC", {"ftol": 0, "xtol": 0, "gtol": 1e-5, "maxfun": 10**6, "maxCGit": 3, "eta": 0.5, "stepmx": 0.5,
             "minfev": -1.0}),
    ("scipy_trust_constr", {}, "trust-constr", {"gtol": 1e-8, "xtol": 1e-5, "initial_tr_radius": 0.12}),
    ("scipy_trust_constr", {"trustregion_initial_radius": 0.5, "convergence_gtol_abs": 1e-3}, "trust-constr",
     {"gtol": 1e-3, "xtol": 1e-5, "initial_tr_radius": 0.5}),
    ("scipy_neldermead", {}, "Nelder-Mead", {"fatol": 1e-8, "xatol": 1e-8}),
    ("scipy_neldermead", {"adaptive": True, "convergence_ftol_abs": 1e-2, "convergence_xtol_abs": 1e-2},
     "Nelder-Mead", {"fatol": 1e-2, "xatol": 1e-2, "adaptive": True}),
    ("scipy_neldermead", {"stopping_maxfun": 40}, "Nelder-Mead", {"fatol": 1e-8, "xatol": 1e-8, "maxfev": 40}),
    ("scipy_powell", {}, "Powell", {"ftol": 2e-9, "xtol": 1e-5, "maxiter": 10**6, "maxfev": 10**6}),
    ("scipy_powell", {"convergence_ftol_rel": 1e-2, "convergence_xtol_rel": 0.1}, "Powell",
     {"ftol": 1e-2, "xtol": 0.1}),
    ("scipy_cobyla", {"stopping_maxiter": 100}, "COBYLA", {"tol": 1e-5, "rhobeg": 0.12, "maxiter": 100}),
    ("scipy_cobyla", {"trustregion_initial_radius": 0.5, "convergence_xtol_rel": 1e-2}, "COBYLA",
     {"tol": 1e-2, "rhobeg": 0.5, "maxiter": 10**6}),
    ("scipy_cobyqa", {}, "COBYQA", {"initial_tr_radius": 0.12, "final_tr_radius": 1e-6, "maxfev": 10**6}),
    ("scipy_cobyqa", {"trustregion_initial_radius": 0.5, "stopping_maxfun": 30}, "COBYQA",
     {"initial_tr_radius": 0.5, "final_tr_radius": 1e-6, "maxfev": 30}),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "options", "method", "scipys"), SCIPY, ids=lambda value: str(value)[:60])
def test_scalar_solvers_make_the_iterates_of_a_direct_call_of_scipy(algorithm, options, method, scipys):
    fun, jac = Counted(rosenbrock), Counted(rosenbrock_gradient)
    needs_jac = om.algos.filter(needs_jac=True)
    direct = scipy.optimize.minimize(
        fun.call,
        ROSENBROCK_START,
        method=method,
        jac=jac.call if algorithm in needs_jac else None,
        options={"maxiter": 10**6, **scipys} if method != "TNC" else scipys,
    )
    ours = om.minimize(rosenbrock, ROSENBROCK_START, algorithm, jac=rosenbrock_gradient, algo_options=options)
    asked = ours.history.flat_params[ours.history.task == "fun"]
    np.testing.assert_array_equal(distinct(asked), distinct(fun.points))
    np.testing.assert_array_equal(np.asarray(ours.claims["x"]), direct.x)
    assert ours.n_iterations == direct.get("nit")
    assert ours.success == direct.success
    assert ours.message == direct.message


def distinct(points):
    """Without points that come a second time, since the latest ones are remembered here."""
    seen = {x.tobytes(): x for x in points}
    return np.array(list(seen.values()))


LEAST_SQUARES = [
    ("scipy_ls_lm", {}, "lm", {"ftol": 2e-9, "xtol": 1e-8, "gtol": 1e-8}),
    ("scipy_ls_lm", {"convergence_ftol_rel": 1e-2, "convergence_xtol_rel": 1e-3}, "lm",
     {"ftol": 1e-2, "xtol": 1e-3, "gtol": 1e-8}),
    ("scipy_ls_trf", {}, "trf", {"ftol": 2e-9, "xtol": 1e-8, "gtol": 1e-8}),
    ("scipy_ls_trf", {"tr_solver": "lsmr", "tr_solver_options": {"regularize": False}}, "trf",
     {"ftol": 2e-9, "tr_solver": "lsmr", "tr_options": {"regularize": False}}),
    ("scipy_ls_trf", {"stopping_maxfun": 5}, "trf", {"ftol": 2e-9, "max_nfev": 5}),
    ("scipy_ls_dogbox", {"convergence_gtol_rel": 1e-2}, "dogbox", {"ftol": 2e-9, "gtol": 1e-2}),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "options", "method", "scipys"), LEAST_SQUARES, ids=lambda value: str(value)[:60])
def test_least_squares_solvers_make_the_iterates_of_a_direct_call_of_scipy(algorithm, options, method, scipys):
    fun = Counted(rosenbrock_residuals)
    direct = scipy.optimize.least_squares(fun.call, ROSENBROCK_START, rosenbrock_jacobian, method=method, **scipys)
    ours = om.minimize(
        om.mark.least_squares(rosenbrock_residuals),
        ROSENBROCK_START,
        algorithm,
        jac=om.mark.least_squares(rosenbrock_jacobian),
        algo_options=options,
    )
    np.testing.assert_array_equal(ours.history.flat_params[ours.history.task == "fun"], distinct(fun.points))
    assert ours.message == direct.message
    assert ours.claims["nfev"] == direct.nfev
    assert ours.success == direct.success


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_slsqp", "scipy_neldermead"])
def test_bounds_go_through_to_scipy(algorithm):
    cls = om.algos.filter(library="scipy")
    method = getattr(cls, algorithm).method
    fun = Counted(rosenbrock)
    options = getattr(om.algos, algorithm)().scipy_options(ROSENBROCK_START)
    scipy.optimize.minimize(
        fun.call,
        ROSENBROCK_START,
        method=method,
        jac=rosenbrock_gradient if algorithm != "scipy_neldermead" else None,
        bounds=[(-2, 0.5), (None, 2)],
        options=options,
    )
    ours = om.minimize(rosenbrock, ROSENBROCK_START, algorithm, jac=rosenbrock_gradient, bounds=[(-2, 0.5), (None, 2)])
    np.testing.assert_array_equal(ours.history.flat_params[ours.history.task == "fun"], distinct(fun.points))


def test_levenberg_marquardt_needs_as_many_residuals_as_params():
    fun = om.mark.least_squares(lambda x: x[:1])
    with pytest.raises(om.InvalidInputError, match="there are 1 residuals and 2 params; use scipy_ls_trf"):
        om.minimize(fun, np.ones(2), "scipy_ls_lm")
    assert om.minimize(fun, np.ones(2), "scipy_ls_trf").success


# the register --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", algorithm_names())
def test_every_algorithm_is_a_frozen_dataclass_that_pickles_and_prints(name):
    cls = get_algorithm(name)
    algorithm = cls()
    assert algorithm == pickle.loads(pickle.dumps(algorithm))
    assert cls.__name__ in repr(algorithm)
    with pytest.raises(dataclasses.FrozenInstanceError):
        algorithm.anything = 1
    assert set(cls.tight) <= set(cls.option_names())
    assert cls.from_options(cls.tight) is not None


@pytest.mark.parametrize("name", [n for n in algorithm_names() if get_algorithm(n).library in LIBRARIES])
def test_the_strictest_tolerances_work(name):
    cls = get_algorithm(name)
    if not cls.available():
        pytest.skip(f"{cls.library} is not installed")
    fun = om.mark.least_squares(rosenbrock_residuals) if cls.kind == "least_squares" else rosenbrock
    where = place(name, ROSENBROCK_START)
    fun = ellipse if name in ONE_NUMBER else fun
    result = om.minimize(fun, algorithm=name, algo_options=cls.tight, budget=om.Budget(max_evaluations=150), **where)
    assert result.fun < result.start_fun


def test_the_collection_filters_completes_and_says_what_is_near():
    assert om.algos.filter(least_squares=True, library="scipy").names == [
        "scipy_ls_dogbox",
        "scipy_ls_lm",
        "scipy_ls_trf",
    ]
    assert all(not a.needs_jac for a in om.algos.filter(needs_jac=False))
    assert len(om.algos.filter(supports_bounds=True)) + len(om.algos.filter(supports_bounds=False)) == len(om.algos)
    assert om.algos.filter(is_global=True, needs_jac=True, library="scipy").names == [
        "scipy_basinhopping",
        "scipy_dual_annealing",
        "scipy_shgo",
    ]
    assert "scipy_bfgs" in om.algos
    assert "scipy_bfgs" in dir(om.algos)
    assert "scipy_bfgs" in repr(om.algos)
    with pytest.raises(AttributeError, match="unknown algorithm 'scipy_lbfgs'; did you mean 'scipy_lbfgsb'"):
        _ = om.algos.scipy_lbfgs


@pytest.mark.parametrize(
    "algorithm",
    ["scipy_lbfgsb", om.algos.scipy_lbfgsb, om.algos.scipy_lbfgsb(limited_memory_storage_length=3)],
    ids=["name", "class", "instance"],
)
def test_an_algorithm_may_be_a_name_a_class_or_an_instance(algorithm):
    result = om.minimize(rosenbrock, ROSENBROCK_START, algorithm, algo_options={"limited_memory_storage_length": 3})
    expected = om.minimize(
        rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", algo_options={"limited_memory_storage_length": 3}
    )
    np.testing.assert_array_equal(result.history.flat_params, expected.history.flat_params)


def test_options_come_on_top_of_those_of_an_instance():
    instance = om.algos.scipy_lbfgsb(stopping_maxiter=2)
    assert om.minimize(rosenbrock, ROSENBROCK_START, instance).n_iterations == 2
    assert om.minimize(rosenbrock, ROSENBROCK_START, instance, algo_options={"stopping.maxiter": 3}).n_iterations == 3


@pytest.mark.parametrize(
    ("extra", "remedy"), [("thing", r"pip install 'optcore\[thing\]'"), (None, "pip install 'no_lib")]
)
def test_a_missing_library_says_how_to_install_it(extra, remedy):
    cls = type("Missing", (om.Algorithm,), {"name": "missing", "library": "no_library_has_this_name", "extra": extra})
    with pytest.raises(om.MissingLibraryError, match=f"missing needs no_library_has_this_name, .* {remedy}"):
        om.minimize(rosenbrock, ROSENBROCK_START, cls)


def test_an_algorithm_must_have_a_name_a_base_and_a_solve():
    with pytest.raises(om.InvalidInputError, match="Nameless needs a class attribute `name`, a str, but has None"):
        om.register_algorithm(type("Nameless", (om.Algorithm,), {}))
    with pytest.raises(om.InvalidInputError, match=r"must be a subclass of om\.Algorithm"):
        om.register_algorithm(type("Foreign", (), {"name": "foreign"}))
    with pytest.raises(NotImplementedError, match=r"Empty must define solve\(objective, x0, bounds\)"):
        om.minimize(rosenbrock, ROSENBROCK_START, type("Empty", (om.Algorithm,), {"name": "empty", "library": "numpy"}))


# plain callables -----------------------------------------------------------------------------------------------------


def descend(fun_and_jac, x0):
    for _ in range(200):
        _, gradient = fun_and_jac(x0)
        x0 = x0 - 0.2 * gradient
    return x0


def sphere(x):
    return float((x - 2) @ (x - 2))


CLAIMS = {"fun": 0.0, "nfev": 7, "success": True, "message": "mine", "nit": 3}
ANSWERS = {
    "x": (lambda x: x, "stopped", {}),
    "list": (list, "stopped", {}),
    "dict": (lambda x: {"x": x}, "stopped", {"x": 0}),
    "dict with claims": (lambda x: {"x": x, **CLAIMS}, "converged", CLAIMS),
    "object": (lambda x: types.SimpleNamespace(x=x, **CLAIMS), "converged", CLAIMS),
    "failure": (lambda x: {"x": x, "success": False}, "stopped", {"success": False}),
    "result of scipy": (lambda x: scipy.optimize.OptimizeResult(x=x, **CLAIMS), "converged", CLAIMS),
    "result of optcore": (lambda x: om.SolverResult(x, True, "mine", 3), "converged", {}),
}


@pytest.mark.parametrize(("answer", "status", "claims"), ANSWERS.values(), ids=ANSWERS)
def test_a_plain_callable_is_a_solver_whatever_form_its_answer_has(answer, status, claims):
    def solver(fun, x0):
        values = [(fun(x), x) for x in (x0, np.array([2.0, 2.0]), x0 * 3)]
        return answer(min(values, key=lambda pair: pair[0])[1])

    result = om.minimize(sphere, np.zeros(2), solver)
    np.testing.assert_array_equal(result.params, [2, 2])
    assert result.status == status
    assert result.algorithm == "solver"
    assert {name: result.claims[name] for name in claims if name != "x"} == {
        n: v for n, v in claims.items() if n != "x"
    }
    np.testing.assert_array_equal(result.claims["x"], [2, 2])
    assert result.n_fun_evals == 2  # the start is remembered, and 3 times zero is the start
    if "message" in claims:
        assert (result.message, result.n_iterations) == ("mine", 3)


def test_a_plain_callable_gets_by_name_what_its_signature_asks_for():
    got = {}

    def solver(
        options, seed, max_seconds, max_evaluations, bounds, fun_and_jac, jac, x0, fun, *args, other=4, **kwargs
    ):
        got.update(locals())
        return [1, 1]

    om.minimize(
        sphere,
        np.full(2, 0.5),
        solver,
        jac=lambda x: 2 * (x - 2),
        bounds=[(0, 5), (0, None)],
        budget=om.Budget(max_evaluations=12, max_seconds=60),
        algo_options={"seed": 3, "rate": 0.1},
    )
    assert got["x0"].tolist() == [0.5, 0.5]
    assert got["fun"](np.zeros(2)) == 8
    assert got["jac"](np.zeros(2)).tolist() == [-4, -4]
    assert got["fun_and_jac"](np.zeros(2))[0] == 8
    assert [side.tolist() for side in got["bounds"]] == [[0, 0], [5, np.inf]]
    assert (got["max_evaluations"], got["max_seconds"], got["seed"]) == (12, 60, 3)
    assert got["options"] == {"seed": 3, "rate": 0.1}
    assert (got["other"], got["args"], got["kwargs"]) == (4, (), {})


def test_a_plain_callable_that_asks_for_residuals_is_a_least_squares_solver():
    def gauss_newton(residuals, residuals_jacobian, x0, bounds):
        assert bounds is None
        for _ in range(20):
            x0 = x0 - np.linalg.lstsq(residuals_jacobian(x0), residuals(x0), rcond=None)[0]
        return x0

    fun = om.mark.least_squares(rosenbrock_residuals)
    result = om.minimize(fun, ROSENBROCK_START, gauss_newton)
    np.testing.assert_allclose(result.params, 1, atol=1e-9)
    assert result.n_numdiff_evals > 0
    with pytest.raises(
        om.InvalidInputError, match="gauss_newton is a least-squares solver, but the function is scalar"
    ):
        om.minimize(rosenbrock, ROSENBROCK_START, gauss_newton)


def test_a_solver_that_looks_at_gradients_only_ends_at_its_own_point():
    def solver(jac, x0, fun):
        for _ in range(100):
            x0 = x0 - 0.2 * jac(x0)
        return x0

    for jac in (None, lambda x: 2 * (x - 2)):
        result = om.minimize(sphere, np.zeros(2), solver, jac=jac)
        np.testing.assert_allclose(result.params, 2, atol=1e-6)
        assert result.fun == sphere(result.params)


def test_a_plain_callable_may_be_an_object_a_method_or_a_lambda():
    class Solver:
        def __call__(self, fun_and_jac, x0):
            return descend(fun_and_jac, x0)

    for solver in (descend, Solver(), Solver().__call__, lambda fun_and_jac, x0: descend(fun_and_jac, x0)):
        np.testing.assert_allclose(om.minimize(sphere, np.zeros(2), solver).params, 2, atol=1e-6)


def asks_for_nothing_useful(x0): ...
def asks_for_something_unknown(fun, population): ...
def returns_nothing(fun, x0): ...
def returns_too_much(fun, x0):
    return np.zeros(3)


def returns_complex_numbers(fun, x0):
    return x0 + 1j


def evaluates_elsewhere(fun, x0):
    return fun(np.zeros(3))


def evaluates_at_text(fun_and_jac, x0):
    return fun_and_jac("here")


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (asks_for_nothing_useful, r"asks for \(x0\); it must ask for fun, fun_and_jac or residuals"),
        (asks_for_something_unknown, "asks for 'population'; a solver gets by name any of fun, x0, jac"),
        (
            returns_nothing,
            r"'returns_nothing' must return x of shape \(2,\), or an object or dict with x, but returned N",
        ),
        (returns_too_much, r"must return x of shape \(2,\), or an object or dict with x, but returned array"),
        (returns_complex_numbers, r"must return x of shape \(2,\), .* but returned array\(\[0\.\+1\.j"),
        (evaluates_elsewhere, r"'evaluates_elsewhere' must evaluate at points of shape \(2,\), but gave array\(\[0"),
        (evaluates_at_text, r"must evaluate at points of shape \(2,\), but gave 'here'"),
    ],
)
def test_a_plain_callable_that_does_not_fit_says_why(solver, message):
    with pytest.raises(om.InvalidInputError, match=message):
        om.minimize(sphere, np.zeros(2), solver)


@pytest.mark.parametrize(
    "point", [[1, 2], (1.0, 2.0), np.array([1, 2]), np.array([1, 2], np.float32), np.array([[1.0, 2.0]]).T[:, 0]]
)
def test_a_plain_callable_may_write_points_as_it_likes_and_the_history_has_them_right(point):
    def solver(fun, jac, x0):
        assert fun(point) == 5.0
        np.testing.assert_allclose(jac(point), [2.0, 4.0])
        return x0

    result = om.minimize(lambda x: x @ x, np.zeros(2), solver, jac=lambda x: 2 * x)
    np.testing.assert_array_equal(result.history.flat_params[-2:], [[1.0, 2.0], [1.0, 2.0]])


@pytest.mark.parametrize("max_evaluations", [1, 5])
def test_a_plain_callable_can_not_exceed_the_budget_even_if_it_swallows_exceptions(max_evaluations):
    def greedy(fun, x0):
        for i in range(1000):
            with contextlib.suppress(Exception):  # as some solvers do
                fun(x0 + i)
        return x0

    counted = Counted(sphere)
    result = om.minimize(counted.call, np.zeros(2), greedy, budget=om.Budget(max_evaluations=max_evaluations))
    assert len(counted) == result.n_fun_evals == max_evaluations
    assert result.status is om.Status.BUDGET_EVALUATIONS
    assert result.fun == min(sphere(np.zeros(2) + i) for i in range(max_evaluations))
