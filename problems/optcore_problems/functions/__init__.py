"""Least-squares test functions, written once for numpy, complex numbers and JAX, with closed-form jacobians.

A function knows its published start, its sizes and its optimum; suites say which sizes and starts they use.
"""

from __future__ import annotations

from optcore_problems.functions.curves import (
    Bard,
    BiggsExp6,
    Box3D,
    BrownDennis,
    Gaussian,
    GulfRD,
    JennrichSampson,
    KowalikOsborne,
    Meyer,
)
from optcore_problems.functions.grids import Bratu2D, DiscreteBoundaryValue, DiscreteIntegral
from optcore_problems.functions.large import (
    BroydenBanded,
    BroydenTridiagonal,
    ExtendedPowellSingular,
    ExtendedRosenbrock,
    VariablyDimensioned,
)
from optcore_problems.functions.linear import LinearFullRank, LinearRank1, LinearRank1Zero
from optcore_problems.functions.osborne import Osborne1, Osborne2
from optcore_problems.functions.penalties import Penalty1, Penalty2
from optcore_problems.functions.polynomials import Chebyquad, Watson
from optcore_problems.functions.scalable import Bdqrtic, BrownAlmostLinear, Cube, Mancino, Trigonometric
from optcore_problems.functions.systems import (
    Beale,
    BrownBadlyScaled,
    FreudensteinRoth,
    HeartEight,
    HelicalValley,
    PowellBadlyScaled,
    PowellSingular,
    Rosenbrock,
    Wood,
)

__all__ = [
    "Bard",
    "Bdqrtic",
    "Beale",
    "BiggsExp6",
    "Box3D",
    "Bratu2D",
    "BrownAlmostLinear",
    "BrownBadlyScaled",
    "BrownDennis",
    "BroydenBanded",
    "BroydenTridiagonal",
    "Chebyquad",
    "Cube",
    "DiscreteBoundaryValue",
    "DiscreteIntegral",
    "ExtendedPowellSingular",
    "ExtendedRosenbrock",
    "FreudensteinRoth",
    "Gaussian",
    "GulfRD",
    "HeartEight",
    "HelicalValley",
    "JennrichSampson",
    "KowalikOsborne",
    "LinearFullRank",
    "LinearRank1",
    "LinearRank1Zero",
    "Mancino",
    "Meyer",
    "Osborne1",
    "Osborne2",
    "Penalty1",
    "Penalty2",
    "PowellBadlyScaled",
    "PowellSingular",
    "Rosenbrock",
    "Trigonometric",
    "VariablyDimensioned",
    "Watson",
    "Wood",
]
