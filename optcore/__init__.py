"""A compact optimizer: minimize functions of any pytree of params, whatever the derivatives come from.

>>> import numpy as np
>>> import optcore as om
>>> om.minimize(lambda x: x @ x, np.arange(5), "scipy_lbfgsb").params.round(6) + 0.0
array([0., 0., 0., 0., 0.])
"""

from __future__ import annotations

from importlib import import_module
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
from optcore.numdiff.options import NumdiffOptions
from optcore.optimize import maximize, minimize
from optcore.purpose import Purpose
from optcore.result import OptimizeResult
from optcore.solvers import Algorithm, AllAlgorithms, SolverResult, register_algorithm

if TYPE_CHECKING:
    from optcore.derivative_check import DerivativeCheck, check_derivative
    from optcore.numdiff.derivative import NumericalDerivative, first_derivative
    from optcore.numdiff.result import NumdiffResult
    from optcore.numdiff.second import second_derivative
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
    "Purpose",
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


#: What is imported when it is asked for -> the module that has it.
_LATER = {
    "DerivativeCheck": "derivative_check",
    "NumdiffResult": "numdiff.result",
    "NumericalDerivative": "numdiff.derivative",
    "check_derivative": "derivative_check",
    "criterion_plot": "plots",
    "first_derivative": "numdiff.derivative",
    "params_plot": "plots",
    "second_derivative": "numdiff.second",
}


def __getattr__(name: str) -> Any:
    """Import plots, checks and numerical derivatives when they are asked for."""
    if name in _LATER:
        return getattr(import_module(f"optcore.{_LATER[name]}"), name)
    raise AttributeError(f"module 'optcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
