"""What to try where the function has no value at a point of a difference: the other side, then smaller steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.numdiff.schemes import Steps

__all__ = ["Retries", "attempts", "fits"]

Vector = NDArray[np.float64]

SHRINK = 1 / 8
N_SIZES = 3

#: Formulas by the number of points on the upper and the lower side, and the sign of the step.
_REACH = {"forward": (1, 0), "backward": (0, 1), "central": (1, 1), "forward_3": (2, 0), "backward_3": (0, 2)}
_ALTERNATIVES = {
    "forward": ("forward", "backward"),
    "backward": ("backward", "forward"),
    "central": ("central", "forward_3", "backward_3"),
    "forward_3": ("forward_3", "backward_3", "central"),
    "backward_3": ("backward_3", "forward_3", "central"),
}


def attempts(scheme: str, h: float, *, again: bool = False) -> Iterator[tuple[str, float]]:
    """Formulas and signed steps to try instead of `scheme` with step h, in order; with `again` that comes first.

    >>> [(name, step) for name, step in attempts("forward", 1.0)]
    [('backward', -1.0), ('forward', 0.125), ('backward', -0.125), ('forward', 0.015625), ('backward', -0.015625)]
    """
    for shrink in range(N_SIZES):
        size = abs(h) * SHRINK**shrink
        for name in _ALTERNATIVES[scheme]:
            if again or shrink or name != scheme:
                yield name, -size if name.startswith("backward") else size


def fits(scheme: str, h: float, up: float, down: float) -> bool:
    """Whether the points of a formula stay within the room above and below."""
    above, below = _REACH[scheme]
    return above * abs(h) <= up and below * abs(h) <= down


class Retries:
    """The attempts of the coordinates that are still without a derivative.

    Args:
        x: shape (n,).
        steps: what failed.
        bad: coordinates that failed.
        bounds: no point leaves them.
        again: what failed is tried once more: then other params were moved too.
    """

    def __init__(self, x: Vector, steps: Steps, bad: Sequence[int], bounds: FlatBounds, *, again: bool) -> None:
        self._x = x
        self._up, self._down = bounds.upper - x, x - bounds.lower
        self._left = {i: attempts(str(steps.scheme[i]), float(steps.h[i]), again=again) for i in bad}

    def next(self, open_coordinates: set[int]) -> Steps | None:
        """One attempt for each coordinate that has one left; the others are fixed. None: there are none."""
        h = np.zeros(self._x.size)
        scheme = np.full(self._x.size, "fixed", dtype="<U10")
        for i in open_coordinates & set(self._left):
            for name, step in self._left[i]:
                taken = (self._x[i] + step) - self._x[i]
                if taken != 0 and fits(name, step, self._up[i], self._down[i]):
                    h[i], scheme[i] = taken, name
                    break
            else:
                del self._left[i]
        return Steps(h, scheme) if h.any() else None
