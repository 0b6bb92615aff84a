"""Which rows of a cost table belong together, because they are one function in several sizes, starts or noises."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from optcore.errors import OptcoreError

__all__ = ["RowLabel", "clusters", "read_row", "rows_by_problem"]

#: Endings of names that say size, start or data, and not which function it is.
_ENDINGS = re.compile(r"(_x\d+|_[nm]\d+|_start\d+|[-~].*)$")
_TAGS = ("function", "dataset")


class RowLabel(NamedTuple):
    """The parts of a row's name in a cost table, `suite/problem#2 ~ noise`.

    Attributes:
        suite: "" where there is none.
        problem: without the suite.
        start: 1 for the standard one.
        noise: "" where the row doesn't name it.
    """

    suite: str
    problem: str
    start: int
    noise: str


def read_row(label: str) -> RowLabel:
    """Take the name of a row apart.

    >>> read_row("more_wild/watson_n9#2 ~ wild 0.001")
    RowLabel(suite='more_wild', problem='watson_n9', start=2, noise='wild 0.001')
    >>> read_row("mine")
    RowLabel(suite='', problem='mine', start=1, noise='')
    """
    rest, _, noise = label.partition(" ~ ")
    name, mark, start = rest.rpartition("#")
    if not (mark and start.isdigit()):
        name, start = rest, "1"
    suite, _, problem = name.rpartition("/")
    return RowLabel(suite, problem, int(start), noise)


def clusters(table: pd.DataFrame | Iterable[str]) -> pd.Series:
    """The function behind each row: rows of one function are not independent of each other.

    The 53 problems of More & Wild come from 22 functions: the same ones in several sizes and from several starts. What
    is resampled in a bootstrap are therefore functions, not rows. Problems of suites that are installed are grouped by
    their tags (`function`, or `dataset` of NIST's), others by their names without size (`_n9`, `_m10`), start (`_x10`,
    `_start2`, `#2`), transformation and noise. Functions of one name in two suites are one.

    Args:
        table: a cost table, or the names of its rows.

    Returns:
        The name of the function by row, in the order of the rows.

    >>> clusters(["more_wild/watson_n6", "more_wild/watson_n9_x10#2", "own/thing_n5 ~ wild 0.1"]).tolist()
    ['watson', 'watson', 'thing']
    """
    rows = list(map(str, table.index if isinstance(table, pd.DataFrame) else table))
    tags: dict[str, dict[str, str]] = {}
    names = []
    for row in rows:
        label = read_row(row)
        if label.suite not in tags:
            tags[label.suite] = _tagged(label.suite)
        known = tags[label.suite]
        problem = _without_transformation(label.problem, known)
        names.append(known.get(problem) or _plain_name(problem))
    return pd.Series(names, index=pd.Index(rows), name="function", dtype=object)


def rows_by_problem(table: pd.DataFrame | Iterable[str]) -> pd.Series:
    """The problem of each row, whatever its start: `suite/problem#2 ~ noise` is of `suite/problem ~ noise`.

    >>> rows_by_problem(["s/p", "s/p#2", "s/q#2 ~ wild 0.1"]).tolist()
    ['s/p', 's/p', 's/q ~ wild 0.1']
    """
    rows = list(map(str, table.index if isinstance(table, pd.DataFrame) else table))
    names = []
    for row in rows:
        label = read_row(row)
        suite, noise = label.suite and f"{label.suite}/", label.noise and f" ~ {label.noise}"
        names.append(f"{suite}{label.problem}{noise}")
    return pd.Series(names, index=pd.Index(rows), name="problem", dtype=object)


def _tagged(suite: str) -> dict[str, str]:
    """Function by problem of a suite; empty for suites that aren't installed here, or whose library isn't."""
    from optcore_problems import get_suite

    try:
        problems: Any = list(get_suite(suite))
    except (OptcoreError, ImportError):
        return {}
    found = {}
    for problem in problems:
        tag = next((str(problem.tags[name]) for name in _TAGS if problem.tags.get(name)), None)
        if tag is not None:
            found[problem.name] = tag
    return found


def _without_transformation(problem: str, known: dict[str, str]) -> str:
    """Transformations append to a problem's name: the longest known name that it begins with."""
    if problem in known:
        return problem
    begins = [name for name in known if problem.startswith(name) and not problem[len(name)].isalnum()]
    return max(begins, key=len, default=problem)


def _plain_name(problem: str) -> str:
    name = problem
    while (shorter := _ENDINGS.sub("", name)) not in ("", name):
        name = shorter
    return name
