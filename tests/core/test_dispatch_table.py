"""Section by section of the table in dispatch.py: every subset of functions, of every kind, for every family of solver.

What is expected is computed here from the rules in words, not from the package's table:

- value: fun; fun_and_jac only if there is no fun;
- derivative: jac; fun_and_jac; differences of fun;
- value and derivative at one point: fun_and_jac; fun and jac; differences, whose base point is the value.

A scalar solver takes functions of any kind, scalar ones first, and a fun that has a jac of its own kind before one that
would need differences; a least-squares solver takes least-squares functions only.
"""

import itertools

import numpy as np
import pytest

import optcore as om
from optcore.dispatch import ANSWERS, answer_to
from tests.core.three_kinds import DERIVATIVES, FUNCTIONS, MATRIX, START, VALUES

N = 2
OTHER = np.array([0.5, -1.0])
KINDS = ("scalar", "least_squares", "likelihood")
ROLES = ("fun", "jac", "fun_and_jac")
SUBSETS = [kinds for k in range(4) for kinds in itertools.combinations(KINDS, k)]

ANNOTATIONS = {
    "scalar": om.ScalarFunctionValue,
    "least_squares": om.LeastSquaresFunctionValue,
    "likelihood": om.LikelihoodFunctionValue,
}


def only_values(fun, x0):
    for x in (x0, OTHER, 2 * OTHER):
        fun(x)
        fun(x)
    return x0


def one_by_one(fun, x0, jac):
    for x in (x0, OTHER):
        assert fun(x) == pytest.approx(VALUES["scalar"](x))
        np.testing.assert_allclose(jac(x), DERIVATIVES["scalar"](x), rtol=1e-6)
        fun(x)
        jac(x)
    return x0


def gradient_first(fun, x0, jac):
    jac(OTHER)
    fun(OTHER)
    return x0


def jointly(fun_and_jac, x0):
    for x in (x0, OTHER):
        value, gradient = fun_and_jac(x)
        assert value == pytest.approx(VALUES["scalar"](x))
        np.testing.assert_allclose(gradient, DERIVATIVES["scalar"](x), rtol=1e-6)
        fun_and_jac(x)
    return x0


def only_residuals(residuals, x0):
    for x in (x0, OTHER, 2 * OTHER):
        np.testing.assert_array_equal(residuals(x), MATRIX @ x)
    return x0


def residuals_and_jacobian(residuals, residuals_jacobian, x0):
    for x in (x0, OTHER):
        residuals(x)
        np.testing.assert_allclose(residuals_jacobian(x), MATRIX, rtol=1e-6)
        residuals_jacobian(x)
    return x0


#: The solver, the kinds of function that it takes, and what it asks, point by point. Every solver is asked for the
#: value at the start before it begins (for both, if it asks jointly).
V, D, B = "value", "derivative", "both"
FAMILIES = {
    "scalar, values": (only_values, KINDS, [[V], [V], [V]]),
    "scalar, value then gradient": (one_by_one, KINDS, [[V, D], [V, D]]),
    "scalar, gradient then value": (gradient_first, KINDS, [[V], [D, V]]),
    "scalar, jointly": (jointly, KINDS, [[B], [B]]),
    "least squares, values": (only_residuals, ("least_squares",), [[V], [V], [V]]),
    "least squares, residuals then jacobian": (residuals_and_jacobian, ("least_squares",), [[V, D], [V, D]]),
}


def expected_calls(usable, points, given):
    """{(role, kind): calls} and the number of differences, from the rules in words; None: it can't be."""
    needs_derivative = any(question != V for questions in points for question in questions)
    both = next((kind for kind in usable if kind in given["fun_and_jac"]), None)
    funs = [kind for kind in usable if kind in given["fun"]]
    with_jac = [kind for kind in funs if kind in given["jac"] and needs_derivative and both is None]
    fun = next(iter(with_jac or funs), None)
    if fun is None and both is None:
        return None
    belonging = [kind for kind in usable if kind == "scalar" or kind == (fun or both)]
    jac = next((kind for kind in belonging if kind in given["jac"]), None)
    calls, differences = dict.fromkeys(itertools.product(ROLES, KINDS), 0), 0
    for questions in points:
        known = set()  # at this point
        for question in questions:
            if question in known:
                continue
            if question == V:
                calls[("fun", fun) if fun else ("fun_and_jac", both)] += 1
                known |= {V} if fun else {V, D}
            elif question == D and jac:
                calls["jac", jac] += 1
                known |= {D}
                if jac != "scalar" and V not in known:  # the chain rule needs the vector
                    calls[("fun", fun) if fun else ("fun_and_jac", both)] += 1
                    known |= {V}
            elif both:
                calls["fun_and_jac", both] += 1
                known |= {V, D}
            elif jac:
                calls["fun", fun] += 1
                calls["jac", jac] += 1
                known |= {V, D}
            else:
                base = 0 if V in known else 1
                calls["fun", fun] += base + N
                differences += N
                known |= {V, D}
    return calls, differences


