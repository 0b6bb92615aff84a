"""Is a given derivative that of the function? Judged by what extrapolation says, and how sure it is. Pure functions."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.numdiff.adaptive import Estimate, Samples, tabulate

__all__ = [
    "LOOSE",
    "OK",
    "UNDECIDED",
    "WRONG",
    "Numerical",
    "Verdict",
    "judge",
    "nothing",
    "read",
    "second_look",
    "without_plateaus",
]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]

#: A discrepancy must exceed the bound of the numerical derivative's error this many times before it is called wrong.
SAFETY = 10.0
#: Bounds hold for nearly all entries, not for all: an extrapolation may look settled by chance, and a jacobian has
#: thousands of entries. What differs by less than this part of the entry must exceed its bound by more.
SLIGHT, SAFETY_OF_SLIGHT = 1e-2, 100.0
#: A derivative and an extrapolated one agree if they are this many bounds apart ...
AGREE = 3.0
#: ... and the bound is at most this part of the entry: mistakes by more than about a tenth would have been seen.
LOOSE = 0.03
#: Rounding of a function's value in units of its last place: that of the arithmetic within, not of the result only.
ROUNDING = 4.0
#: A param of size zero counts as if it had this size.
SIZE_OF_ZERO = 2.0**-4
#: Steps of the second look, powers of two relative to the first step: between those of the extrapolation and finer.
SECOND_LOOK = ((-4, -6, -8, -10), (2, 4, *range(-13, -32, -3)))

#: So many steps at least must change a value where shorter ones don't because of its resolution.
TELLING = 3

OK, WRONG, UNDECIDED = 0, 1, 2


class Numerical(NamedTuple):
    """The numerical derivative of m values, shapes (m, n)."""

    value: Array
    error: Array  # bound; inf where there is none
    rounding: Array  # the part of it that is due to the rounding, or the noise, of the values
    kink: Array  # by how much the derivatives from the two sides seem to differ


def read(samples: Samples, found: Estimate, base: Vector, noise: Vector | None, eps: float) -> Numerical:
    """What an extrapolation found, shapes (n, m), as jacobians have it; and whether it sees a kink.

    To its bound is added by how much smaller steps contradict: of a smooth function their differences are closer to the
    derivative, at least in proportion to the step, but for noise.

    f(x + h) - 2 f(x) + f(x - h) over h goes to zero with h, unless there is a kink, where it is the difference between
    the derivatives of the two sides.
    """
    table = tabulate(samples, base, noise, eps)
    with np.errstate(all="ignore"):
        bend = np.abs(table.bend) / table.h[..., None]
        own = np.take_along_axis(table.slope, np.argmax(table.h[..., None] == found.step, axis=0)[None], axis=0)[0]
        nearer = table.h[..., None] / found.step
        allowed = nearer * np.abs(found.value - own) + 2 * table.level / table.h[..., None]
        excess = np.where(nearer < 1, np.abs(found.value - table.slope) - allowed, 0.0)
        error = found.error + np.fmax.reduce(np.maximum(np.nan_to_num(excess, nan=0.0, posinf=0.0), 0.0), axis=0)
        kink = np.zeros(found.value.shape)
        if len(bend) > 1:
            ratio = (table.h[1] / table.h[0])[:, None]
            extrapolated = np.abs(ratio * bend[0] - bend[1]) / (ratio - 1)
            kink = np.where(extrapolated >= 0.5 * bend[0], extrapolated, 0.0) / 2
    return Numerical(found.value.T, error.T, found.rounding.T, np.nan_to_num(kink, nan=0.0, posinf=0.0).T)


def without_plateaus(samples: Samples, base: Vector) -> tuple[Samples, Vector]:
    """Leave out steps that change nothing where longer ones do: they are below the resolution of the values.

    Values may be rounded, to a few digits or to single precision, so that they are constant nearby and no noise is seen
    there.

    Returns:
        The samples, and the resolution that this shows, shape (m,): the smallest change; 0 where there is none to see.
    """
    with np.errstate(invalid="ignore"):
        changes = np.fmax(np.abs(samples.up - base), np.abs(samples.down - base))
    longest = np.fmax.reduce(np.where(changes > 0, samples.h[..., None], np.nan), axis=0)
    still = (changes == 0) & (samples.h[..., None] < longest)
    still &= (changes > 0).sum(axis=0) >= TELLING  # a function may well be flat up to its first bend
    if not still.any():
        return samples, np.zeros(base.shape)
    up, down = np.where(still, np.nan, samples.up), np.where(still, np.nan, samples.down)
    smallest = np.min(changes, axis=(0, 1), initial=np.inf, where=changes > 0)
    resolution = np.where(still.any(axis=(0, 1)), smallest, 0.0)
    return replace(samples, up=up, down=down), resolution


def nothing(given: Array) -> tuple[Numerical, Verdict]:
    """The same where no param can move: no numerical derivative, and a verdict on what isn't finite only."""
    unknown = np.full(given.shape, np.nan)
    code = np.where(np.isfinite(given), UNDECIDED, WRONG).astype(np.int8)
    return (
        Numerical(unknown, np.full(given.shape, np.inf), unknown, np.zeros(given.shape)),
        Verdict(code, np.zeros(given.shape, dtype=bool)),
    )


