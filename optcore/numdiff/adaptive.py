"""Richardson extrapolation with steps that adapt to each coordinate, and error bounds. Pure functions of arrays.

Differences at several steps h are extrapolated to h = 0 by Neville's scheme: symmetric differences as polynomials in
h^2, one-sided ones as polynomials in h (Romberg 1955; Press et al., Numerical Recipes, section 5.7 call it Ridders'
method). Every contiguous window of steps gives a candidate. Its error is what the last extrapolation changed
(truncation), plus what rounding or noise of the function can contribute: the sum of |weight| times noise, for which
Neville's recursion with plus signs is exact, since the weights alternate in sign. The candidate with the smallest
error wins, for each entry of the derivative by itself.

All steps are powers of two, so that x + h and the differences are as exact as they can be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.numdiff.noise import rounding_level

__all__ = ["Estimate", "Progress", "Samples", "decide", "estimate", "extrapolate", "start", "turn"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)

#: |x| below this counts as this much in the first step: large enough for parameters that are zero.
SMALLEST_SCALE = 1e-2
FIRST_STEP = 2.0**-7
LARGEST_STEP = 2.0**-1
#: One-sided differences converge in powers of h, not of h^2: they need more steps from the start.
N_FIRST = {0: 2, 1: 4}
#: Room on the narrower side, relative to the step, below which differences are one-sided.
NARROW = 2.0**-10
#: Truncation above this part of the value: the steps are not yet in the range where extrapolation works.
COARSE = 0.3
#: Rounds without a better estimate after which a coordinate is given up.
PATIENCE = 2
MAX_STEPS = 18
#: Neighbours of which one is more than this many times longer belong to different windows: how much one such step
#: changes the result says nothing about the error.
GAP = 8.0
#: How much longer the next step is where rounding is what limits; and where nothing has changed at all.
GROWTH, BLANK_GROWTH = 4.0, 16.0
#: How far above the noise a second difference must be to tell something.
CLEAR = 40.0


@dataclass(frozen=True)
class Samples:
    """Values at x + h e_i and x - h e_i, by step, coordinate and entry of the function's value.

    Attributes:
        h: shape (k, n); NaN where a coordinate has fewer steps than others.
        up: shape (k, n, m); NaN where there is no value.
        down: shape (k, n, m).
        side: shape (n,); 0: symmetric differences; 1 and -1: upper or lower side only.
        limit: shape (n,); no step is longer.
        floor: shape (n,); no step is shorter, since x + h would be rounded.
        size: shape (n,); |x|. A function rounds terms of its arguments too, which may cancel in the value.
        rows: which entries belong to the same one of the function's values, shape (n, m), -1 for repeated ones; None:
            those with the same last index.
    """

    h: Array
    up: Array
    down: Array
    side: NDArray[np.int8]
    limit: Vector
    floor: Vector
    size: Vector
    rows: NDArray[np.intp] | None = None

    def with_values(self, h: Array, up: Array, down: Array) -> Samples:
        """More steps, shapes (r, n) and (r, n, m)."""
        if not len(self.h):
            return replace(self, h=h, up=up, down=down)
        return replace(
            self,
            h=np.concatenate([self.h, h]),
            up=np.concatenate([self.up, up]),
            down=np.concatenate([self.down, down]),
        )


class Estimate(NamedTuple):
    """The best candidate for each entry; all of shape (n, m).

    Attributes:
        value: the derivative; NaN where no candidate is finite.
        truncation: what the last extrapolation changed, and by how much smaller steps contradict.
        rounding: how much rounding or noise can contribute.
        step: the smallest step of the window.
        rough: the smallest steps are still too long for a smooth function, or the function isn't smooth.
        blank: no value differs from that at x.
    """

    value: Array
    truncation: Array
    rounding: Array
    step: Array
    rough: NDArray[np.bool_]
    blank: NDArray[np.bool_]

    @property
    def error(self) -> Array:
        """Bound of the error; infinite where there is no value."""
        total = self.truncation + self.rounding + EPS * np.abs(self.value)
        return np.where(np.isnan(self.value), np.inf, total)


def power_of_two(h: Array) -> Array:
    """The largest powers of two that are not above h > 0."""
    return np.exp2(np.floor(np.log2(h)))


def start(x: Vector, bounds: FlatBounds, first: Vector | None) -> tuple[Samples, Array]:
    """No samples yet, and the steps of the first round, shape (r, n), NaN where none is.

    Args:
        x: shape (n,), within the bounds.
        bounds: no point leaves them.
        first: wanted first steps, shape (n,), NaN for those that are chosen here; None: all are.
    """
    scale = np.maximum(np.abs(x), SMALLEST_SCALE)
    wanted = FIRST_STEP * scale
    largest = LARGEST_STEP * np.maximum(np.abs(x), 1.0)
    if first is not None:
        given = ~np.isnan(first)
        wanted = np.where(given, first, wanted)
        largest = np.where(given, first * (LARGEST_STEP / FIRST_STEP), largest)
    up, down = bounds.upper - x, x - bounds.lower
    narrow, wide = np.minimum(up, down), np.maximum(up, down)
    one_sided = narrow < NARROW * wanted
    side = np.where(one_sided, np.where(up >= down, 1, -1), 0).astype(np.int8)
    limit = np.minimum(np.where(one_sided, wide, narrow), largest)
    free = limit > 0
    limit = np.where(free, power_of_two(np.where(free, limit, 1.0)), 0.0)
    h = np.minimum(power_of_two(wanted), limit)
    # The largest step of a one-sided ladder is 8 times larger: its error falls with h, not h^2.
    h = np.where(one_sided, np.minimum(8 * h, limit), h)
    h = np.where(free & (bounds.lower < bounds.upper), h, np.nan)
    floor = 4 * np.spacing(np.abs(x))
    ladder = h * 2.0 ** -np.arange(N_FIRST[1])[:, None]
    ladder[N_FIRST[0] :, side == 0] = np.nan
    # A small param may be of small scale, or a zero that was rounded: try both.
    small = (np.abs(x) >= np.finfo(float).tiny) & (np.abs(x) < SMALLEST_SCALE / 4) & (side == 0)
    if first is not None:
        small &= np.isnan(first)
    if small.any():
        own = np.minimum(power_of_two(FIRST_STEP * np.where(small, np.abs(x), 1.0)), h / 4)
        ladder[2:4] = np.where(small, own * np.array([[1.0], [0.5]]), ladder[2:4])
    ladder[1:][ladder[1:] < floor] = np.nan
    ladder = ladder[~np.isnan(ladder).all(axis=1)]
    empty = np.empty((0, x.size, 0))
    return Samples(np.empty((0, x.size)), empty, empty, side, limit, floor, np.abs(x)), ladder


class Table(NamedTuple):
    """Samples sorted by step, the smallest first: h (k, n), all else (k, n, m), NaN where there is nothing."""

    h: Array
    slope: Array  # differences divided by steps
    bend: Array  # f(x + h) - 2 f(x) + f(x - h); NaN for one-sided differences
    level: Array  # of rounding or noise in a value


def tabulate(samples: Samples, base: Vector, noise: Vector | None, eps: float, *, cautious: bool = True) -> Table:
    """Differences of the samples.

    Args:
        samples: the values.
        base: value at x, shape (m,).
        noise: how far a value can be off beside rounding of values and arguments, shape (m,), or None.
        eps: relative rounding error.
        cautious: whether the level is a bound, otherwise a standard deviation.
    """
    order = np.argsort(samples.h, axis=0)  # NaN comes last
    h = np.take_along_axis(samples.h, order, axis=0)
    up = np.take_along_axis(samples.up, order[..., None], axis=0)
    down = np.take_along_axis(samples.down, order[..., None], axis=0)
    side = samples.side[:, None]
    steps = h[..., None]
    with np.errstate(invalid="ignore", over="ignore"):
        slope = np.where(side == 0, (up - down) / (2 * steps), np.where(side > 0, up - base, base - down) / steps)
        slope = np.where(np.isfinite(slope), slope, np.nan)
        size = np.fmax(np.abs(base), np.fmax(np.abs(up), np.abs(down)))
        level = eps * size if cautious else rounding_level(size, eps)
        if cautious:
            # Terms that cancel in the value are as large as |x_i df/dx_i|, and their rounding doesn't cancel.
            tilt = np.nan_to_num(np.fmin.reduce(np.abs(slope), axis=0), nan=0.0, posinf=0.0)
            level = level + eps * _by_value(samples.size[:, None] * tilt, samples.rows)
        if noise is not None:
            level = np.maximum(level, noise)
        bend = up - 2 * base + down
    return Table(h, slope, bend, level)


def _by_value(terms: Array, rows: NDArray[np.intp] | None) -> Array:
    """Terms, shape (n, m), summed over params for each of the function's values."""
    if rows is None:
        return np.asarray(terms.sum(axis=0))
    sums: Any = np.bincount(rows.ravel() + 1, terms.ravel())
    by_row: Array = np.asarray(sums)[np.maximum(rows, 0) + 1]
    return by_row


