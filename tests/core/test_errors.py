"""What user functions can do wrong: NaN, infinity, exceptions, Ctrl-C; and every message of the entry point."""

import copy
import pickle
import signal
import warnings

import numpy as np
import pytest

import optcore as om
from optcore.errors import UnknownNameError, nearest, unknown_name
from tests.cases import in_one_test
from tests.core.counting import (
    LIBRARIES,
    ONE_NUMBER,
    ROSENBROCK_START,
    Counted,
    Given,
    counts_of,
    ellipse,
    ellipse_gradient,
    of,
    place,
    rosenbrock,
    rosenbrock_gradient,
    rosenbrock_jacobian,
    rosenbrock_residuals,
    rows_of,
)

ALGORITHMS = [a.name for a in om.algos if a.library in LIBRARIES]
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
START = np.array([-1.2, -0.9])
BUDGET = om.Budget(max_evaluations=150)


def inside(x):
    return bool((np.abs(x) < 1.5).all())


def residuals(x):
    return x - 0.8


def outside_is(what):
    """The four functions of a least-squares problem that is not defined outside of a box."""

    def value(x):
        if inside(x):
            return residuals(x)
        if isinstance(what, Exception):
            raise what
        return np.full(x.size, what)

    return {
        "scalar": lambda x: (r := value(x)) @ r,
        "residuals": value,
        "gradient": lambda x: 2 * value(x),
        "jacobian": lambda x: np.eye(x.size) * (1 if inside(x) else value(x)[:, None]),
    }


def run(algorithm, names, functions, **kwargs):
    given = Given(of(algorithm).kind, names, **functions)
    where = place(algorithm, START)
    result = om.minimize(algorithm=algorithm, budget=BUDGET, **where, **given.arguments, **kwargs)
    assert counts_of(result) == given.counts == rows_of(result)
    return result


@each_algorithm
@in_one_test("names", [["fun"], ["fun_and_jac"]])
@in_one_test("what", [np.nan, np.inf, ZeroDivisionError("out")])
def test_a_function_that_fails_in_places_is_survived_with_continue(algorithm, names, what):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fun is nan", RuntimeWarning)
        result = run(algorithm, names, outside_is(what), error_handling="continue")
    assert np.isfinite(result.fun)
    assert result.fun <= result.start_fun
    assert inside(result.params)
    assert result.fun == result.history.monotone_fun[-1]
    outside = [not inside(x) for x in result.history.flat_params]
    failed = result.history.fun[outside & (result.history.task != "jac")]
    if isinstance(what, float) and np.isinf(what):
        assert (failed == np.inf).all()
    else:
        assert np.isnan(failed).all()  # recorded as what it was, not as the penalty


def now_and_then(function, how, period):
    """A function that fails at every so manieth call, but not at the start nor in its neighbourhood."""
    calls = []

    def fails(x):
        calls.append(x)
        value = function(x)
        if len(calls) <= 4 or len(calls) % period:
            return value
        if how == "raise":
            raise ZeroDivisionError("now and then")
        return value * (np.nan if how == "nan" else 0) + (np.inf if how == "inf" else 0)

    return fails


def rules_out(algorithm, where):
    return where != "fun" and not getattr(om.algos, algorithm).needs_jac