def second_look(samples: Samples) -> list[Array]:
    """Steps that tell whether a function has another slope at another scale, in rounds of shape (r, n)."""
    with np.errstate(all="ignore"):
        first = np.fmax.reduce(samples.h[:2], axis=0) if len(samples.h) else samples.limit
        rounds = [first * 2.0 ** np.array(powers)[:, None] for powers in SECOND_LOOK]
        for steps in rounds:
            known = (samples.h[:, None] == steps).any(axis=0)
            steps[(steps > samples.limit) | (steps < samples.floor) | known] = np.nan
    return [steps[~np.isnan(steps).all(axis=1)] for steps in rounds]


class Verdict(NamedTuple):
    """What is to be thought of entries, shapes (m, n)."""

    code: NDArray[np.int8]  # OK, WRONG or UNDECIDED
    is_open: NDArray[np.bool_]  # whether more steps could change the verdict


def judge(
    given: Array,
    numerical: Numerical,
    samples: Samples,
    values: Vector,
    *,
    tolerance: float,
    eps: float,
    noise: Vector | None,
) -> Verdict:
    """Compare the given derivative with the numerical one, entry by entry; no norm hides a small entry in a large one.

    Args:
        given: the derivative of m values with respect to n params, shape (m, n).
        numerical: the extrapolated one.
        samples: what it is made of.
        values: the m values at x.
        tolerance: relative.
        eps: relative rounding error of the values.
        noise: how far they are off beside that, shape (m,); None: not at all.
    """
    size = np.maximum(samples.size, SIZE_OF_ZERO)
    resolution = np.abs(values)[:, None]
    with np.errstate(all="ignore"):
        gap = np.abs(given - numerical.value)
        entry = np.maximum(np.abs(given), np.abs(numerical.value))
        agrees = (gap <= tolerance * entry) & np.isfinite(given)
        # What changes no digit of the value: nobody can ever notice.
        negligible = (np.abs(given) * size <= ROUNDING * eps * resolution) & (
            np.abs(numerical.value) <= numerical.rounding
        )
        close = (gap <= AGREE * numerical.error) & (numerical.error <= LOOSE * entry)
        advocate = _advocates(given, gap, samples, values, noise, eps)
        safety = np.where(gap < SLIGHT * entry, SAFETY_OF_SLIGHT, SAFETY)
        wrong = (gap > safety * numerical.error) & ~advocate | ~np.isfinite(given)
        # Even the coarsest step, an eighth of the size, would leave too few digits to compare.
        drowned = (gap <= numerical.error) & (np.abs(given) * size * LOOSE <= 8 * ROUNDING * eps * resolution)
    surely_ok = agrees | negligible
    code = np.where(surely_ok | close, OK, np.where(wrong, WRONG, UNDECIDED)).astype(np.int8)
    return Verdict(code, ~(surely_ok | drowned) & np.isfinite(given))


def _advocates(
    given: Array, gap: Array, samples: Samples, values: Vector, noise: Vector | None, eps: float
) -> NDArray[np.bool_]:
    """Where some scale of the function has the given slope, as precisely as it is known there.

    A function may have one slope at a fine scale and another at a coarse one: staircases of rounding, wiggles. Who
    agrees with either has made no mistake. Two neighbouring steps that have nearly the same slope say what it is.
    """
    table = tabulate(samples, values, noise, eps)
    if len(table.h) < 2:
        return np.zeros(given.shape, dtype=bool)
    with np.errstate(all="ignore"):
        slope = table.slope.transpose(0, 2, 1)
        error = (
            np.abs(np.diff(slope, axis=0)) + 2 * ROUNDING * (table.level / table.h[..., None]).transpose(0, 2, 1)[:-1]
        )
        agrees = (np.abs(given - slope[:-1]) <= AGREE * error) & (SAFETY * error < gap)
    return np.asarray(agrees.any(axis=0))
