"""Steps -> a plan of points -> values -> a derivative. Pure functions of arrays.

A plan's points are evaluated as one batch. The points never leave the bounds. Each coordinate has a scheme of its
own: a coordinate at a bound may need a one-sided formula while its neighbours don't.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds

__all__ = ["Plan", "Steps", "all_finite", "choose_steps", "default_scale", "plan_points", "relative_step"]

EPS = float(np.finfo(np.float64).eps)
#: Powers of the rounding error that are the optimal relative steps of first- and second-order formulas, see Nocedal &
#: Wright (2006), section 8.1.
ORDER = {"forward": 1 / 2, "backward": 1 / 2, "central": 1 / 3}
COMPLEX_STEP = 1e-30
#: |x| below this counts as this much: a compromise between parameters that are zero and parameters that are small.
SMALLEST_SCALE = 0.1

Vector = NDArray[np.float64]


def all_finite(array: NDArray[Any]) -> bool:
    """Whether all entries are. Counting takes half the time of `all`, which matters for short arrays."""
    return int(np.count_nonzero(np.isfinite(array))) == array.size


def relative_step(method: str, eps: float = EPS) -> float:
    """The default step relative to the scale of x, for functions with the relative rounding error eps."""
    return COMPLEX_STEP if method == "complex_step" else eps ** ORDER[method]


def uneven_weights(n: int) -> Vector:
    """Weights between 1/2 and 1, shape (n,), no two alike: a move of all params in which nothing cancels by symmetry.

    They follow the golden ratio, whose multiples fill an interval evenly.
    """
    return np.asarray(0.5 + 0.5 * np.modf(np.arange(1, n + 1) * 0.6180339887498949)[0])


def default_scale(x: Vector, typical_x: Vector | None) -> Vector:
    """The size that steps are relative to, shape (n,); typical_x is NaN where it says nothing."""
    scale = np.maximum(np.abs(x), SMALLEST_SCALE)
    return scale if typical_x is None else np.where(np.isnan(typical_x), scale, np.abs(typical_x))


class Steps(NamedTuple):
    """Signed steps and the scheme of each coordinate.

    Attributes:
        h: shape (n,); the step that was really taken, (x + h) - x; 0 where the coordinate is fixed.
        scheme: shape (n,), of str: "forward", "backward", "central", "forward_3", "backward_3" (second order,
            one-sided), "complex_step" or "fixed" (lower == upper).
        uniform: whether all coordinates have the same scheme, which makes the plan simple.
    """

    h: Vector
    scheme: NDArray[np.str_]
    uniform: bool = False


def choose_steps(method: str, x: Vector, h: Vector, bounds: FlatBounds) -> Steps:
    """Fit wanted steps h > 0, shape (n,), into the bounds."""
    if not bounds.any:
        signed = -h if method == "backward" else h
        taken = h if method == "complex_step" else (x + signed) - x
        return Steps(taken, _all_alike(method, x.size), uniform=True)
    up, down = bounds.upper - x, x - bounds.lower
    fixed = bounds.lower == bounds.upper
    if method == "complex_step":
        return Steps(np.where(fixed, 0.0, h), np.where(fixed, "fixed", "complex_step"))
    if method == "central":
        signed, scheme = _central(h, up, down)
    else:
        signed, scheme = _one_sided(h, up, down, prefer_up=method == "forward")
    taken = (x + signed) - x  # what the computer really adds
    vanishes = (taken == 0) & ~fixed
    if vanishes.any():  # half of a box may be nothing where all of it is one rounding error
        signed, side = _one_sided(h, up, down, prefer_up=method != "backward")
        taken, scheme = np.where(vanishes, (x + signed) - x, taken), np.where(vanishes, side, scheme)
    return Steps(np.where(fixed, 0.0, taken), np.where(fixed, "fixed", scheme))


@functools.lru_cache(maxsize=32)
def _all_alike(scheme: str, n: int) -> NDArray[np.str_]:
    schemes = np.full(n, scheme)
    schemes.flags.writeable = False
    return schemes


def _one_sided(h: Vector, up: Vector, down: Vector, *, prefer_up: bool) -> tuple[Vector, NDArray[np.str_]]:
    """First order: the preferred side, else the other, else as much as the larger side allows."""
    first, second = (up, down) if prefer_up else (down, up)
    use_first = (h <= first) | ((h > second) & (first >= second))
    length = np.where(use_first, np.minimum(h, first), np.minimum(h, second))
    goes_up = use_first == prefer_up
    return np.where(goes_up, length, -length), np.where(goes_up, "forward", "backward")


def _central(h: Vector, up: Vector, down: Vector) -> tuple[Vector, NDArray[np.str_]]:
    """Both sides; where one doesn't fit, three points on the other side; in a narrow box whatever is longer."""
    fits = (h <= up) & (h <= down)
    goes_up = up >= down
    one_sided = np.minimum(h, np.where(goes_up, up, down) / 2)
    squeezed = np.minimum(up, down)
    keep_central = fits | (squeezed >= one_sided)
    length = np.where(fits, h, np.where(keep_central, squeezed, one_sided))
    signed = np.where(keep_central | goes_up, length, -length)
    return signed, np.where(keep_central, "central", np.where(goes_up, "forward_3", "backward_3"))


