"""The solvers, one module per library; what an algorithm is stands in algorithm.py.

Importing this package registers them all. Their libraries are imported when a solver runs.
"""

from optcore.solvers import dfols, iminuit, nlopt, optimagic, pybobyqa, scipy_least_squares, scipy_scalar
from optcore.solvers.algorithm import (
    Algorithm,
    Algorithms,
    CallableAlgorithm,
    SolverResult,
    algorithm_names,
    get_algorithm,
    make_algorithm,
    register_algorithm,
)

__all__ = [
    "Algorithm",
    "Algorithms",
    "CallableAlgorithm",
    "SolverResult",
    "algorithm_names",
    "dfols",
    "get_algorithm",
    "iminuit",
    "make_algorithm",
    "nlopt",
    "optimagic",
    "pybobyqa",
    "register_algorithm",
    "scipy_least_squares",
    "scipy_scalar",
]