class Counters:
    """The functions of a combination, in one of the forms in which they may be given, counting their calls."""

    def __init__(self, given, form):
        self.calls = dict.fromkeys(itertools.product(ROLES, KINDS), 0)
        self.arguments = {
            role: self.container([self.counting(role, kind, form) for kind in kinds], kinds, form)
            for role, kinds in given.items()
            if kinds
        }

    def counting(self, role, kind, form):
        def function(x):
            self.calls[role, kind] += 1
            return FUNCTIONS[role][kind](x)

        if form == "annotated":
            annotation = ANNOTATIONS[kind]
            function.__annotations__["return"] = tuple[annotation, np.ndarray] if role == "fun_and_jac" else annotation
            return function
        return function if form == "dict" else getattr(om.mark, kind)(function)

    @staticmethod
    def container(functions, kinds, form):
        if form == "dict":
            return dict(zip(kinds, functions, strict=True))
        return functions[0] if len(functions) == 1 else tuple(functions) if form == "annotated" else functions


FORMS = [
    *((family, "marked") for family in FAMILIES),
    *itertools.product(["scalar, jointly", "least squares, residuals then jacobian"], ["annotated", "dict"]),
]


@pytest.mark.parametrize(("family", "form"), FORMS, ids=" - ".join)
@pytest.mark.parametrize("fun", SUBSETS, ids=lambda kinds: "+".join(kinds) or "no fun")
def test_the_cheapest_that_can_answer_is_called_exactly_as_often_as_needed(fun, family, form):
    solver, usable, points = FAMILIES[family]
    for jac, fun_and_jac in itertools.product(SUBSETS, SUBSETS):
        given = {"fun": fun, "jac": jac, "fun_and_jac": fun_and_jac}
        counters = Counters(given, form)
        expected = expected_calls(usable, points, given)
        if expected is None:
            message = "there is nothing to optimize" if not fun and not fun_and_jac else "is a least-squares solver"
            with pytest.raises(om.InvalidInputError, match=message):
                om.minimize(params=START, algorithm=solver, **counters.arguments)
            continue
        result = om.minimize(params=START, algorithm=solver, **counters.arguments)
        calls, differences = expected
        assert counters.calls == calls, given
        assert result.n_numdiff_evals == differences, given
        by_role = {role: sum(calls[role, kind] for kind in KINDS) for role in ROLES}
        assert (result.n_fun_evals, result.n_jac_evals, result.n_fun_and_jac_evals) == tuple(by_role.values())
        assert len(result.history) == sum(by_role.values())
        assert result.start_fun == pytest.approx(VALUES["scalar"](START))


REAL = {
    "scipy_lbfgsb": (KINDS, {B}),
    "scipy_bfgs": (KINDS, {B}),
    "scipy_slsqp": (KINDS, {V, D}),
    "scipy_neldermead": (KINDS, {V}),
    "scipy_ls_trf": (("least_squares",), {V, D}),
    "scipy_ls_lm": (("least_squares",), {V, D}),
}


@pytest.mark.parametrize("algorithm", REAL)
@pytest.mark.parametrize("fun", SUBSETS, ids=lambda kinds: "+".join(kinds) or "no fun")
def test_real_solvers_call_those_and_no_others(algorithm, fun):
    usable, questions = REAL[algorithm]
    for jac, fun_and_jac in itertools.product(SUBSETS, SUBSETS):
        given = {"fun": fun, "jac": jac, "fun_and_jac": fun_and_jac}
        expected = expected_calls(usable, [sorted(questions, reverse=True)], given)
        if expected is None:
            continue
        counters = Counters(given, "marked")
        result = om.minimize(
            params=START, algorithm=algorithm, budget=om.Budget(max_evaluations=15), **counters.arguments
        )
        assert {key for key, n in counters.calls.items() if n} == {key for key, n in expected[0].items() if n}, given
        assert (result.n_numdiff_evals > 0) == (expected[1] > 0)
        assert len(result.history) == sum(counters.calls.values())
        assert result.n_fun_evals + result.n_fun_and_jac_evals <= 15


def test_the_table_of_the_package_is_that_of_the_design():
    assert ANSWERS == {
        "value": ("fun", "fun_and_jac"),
        "derivative": ("jac", "fun_and_jac", "differences"),
        "both": ("fun_and_jac", "fun, jac", "differences"),
    }
    assert answer_to("value", ("jac",)) is None
