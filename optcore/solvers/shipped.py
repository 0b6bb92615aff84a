"""Which module has which of the algorithms that ship. It is imported when one of them is asked for."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FAMILIES", "MODULES"]

_ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "dfols": ("nag_dfols",),
    "iminuit": ("iminuit_migrad",),
    "nlopt": (
        "nlopt_bobyqa",
        "nlopt_ccsaq",
        "nlopt_cobyla",
        "nlopt_lbfgsb",
        "nlopt_mma",
        "nlopt_neldermead",
        "nlopt_newuoa",
        "nlopt_praxis",
        "nlopt_sbplx",
        "nlopt_slsqp",
        "nlopt_tnewton",
        "nlopt_var",
    ),
    "nlopt_global": (
        "nlopt_ags",
        "nlopt_crs2_lm",
        "nlopt_direct",
        "nlopt_esch",
        "nlopt_isres",
        "nlopt_mlsl",
    ),
    "pybobyqa": ("nag_pybobyqa",),
    "scipy_derivative_free": (
        "scipy_cobyla",
        "scipy_cobyqa",
        "scipy_neldermead",
        "scipy_powell",
    ),
    "scipy_global": (
        "scipy_brute",
        "scipy_differential_evolution",
        "scipy_direct",
    ),
    "scipy_hybrid": (
        "scipy_basinhopping",
        "scipy_dual_annealing",
        "scipy_shgo",
    ),
    "scipy_least_squares": (
        "scipy_ls_dogbox",
        "scipy_ls_lm",
        "scipy_ls_trf",
    ),
    "scipy_one_param": (
        "scipy_bounded",
        "scipy_brent",
        "scipy_golden",
    ),
    "scipy_scalar": (
        "scipy_bfgs",
        "scipy_conjugate_gradient",
        "scipy_lbfgsb",
        "scipy_newton_cg",
        "scipy_slsqp",
        "scipy_truncated_newton",
        "scipy_trust_constr",
    ),
    "scipy_second_order": (
        "scipy_dogleg",
        "scipy_trust_exact",
        "scipy_trust_krylov",
        "scipy_trust_ncg",
    ),
}

#: Prefix of names -> module that knows the algorithms behind it, as PREFIX:NAME.
FAMILIES: Mapping[str, str] = {"optimagic": "optimagic"}

#: Name of an algorithm -> module of this package.
MODULES: Mapping[str, str] = {name: module for module, names in _ALGORITHMS.items() for name in names}