@pytest.mark.parametrize(
    ("algorithm", "where"),
    [(a, w) for a in ALGORITHMS for w in ("fun", "jac", "fun_and_jac", "numerical") if not rules_out(a, w)],
)
@in_one_test("how, period", [("raise", 2), ("raise", 5), ("nan", 5), ("inf", 2)])
def test_failures_now_and_then_are_survived_with_continue(algorithm, where, how, period):
    """In fun, jac, fun_and_jac and among the points of differences; the solver goes on, and nothing is miscounted."""
    cls = of(algorithm)
    one = algorithm in ONE_NUMBER
    value, derivative = (ellipse, ellipse_gradient) if one else (rosenbrock, rosenbrock_gradient)
    if cls.kind == "least_squares":
        value, derivative = rosenbrock_residuals, rosenbrock_jacobian
    names = {"fun": ["fun", "jac"], "jac": ["fun", "jac"], "fun_and_jac": ["fun_and_jac"], "numerical": ["fun"]}[where]
    given = Given(cls.kind, names, value, derivative, value, derivative)
    failing = given.counted["fun" if where == "numerical" else where]
    if where == "fun_and_jac":  # both of them fail together
        offset = now_and_then(lambda x: 0.0, how, period)
        failing.function = lambda x: (value(x) + (bad := offset(x)), derivative(x) + bad)
    else:
        failing.function = now_and_then(failing.function, how, period)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fun is nan", RuntimeWarning)
        result = om.minimize(
            algorithm=algorithm, budget=om.Budget(60), error_handling="continue", **place(algorithm, ROSENBROCK_START),
            **given.arguments,
        )  # fmt: skip
    assert counts_of(result) == given.counts == rows_of(result)
    assert np.isfinite(result.fun)
    assert result.fun == np.nanmin(result.history.fun[result.history.asked])
    assert result.status in ("converged", "stopped", "budget_evaluations")


@each_algorithm
@in_one_test("what", [np.nan, np.inf])
@in_one_test("names", [["fun"], ["fun", "jac"]])
def test_nan_and_inf_in_places_count_as_infinite_without_an_error(algorithm, names, what):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = run(algorithm, names, outside_is(what))
    texts = [str(warning.message) for warning in caught]
    assert all("fun is nan at" in text for text in texts)
    assert len(texts) <= 1  # once for an optimization
    assert bool(texts) == bool(np.isnan(what) and not all(map(inside, result.history.flat_params)))
    assert np.isfinite(result.fun)
    assert inside(result.params)


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_neldermead", "scipy_ls_lm", "nag_dfols", "nlopt_lbfgsb"])
@in_one_test("names", [["fun"], ["fun", "jac"], ["fun_and_jac"]])
@in_one_test("value", [np.nan, np.inf])
@in_one_test("error_handling", ["raise", "continue"])
def test_a_start_that_is_not_finite_is_an_error(algorithm, names, value, error_handling):
    given = Given(
        of(algorithm).kind,
        names,
        scalar=lambda x: value,
        gradient=lambda x: x * np.nan,
        residuals=lambda x: x * value,
        jacobian=lambda x: np.eye(2) * np.nan,
    )
    with pytest.raises(om.InvalidFunctionError, match=r"at the start|failed at the start"):
        om.minimize(params=np.ones(2), algorithm=algorithm, error_handling=error_handling, **given.arguments)


def test_a_start_that_is_not_finite_is_named():
    with pytest.raises(
        om.InvalidFunctionError, match=r"not finite \(nan or inf\) at the start {'a': 1.0}; start where"
    ):
        om.minimize(lambda p: np.inf, {"a": 1}, "scipy_neldermead")


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_slsqp", "scipy_ls_trf", "nlopt_slsqp"])
def test_nan_in_a_derivative_names_the_leaf_and_the_params(algorithm):
    given = Given(
        of(algorithm).kind,
        ["fun", "jac"],
        scalar=lambda p: p["a"] ** 2 + p["b"] ** 2,
        gradient=lambda p: {"a": 2 * p["a"], "b": np.nan},
        residuals=lambda p: np.array([p["a"], p["b"]]),
        jacobian=lambda p: {"a": np.array([1.0, 0.0]), "b": np.array([0.0, np.nan])},
    )
    arguments = {name: given.counted[name].function for name in given.counted}
    if of(algorithm).kind == "least_squares":
        arguments = {name: om.mark.least_squares(function) for name, function in arguments.items()}
    message = r"jac is nan for 'b' at params {'a': 1.0, 'b': 2.0}; mend it, or survive such points with error_handling="
    with pytest.raises(om.InvalidFunctionError, match=message):
        om.minimize(params={"a": 1, "b": 2}, algorithm=algorithm, **arguments)


def test_nan_in_a_numerical_derivative_says_so():
    with pytest.raises(om.InvalidFunctionError, match="the numerical derivative of fun is nan for '1' at params"):
        om.minimize(lambda x: x[0] if x[1] == 1 else np.nan, np.ones(2), "scipy_lbfgsb")


