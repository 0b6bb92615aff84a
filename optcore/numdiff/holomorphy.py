"""Is a function fit for complex steps? A real difference tells, and where that is in doubt, three do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidFunctionError
from optcore.numdiff.calls import Calls
from optcore.numdiff.schemes import choose_steps, uneven_weights

__all__ = ["HolomorphyCheck"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]

#: How many derivatives are checked at most, where the first ones vanish and so tell nothing.
MOST_CHECKS = 3
#: Part of a real difference that may be left unexplained without a doubt: curvature, over steps of 1e-8.
TOLERANCE = 1e-6
#: Factor between the steps by which a doubt is settled.
FACTOR = 8.0
#: How much the unexplained part of a difference, divided by the step, may vary where the derivative is wrong.
STEADY = 2.0


class HolomorphyCheck:
    """Compares complex-step derivatives of one function with real differences, until one of them has told.

    The real difference along a move is f'(x) times the move, curvature, and rounding. Where the derivative vanishes, at
    an optimum, the other two are all of it. What a wrong derivative leaves unexplained is proportional to the step,
    curvature to its square, and rounding doesn't depend on it: steps of three sizes tell them apart.

    Attributes:
        is_due: whether the next derivative is to be checked.
    """

    def __init__(self) -> None:
        self.is_due = True
        self._left = MOST_CHECKS

    @staticmethod
    def point(x: Vector, scale: Vector, bounds: FlatBounds, eps: float) -> NDArray[np.complex128]:
        """One real point near x, shape (n,), in a direction that doesn't cancel by symmetry."""
        steps = choose_steps("forward", x, eps**0.5 * scale * uneven_weights(x.size), bounds)
        return np.clip(x + steps.h, bounds.lower, bounds.upper).astype(np.complex128)

    def passes(
        self, x: Vector, calls: Calls, point: NDArray[Any], value: Any, matrix: Any, bounds: FlatBounds, eps: float
    ) -> bool:
        """Check a derivative; false if a call failed.

        Args:
            x: where, shape (n,).
            calls: knows the value there, and makes two more where there is doubt.
            point: from `point`.
            value: of the function there.
            matrix: the derivative, what moves of shape (n,) can be multiplied with.
            bounds: no point leaves them.
            eps: relative rounding error of the function.

        Raises:
            InvalidFunctionError: the derivative is wrong.
        """
        move = point.real - x
        real, unexplained = self._difference(calls.base, value, matrix, move)
        rounding = 100 * eps * np.max(np.abs(np.real(calls.base)), initial=0.0)
        in_doubt = np.abs(unexplained) > TOLERANCE * (abs(matrix) @ np.abs(move) + np.abs(real)) + rounding
        if in_doubt.any():
            steady = self._is_steady(x, calls, move, unexplained, matrix, bounds)
            if steady is None:
                return False
            if (in_doubt & steady).any():
                raise InvalidFunctionError(
                    "complex_step disagrees with a real difference: the function isn't holomorphic (abs, max, "
                    "comparisons, float() or numpy.linalg.norm on the params drop the imaginary part); rewrite it, or "
                    "use method='central'"
                )
        self._left -= 1
        told = not in_doubt.any() and bool((np.abs(real) > 10 * rounding).any())
        self.is_due = not told and self._left > 0
        return True

    @staticmethod
    def _difference(base: Any, value: Any, matrix: Any, move: Vector) -> tuple[Array, Array]:
        """What changed along a move, and what of it the derivative doesn't explain."""
        real = np.real(np.asarray(value) - np.asarray(base))
        return real, real - matrix @ move

    def _is_steady(
        self, x: Vector, calls: Calls, move: Vector, unexplained: Array, matrix: Any, bounds: FlatBounds
    ) -> NDArray[np.bool_] | None:
        """Whether the unexplained part is proportional to the step; None if a call failed."""
        multiples = [FACTOR, 1 / FACTOR] if bounds.contain(x + FACTOR * move) else [1 / FACTOR, 1 / FACTOR**2]
        points = np.clip(x + np.multiply.outer(multiples, move), bounds.lower, bounds.upper)
        values = calls.round(points.astype(np.complex128), "check", with_base=False)
        if values is None:
            return None
        slopes = [unexplained]
        for multiple, point, value in zip(multiples, points, values, strict=True):
            slopes.append(self._difference(calls.base, value, matrix, point - x)[1] / multiple)
        low, high = np.min(slopes, axis=0), np.max(slopes, axis=0)
        same_sign = (low > 0) | (high < 0)
        smaller, larger = np.minimum(np.abs(low), np.abs(high)), np.maximum(np.abs(low), np.abs(high))
        return np.asarray(same_sign & (larger <= STEADY * smaller))
