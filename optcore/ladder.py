"""Differences at many steps -> a derivative with an error that can be believed. Pure functions of arrays.

A difference has two errors: truncation, which grows with the step, and rounding or noise, which grows as the step
shrinks. One step can't tell them apart. A ladder of steps, each a quarter of the last, can: where three neighbours
agree after extrapolation, and the finer ones scatter around them by no more than their noise allows, the value is known
to about the disagreement (Ridders, 1982, Advances in Engineering Software 4(2), 75-76).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DOUBLE",
    "LOOSE",
    "OK",
    "SINGLE",
    "UNDECIDED",
    "WRONG",
    "Estimate",
    "Ladder",
    "Schedule",
    "Verdict",
    "Windows",
    "climbing_steps",
    "judge",
    "size_of",
]

Vector = NDArray[np.float64]

#: A discrepancy must exceed the estimated error of the difference this many times before it is called wrong.
SAFETY = 10.0
#: A derivative and a difference agree if they are this many estimated errors apart ...
AGREE = 3.0
#: ... and the error is at most this part of the entry: mistakes by more than about a tenth would have been seen.
LOOSE = 0.03
#: Rounding of a function's value in units of its last place: that of the arithmetic within, not of the result only.
ROUNDING = 4.0
#: Finer steps that a window of the ladder needs below it, so that it isn't taken from the edge of the noise.
BELOW = 2
#: A param of size zero moves as if it had this size.
SIZE_OF_ZERO = 2.0**-4

OK, WRONG, UNDECIDED = 0, 1, 2


class Schedule(NamedTuple):
    """Steps in rounds: powers of two, relative to the size of the param. The first round suffices where all is well."""

    rounds: tuple[tuple[int, ...], ...]
    eps: float
    tolerance: float  # relative; how well a derivative and a difference of this precision can agree at least


DOUBLE = Schedule(((-7, -9), (-11, -13, -15, -17), (-3, -5, *range(-20, -39, -3))), 2.0**-52, 0.0)
#: Values in single precision, as JAX gives without x64.
SINGLE = Schedule(((-3, -5), (-2, -7, -9, -11), (-1, -13, -15)), 2.0**-23, 1e3 * 2.0**-23)


def size_of(x: float) -> float:
    """The power of two that steps of a param are relative to. Steps that are powers of two add without rounding."""
    return float(2.0 ** np.floor(np.log2(abs(x)))) if abs(x) > np.finfo(np.float64).tiny else SIZE_OF_ZERO


class Estimate(NamedTuple):
    """A derivative of each of m values, shapes (m,)."""

    value: Vector
    error: Vector  # estimated bound; inf where there is none
    rounding: Vector  # the part of it that is due to the rounding of the values
    kink: Vector  # by how much the derivatives from the two sides seem to differ


def climbing_steps(size: float, below: float, above: float, schedule: Schedule) -> tuple[int, list[list[float]]]:
    """The steps for one param, in rounds, and the side that they go to.

    Args:
        size: of the param, see `size_of`.
        below: room down to the lower bound.
        above: room up to the upper bound.
        schedule: relative steps.

    Returns:
        0 for both sides, 1 or -1 where a bound is too near on the other; steps that fit, none where the param is fixed.
    """
    first = size * 2.0 ** schedule.rounds[0][0]
    side = 0 if min(below, above) >= first else (1 if above >= below else -1)
    room = min(below, above) if side == 0 else max(below, above) / 2
    if room < first:  # a narrow box: all steps are that much smaller
        size = 2.0 ** np.floor(np.log2(room) - schedule.rounds[0][0]) if room > 0 else 0.0
    rounds = [[float(size * 2.0**power) for power in powers] for powers in schedule.rounds]
    coarsest = max(map(max, rounds))
    # A param that happens to be close to zero may be one of a size that differences can see.
    rounds.append([h for power in range(-3, -16, -2) if (h := SIZE_OF_ZERO * 2.0**power) > coarsest])
    fitting = [[h for h in steps if 0 < h <= room] for steps in rounds]
    return side, [steps for i, steps in enumerate(fitting) if steps or i == 0]


class Windows(NamedTuple):
    """What each window of a ladder says, shapes (w, m)."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]


