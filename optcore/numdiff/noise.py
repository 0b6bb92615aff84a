"""How noisy a function is: ECnoise of More & Wild (2011), SIAM J. Sci. Comput. 33(3). Pure functions of arrays."""

from __future__ import annotations

from collections.abc import Generator
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.numdiff.schemes import uneven_weights

__all__ = ["SPREAD", "Judgement", "Noise", "judge", "line", "rounding_level", "search"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]

#: Values on a line; the number that the paper recommends.
N_POINTS = 7
FIRST_SPACING = 1e-12
SPACING_FACTOR = 100.0
MOST_TRIES = 4
#: Of a function that is constant between jumps, rounded to a few digits, say: the points must be far apart.
MOST_TRIES_IN_VAIN = 8
#: Values that did not change over a spacing, though their slope says that they should have by so many times the
#: level of noise, are constant between jumps: these happened to be of the same size, and the level is none.
UNSEEN = 10.0


#: A level of noise is a standard deviation; single values are this many times further off.
SPREAD = 3.0


class Judgement(IntEnum):
    """What the values on a line say."""

    FOUND = 1
    TOO_CLOSE = 2
    TOO_FAR = 3


class Noise(NamedTuple):
    """Levels of noise, shape (m,), and what each rests on."""

    level: Vector
    judgement: NDArray[np.intp]


def judge(values: Array) -> Noise:
    """Estimate the noise from values at equally spaced points of a line.

    The noise is in the differences of high order, from which the smooth part has gone: sigma_k^2 is the mean of
    (k!)^2 / (2k)! times the squares of the k-th differences, and the first three levels in a row that agree within a
    factor of 4, with differences of both signs, give the noise.

    Args:
        values: shape (p,) or (p, m), p at least 4.

    Returns:
        Shape (m,) each; the level is NaN unless it was found.

    >>> noisy = [0.1, -0.3, 0.2, 0.25, -0.1, -0.2, 0.15]
    >>> float(judge(1 + 1e-6 * np.array(noisy)).level[0].round(8))
    2.4e-07
    """
    table = np.asarray(values, dtype=np.float64)
    table = table.reshape(len(table), -1)
    p, m = table.shape
    with np.errstate(invalid="ignore", over="ignore"):
        low, high = table.min(axis=0), table.max(axis=0)
        too_far = high - low > 0.1 * np.maximum(np.abs(low), np.abs(high))
        levels, changes = np.empty((p - 1, m)), np.empty((p - 1, m), dtype=bool)
        gamma = 1.0
        too_close = np.zeros(m, dtype=bool)
        for k in range(1, p):
            table = np.diff(table, axis=0)
            if k == 1:
                too_close = (table == 0).sum(axis=0) >= p / 2
            gamma *= 0.5 * k / (2 * k - 1)
            levels[k - 1] = np.sqrt(gamma * np.mean(table**2, axis=0))
            changes[k - 1] = table.min(axis=0) * table.max(axis=0) < 0
    level = np.full(m, np.nan)
    for k in range(p - 3):
        three = levels[k : k + 3]
        agree = (three.max(axis=0) <= 4 * three.min(axis=0)) & changes[k] & np.isnan(level)
        level = np.where(agree, levels[k], level)
    level = np.where(too_close | too_far, np.nan, level)
    judgement = np.where(too_close, Judgement.TOO_CLOSE, Judgement.TOO_FAR)
    # A vanishing level tells nothing: constant values have no differences of both signs.
    return Noise(level, np.where(level > 0, Judgement.FOUND, judgement))


def rounding_level(size: Array, eps: float) -> Array:
    """Standard deviation of the rounding of numbers of the given size, to their last digit: no level can be lower.

    Errors are uniform within half of the spacing of floating point numbers, which is a power of two.

    Args:
        size: of any shape, at least 0.
        eps: relative rounding error.

    >>> float(rounding_level(np.array(1.0), 2.0**-52) * 12**0.5 * 2**52)
    1.0
    """
    usual = np.isfinite(size) & (size > 0)
    exponent = np.frexp(np.where(usual, size, 1.0))[1] - 1
    return np.where(usual, np.ldexp(eps / 12**0.5, exponent), 0.0) + np.finfo(float).tiny


