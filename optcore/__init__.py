"""A compact optimizer: minimize functions of any pytree of params, whatever the derivatives come from.

>>> import numpy as np
>>> import optcore as om
>>> om.minimize(lambda x: x @ x, np.arange(5), "scipy_lbfgsb").params.round(6) + 0.0
array([0., 0., 0., 0., 0.])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optcore import errors, marks, solvers
from optcore import marks as mark
from optcore._version import __version__
from optcore.bounds import Bounds
from optcore.errors import (
    InvalidFunctionError,
    InvalidInputError,
    MissingLibraryError,
    OptcoreError,
    UnknownNameError,
    UserFunctionError,
    WrongDerivativeError,
)
from optcore.evaluator import Budget, Status
from optcore.history import History
from optcore.marks import (
    FunctionValue,
    LeastSquaresFunctionValue,
    LikelihoodFunctionValue,
    ScalarFunctionValue,
)
from optcore.numdiff.derivative import NumdiffResult, NumericalDerivative, first_derivative
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.second import second_derivative
from optcore.optimize import maximize, minimize
from optcore.result import OptimizeResult
from optcore.solvers import Algorithm, AllAlgorithms, SolverResult, register_algorithm

if TYPE_CHECKING:
    from optcore.derivative_check import DerivativeCheck, check_derivative
    from optcore.plots import criterion_plot, params_plot

#: All algorithms; complete with Tab, or filter: `om.algos.filter(least_squares=True)`.
algos = AllAlgorithms()

__all__ = [
    "Algorithm",
    "Bounds",
    "Budget",
    "DerivativeCheck",
    "FunctionValue",
    "History",
    "InvalidFunctionError",
    "InvalidInputError",
    "LeastSquaresFunctionValue",
    "LikelihoodFunctionValue",
    "MissingLibraryError",
    "NumdiffOptions",
    "NumdiffResult",
    "NumericalDerivative",
    "OptcoreError",
    "OptimizeResult",
    "ScalarFunctionValue",
    "SolverResult",
    "Status",
    "UnknownNameError",
    "UserFunctionError",
    "WrongDerivativeError",
    "__version__",
    "algos",
    "check_derivative",
    "criterion_plot",
    "errors",
    "first_derivative",
    "mark",
    "marks",
    "maximize",
    "minimize",
    "params_plot",
    "register_algorithm",
    "second_derivative",
    "solvers",
]


def __getattr__(name: str) -> Any:
    """Import plots and checks when they are asked for."""
    if name in ("criterion_plot", "params_plot"):
        from optcore import plots

        return getattr(plots, name)
    if name in ("check_derivative", "DerivativeCheck"):
        from optcore import derivative_check

        return getattr(derivative_check, name)
    raise AttributeError(f"module 'optcore' has no attribute {name!r}")