class Plan(NamedTuple):
    """Points and the formula that turns their values into a derivative.

    Attributes:
        points: shape (k, n), float64 or complex128; without the base point.
        coordinate: shape (k,): which coordinate a point belongs to.
        weight: shape (k,): the derivative is the sum of weight * value over the points of a coordinate ...
        base_weight: shape (n,): ... plus base_weight * value at the base point.
        needs_base: whether the value at x itself is part of the formula.
        uniform: whether all coordinates have the same formula, and their points follow each other.
        joined: the same points with x in front, shape (k + 1, n), where they are at hand.
    """

    points: NDArray[Any]
    coordinate: NDArray[np.intp]
    weight: Vector
    base_weight: Vector
    needs_base: bool
    uniform: bool = False
    joined: NDArray[Any] | None = None

    def derivative(self, values: NDArray[np.float64], base: NDArray[np.float64] | float | None) -> NDArray[np.float64]:
        """Apply the formula.

        Args:
            values: shape (k,) for a scalar function, (k, m) for a vector function (the imaginary parts for a
                complex step).
            base: value at x, a number or shape (m,); may be None unless `needs_base`.

        Returns:
            Shape (n,) or (m, n).
        """
        if values.ndim == 1 and self.uniform and self.needs_base:  # a gradient by first differences
            assert base is not None
            if all_finite(values):  # whatever the base is, there is no inf - inf
                return (values - base) * self.weight
        with np.errstate(invalid="ignore"):  # differences of infinite values are NaN, and reported as that
            return self._derivative(values, base)

    def _derivative(self, values: NDArray[np.float64], base: NDArray[np.float64] | float | None) -> NDArray[np.float64]:
        n = self.base_weight.size
        if self.needs_base:
            # Differences to the base first: weights times raw values would round before they cancel.
            centred = values - np.asarray(base)
            if not self.uniform:
                centred = np.where(_column(self.base_weight[self.coordinate] != 0, values.ndim), centred, values)
            values = centred
        terms = values * _column(self.weight, values.ndim)
        if self.uniform:
            return np.asarray(terms.reshape(n, -1, *terms.shape[1:]).sum(axis=1).T)
        result = np.zeros((n, *values.shape[1:]))
        np.add.at(result, self.coordinate, terms)
        return result.T


def _column(array: NDArray[Any], ndim: int) -> NDArray[Any]:
    """A vector along the first of `ndim` axes."""
    return array.reshape(-1, *([1] * (ndim - 1)))


