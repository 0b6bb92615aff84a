"""The solvers, one module per library; what an algorithm is stands in algorithm.py.

A module is imported when one of its algorithms is asked for, and a library when a solver runs. ALGORITHMS.md lists
them with their options; `python -m optcore.solvers` prints that page.
"""

from optcore.solvers.algorithm import (
    Algorithm,
    SolverResult,
    algorithm_names,
    get_algorithm,
    make_algorithm,
    register_algorithm,
)
from optcore.solvers.algos import AllAlgorithms
from optcore.solvers.callables import CallableAlgorithm
from optcore.solvers.collection import Algorithms

__all__ = [
    "Algorithm",
    "Algorithms",
    "AllAlgorithms",
    "CallableAlgorithm",
    "SolverResult",
    "algorithm_names",
    "get_algorithm",
    "make_algorithm",
    "register_algorithm",
]
