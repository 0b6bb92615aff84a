"""When steps are measured again, and which formula uses them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.evaluator import Evaluator
from optcore.numdiff.calibration import Calibration
from optcore.numdiff.options import NumdiffOptions

__all__ = ["Schedule"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]


class Schedule:
    """When steps are measured, and which formula uses them."""

    #: Derivatives in a row without a better point after which the steps are in doubt.
    STALL = 4
    #: How many times larger or smaller a param may become. Where a power of it makes up the function, the best step
    #: changes by as much at most, and with a step that is k times too long or short the error is about k / 2 times
    #: what it could be. "calibrated" promises steps that fit; "auto" promises a gradient that is good enough to go on
    #: with, whose estimated error is watched, and every calibration costs it as much as five gradients.
    MOVE = 10.0
    MOVE_AUTO = 100.0
    #: First-order formulas are not more exact than this, so that the derivative that measures their steps need not be.
    FIRST_ORDER = 1e-7
    #: Estimated error relative to the gradient that is too much.
    DOUBT = 0.1

    def __init__(self, options: NumdiffOptions, evaluator: Evaluator | None) -> None:
        self._auto = options.method == "auto"
        self._every = options.recalibrate
        self._evaluator = evaluator
        self.method: str = "forward" if self._auto else options.method
        self.calibration: Calibration | None = None
        self._age = 0
        self._stalled = 0
        self._best = np.inf
        self._size = np.inf  # of the gradient when it was last in doubt
        self._doubt = False

    def is_due(self, x: Vector) -> bool:
        """Whether steps must be measured at x, shape (n,), before the derivative there."""
        if self.calibration is None:
            return True
        self._age += 1
        if self._every == "never":
            return False
        if self._every != "on_failure":
            return self._age >= int(self._every)
        self._watch()
        scale, before = (np.maximum(np.abs(point), 0.1) for point in (x, self.calibration.x))
        most = self.MOVE_AUTO if self._auto else self.MOVE
        moved = (scale > most * before) | (scale * most < before)
        return bool(self._doubt or moved.any())

    def tolerance(self, tol: float) -> float:
        """How exact the extrapolated derivative must be that measures the steps of those that follow."""
        return tol if self.method == "central" else max(tol, self.FIRST_ORDER)

    def _watch(self) -> None:
        """Count derivatives since the last better point."""
        if self._evaluator is None:
            return
        best = self._evaluator.ledger.best_fun
        self._stalled = 0 if best < self._best else self._stalled + 1
        self._best = best
        if self._stalled == self.STALL:
            self._escalate()

    def judge(self, x: Vector, derivative: Array, error: Array, bounds: FlatBounds) -> None:
        """Compare the estimated error with the gradient, as far as the bounds let it count."""
        if derivative.ndim == 1:
            held = ((x <= bounds.lower) & (derivative > 0)) | ((x >= bounds.upper) & (derivative < 0))
            free = ~held
            size = float(np.max(np.abs(derivative), initial=0.0, where=free))
            worst = float(np.max(error, initial=0.0, where=free))
        else:
            size, worst = float(np.linalg.norm(derivative)), float(np.linalg.norm(error))
        if worst > self.DOUBT * size and size < self.DOUBT * self._size:
            self._size = float(size)
            self._escalate()

    def _escalate(self) -> None:
        """The steps are not good enough: new ones, and a formula of higher order.

        Near a solution the function and its rounding are smaller than where the steps were measured.
        """
        if self._auto and self.method == "forward":
            self.method = "central"
        self._doubt = True

    def renew(self, calibration: Calibration, derivative: Array | None) -> None:
        """New steps."""
        self.calibration = calibration
        self._age = 0
        self._doubt = False
        if derivative is not None and not np.isfinite(self._size):
            self._size = float(np.max(np.abs(derivative), initial=0.0)) / self.DOUBT
