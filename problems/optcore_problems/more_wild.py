"""The suite of More & Wild (2009): 53 smooth least-squares problems from 22 functions, by size and start."""

from __future__ import annotations

import numpy as np

from optcore_problems import functions as f
from optcore_problems.catalogue import Catalogue
from optcore_problems.least_squares import LeastSquaresFunction, Vector
from optcore_problems.suite import Suite

__all__ = ["build"]

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


def _start(function: LeastSquaresFunction) -> Vector:
    """The suite's standard start, which for two functions isn't the one that was published with them."""
    if isinstance(function, f.Watson):
        return np.full(function.n, 0.5)
    start = function.start()
    if isinstance(function, f.Osborne1):
        start[2] = 1.0
    return start


def _tags(name: str) -> dict[str, int]:
    return {"nprob": _NPROB[name]}


_CATALOGUE = Catalogue(
    suite="more_wild",
    functions=_FUNCTIONS,
    rows=tuple((_FUNCTIONS[nprob - 1].name, n, m, bool(power)) for nprob, n, m, power in _ROWS),
    start=_start,
    tags=_tags,
)


def build() -> Suite:
    """The suite, its problems in the published order."""
    return Suite(
        name="more_wild",
        problems=_CATALOGUE.problems(),
        description="53 smooth least-squares problems with 2 to 12 variables",
        reference=_REFERENCE,
        make=_CATALOGUE.make,
    )
