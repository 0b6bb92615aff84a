"""What a numerical derivative gave, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.numdiff.schemes import Steps

__all__ = ["Differenced", "Failure", "NumdiffResult"]


class Failure(NamedTuple):
    """A point at which the function could not be evaluated.

    Attributes:
        leaf: name of the param that was moved; of several params none alone is to blame, then it is "".
        point: the params there.
        reason: "nan", "inf", "-inf", or what the function raised.
    """

    leaf: str
    point: Any
    reason: str


class Differenced(NamedTuple):
    """A derivative as flat arrays."""

    output: Any  # at x; None if it was neither known nor asked for
    derivative: Any  # (n,) or (m, n), sparse where that was asked for
    steps: Steps
    n_evaluations: dict[str, int]  # by purpose
    n_rounds: int = 1
    error: NDArray[np.float64] | None = None  # like the derivative
    noise: NDArray[np.float64] | None = None  # () or (m,)
    failures: tuple[tuple[int, NDArray[Any], str], ...] = ()  # coordinate (-1: several), point, reason


@dataclass(frozen=True)
class NumdiffResult:
    """A numerical derivative and what it cost.

    Attributes:
        derivative: has the structure of params (of the function's value, with params inside, for other than numbers).
            A `scipy.sparse.csr_array` where the sparsity is known and params are a vector.
        func_value: value of the function at params.
        step: the signed steps that were taken, a tree like params; 0 where fixed. Of extrapolated derivatives the
            smallest step that went into the entry (the smallest of a column for functions with several values).
        scheme: for each name of a param the formula: "forward", "backward", "central", "forward_3", "backward_3"
            (three points on one side), "complex_step", "richardson", "richardson_forward", "richardson_backward"
            (extrapolated from one side), "fixed" (lower == upper, or no value depends on it by the sparsity) or
            "failed".
        error: estimated error, like derivative (sparse where that is). A bound for "richardson"; what curvature and
            noise make expect for measured steps; None for plain steps, which don't give one.
        noise: level of noise that the steps were chosen for, a number (for functions with several values an array in
            their order); None where none was assumed.
        failures: points that could not be evaluated and were done without: (leaf, point, reason).
        n_evaluations: calls of the function by purpose: "base", "differences", "calibration", "noise", "probe" (for the
            pattern of a jacobian), and "check" where a complex step or a pattern was compared with a real difference.
        n_rounds: number of batches, one after the other.
    """

    derivative: Any
    func_value: Any
    step: Any
    scheme: dict[str, str]
    n_evaluations: dict[str, int]
    n_rounds: int
    error: Any = None
    noise: Any = None
    failures: tuple[Failure, ...] = ()