def line(x: Vector, bounds: FlatBounds, spacing: float) -> Array:
    """The six points beside x on a line, shape (6, n): three on each side, or all on the inner side of the bounds.

    The direction moves all params in proportion to their size, and has no symmetry that could cancel.
    """
    n = x.size
    size = np.maximum(np.abs(x), 1e-2 * np.max(np.abs(x), initial=0.0))
    size = np.where(size > 0, size, 1.0)
    direction = size * uneven_weights(n)
    direction[1::2] *= -1
    half = N_POINTS // 2
    up, down = bounds.upper - x, x - bounds.lower
    room = np.minimum(up, down)
    if (half * spacing * np.abs(direction) <= room).all():
        multiples = np.concatenate([np.arange(-half, 0), np.arange(1, half + 1)])
    else:  # towards the wider side
        direction = np.where(up >= down, np.abs(direction), -np.abs(direction))
        furthest = np.maximum(up, down) / (N_POINTS - 1)
        direction = np.where(spacing * np.abs(direction) > furthest, np.sign(direction) * furthest / spacing, direction)
        multiples = np.arange(1, N_POINTS)
    points: Array = np.clip(x + (multiples * spacing)[:, None] * direction, bounds.lower, bounds.upper)
    return points


def search(x: Vector, bounds: FlatBounds, eps: float) -> Generator[Array, tuple[Vector, Array], Vector]:
    """Find a spacing at which the noise shows. Yields points, shape (6, n), takes (value at x, values there).

    Args:
        x: shape (n,).
        bounds: no point leaves them.
        eps: relative rounding error of the values, below 1.

    Returns:
        Levels of noise, shape (m,), not below the rounding of the last digit; where none is found, eps times the
        value, which the rounding of a short sum stays below.
    """
    spacing, closest, furthest = FIRST_SPACING, 0.0, np.inf
    level: Vector | None = None
    flat: Vector | None = None  # the spacing at which values hardly changed; 0 where there was none
    for tries in range(1, MOST_TRIES_IN_VAIN + 1):
        points = line(x, bounds, spacing)
        centre, values = yield points
        size = np.fmax(np.abs(centre), np.fmax.reduce(np.abs(values), axis=0))
        level = np.full(centre.shape, np.nan) if level is None else level
        symmetric = bool(((points[0] - x) * (points[-1] - x) < 0).any())
        parts = [values[:3], centre[None], values[3:]] if symmetric else [centre[None], values]
        on_line = np.concatenate(parts)
        found = judge(on_line)
        flat = np.zeros(centre.shape) if flat is None else flat
        with np.errstate(invalid="ignore", over="ignore"):
            change = np.median(np.abs(np.diff(on_line, axis=0)), axis=0)
            unseen = flat / spacing * change > UNSEEN * found.level
        judgement = np.where(unseen, Judgement.TOO_CLOSE, found.judgement)
        flat = np.where(found.judgement == Judgement.TOO_CLOSE, spacing, flat)
        level = np.where(np.isnan(level) & ~unseen, found.level, level)
        missing = judgement[np.isnan(level)]
        if not len(missing) or (tries >= MOST_TRIES and len(missing) < len(level)):
            break
        if (missing == Judgement.TOO_CLOSE).sum() * 2 >= len(missing):
            closest = spacing
        else:
            furthest = spacing
        if closest == 0 or np.isinf(furthest):
            spacing *= SPACING_FACTOR if np.isinf(furthest) else 1 / SPACING_FACTOR
        else:
            spacing = float(np.sqrt(closest * furthest))
        if spacing < 1e-16 or furthest < 2 * closest:
            break
    assert level is not None
    unknown = np.isnan(level)
    return np.where(unknown, eps * size + np.finfo(float).tiny, np.fmax(level, rounding_level(size, eps)))
