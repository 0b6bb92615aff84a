"""The suite of More & Wild (2009): 53 smooth least-squares problems from 22 functions, by size and start."""

from __future__ import annotations

import re
from functools import lru_cache
from operator import index
from typing import SupportsIndex

import numpy as np

from optcore.errors import InvalidInputError, UnknownNameError, unknown_name
from optcore_problems import functions as f
from optcore_problems.least_squares import LeastSquaresFunction, Vector
from optcore_problems.problem import Problem
from optcore_problems.suite import Suite

__all__ = ["build"]

_NAME = "more_wild"
_REFERENCE = "More & Wild (2009), Benchmarking derivative-free optimization algorithms, SIAM J. Optim. 20(1), 172-191"

#: The functions by their number (nprob) in the publication, from 1.
_FUNCTIONS: tuple[type[LeastSquaresFunction], ...] = (
    f.LinearFullRank, f.LinearRank1, f.LinearRank1Zero, f.Rosenbrock, f.HelicalValley, f.PowellSingular,
    f.FreudensteinRoth, f.Bard, f.KowalikOsborne, f.Meyer, f.Watson, f.Box3D, f.JennrichSampson,
    f.BrownDennis, f.Chebyquad, f.BrownAlmostLinear, f.Osborne1, f.Osborne2, f.Bdqrtic, f.Cube, f.Mancino,
    f.HeartEight,
)  # fmt: skip

#: (nprob, n, m, s) in the published order; the start is 10^s times the standard one.
_ROWS = (
    (1, 9, 45, 0), (1, 9, 45, 1), (2, 7, 35, 0), (2, 7, 35, 1), (3, 7, 35, 0), (3, 7, 35, 1),
    (4, 2, 2, 0), (4, 2, 2, 1), (5, 3, 3, 0), (5, 3, 3, 1), (6, 4, 4, 0), (6, 4, 4, 1),
    (7, 2, 2, 0), (7, 2, 2, 1),
    (8, 3, 15, 0), (8, 3, 15, 1), (9, 4, 11, 0), (10, 3, 16, 0),
    (11, 6, 31, 0), (11, 6, 31, 1), (11, 9, 31, 0), (11, 9, 31, 1), (11, 12, 31, 0), (11, 12, 31, 1),
    (12, 3, 10, 0), (13, 2, 10, 0), (14, 4, 20, 0), (14, 4, 20, 1),
    (15, 6, 6, 0), (15, 7, 7, 0), (15, 8, 8, 0), (15, 9, 9, 0), (15, 10, 10, 0), (15, 11, 11, 0),
    (16, 10, 10, 0), (17, 5, 33, 0), (18, 11, 65, 0), (18, 11, 65, 1),
    (19, 8, 8, 0), (19, 10, 12, 0), (19, 11, 14, 0), (19, 12, 16, 0), (20, 5, 5, 0), (20, 6, 6, 0),
    (20, 8, 8, 0),
    (21, 5, 5, 0), (21, 5, 5, 1), (21, 8, 8, 0), (21, 10, 10, 0), (21, 12, 12, 0), (21, 12, 12, 1),
    (22, 8, 8, 0), (22, 8, 8, 1),
)  # fmt: skip

_NPROB = {function.name: nprob for nprob, function in enumerate(_FUNCTIONS, start=1)}
_SIZES = {
    name: tuple(dict.fromkeys((n, m) for number, n, m, _ in _ROWS if number == nprob)) for name, nprob in _NPROB.items()
}
_PATTERN = re.compile(r"(?P<function>.+?)(_n(?P<n>[1-9]\d*))?(_m(?P<m>[1-9]\d*))?(?P<scaled>_x10)?")


def build() -> Suite:
    """The suite, its problems in the published order."""
    return Suite(
        name=_NAME,
        problems=tuple(_problem(_FUNCTIONS[nprob - 1].name, n, m, bool(power)) for nprob, n, m, power in _ROWS),
        description="53 smooth least-squares problems with 2 to 12 variables",
        reference=_REFERENCE,
        make=_make,
    )


