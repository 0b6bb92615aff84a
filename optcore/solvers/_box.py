"""The params that a solver may move, for libraries that don't take bounds that meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds

__all__ = ["Box"]

Vector = NDArray[np.float64]

#: What may be lost, relative to a number, in the arithmetic of a solver.
_ROUNDING = 1e-12


class Box:
    """The params that their bounds don't fix.

    Args:
        x0: the start, shape (n,).
        bounds: of all params.

    Attributes:
        free: which params may move, shape (n,).
        start: their start, shape (k,).
        bounds: their bounds.
    """

    def __init__(self, x0: Vector, bounds: FlatBounds) -> None:
        self._x0 = x0.copy()
        self._all = bounds
        self.free: NDArray[np.bool_] = bounds.lower < bounds.upper
        self.start: Vector = x0[self.free]
        self.bounds = FlatBounds(bounds.lower[self.free], bounds.upper[self.free])

    def expand(self, z: Vector) -> Vector:
        """All params, shape (n,), from the free ones, shape (k,). A copy."""
        x = self._x0.copy()
        x[self.free] = z
        return x

    def expand_rounded(self, z: Vector) -> Vector:
        """The same, brought back into the bounds if it is outside of them by rounding only."""
        x = self.expand(z)
        within = np.clip(x, self._all.lower, self._all.upper)
        return within if (np.abs(x - within) <= _ROUNDING * np.abs(within)).all() else x

    def expand_within(self, z: Vector) -> Vector:
        """The same, brought back into the bounds."""
        return np.clip(self.expand(z), self._all.lower, self._all.upper)
