"""Who answers which question: subsets of fun, jac and fun_and_jac, times kinds of function, times kinds of solver."""

import numpy as np
import pytest

import optcore as om
from tests.core.counting import Counted, counts_of
from tests.core.three_kinds import DERIVATIVES, FUNCTIONS, START, VALUES


def counted(role, kind):
    return Counted(FUNCTIONS[role][kind], kind)


def optimize(algorithm, given, **kwargs):
    """`given`: role -> kinds. Returns the result and the calls of each."""
    functions = {(role, kind): counted(role, kind) for role, kinds in given.items() for kind in kinds}
    arguments = {
        role: functions[role, kinds[0]].marked
        if len(kinds) == 1
        else {kind: functions[role, kind].marked for kind in kinds}
        for role, kinds in given.items()
    }
    result = om.minimize(params=START, algorithm=algorithm, **arguments, **kwargs)
    return result, {f"{role} {kind}": len(function) for (role, kind), function in functions.items()}


S, LS, LL = ["scalar"], ["least_squares"], ["likelihood"]
BOTH = ["scalar", "least_squares"]
#: (solver, what is given, which functions are called more than once, whether derivatives are numerical)
TABLE = [
    # a scalar solver that wants value and gradient at one x: fun_and_jac; fun + jac; numerical
    ("scipy_lbfgsb", {"fun": S}, {"fun scalar"}, True),
    ("scipy_lbfgsb", {"fun": S, "jac": S}, {"fun scalar", "jac scalar"}, False),
    ("scipy_lbfgsb", {"fun": S, "fun_and_jac": S}, {"fun_and_jac scalar"}, False),
    ("scipy_lbfgsb", {"fun": S, "jac": S, "fun_and_jac": S}, {"fun_and_jac scalar"}, False),
    ("scipy_lbfgsb", {"fun_and_jac": S}, {"fun_and_jac scalar"}, False),
    ("scipy_lbfgsb", {"jac": S, "fun_and_jac": S}, {"fun_and_jac scalar"}, False),
    # one that asks for them one by one: fun, then jac
    ("scipy_slsqp", {"fun": S, "jac": S, "fun_and_jac": S}, {"fun scalar", "jac scalar"}, False),
    ("scipy_slsqp", {"fun": S, "fun_and_jac": S}, {"fun scalar", "fun_and_jac scalar"}, False),
    ("scipy_slsqp", {"jac": S, "fun_and_jac": S}, {"fun_and_jac scalar"}, False),
    # functions of other kinds serve a scalar solver by the chain rule
    ("scipy_lbfgsb", {"fun": LS}, {"fun least_squares"}, True),
    ("scipy_lbfgsb", {"fun": LS, "jac": LS}, {"fun least_squares", "jac least_squares"}, False),
    ("scipy_lbfgsb", {"fun": LS, "jac": S}, {"fun least_squares", "jac scalar"}, False),
    ("scipy_lbfgsb", {"fun": LS, "jac": BOTH}, {"fun least_squares", "jac scalar"}, False),
    ("scipy_lbfgsb", {"fun_and_jac": LS}, {"fun_and_jac least_squares"}, False),
    ("scipy_lbfgsb", {"fun": LL}, {"fun likelihood"}, True),
    ("scipy_lbfgsb", {"fun": LL, "jac": LL}, {"fun likelihood", "jac likelihood"}, False),
    ("scipy_lbfgsb", {"fun_and_jac": LL}, {"fun_and_jac likelihood"}, False),
    ("scipy_lbfgsb", {"fun": BOTH, "jac": LS}, {"fun least_squares", "jac least_squares"}, False),
    ("scipy_lbfgsb", {"fun": BOTH, "jac": BOTH}, {"fun scalar", "jac scalar"}, False),
    ("scipy_slsqp", {"fun": S, "jac": LS, "fun_and_jac": LS}, {"fun scalar", "fun_and_jac least_squares"}, False),
    ("scipy_newton_cg", {"fun": S, "jac": LS, "fun_and_jac": LS}, {"fun scalar", "fun_and_jac least_squares"}, False),
    # a jacobian without the function that it belongs to can't be used
    ("scipy_lbfgsb", {"fun": S, "jac": LS}, {"fun scalar"}, True),
    ("scipy_lbfgsb", {"fun": LS, "jac": LL}, {"fun least_squares"}, True),
    # a least-squares solver takes least squares only
    ("scipy_ls_lm", {"fun": LS}, {"fun least_squares"}, True),
    ("scipy_ls_lm", {"fun": LS, "jac": LS}, {"fun least_squares", "jac least_squares"}, False),
    ("scipy_ls_lm", {"fun": LS, "jac": S}, {"fun least_squares"}, True),
    ("scipy_ls_lm", {"fun": LS, "jac": BOTH}, {"fun least_squares", "jac least_squares"}, False),
    ("scipy_ls_lm", {"fun": BOTH, "jac": BOTH}, {"fun least_squares", "jac least_squares"}, False),
    ("scipy_ls_lm", {"fun_and_jac": LS}, {"fun_and_jac least_squares"}, False),
    ("scipy_ls_lm", {"fun": LS, "fun_and_jac": LS}, {"fun least_squares", "fun_and_jac least_squares"}, False),
    ("scipy_ls_lm", {"fun": LS, "fun_and_jac": BOTH}, {"fun least_squares", "fun_and_jac least_squares"}, False),
    # without derivatives: the value, as cheaply as it can be had
    ("scipy_neldermead", {"fun": S, "jac": S, "fun_and_jac": S}, {"fun scalar"}, False),
    ("scipy_neldermead", {"fun": BOTH, "jac": LS}, {"fun scalar"}, False),
    ("scipy_neldermead", {"fun": LS}, {"fun least_squares"}, False),
    ("scipy_neldermead", {"fun": LL}, {"fun likelihood"}, False),
    ("scipy_neldermead", {"fun_and_jac": S}, {"fun_and_jac scalar"}, False),
    ("scipy_neldermead", {"fun_and_jac": LS}, {"fun_and_jac least_squares"}, False),
]


