"""What `om.algos` is: all algorithms, the ones that ship declared by name for editors and type checkers.

The declarations are read by those only: a module of algorithms is imported when one of them is asked for. A test
compares them with what there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optcore.solvers.algorithm import get_algorithm
from optcore.solvers.collection import Algorithms
from optcore.solvers.shipped import MODULES

if TYPE_CHECKING:
    from optcore.solvers.dfols import NagDFOLS
    from optcore.solvers.iminuit import IminuitMigrad
    from optcore.solvers.nlopt import (
        NloptBOBYQA,
        NloptCCSAQ,
        NloptCOBYLA,
        NloptLBFGSB,
        NloptMMA,
        NloptNelderMead,
        NloptNewuoa,
        NloptPraxis,
        NloptSbplx,
        NloptSLSQP,
        NloptTNewton,
        NloptVar,
    )
    from optcore.solvers.nlopt_global import NloptAGS, NloptCRS2LM, NloptDIRECT, NloptESCH, NloptISRES, NloptMLSL
    from optcore.solvers.pybobyqa import NagPyBOBYQA
    from optcore.solvers.scipy_derivative_free import ScipyCOBYLA, ScipyCOBYQA, ScipyNelderMead, ScipyPowell
    from optcore.solvers.scipy_global import ScipyBrute, ScipyDifferentialEvolution, ScipyDIRECT
    from optcore.solvers.scipy_hybrid import ScipyBasinhopping, ScipyDualAnnealing, ScipySHGO
    from optcore.solvers.scipy_least_squares import ScipyLSDogbox, ScipyLSLM, ScipyLSTRF
    from optcore.solvers.scipy_one_param import ScipyBounded, ScipyBrent, ScipyGolden
    from optcore.solvers.scipy_scalar import (
        ScipyBFGS,
        ScipyConjugateGradient,
        ScipyLBFGSB,
        ScipyNewtonCG,
        ScipySLSQP,
        ScipyTruncatedNewton,
        ScipyTrustConstr,
    )
    from optcore.solvers.scipy_second_order import ScipyDogleg, ScipyTrustExact, ScipyTrustKrylov, ScipyTrustNCG

__all__ = ["AllAlgorithms"]


class AllAlgorithms(Algorithms):
    """All algorithms: those below, and those that users and other packages have registered.

    >>> import optcore as om
    >>> om.algos.scipy_lbfgsb(memory=5).limited_memory_storage_length
    5
    """

    if TYPE_CHECKING:
        iminuit_migrad = IminuitMigrad
        nag_dfols = NagDFOLS
        nag_pybobyqa = NagPyBOBYQA
        nlopt_ags = NloptAGS
        nlopt_bobyqa = NloptBOBYQA
        nlopt_ccsaq = NloptCCSAQ
        nlopt_cobyla = NloptCOBYLA
        nlopt_crs2_lm = NloptCRS2LM
        nlopt_direct = NloptDIRECT
        nlopt_esch = NloptESCH
        nlopt_isres = NloptISRES
        nlopt_lbfgsb = NloptLBFGSB
        nlopt_mlsl = NloptMLSL
        nlopt_mma = NloptMMA
        nlopt_neldermead = NloptNelderMead
        nlopt_newuoa = NloptNewuoa
        nlopt_praxis = NloptPraxis
        nlopt_sbplx = NloptSbplx
        nlopt_slsqp = NloptSLSQP
        nlopt_tnewton = NloptTNewton
        nlopt_var = NloptVar
        scipy_basinhopping = ScipyBasinhopping
        scipy_bfgs = ScipyBFGS
        scipy_bounded = ScipyBounded
        scipy_brent = ScipyBrent
        scipy_brute = ScipyBrute
        scipy_cobyla = ScipyCOBYLA
        scipy_cobyqa = ScipyCOBYQA
        scipy_conjugate_gradient = ScipyConjugateGradient
        scipy_differential_evolution = ScipyDifferentialEvolution
        scipy_direct = ScipyDIRECT
        scipy_dogleg = ScipyDogleg
        scipy_dual_annealing = ScipyDualAnnealing
        scipy_golden = ScipyGolden
        scipy_lbfgsb = ScipyLBFGSB
        scipy_ls_dogbox = ScipyLSDogbox
        scipy_ls_lm = ScipyLSLM
        scipy_ls_trf = ScipyLSTRF
        scipy_neldermead = ScipyNelderMead
        scipy_newton_cg = ScipyNewtonCG
        scipy_powell = ScipyPowell
        scipy_shgo = ScipySHGO
        scipy_slsqp = ScipySLSQP
        scipy_truncated_newton = ScipyTruncatedNewton
        scipy_trust_constr = ScipyTrustConstr
        scipy_trust_exact = ScipyTrustExact
        scipy_trust_krylov = ScipyTrustKrylov
        scipy_trust_ncg = ScipyTrustNCG

    @staticmethod
    def shipped() -> Algorithms:
        """Those that are part of optcore itself."""
        return Algorithms(tuple(get_algorithm(name) for name in sorted(MODULES)))