@each_algorithm
@in_one_test("role", ["fun", "jac", "fun_and_jac"])
def test_an_exception_is_chained_with_task_and_params(algorithm, role):
    if role == "jac" and not of(algorithm).needs_jac:
        return  # it is never called
    names = ["fun", "jac"] if role == "jac" else [role]
    given = Given(of(algorithm).kind, names, residuals=residuals, jacobian=lambda x: np.eye(2))
    if algorithm in ONE_NUMBER:
        given = Given("scalar", names, ellipse, ellipse_gradient)
    counted = given.counted[role]
    function = counted.function

    def boom(x):
        if len(counted) == 3:
            raise ZeroDivisionError("my own text")
        return function(x)

    counted.function = boom
    with pytest.raises(
        om.UserFunctionError, match=f"^{role} raised ZeroDivisionError: my own text; at params array"
    ) as e:
        om.minimize(algorithm=algorithm, **place(algorithm, START), **given.arguments)
    assert isinstance(e.value.__cause__, ZeroDivisionError)
    assert isinstance(e.value, RuntimeError)
    assert "Mend the function, or survive such points with error_handling='continue'" in str(e.value)


@pytest.mark.parametrize("n_cores", [1, 2])
def test_an_exception_at_a_difference_point_is_chained_too(n_cores):
    def fun(x):
        if x[1] != 1:
            raise ZeroDivisionError("off")
        return float(x @ x)

    options = om.NumdiffOptions(n_cores=n_cores)
    with pytest.raises(om.UserFunctionError, match="fun raised ZeroDivisionError: off") as caught:
        om.minimize(fun, np.ones(2), "scipy_lbfgsb", numdiff_options=options)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_function_that_fails_at_the_start_can_not_be_survived():
    def fun(x):
        raise ZeroDivisionError("the cause")

    with pytest.raises(
        om.InvalidFunctionError, match=r"failed at the start .*\(ZeroDivisionError: the cause\)"
    ) as caught:
        om.minimize(fun, np.ones(2), "scipy_lbfgsb", error_handling="continue")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_invalid_return_value_is_never_survived():
    with pytest.raises(om.InvalidFunctionError, match="fun must return a number"):
        om.minimize(lambda x: x, np.ones(2), "scipy_neldermead", error_handling="continue")


@each_algorithm
def test_ctrl_c_raises_or_returns_the_best_so_far(algorithm):
    kind = of(algorithm).kind
    for on_interrupt in ("raise", "return"):
        counted = Counted((lambda x: residuals(x)) if kind == "least_squares" else (lambda x: float(x @ x)), kind)
        function = counted.function

        def interrupted(x, counted=counted, function=function):
            if len(counted) == 5:
                raise KeyboardInterrupt
            return function(x)

        counted.function = interrupted
        arguments = {"fun": counted.marked, "algorithm": algorithm, "on_interrupt": on_interrupt}
        arguments |= place(algorithm, START)
        if on_interrupt == "raise":
            with pytest.raises(KeyboardInterrupt):
                om.minimize(**arguments)
            continue
        result = om.minimize(**arguments)
        assert result.status is om.Status.INTERRUPTED
        assert not result.success
        assert result.message == "interrupted by the user"
        assert len(result.history) == len(counted) == 5  # what was interrupted had been called
        assert result.history.failed.tolist() == [False] * 4 + [True]
        assert result.fun == np.nanmin(result.history.fun[result.history.asked])


def test_a_real_ctrl_c_while_workers_evaluate_leaves_a_usable_result():
    def fun(x):
        fun.calls += 1
        if fun.calls == 4:
            signal.raise_signal(signal.SIGINT)
        return float(x @ x)

    fun.calls = 0
    options = om.NumdiffOptions(batch_evaluator="serial")
    result = om.minimize(fun, np.ones(3), "scipy_lbfgsb", on_interrupt="return", numdiff_options=options)
    assert result.status is om.Status.INTERRUPTED
    assert result.fun == 3.0
    assert om.minimize(fun, np.ones(3), "scipy_lbfgsb").success


# the entry point -----------------------------------------------------------------------------------------------------


