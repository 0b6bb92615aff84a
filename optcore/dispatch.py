"""Who answers which question of a solver, as a table, and which of several functions is taken.

A solver asks for the value, the derivative, or both at one x (scalar: value and gradient; least squares: residuals and
jacobian). The user gives any of fun, jac and fun_and_jac. The cheapest that can answer does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

from optcore.errors import InvalidInputError
from optcore.marks import Kind

__all__ = ["ANSWERS", "Answer", "Question", "answer_to", "choose"]

Question = Literal["value", "derivative", "both"]
Answer = Literal["fun", "jac", "fun_and_jac", "fun, jac", "differences"]

#: For each question those who can answer it, in the order in which they are asked: the first that there is.
ANSWERS: Mapping[Question, tuple[Answer, ...]] = {
    "value": ("fun", "fun_and_jac"),
    "derivative": ("jac", "fun_and_jac", "differences"),
    "both": ("fun_and_jac", "fun, jac", "differences"),
}

#: The user functions that each answer calls.
CALLS: Mapping[Answer, tuple[str, ...]] = {
    "fun": ("fun",),
    "jac": ("jac",),
    "fun_and_jac": ("fun_and_jac",),
    "fun, jac": ("fun", "jac"),
    "differences": ("fun",),
}


@functools.cache
def answer_to(question: Question, given: tuple[str, ...]) -> Answer | None:
    """Who answers, where these functions are given; None if nobody can.

    >>> answer_to("both", ("fun", "jac")), answer_to("both", ("fun",)), answer_to("value", ("fun_and_jac",))
    ('fun, jac', 'differences', 'fun_and_jac')
    """
    return next((answer for answer in ANSWERS[question] if set(CALLS[answer]) <= set(given)), None)


def choose(
    wanted: Kind,
    fun: Mapping[Kind, Callable[..., Any]],
    jac: Mapping[Kind, Callable[..., Any]],
    fun_and_jac: Mapping[Kind, Callable[..., Any]],
    algorithm: str,
    *,
    needs_jac: bool,
) -> tuple[Kind | None, Kind | None, Kind | None]:
    """Pick the kinds of fun, jac and fun_and_jac for a solver that wants `wanted`.

    A least-squares or likelihood function serves a scalar solver through the chain rule, if there is no scalar one;
    only least-squares functions serve a least-squares solver, and only likelihood functions one that works on
    contributions.

    Raises:
        InvalidInputError: none of the functions can give the value; says what to do.
    """
    usable: list[Kind] = list(Kind) if wanted is Kind.SCALAR else [wanted]

    def first(given: Mapping[Kind, Callable[..., Any]], allowed: list[Kind]) -> Kind | None:
        return next((kind for kind in allowed if kind in given), None)

    both_kind = first(fun_and_jac, usable)
    # A function that has a derivative of its kind saves numerical ones.
    paired = [kind for kind in usable if needs_jac and both_kind is None and kind in jac]
    fun_kind = first(fun, paired) or first(fun, usable)
    if fun_kind is None and both_kind is None:
        given = sorted({kind.value for kind in (*fun, *fun_and_jac)})
        if not given:
            raise InvalidInputError("there is nothing to optimize: give fun, or fun_and_jac")
        what, returned = (
            ("likelihood", "contributions") if wanted is Kind.LIKELIHOOD else ("least-squares", "residuals")
        )
        raise InvalidInputError(
            f"{algorithm} is a {what} solver, but the function is {' and '.join(given)}; mark a function that "
            f"returns {returned} with om.mark.{wanted.value}, or choose a scalar solver such as scipy_lbfgsb"
        )
    # The chain rule needs the vector that belongs to the jacobian, so its kind must be the one that the value has.
    jac_kinds = [kind for kind in usable if kind in (Kind.SCALAR, fun_kind or both_kind)]
    return fun_kind, first(jac, jac_kinds), both_kind