def estimate(samples: Samples, base: Vector, noise: Vector | None = None, eps: float = EPS) -> Estimate:
    """Extrapolate all windows and take the best.

    Args:
        samples: the values.
        base: value at x, shape (m,).
        noise: how far a value can be off, shape (m,); None: rounding.
        eps: relative rounding error of the function's values.
    """
    table = tabulate(samples, base, noise, eps)
    symmetric = samples.side == 0
    noises = np.where(symmetric[:, None], 1, 2) * table.level / table.h[..., None]
    best = extrapolate(table.h, table.slope, noises, symmetric)
    bent, kink = _kinks(table, symmetric[:, None])
    # A function that rounds its arguments has the derivative of a point beside x, and no step tells.
    beside = eps * samples.size[:, None] * _curvature(table)
    blank = best.blank & ((table.bend == 0) | np.isnan(table.bend)).all(axis=0)
    return best._replace(
        truncation=best.truncation + kink, rounding=best.rounding + beside, rough=best.rough | bent, blank=blank
    )


def extrapolate(h: Array, slopes: Array, noises: Array, symmetric: NDArray[np.bool_]) -> Estimate:
    """Extrapolate all windows of differences to h = 0 and take the best.

    Args:
        h: sorted steps, shape (k, n), the smallest first, NaN at the end where there are fewer.
        slopes: differences divided by steps, shape (k, n, m).
        noises: how far each can be off, shape (k, n, m).
        symmetric: shape (n,), whether they are polynomials in h^2, otherwise in h.
    """
    k = len(h)
    node = np.where(symmetric, h * h, h)[..., None]
    column, spread = slopes, noises
    gaps_between = h[1:] > GAP * h[:-1]
    gaps = gaps_between.copy()
    # Without a second step nothing is known but the size.
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        unknown = np.abs(column) + _contradiction(column, slopes, noises)
        candidates = [_smallest(h, column, unknown, spread)]
        before: tuple[Array, Array, Array] | None = None
        for width in range(1, k):
            small, large = node[: k - width], node[width:]
            span = large - small
            extrapolated = (large * column[:-1] - small * column[1:]) / span
            change = np.abs(extrapolated - column[:-1])
            spread = (large * spread[:-1] + small * spread[1:]) / span
            column = extrapolated
            gaps[: k - width] |= gaps_between[width - 1 :] if width > 1 else False
            change = np.where(gaps[: k - width, :, None], np.inf, change)
            if before is not None:
                # A change may be small by chance; the next one, which is known now, hardly is as well.
                value, truncation, rounding = before
                truncation[:-1] = np.where(np.isfinite(change), np.maximum(truncation[:-1], change), truncation[:-1])
                candidates.append(_smallest(h[: len(value)], value, truncation, rounding))
            disagreement = _disagreement(extrapolated, spread)
            before = extrapolated, change + disagreement + _contradiction(extrapolated, slopes, noises), spread
        if before is not None:
            candidates.append(_smallest(h[:1], *before))
        value, truncation, rounding, step = (np.stack(parts) for parts in zip(*candidates, strict=True))
        best = np.argmin(truncation + rounding, axis=0)
        value, truncation, rounding, step = (_rows(best, a) for a in (value, truncation, rounding, step))
        rough = np.zeros(value.shape, dtype=bool)
        if k > 1:
            jump = np.abs(slopes[0] - slopes[1]) - noises[0] - noises[1]
            rough = jump > COARSE * np.maximum(np.abs(slopes[0]), np.abs(slopes[1]))
    blank = ((slopes == 0) | np.isnan(slopes)).all(axis=0)
    return Estimate(value, truncation, rounding, step, rough, blank)


