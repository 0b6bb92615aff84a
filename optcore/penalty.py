"""What solvers get where a user function failed and failures are to be survived."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Penalty"]

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Penalty:
    """A cone towards the start.

    Args:
        x0: the start, shape (n,).
        level: value at the start, in the solver's sense (smaller is better).
    """

    x0: Vector
    level: float

    def value(self, x: Vector) -> float:
        """Far above the start, and rising with the distance from it."""
        distance = float(np.linalg.norm(x - self.x0))
        return self.level + (1.0 + abs(self.level)) * (1.0 + (distance if np.isfinite(distance) else np.inf))

    def gradient(self, x: Vector) -> Vector:
        """The gradient of `value`, shape (n,)."""
        distance = float(np.linalg.norm(x - self.x0))
        return (1.0 + abs(self.level)) * (x - self.x0) / distance if 0 < distance < np.inf else np.zeros_like(x)