def _make(name: str, n: int | None, m: int | None) -> Problem:
    """The problem of a name like `watson_n9` or `chebyquad_n8_m16_x10`; n and m override the name's."""
    parts = _PATTERN.fullmatch(name)
    function = parts["function"] if parts else name
    if parts is None or function not in _NPROB:
        raise _unknown(name)
    named_n, named_m = (int(parts[key]) if parts[key] else None for key in ("n", "m"))
    is_scaled = parts["scaled"] is not None
    if n is None and m is None and named_n is None and len(_SIZES[function]) > 1:
        raise _unknown(name)
    problem = _problem(function, *_size(function, named_n, named_m, n, m), is_scaled)
    if n is None and m is None and problem.name != name:
        raise unknown_name(f"problem of suite {_NAME!r}", name, [problem.name])
    return problem


def _size(function: str, named_n: int | None, named_m: int | None, n: int | None, m: int | None) -> tuple[int, int]:
    """What was asked for, else what the name says, else the suite's only size, else the usual m."""
    held = _SIZES[function]
    if n is None:
        n = named_n if named_n is not None else held[0][0]
        if named_n is None and len(held) > 1:
            raise InvalidInputError(
                f"{_NAME}/{function} comes in several sizes; say n= too: {_class(function).sizes.text}"
            )
        if m is None:
            m = named_m
    n = _integer("n", n)
    if m is None:
        m = dict(held).get(n)
    if m is None:
        m = _class(function)(n).m
    return n, _integer("m", m)


def _integer(what: str, value: SupportsIndex) -> int:
    try:
        return index(value)
    except TypeError:
        raise InvalidInputError(f"{what} must be a whole number, not {value!r}") from None


def _class(name: str) -> type[LeastSquaresFunction]:
    return _FUNCTIONS[_NPROB[name] - 1]


def _unknown(name: str) -> UnknownNameError:
    held = _SIZES.get(name, ())
    if len(held) > 1:
        names = ", ".join(repr(_name(name, n, m, is_scaled=False)) for n, m in held)
        return UnknownNameError(
            f"unknown problem of suite {_NAME!r} {name!r}: it has several sizes; say n= or use one of {names}"
        )
    known = [_name(_FUNCTIONS[nprob - 1].name, n, m, is_scaled=bool(power)) for nprob, n, m, power in _ROWS]
    return unknown_name(f"problem of suite {_NAME!r}", name, known)


def _name(function: str, n: int, m: int, *, is_scaled: bool) -> str:
    """The function's name, with n unless the suite holds one size only, with m unless it is usual."""
    size = "" if _SIZES[function] == ((n, m),) else f"_n{n}"
    if size and m != _class(function).sizes.usual_m(n):
        size += f"_m{m}"
    return function + size + ("_x10" if is_scaled else "")


def _start(function: LeastSquaresFunction) -> Vector:
    """The suite's standard start, which for two functions isn't the one that was published with them."""
    if isinstance(function, f.Watson):
        return np.full(function.n, 0.5)
    start = function.start()
    if isinstance(function, f.Osborne1):
        start[2] = 1.0
    return start


@lru_cache(maxsize=1024)
def _problem(name: str, n: int, m: int, is_scaled: bool) -> Problem:
    function = _class(name)(n, m)
    optimum = function.optimum()
    return Problem(
        name=_name(name, n, m, is_scaled=is_scaled),
        suite=_NAME,
        m=m,
        start=(10.0 if is_scaled else 1.0) * _start(function),
        f_opt=optimum.f,
        f_opt_source=optimum.source,
        x_opt=optimum.x,
        local_optima=optimum.local,
        tags={
            "function": name,
            "kind": "least_squares",
            "class": function.residual_class,
            "start": "x10" if is_scaled else "standard",
            "nprob": _NPROB[name],
            "mgh": function.mgh,
        },
        reference=function.reference,
        residuals_xp=function.residuals,
        jacobian_np=function.jacobian,
        pattern=function.pattern,
    )
