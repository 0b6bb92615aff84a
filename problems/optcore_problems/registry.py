"""Suites and problems by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from optcore.errors import InvalidInputError, UnknownNameError, unknown_name
from optcore_problems.problem import Problem
from optcore_problems.suite import Suite

__all__ = ["get_problem", "get_suite", "list_suites"]


def _more_wild() -> Suite:
    from optcore_problems.more_wild import build

    return build()


_BUILDERS: dict[str, Callable[[], Suite]] = {"more_wild": _more_wild}


def list_suites() -> list[str]:
    """The names of all suites.

    >>> list_suites()
    ['more_wild']
    """
    return sorted(_BUILDERS)


@cache
def _build(name: str) -> Suite:
    return _BUILDERS[name]()


def get_suite(name: str) -> Suite:
    """The suite of that name, built at the first call.

    Raises:
        UnknownNameError: there is no such suite; the message suggests the nearest.

    >>> [p.name for p in get_suite("more_wild")][:3]
    ['linear_full_rank', 'linear_full_rank_x10', 'linear_rank1']
    """
    if name not in _BUILDERS:
        raise unknown_name("suite", name, _BUILDERS)
    return _build(name)


def get_problem(name: str, n: int | None = None, m: int | None = None) -> Problem:
    """One problem, in the size that its suite holds or in any other valid one.

    Args:
        name: `suite/problem`. A size may be part of the name (`more_wild/watson_n9`) or given by n and m.
        n: number of variables, None for the one in the name.
        m: number of residuals, None for the function's usual one at this n.

    Raises:
        UnknownNameError: no such suite or problem; the message suggests the nearest.
        InvalidInputError: the function has no such size; the message says which sizes it has. A ValueError.

    >>> get_problem("more_wild/rosenbrock").start
    array([-1.2,  1. ])
    >>> p = get_problem("more_wild/chebyquad", n=8, m=16)
    >>> p.name, p.n, p.m
    ('chebyquad_n8_m16', 8, 16)
    """
    if not isinstance(name, str):
        raise InvalidInputError(f"a problem is named 'suite/problem', a str, not {name!r}")
    suite_name, slash, problem_name = name.partition("/")
    if not slash:
        raise _without_suite(name)
    suite = get_suite(suite_name)
    if n is None and m is None and problem_name in suite:
        return suite[problem_name]
    if suite.make is not None:
        return suite.make(problem_name, n, m)
    problem = suite[problem_name]
    if (n is None or n == problem.n) and (m is None or m == problem.m):
        return problem
    raise InvalidInputError(f"problem {name!r} comes in one size only: n={problem.n}, m={problem.m}; got n={n}, m={m}")


def _without_suite(name: str) -> UnknownNameError:
    for suite in list_suites():
        if name in get_suite(suite):
            return UnknownNameError(
                f"unknown problem {name!r}: names are 'suite/problem'; did you mean '{suite}/{name}'?"
            )
    return UnknownNameError(f"unknown problem {name!r}: problems are named 'suite/problem', as 'more_wild/rosenbrock'")