def _disagreement(candidate: Array, spread: Array) -> Array:
    """How far candidates are from those with smaller steps, beyond noise; like `candidate`.

    Where the longest steps of a window are beyond a pole or a peak, each further one changes less, since its weight is
    less, and the candidate is wrong all the same. That of smaller steps is less so, and tells.
    """
    result = np.zeros(candidate.shape)
    excess = np.abs(np.diff(candidate, axis=0)) - spread[1:] - spread[:-1]
    result[1:] = np.where(excess > 0, excess, 0.0)
    return result


def _contradiction(candidate: Array, slopes: Array, noises: Array) -> Array:
    """How much further off than the smallest step of their window smaller steps are, beyond noise; like `candidate`.

    Of a smooth function slopes come closer to the derivative with every smaller step. Where the steps are much longer
    than what the function varies on, the longest ones agree best, and are wrong: this tells.
    """
    k = len(candidate)
    furthest = np.full(candidate.shape, np.nan)
    for j in range(k - 1):  # of steps that are smaller than those of the windows after it
        off = np.abs(candidate[j + 1 :] - slopes[j]) - noises[j]
        np.fmax(furthest[j + 1 :], off, out=furthest[j + 1 :])
    excess = furthest - np.abs(candidate - slopes[:k]) - noises[:k]
    return np.where(excess > 0, excess, 0.0)