def plan_points(x: Vector, steps: Steps, bounds: FlatBounds) -> Plan:
    """The points for given steps.

    Forward and backward: f(x + h e_i). Central: f(x + h e_i), f(x - h e_i). Three points on one side:
    (-3 f(x) + 4 f(x + h e_i) - f(x + 2 h e_i)) / (2 h), see Abramowitz & Stegun (1964), table 25.2.
    Complex step: Im f(x + i h e_i) / h, see Squire & Trapp (1998), SIAM Review 40(1).
    """
    if steps.uniform:
        return _uniform_plan(x, steps.h, str(steps.scheme[0]))
    h, scheme = steps.h, steps.scheme
    one = (scheme == "forward") | (scheme == "backward")
    central = scheme == "central"
    three = (scheme == "forward_3") | (scheme == "backward_3")
    step = scheme == "complex_step"
    safe = np.where(h == 0, 1.0, h)  # fixed coordinates have no points
    span = np.where(central, (x + h) - (x - h), safe)
    terms = [  # which coordinates, multiple of h, weight
        (one, 1.0, 1.0 / safe),
        (central, 1.0, 1.0 / span),
        (central, -1.0, -1.0 / span),
        (three, 1.0, 2.0 / safe),
        (three, 2.0, -0.5 / safe),
        (step, 1.0, 1.0 / safe),
    ]
    used = [(np.flatnonzero(mask), multiple, weight) for mask, multiple, weight in terms if mask.any()]
    coordinate = np.concatenate([index for index, _, _ in used] or [np.zeros(0, dtype=np.intp)])
    shift = np.concatenate([multiple * h[index] for index, multiple, _ in used] or [np.zeros(0)])
    weight = np.concatenate([weight[index] for index, _, weight in used] or [np.zeros(0)])
    order = np.argsort(coordinate, kind="stable")
    coordinate, shift, weight = coordinate[order], shift[order], weight[order]
    points = np.tile(x.astype(np.complex128 if step.any() else np.float64), (coordinate.size, 1))
    row = np.arange(coordinate.size)
    if step.any():
        points[row, coordinate] += 1j * shift
    else:  # clipping undoes the rounding of x + (upper - x)
        moved = x[coordinate] + shift
        points[row, coordinate] = np.clip(moved, bounds.lower[coordinate], bounds.upper[coordinate])
    base_weight = -np.where(one, 1.0, np.where(three, 1.5, 0.0)) / safe
    return Plan(points, coordinate, weight, base_weight, bool(base_weight.any()))


def _uniform_plan(x: Vector, h: Vector, scheme: str) -> Plan:
    """The plan where no bound is near: all coordinates have the same formula."""
    n = x.size
    index, zero = _numbers(n)
    if scheme == "central":
        points = np.empty((n, 2, n))
        points[:] = x
        points[index, 0, index] += h
        points[index, 1, index] -= h
        weight = np.repeat(1.0 / ((x + h) - (x - h)), 2)
        weight[1::2] *= -1.0
        return Plan(points.reshape(2 * n, n), np.repeat(index, 2), weight, zero, needs_base=False, uniform=True)
    weight = 1.0 / h
    if scheme == "complex_step":
        moved = np.empty((n, n), dtype=np.complex128)
        moved[:] = x
        moved.ravel()[:: n + 1] += 1j * h
        return Plan(moved, index, weight, zero, needs_base=False, uniform=True)
    joined = np.empty((n + 1, n))
    joined[:] = x
    joined.ravel()[n :: n + 1] += h
    return Plan(joined[1:], index, weight, -weight, needs_base=True, uniform=True, joined=joined)


@functools.lru_cache(maxsize=32)
def _numbers(n: int) -> tuple[NDArray[np.intp], Vector]:
    """0 ... n - 1, and as many zeros; read-only, since all plans of that size share them."""
    index, zero = np.arange(n), np.zeros(n)
    index.flags.writeable = zero.flags.writeable = False
    return index, zero