@pytest.mark.parametrize(
    ("algorithm", "given", "called", "numerical"),
    TABLE,
    ids=[
        f"{algorithm}-{'+'.join(f'{role}:{kinds}' for role, kinds in given.items())}" for algorithm, given, *_ in TABLE
    ],
)
def test_the_cheapest_function_that_can_answer_does(algorithm, given, called, numerical):
    result, calls = optimize(algorithm, given)
    assert {name for name, n in calls.items() if n} == called
    assert (result.n_numdiff_evals > 0) == numerical
    np.testing.assert_allclose(result.params, 0, atol=1e-4)
    assert result.start_fun == pytest.approx(VALUES["scalar"](START))
    assert result.fun == pytest.approx(VALUES["scalar"](result.params))
    assert sum(counts_of(result).values()) == sum(calls.values())


@pytest.mark.parametrize("kind", ["scalar", "least_squares", "likelihood"])
def test_numerical_derivatives_and_given_ones_take_the_same_path(kind):
    given, _ = optimize("scipy_bfgs", {"fun": [kind], "jac": [kind]})
    numerical, _ = optimize("scipy_bfgs", {"fun": [kind]}, numdiff_options=om.NumdiffOptions(method="complex_step"))
    np.testing.assert_allclose(
        given.history.flat_params[given.history.task == "fun"],
        numerical.history.flat_params[numerical.history.task == "fun"],
        rtol=1e-9,
        atol=1e-12,
    )


@pytest.mark.parametrize("container", [list, tuple, dict])
def test_functions_of_several_kinds_may_come_in_a_list_a_tuple_or_a_dict_by_kind(container):
    marked = {kind: getattr(om.mark, kind)(VALUES[kind]) for kind in BOTH}
    fun = VALUES_BY_KEY if container is dict else container(marked.values())
    for algorithm in ("scipy_neldermead", "scipy_ls_trf"):
        result = om.minimize(fun, START, algorithm)
        np.testing.assert_allclose(result.params, 0, atol=1e-6)