def _curvature(table: Table) -> Array:
    """Sizes of the second derivatives, shape (n, m), from the smallest steps that show them; 0 where none does."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        curvature = np.abs(table.bend) / table.h[..., None] ** 2
        shown = (np.abs(table.bend) > CLEAR * table.level) & np.isfinite(curvature)
    first = _rows(np.argmax(shown, axis=0), curvature)
    return np.where(shown.any(axis=0), first, 0.0)


def _kinks(table: Table, symmetric: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], Array]:
    """Whether the two smallest steps see a kink or plateaus, and what that adds to the error, both (n, m)."""
    shape = table.slope.shape[1:]
    if len(table.h) < 2:
        return np.zeros(shape, dtype=bool), np.zeros(shape)
    # f(x + h) - 2 f(x) + f(x - h) falls with h^2; with h at a kink, and not at all between distant plateaus.
    with np.errstate(invalid="ignore", over="ignore"):
        ratio = (table.h[1] / table.h[0])[:, None]
        bend, longer = np.abs(table.bend[0]), np.abs(table.bend[1])
        bent = symmetric & (bend > CLEAR * table.level[0]) & (longer < bend * ratio**1.5)
        return bent, np.where(bent, bend / (2 * table.h[0])[:, None], 0.0)


def _rows(row: NDArray[np.intp], a: NDArray[Any]) -> NDArray[Any]:
    """a[row[j, i], j, i]; like np.take_along_axis, several times as fast for few entries."""
    place: NDArray[np.intp] = row * row.size + np.arange(row.size).reshape(row.shape)
    return a.reshape(-1)[place]


def _smallest(h: Array, value: Array, truncation: Array, rounding: Array) -> tuple[Array, Array, Array, Array]:
    """For each entry the candidate with the smallest error; h has shape (k, n), all else (k, n, m)."""
    error = truncation + rounding
    finite = np.isfinite(error) & np.isfinite(value)
    row = np.argmin(np.where(finite, error, np.inf), axis=0)
    value, truncation, rounding, finite = (_rows(row, a) for a in (value, truncation, rounding, finite))
    step = h[row, np.arange(h.shape[1])[:, None]]
    return (
        np.where(finite, value, np.nan),
        np.where(finite, truncation, np.inf),
        np.where(finite, rounding, np.inf),
        np.where(finite, step, np.nan),
    )


@dataclass(frozen=True)
class Progress:
    """How far each coordinate has come.

    Attributes:
        done: shape (n,).
        idle: shape (n,), rounds in which no entry that is not settled became better.
        error: shape (n, m), the smallest errors so far.
    """

    done: NDArray[np.bool_]
    idle: NDArray[np.intp]
    error: Array


def decide(samples: Samples, found: Estimate, before: Progress | None, tol: float) -> tuple[Array, Progress]:
    """What to evaluate next.

    Args:
        samples: the values.
        found: the estimates that they give.
        before: the progress of the round before.
        tol: an entry is settled where its error is below tol times its size.

    Returns:
        The next steps, shape (r, n), NaN where none is needed (r is 0 where all is done), and the progress.
    """
    n = len(found.value)
    error, size = found.error, np.abs(found.value)
    # Differences that are exactly zero settle an entry, unless nothing at all has changed: the steps may be too short.
    zero = (size == 0) & (found.truncation == 0) & ~found.blank.all(axis=1, keepdims=True)
    settled = ((error <= (tol + 2 * EPS) * size) | zero) & ~found.rough
    if before is None:
        idle = np.zeros(n, dtype=np.intp)
        done = np.isnan(samples.h).all(axis=0)
        least = error
    else:
        gains = ((error <= before.error / 2) | found.rough) & ~settled
        idle = np.where(gains.any(axis=1), 0, before.idle + 1)
        done = before.done
        least = np.minimum(error, before.error)
    with np.errstate(invalid="ignore"):
        shortest = np.fmin.reduce(samples.h, axis=0)
        longest = np.fmax.reduce(samples.h, axis=0)
        # Entries of one column may want different things: longer steps against noise, shorter ones against truncation.
        noisy = found.rounding >= found.truncation
        too_long = ~np.isfinite(error) | found.rough | (~noisy & (found.truncation > COARSE * size))
        coarse = (~settled & too_long).any(axis=1)
        grows = (~settled & ~too_long & noisy).any(axis=1) & (longest < samples.limit)
        shrinks = (~settled & ~too_long & ~noisy).any(axis=1)
        done = done | (idle >= PATIENCE) | ~(coarse | grows | shrinks) | (len(samples.h) >= MAX_STEPS)
        longer = np.where(found.blank.all(axis=1), BLANK_GROWTH, GROWTH) * longest
        first = np.where(coarse, shortest / 16, np.where(shrinks, shortest / 2, np.nan))
        second = np.where(coarse, first / 2, np.where(grows, np.minimum(longer, samples.limit), np.nan))
        steps = np.stack([first, second])
        steps[:, done] = np.nan
        steps[steps < samples.floor] = np.nan
    done = done | np.isnan(steps).all(axis=0)
    return steps[~np.isnan(steps).all(axis=1)], Progress(done, idle, least)


def turn(samples: Samples) -> Samples:
    """Where symmetric differences never work because of one side, go on with the other one."""
    tried = ~np.isnan(samples.h)
    up = (np.isfinite(samples.up).all(axis=2) & tried).sum(axis=0)
    down = (np.isfinite(samples.down).all(axis=2) & tried).sum(axis=0)
    turned = (samples.side == 0) & (np.maximum(up, down) >= 4) & (np.minimum(up, down) == 0)
    return replace(samples, side=np.where(turned, np.where(up > down, 1, -1), samples.side).astype(np.int8))
