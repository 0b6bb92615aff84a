"""Functions in many sizes, and the names of the problems that they make: what suites of sized functions share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import index
from typing import Any, SupportsIndex

from optcore.errors import InvalidInputError, UnknownNameError, unknown_name
from optcore_problems.least_squares import LeastSquaresFunction, Vector
from optcore_problems.problem import Problem

__all__ = ["Catalogue", "Row"]

_PATTERN = re.compile(r"(?P<function>.+?)(_n(?P<n>[1-9]\d*))?(_m(?P<m>[1-9]\d*))?(?P<scaled>_x10)?")

#: A problem of a suite: name of the function, n, m, and whether its start is ten times the standard one.
Row = tuple[str, int, int, bool]


def _published_start(function: LeastSquaresFunction) -> Vector:
    return function.start()


def _no_tags(name: str) -> Mapping[str, Any]:  # noqa: ARG001  the signature of Catalogue.tags
    return {}


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The functions of a suite, with the sizes that it holds; makes problems of these and of any other valid size.

    A problem is named after its function, with `_n9` unless the suite holds one size of it only, `_m16` unless m is
    the usual one for n, and `_x10` for the start scaled by ten.

    Args:
        suite: the suite's name.
        functions: the functions.
        rows: what the suite holds, in its order.
        start: the standard start of a function in this suite, which may not be the published one.
        tags: further tags of the problems of a function, by its name.
        is_sparse: whether problems have sparse jacobians where their functions offer them.
    """

    suite: str
    functions: tuple[type[LeastSquaresFunction], ...]
    rows: tuple[Row, ...]
    start: Callable[[LeastSquaresFunction], Vector] = _published_start
    tags: Callable[[str], Mapping[str, Any]] = _no_tags
    is_sparse: bool = False
    _made: dict[Row, Problem] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _classes(self) -> dict[str, type[LeastSquaresFunction]]:
        return {function.name: function for function in self.functions}

    @cached_property
    def _held(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """The sizes (n, m) that the suite holds, by function."""
        held: dict[str, dict[tuple[int, int], None]] = {name: {} for name in self._classes}
        for name, n, m, _ in self.rows:
            held[name][n, m] = None
        return {name: tuple(sizes) for name, sizes in held.items()}

    def problems(self) -> tuple[Problem, ...]:
        """What the suite holds, in its order."""
        return tuple(self.problem(*row) for row in self.rows)

    def make(self, name: str, n: SupportsIndex | None, m: SupportsIndex | None) -> Problem:
        """The problem of a name like `watson_n9` or `chebyquad_n8_m16_x10`; n and m override the name's.

        Raises:
            UnknownNameError: no such function, or a name that leaves the size open.
            InvalidInputError: the function has no such size.
        """
        parts = _PATTERN.fullmatch(name)
        function = parts["function"] if parts else name
        if parts is None or function not in self._classes:
            raise self._unknown(name)
        named_n, named_m = (int(parts[key]) if parts[key] else None for key in ("n", "m"))
        is_scaled = parts["scaled"] is not None
        if n is None and m is None and named_n is None and len(self._held[function]) > 1:
            raise self._unknown(name)
        problem = self.problem(function, *self._size(function, named_n, named_m, n, m), is_scaled)
        if n is None and m is None and problem.name != name:
            raise unknown_name(f"problem of suite {self.suite!r}", name, [problem.name])
        return problem

    def problem(self, function_name: str, n: int, m: int, is_scaled: bool = False) -> Problem:
        """A function in one size, from its standard start or from ten times that; the same object at every call."""
        key = (function_name, n, m, is_scaled)
        if key not in self._made:
            self._made[key] = self._build(self._classes[function_name](n, m), is_scaled=is_scaled)
        return self._made[key]

    def _build(self, function: LeastSquaresFunction, *, is_scaled: bool) -> Problem:
        optimum = function.optimum()
        sparse_jacobian = function.sparse_jacobian if self.is_sparse else None
        return Problem(
            name=self._name(function.name, function.n, function.m, is_scaled=is_scaled),
            suite=self.suite,
            m=function.m,
            start=(10.0 if is_scaled else 1.0) * self.start(function),
            f_opt=optimum.f,
            f_opt_source=optimum.source,
            x_opt=optimum.x,
            local_optima=optimum.local,
            tags={
                "function": function.name,
                "kind": "least_squares",
                "class": function.residual_class,
                "start": "x10" if is_scaled else "standard",
                "mgh": function.mgh,
                **self.tags(function.name),
            },
            reference=function.reference,
            description=type(function).__doc__ or "",
            remarks=function.remarks,
            excludes=function.excludes,
            residuals_xp=function.residuals,
            jacobian_np=sparse_jacobian or function.jacobian,
            takes_columns=function.takes_columns,
            pattern=function.pattern,
        )

    def _size(
        self,
        function: str,
        named_n: int | None,
        named_m: int | None,
        n: SupportsIndex | None,
        m: SupportsIndex | None,
    ) -> tuple[int, int]:
        """What was asked for, else what the name says, else the suite's only size, else the usual m."""
        held, has_name_alone = self._held[function], named_n is None and n is None
        if has_name_alone and len(held) != 1:
            sizes = self._classes[function].sizes.text
            raise InvalidInputError(f"{self.suite}/{function} comes in several sizes; say n= too: {sizes}")
        if n is None:
            n = held[0][0] if named_n is None else named_n
            m = named_m if m is None else m
        n = _integer("n", n)
        if m is None:
            m = dict(reversed(held)).get(n)
        if m is None:
            m = self._classes[function](n).m
        return n, _integer("m", m)

    def _name(self, function: str, n: int, m: int, *, is_scaled: bool) -> str:
        size = "" if self._held[function] == ((n, m),) else f"_n{n}"
        if size and m != self._classes[function].sizes.usual_m(n):
            size += f"_m{m}"
        return function + size + ("_x10" if is_scaled else "")

    def _unknown(self, name: str) -> UnknownNameError:
        held = self._held.get(name, ())
        if len(held) > 1:
            names = ", ".join(repr(self._name(name, n, m, is_scaled=False)) for n, m in held)
            return UnknownNameError(
                f"unknown problem of suite {self.suite!r} {name!r}: it has several sizes; say n= or use one of {names}"
            )
        known = [self._name(function, n, m, is_scaled=is_scaled) for function, n, m, is_scaled in self.rows]
        return unknown_name(f"problem of suite {self.suite!r}", name, known)


def _integer(what: str, value: SupportsIndex) -> int:
    try:
        return index(value)
    except TypeError:
        raise InvalidInputError(f"{what} must be a whole number, not {value!r}") from None


def rows_of_sizes(sizes: Iterable[tuple[type[LeastSquaresFunction], int, int | None]]) -> tuple[Row, ...]:
    """Rows with standard starts from (function, n, m); m = None is the usual number of residuals."""
    return tuple((function.name, n, function.sizes.usual_m(n) if m is None else m, False) for function, n, m in sizes)