VALUES_BY_KEY = {"scalar": VALUES["scalar"], "least_squares": VALUES["least_squares"]}  # a dict needs no marks


def test_two_functions_of_one_kind_are_an_error_not_the_last_wins():
    with pytest.raises(om.InvalidInputError, match="jac has two functions of the kind 'scalar'; mark what they are"):
        om.minimize(VALUES["scalar"], START, "scipy_lbfgsb", jac=[DERIVATIVES["scalar"], DERIVATIVES["scalar"]])


def test_an_unknown_kind_in_a_dict_of_functions_suggests_the_nearest():
    with pytest.raises(om.UnknownNameError, match="unknown kind of function in jac 'least-squares'; did you mean"):
        om.minimize(VALUES["scalar"], START, "scipy_lbfgsb", jac={"least-squares": DERIVATIVES["least_squares"]})


@pytest.mark.parametrize("kind", ["scalar", "likelihood"])
@pytest.mark.parametrize("role", ["fun", "fun_and_jac"])
def test_a_least_squares_solver_says_what_to_do_with_other_functions(kind, role):
    with pytest.raises(
        om.InvalidInputError,
        match=f"scipy_ls_lm is a least-squares solver, but the function is {kind}; mark a function that returns "
        "residuals with om.mark.least_squares, or choose a scalar solver such as scipy_lbfgsb",
    ):
        optimize("scipy_ls_lm", {role: [kind]})


@pytest.mark.parametrize("given", [{}, {"jac": DERIVATIVES["scalar"]}], ids=["nothing", "only jac"])
def test_without_fun_and_fun_and_jac_there_is_nothing_to_optimize(given):
    with pytest.raises(om.InvalidInputError, match="there is nothing to optimize: give fun, or fun_and_jac"):
        om.minimize(params=START, algorithm="scipy_lbfgsb", **given)


def test_jac_true_as_in_scipy_is_told_about_fun_and_jac():
    with pytest.raises(om.InvalidInputError, match=r"\(value, derivative\) use fun_and_jac="):
        om.minimize(VALUES["scalar"], START, "scipy_lbfgsb", jac=True)


def test_what_is_no_function_is_refused():
    with pytest.raises(om.InvalidInputError, match="fun must be a function, or a list or dict of functions, but got 3"):
        om.minimize(3, START, "scipy_lbfgsb")


def test_kwargs_of_fun_reach_jac_and_fun_and_jac_unless_they_have_their_own():
    seen = {}

    def fun(x, shift):
        seen["fun"] = shift
        return float((x - shift) @ (x - shift))

    def jac(x, shift=None, own=None):
        seen["jac"] = shift if own is None else own
        return 2 * (x - seen["jac"])

    result = om.minimize(fun, START, "scipy_lbfgsb", jac=jac, fun_kwargs={"shift": 3})
    assert seen == {"fun": 3, "jac": 3}
    np.testing.assert_allclose(result.params, 3)
    once = om.Budget(max_evaluations=2)
    om.minimize(fun, START, "scipy_lbfgsb", jac=jac, fun_kwargs={"shift": 3}, jac_kwargs={"own": 4}, budget=once)
    assert seen["jac"] == 4


@pytest.mark.parametrize("order", [("value", "gradient"), ("gradient", "value")])
@pytest.mark.parametrize(
    ("given", "calls"),
    [({"fun_and_jac": S}, {"fun_and_jac scalar": 2}), ({"fun": S}, {"fun scalar": 6})],
    ids=["fun_and_jac", "numerical"],
)
def test_value_and_gradient_at_one_point_cost_one_question_in_either_order(order, given, calls):
    def solver(fun, jac, x0):
        x = x0 / 2
        for question in order:
            fun(x) if question == "value" else jac(x)
        return x

    result, counted_calls = optimize(solver, given)
    if given == {"fun": S}:  # the start is asked for its value only; then n + 1
        calls = {"fun scalar": 1 + 3} if order[0] == "gradient" else {"fun scalar": 1 + 1 + 2}
    assert counted_calls == calls
    np.testing.assert_array_equal(result.params, START / 2)
    assert result.fun == result.history.monotone_fun[-1]
