"""The global solvers of NLopt, an optional library (extra `nlopt`).

All search within bounds. Random ones are seeded, with 0 unless asked otherwise. Most never claim convergence, so that
`stopping_maxfun` has a low default; raise it, or give a budget.

StoGO is left out: it heeds no limit, swallows exceptions, and always claims success.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError, unknown_name
from optcore.solvers.algorithm import Algorithm, register_algorithm, registered
from optcore.solvers.nlopt import NAMES, TIGHT, Nlopt, NloptRandom
from optcore.solvers.options import SWITCH, UNLIMITED, Rule

Vector = NDArray[np.float64]
MAXFUN = 1000
MOST_PARAMS_OF_AGS = 10


@dataclass(frozen=True)
class NloptGlobal(Nlopt):
    """What the global solvers share."""

    is_global: ClassVar[bool] = True
    needs_bounds: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {**TIGHT, "stopping_maxfun": UNLIMITED}

    stopping_maxfun: int = MAXFUN


@dataclass(frozen=True)
class NloptPopulation(NloptGlobal, NloptRandom):
    """What the solvers share that keep a population."""

    library_names: ClassVar[Mapping[str, str]] = {**NAMES, "population_size": "population"}

    population_size: int | None = None


@register_algorithm
@dataclass(frozen=True)
class NloptCRS2LM(NloptPopulation):
    """Controlled random search with local mutation.

    References:
        Kaelo & Ali (2006), J. Optim. Theory Appl. 130(2); Price (1983), J. Optim. Theory Appl. 40(3).
    """

    name: ClassVar[str] = "nlopt_crs2_lm"
    code: ClassVar[str] = "GN_CRS2_LM"


@register_algorithm
@dataclass(frozen=True)
class NloptISRES(NloptPopulation):
    """Improved stochastic ranking evolution strategy.

    References:
        Runarsson & Yao (2005), IEEE Trans. Syst. Man Cybern. C 35(2).
    """

    name: ClassVar[str] = "nlopt_isres"
    code: ClassVar[str] = "GN_ISRES"


@register_algorithm
@dataclass(frozen=True)
class NloptESCH(NloptPopulation):
    """An evolution strategy with Cauchy mutations.

    References:
        Santos, Goncalves & Hernandez-Figueroa (2010), IEEE Photonics Technology Letters 22(15).
    """

    name: ClassVar[str] = "nlopt_esch"
    code: ClassVar[str] = "GN_ESCH"


@register_algorithm
@dataclass(frozen=True)
class NloptDIRECT(NloptGlobal, NloptRandom):
    """Dividing rectangles: the most promising of ever smaller boxes are divided again.

    Its points do not depend on the start.

    Args:
        random_search: decide ties at random; only where locally biased.
        unscaled_bounds: don't scale the box to a cube.
        seed: seed of the random numbers of random_search; None: other ones each time.

    References:
        Jones, Perttunen & Stuckman (1993), J. Optim. Theory Appl. 79(1); Gablonsky & Kelley (2001), J. Global Optim.
        21(1), for `locally_biased`.
    """

    name: ClassVar[str] = "nlopt_direct"
    rules: ClassVar[Mapping[str, Rule]] = {"random_search": SWITCH, "unscaled_bounds": SWITCH}

    locally_biased: bool = False
    random_search: bool = False
    unscaled_bounds: bool = False

    def __post_init__(self, *given: Any) -> None:
        """Check the options."""
        super().__post_init__(*given)
        object.__setattr__(self, "is_deterministic", not self.random_search)
        if self.random_search and not self.locally_biased:
            raise InvalidInputError("random_search of nlopt_direct needs locally_biased=True")

    def code_for(self, bounds: FlatBounds) -> str:  # noqa: ARG002  the same for all
        """Name of the algorithm in the nlopt module, by the options."""
        parts = ("_L" * self.locally_biased, "_RAND" * self.random_search, "_NOSCAL" * self.unscaled_bounds)
        return "GN_DIRECT" + "".join(parts)


@register_algorithm
@dataclass(frozen=True)
class NloptAGS(NloptGlobal):
    """Lipschitz optimization along a space-filling curve, for up to 10 params.

    Its points do not depend on the start.

    References:
        Sergeyev & Markin (1995), J. Global Optim. 7(4); Sovrasov (2018), Abstracts of GO XIII.
    """

    name: ClassVar[str] = "nlopt_ags"
    code: ClassVar[str] = "GN_AGS"
    largest: ClassVar[float] = 1e100  # it never returns from an infinite one

    def misfit(self, bounds: FlatBounds, names: Callable[[], Sequence[str]]) -> str | None:
        """Why it can't work on params with these bounds and names, and what to do; None if it can."""
        n = bounds.lower.size
        if n > MOST_PARAMS_OF_AGS:
            return f"{self.name} takes at most {MOST_PARAMS_OF_AGS} params, but there are {n}; use nlopt_direct"
        return super().misfit(bounds, names)


@register_algorithm
@dataclass(frozen=True)
class NloptMLSL(NloptPopulation):
    """Multi-level single linkage: local searches from sampled points that are far from the minima found before.

    It uses a derivative if its local solver does.

    Args:
        convergence_xtol_rel: of the local searches, as all tolerances; local_algo_options come before them.
        population_size: points sampled in each round; None: 4.
        local_algorithm: the local solver, one of NLopt's.
        low_discrepancy: sample a Sobol sequence, not random numbers.

    References:
        Rinnooy Kan & Timmer (1987), Math. Programming 39; Kucherenko & Sytsko (2005), Comput. Optim. Appl. 30(3), for
        `low_discrepancy`.
    """

    name: ClassVar[str] = "nlopt_mlsl"
    needs_jac: ClassVar[bool] = True  # with the default local solver
    rules: ClassVar[Mapping[str, Rule]] = {"low_discrepancy": SWITCH}

    local_algorithm: str = "nlopt_lbfgsb"
    local_algo_options: Mapping[str, Any] | None = None
    low_discrepancy: bool = False

    def __post_init__(self, *given: Any) -> None:
        """Check the options, those of the local solver too, and see whether that one uses a derivative."""
        super().__post_init__(*given)
        object.__setattr__(self, "needs_jac", self.local.needs_jac)

    @property
    def local(self) -> Nlopt:
        """The local solver.

        Raises:
            UnknownNameError: there is no such solver, or it has no such option.
            InvalidInputError: an option has a value that can't be.
        """
        known = {cls.name: cls for cls in registered() if _is_local(cls)}
        if self.local_algorithm not in known:
            raise unknown_name("local solver", self.local_algorithm, known)
        tolerances = {name: getattr(self, name) for name in TIGHT}
        made = known[self.local_algorithm].from_options({**tolerances, **dict(self.local_algo_options or {})})
        assert isinstance(made, Nlopt)
        return made

    def code_for(self, bounds: FlatBounds) -> str:  # noqa: ARG002  the same for all
        """Name of the algorithm in the nlopt module, by the options."""
        return ("GD_MLSL" if self.local.needs_jac else "GN_MLSL") + ("_LDS" if self.low_discrepancy else "")

    def make_solver(self, n: int, bounds: FlatBounds) -> Any:
        """An nlopt.opt with the options and its local solver."""
        solver = super().make_solver(n, bounds)
        solver.set_local_optimizer(self.local.make_solver(n, bounds))
        return solver


def _is_local(cls: type[Algorithm]) -> bool:
    return issubclass(cls, Nlopt) and not cls.is_global and cls.supports_bounds