@dataclass
class Ladder:
    """Differences of m values along one coordinate, at steps from coarse to fine.

    Attributes:
        side: 0 for central differences, 1 or -1 for three points on that side.
        h: steps, shape (k,), descending.
        slope: the differences, shape (k, m); NaN where a value isn't finite.
        bend: (f(x + h) - 2 f(x) + f(x - h)) / h, shape (k, m): goes to zero with h, unless there is a kink.
        rounding: bound for the effect of rounding, shape (k, m).
    """

    side: int
    h: Vector
    slope: Vector
    bend: Vector
    rounding: Vector

    @classmethod
    def empty(cls, side: int, m: int) -> Ladder:
        """A ladder without steps."""
        nothing = np.zeros((0, m))
        return cls(side, np.zeros(0), nothing, nothing, nothing)

    def shifts(self, h: float) -> tuple[float, float]:
        """Where the two values of a step are taken, relative to x."""
        return (h, -h) if self.side == 0 else (self.side * h, 2 * self.side * h)

    def add(self, h: float, first: Vector, second: Vector, base: Vector, eps: float) -> None:
        """A step with the values at its two points, shape (m,) each; base is the value at x."""
        with np.errstate(all="ignore"):
            largest = np.maximum(np.abs(base), np.maximum(np.abs(first), np.abs(second)))
            rounding = ROUNDING * eps * largest / h
            if self.side == 0:
                slope = (first - second) / (2 * h)
                bend = ((first - base) - (base - second)) / h
            else:
                # (-3 f(x) + 4 f(x + h) - f(x + 2 h)) / (2 h), Abramowitz & Stegun (1964), table 25.2
                slope = (4 * (first - base) - (second - base)) / (2 * h * self.side)
                bend, rounding = np.zeros_like(slope), 4 * rounding
        slope = np.where(np.isfinite(slope), slope, np.nan)
        at = int(np.searchsorted(-self.h, -h))
        self.h = np.insert(self.h, at, h)
        self.slope = np.insert(self.slope, at, slope, axis=0)
        self.bend = np.insert(self.bend, at, np.where(np.isfinite(bend), bend, np.nan), axis=0)
        self.rounding = np.insert(self.rounding, at, rounding, axis=0)

    def estimate(self) -> tuple[Estimate, Windows]:
        """The derivative from the window of two or three neighbouring steps with the smallest error, and all others."""
        k, m = self.slope.shape
        width = min(k, 3)
        if width < 2:
            nothing = np.full(m, np.nan)
            return Estimate(nothing, np.full(m, np.inf), nothing, np.zeros(m)), Windows(
                np.zeros((0, m)), np.zeros((0, m))
            )
        with np.errstate(all="ignore"):
            windows = [self._window(end, width) for end in range(width - 1, k)]
            values, errors, roundings, kinks = (np.array(part) for part in zip(*windows, strict=True))
            usable = len(windows) - (BELOW if k >= 3 + BELOW else 0)
            # Relative errors, if there are good ones: what oscillates has small slopes, and so errors, at coarse steps.
            relative = errors[:usable] / np.abs(values[:usable])
            good = (relative <= LOOSE).any(axis=0)
            best = np.where(good, np.nan_to_num(relative, nan=np.inf), errors[:usable]).argmin(axis=0), np.arange(m)
            value, error = values[best], errors[best]
            # Windows that contradict each other: what is smooth at one scale isn't at another, and none can be trusted.
            apart = np.abs(values - value)
            certain = errors <= LOOSE * np.abs(values)
            contradicts = certain & (apart > SAFETY * (errors + error))
            error = np.maximum(error, np.where(contradicts, apart, 0.0).max(axis=0))
        return Estimate(value, error, roundings[best], kinks[best]), Windows(values[:usable], errors[:usable])

    def _window(self, end: int, width: int) -> tuple[Vector, Vector, Vector, Vector]:
        """(value, error, rounding, kink) from the steps end - width + 1 ... end."""
        start, h, slope = end - width + 1, self.h, self.slope
        value = _extrapolate(h[end - 1], slope[end - 1], h[end], slope[end])
        ratio = h[start] / h[end]
        kink = np.abs(ratio * self.bend[end] - self.bend[start]) / (ratio - 1)
        error = np.maximum(np.abs(value - slope[end]), kink)
        if width == 3:
            error = np.maximum(error, np.abs(value - _extrapolate(h[start], slope[start], h[end - 1], slope[end - 1])))
        if end + 1 < h.size:  # scatter of the finer steps, as noise of the values would have it at this step
            scatter = np.abs(slope[end + 1 :] - value) * (h[end + 1 :, None] / h[end])
            error = np.maximum(error, np.where(np.isnan(scatter), 0.0, scatter).max(axis=0))
        error = np.where(self._is_blind(end), np.inf, error + self.rounding[end])
        # Only reported as a kink where it is most of the bend, which otherwise is the curvature.
        kink = np.where(kink >= 0.5 * np.abs(self.bend[end]), kink, 0.0)
        return value, np.where(np.isfinite(error), error, np.inf), self.rounding[end], kink

    def _is_blind(self, end: int) -> NDArray[np.bool_]:
        """Whether a step changes nothing where a coarser one does: below the resolution of the values, shape (m,)."""
        still = (self.slope == 0) & (self.bend == 0)
        return np.asarray(still[end] & ~still[:end].all(axis=0))


