"""What to cite for each algorithm, library, suite, derivative strategy and method: keys of `references.bib`."""

from __future__ import annotations

__all__ = ["ALGORITHMS", "LIBRARIES", "METHODS", "STRATEGIES", "SUITES"]

#: An algorithm's papers; none where only its library's documentation describes it.
ALGORITHMS: dict[str, tuple[str, ...]] = {
    "iminuit_migrad": ("james1975",),
    "nag_dfols": ("cartis2019",),
    "nag_pybobyqa": ("cartis2019", "cartis2022", "powell2009"),
    "nlopt_ags": ("sergeyev1995", "strongin2000"),
    "nlopt_bobyqa": ("powell2009",),
    "nlopt_ccsaq": ("svanberg2002",),
    "nlopt_cobyla": ("powell1994",),
    "nlopt_crs2_lm": ("kaelo2006",),
    "nlopt_direct": ("jones1993", "gablonsky2001"),
    "nlopt_esch": ("santos2010",),
    "nlopt_isres": ("runarsson2005",),
    "nlopt_lbfgsb": ("nocedal1980", "liu1989"),
    "nlopt_mlsl": ("rinnooykan1987", "kucherenko2005"),
    "nlopt_mma": ("svanberg2002",),
    "nlopt_neldermead": ("nelder1965", "box1965"),
    "nlopt_newuoa": ("powell2006",),
    "nlopt_praxis": ("brent1973",),
    "nlopt_sbplx": ("rowan1990",),
    "nlopt_slsqp": ("kraft1988", "kraft1994"),
    "nlopt_tnewton": ("dembo1983",),
    "nlopt_var": ("vlcek2006",),
    "scipy_basinhopping": ("wales1997",),
    "scipy_bfgs": ("nocedal2006",),
    "scipy_bounded": ("forsythe1977", "brent1973"),
    "scipy_brent": ("brent1973",),
    "scipy_brute": (),
    "scipy_cobyla": ("powell1994",),
    "scipy_cobyqa": ("ragonneau2022",),
    "scipy_conjugate_gradient": ("nocedal2006",),
    "scipy_differential_evolution": ("storn1997",),
    "scipy_direct": ("jones1993", "gablonsky2001"),
    "scipy_dogleg": ("nocedal2006",),
    "scipy_dual_annealing": ("xiang1997",),
    "scipy_golden": ("kiefer1953",),
    "scipy_lbfgsb": ("byrd1995",),
    "scipy_ls_dogbox": ("voglis2004",),
    "scipy_ls_lm": ("more1978",),
    "scipy_ls_trf": ("branch1999",),
    "scipy_neldermead": ("nelder1965",),
    "scipy_newton_cg": ("nocedal2006",),
    "scipy_powell": ("powell1964",),
    "scipy_shgo": ("endres2018",),
    "scipy_slsqp": ("kraft1988",),
    "scipy_truncated_newton": ("nash1984",),
    "scipy_trust_constr": ("byrd1999",),
    "scipy_trust_exact": ("conn2000", "more1983"),
    "scipy_trust_krylov": ("gould1999", "lenders2018"),
    "scipy_trust_ncg": ("nocedal2006", "steihaug1983"),
}
#: A library: its papers, and the name under which it is installed.
LIBRARIES: dict[str, tuple[tuple[str, ...], str]] = {
    "scipy": (("virtanen2020",), "scipy"),
    "nlopt": (("johnson2007",), "nlopt"),
    "iminuit": (("dembinski2020",), "iminuit"),
    "dfols": (("cartis2019",), "DFO-LS"),
    "pybobyqa": (("cartis2019",), "Py-BOBYQA"),
    "optimagic": (("gabler2022",), "optimagic"),
}
SUITES: dict[str, tuple[str, ...]] = {
    "more_wild": ("more2009",),
    "mgh": ("more1981",),
    "nist_strd": ("nist_strd",),
    "scalable": ("more1981",),
}
STRATEGIES: dict[str, tuple[str, ...]] = {
    "none": (),
    "analytic": (),
    "fun_and_jac": (),
    "jax": ("bradbury2018", "griewank2008"),
    "complex_step": ("squire1998",),
    "forward": ("nocedal2006",),
    "backward": ("nocedal2006",),
    "central": ("nocedal2006",),
    "richardson": ("ridders1982",),
    "calibrated": ("gill1983", "ridders1982"),
    "auto": ("gill1983",),
    "sparse": ("curtis1974", "coleman1983"),
}
METHODS: dict[str, tuple[str, ...]] = {
    "convergence test": ("more2009",),
    "data profiles": ("more2009",),
    "performance profiles": ("dolan2002",),
    "comparing more than two solvers": ("gould2016",),
}
