"""The functions with hard derivatives that the harness measures methods by, as tests of the core take them."""

from dataclasses import dataclass

import numpy as np

from optcore_bench.derivative_bench.functions import HARD as FUNCTIONS
from optcore_bench.derivative_bench.functions import exact_derivative as exact
from optcore_bench.derivative_bench.functions import osborne_1 as osborne
from optcore_bench.derivative_bench.functions import osborne_1_residuals as osborne_residuals
from optcore_bench.derivative_bench.functions import rosenbrock as rosenbrock_chain

__all__ = ["HARD", "Hard", "exact", "osborne", "osborne_residuals", "rosenbrock_chain"]


@dataclass(frozen=True)
class Hard:
    """A function and where its derivative is wanted."""

    fun: object
    x: np.ndarray

    @property
    def gradient(self):
        return exact(self.fun, self.x)


HARD = {name: Hard(function.fun, function.x) for name, function in FUNCTIONS.items()}