def _extrapolate(coarse_h: float, coarse: Vector, fine_h: float, fine: Vector) -> Vector:
    """Richardson's extrapolation of an error that is quadratic in the step."""
    extrapolated: Vector = fine + (fine - coarse) / ((coarse_h / fine_h) ** 2 - 1)
    return extrapolated


class Verdict(NamedTuple):
    """What is to be thought of m entries, shapes (m,)."""

    code: NDArray[np.int8]  # OK, WRONG or UNDECIDED
    is_open: NDArray[np.bool_]  # whether finer and coarser steps could change the verdict


def judge(
    given: Vector,
    estimate: Estimate,
    windows: Windows,
    values: Vector,
    *,
    size: float,
    tolerance: float,
    eps: float,
) -> Verdict:
    """Compare the given derivative with the numerical one, entry by entry; no norm hides a small entry in a large one.

    Args:
        given: the derivative of m values with respect to one param, shape (m,).
        estimate: the numerical one.
        windows: what others have to say.
        values: the m values at x.
        size: of the param.
        tolerance: relative.
        eps: relative rounding error of the values.
    """
    size = max(size, SIZE_OF_ZERO)
    with np.errstate(all="ignore"):
        gap = np.abs(given - estimate.value)
        entry = np.maximum(np.abs(given), np.abs(estimate.value))
        agrees = (gap <= tolerance * entry) & np.isfinite(given)
        # What changes no digit of the value: nobody can ever notice.
        negligible = (np.abs(given) * size <= ROUNDING * eps * np.abs(values)) & (
            np.abs(estimate.value) <= estimate.rounding
        )
        close = (gap <= AGREE * estimate.error) & (estimate.error <= LOOSE * entry)
        # A function may have one slope at a fine scale and another at a coarse one: staircases of rounding, wiggles.
        # Who agrees with either, as precisely as it is known, has made no mistake.
        advocate = (np.abs(given - windows.value) <= AGREE * windows.error) & (SAFETY * windows.error < gap)
        wrong = (gap > SAFETY * estimate.error) & ~advocate.any(axis=0) | ~np.isfinite(given)
        # Even the coarsest step, an eighth of the size, would leave too few digits to compare.
        drowned = (gap <= estimate.error) & (np.abs(given) * size * LOOSE <= 8 * ROUNDING * eps * np.abs(values))
    surely_ok = agrees | negligible
    code = np.where(surely_ok | close, OK, np.where(wrong, WRONG, UNDECIDED)).astype(np.int8)
    return Verdict(code, ~(surely_ok | drowned) & np.isfinite(given))