def sphere(x):
    return float(x @ x)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"algorithm": None}, ValueError, "algorithm is missing: name one, for instance 'scipy_lbfgsb'"),
        ({"algorithm": "scipy_lbfgs"}, LookupError, "unknown algorithm 'scipy_lbfgs'; did you mean 'scipy_lbfgsb'?"),
        ({"algorithm": 3}, ValueError, "algorithm must be a name such as 'scipy_lbfgsb', one of om.algos, or a f"),
        ({"algo_options": {"convergence_ftol": 1}}, LookupError,
         "unknown option of scipy_lbfgsb 'convergence_ftol'; did you mean 'convergence_ftol_rel'?"),
        ({"x0": 1}, ValueError, "minimize has no argument 'x0': the start is called params"),
        ({"method": "BFGS"}, ValueError, "minimize has no argument 'method': the solver is called algorithm"),
        ({"constraints": ()}, ValueError, "minimize has no argument 'constraints': fixed= holds params where they are"),
        ({"multistart": True}, ValueError, "minimize has no argument 'multistart': start from several points"),
        ({"logging": True}, ValueError, "minimize has no argument 'logging': every call is in result.history"),
        ({"tol": 1}, ValueError, "minimize has no argument 'tol': tolerances go into algo_options"),
        ({"callback": 1}, ValueError, "minimize has no argument 'callback': every call is in result.history"),
        ({"bound": 1}, LookupError, "unknown argument of minimize 'bound'; did you mean 'bounds'?"),
        ({"error_handling": "ignore"}, ValueError, "error_handling must be one of 'raise', 'continue', but is"),
        ({"on_interrupt": "stop"}, ValueError, "on_interrupt must be one of 'raise', 'return', but is 'stop'"),
        ({"direction": "up"}, ValueError, "minimize has no argument 'direction': use om.maximize"),
        ({"budget": om.Budget}, ValueError, "budget must be om.Budget"),
        ({"collect_history": "some"}, ValueError, "collect_history must be True, False or 'best', but is 'some'"),
        ({"budget": 100}, ValueError, "budget must be om.Budget(...), but is 100"),
        ({"numdiff_options": {"method": "central"}}, ValueError, "numdiff_options must be om.NumdiffOptions(...), but"),
    ],
    ids=str,
)  # fmt: skip
def test_what_minimize_can_not_use_is_an_error_that_says_what_to_do(kwargs, error, message):
    with pytest.raises(error) as caught:
        om.minimize(**{"fun": sphere, "params": np.ones(2), "algorithm": "scipy_lbfgsb", **kwargs})
    assert message in str(caught.value)
    assert isinstance(caught.value, om.OptcoreError)


def test_a_function_with_an_argument_that_it_does_not_know_is_reported():
    with pytest.raises(om.UserFunctionError, match="unexpected keyword argument 'scale'"):
        om.minimize(lambda x, scal: 0.0, np.ones(2), "scipy_lbfgsb", fun_kwargs={"scale": 1})


def test_maximizing_a_sum_of_squares_with_a_least_squares_solver_is_refused():
    with pytest.raises(om.InvalidInputError, match="scipy_ls_lm minimizes a sum of squares; to maximize, use a scalar"):
        om.maximize(om.mark.least_squares(residuals), START, "scipy_ls_lm")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Scipy_LBFGSB", "scipy_lbfgsb"),
        ("lbfgs", "scipy_lbfgsb"),
        ("bfgs", "scipy_bfgs"),
        ("scipy_bfsg", "scipy_bfgs"),
        ("zzz", None),
    ],
)
def test_the_nearest_name_is_suggested(name, expected):
    assert nearest(name, ["scipy_lbfgsb", "scipy_bfgs"]) == expected


def test_without_a_near_name_all_are_listed():
    assert str(unknown_name("fruit", "zzz", ["pear", "apple"])) == "unknown fruit 'zzz'; there are: apple, pear"


@pytest.mark.parametrize("error", [UnknownNameError("a 'text'"), om.UserFunctionError("text")])
def test_errors_pickle_and_copy(error):
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == str(copy.copy(error))
