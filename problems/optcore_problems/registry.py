"""Suites and problems by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from optcore.errors import InvalidInputError, UnknownNameError, unknown_name
from optcore_problems.problem import Problem
from optcore_problems.suite import Suite

__all__ = ["get_problem", "get_suite", "list_suites"]

#: The suites that ship, each a module with a function `build`.
_SHIPPED = {
    "mgh": "optcore_problems.mgh",
    "more_wild": "optcore_problems.more_wild",
    "nist_strd": "optcore_problems.nist_strd",
    "scalable": "optcore_problems.scalable",
}

#: Entry points of this group add suites: each names a function without arguments that returns a Suite, or a Suite.
_GROUP = "optcore.suites"


@cache
def _installed() -> dict[str, EntryPoint]:
    """Suites of other packages by name; those that ship can't be replaced."""
    return {found.name: found for found in entry_points(group=_GROUP) if found.name not in _SHIPPED}


def list_suites() -> list[str]:
    """The names of all suites: those that ship and those that other packages bring.

    >>> "more_wild" in list_suites()
    True
    """
    return sorted({*_SHIPPED, *_installed()})


@cache
def _build(name: str) -> Suite:
    if name in _SHIPPED:
        shipped: Suite = import_module(_SHIPPED[name]).build()
        return shipped
    entry_point = _installed()[name]
    loaded: Any = entry_point.load()
    suite: Any = loaded() if callable(loaded) else loaded
    if isinstance(suite, Suite) and suite.name == name:
        return suite
    raise InvalidInputError(
        f"the entry point {name!r} of {_GROUP} must give a Suite of the name {name!r}, but {entry_point.value} gives "
        f"{suite!r}"
    )


def get_suite(name: str, n: int | Sequence[int] | None = None) -> Suite:
    """The suite of that name, built at the first call.

    Args:
        name: the suite's name.
        n: numbers of variables, for suites of scalable families; None for those that the suite holds.

    Raises:
        UnknownNameError: there is no such suite; the message suggests the nearest.
        InvalidInputError: the suite comes in its own sizes only, or has no such size.

    >>> [p.name for p in get_suite("more_wild")][:3]
    ['linear_full_rank', 'linear_full_rank_x10', 'linear_rank1']
    """
    if name not in _SHIPPED and name not in _installed():
        raise unknown_name("suite", name, list_suites())
    return _build(name).sized(n)


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
    known = [f"'{suite}/{name}'" for suite in list_suites() if name in get_suite(suite)]
    if known:
        return UnknownNameError(
            f"unknown problem {name!r}: names are 'suite/problem'; did you mean {' or '.join(known)}?"
        )
    return UnknownNameError(f"unknown problem {name!r}: problems are named 'suite/problem', as 'more_wild/rosenbrock'")
