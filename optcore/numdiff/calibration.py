"""Steps from measured curvature and noise. Pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optcore.numdiff.adaptive import Samples, tabulate

__all__ = ["Calibration", "calibrate", "emphasis"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]

#: How far above the noise a difference must be to tell something.
CLEAR_SECOND, CLEAR_THIRD = 30.0, 5.0
#: Entries of a column below this part of its largest don't decide on the step.
SMALL = 1e-3
#: How large a derivative is taken to be where those of lower and higher order say that it varies, but it is smaller
#: at x: this part of their geometric mean, which bounds it on the whole line but for a factor near 1 (Landau 1913,
#: Kolmogorov 1939). It may vanish at x by symmetry, and the steps are for points that have moved.
NEARBY = 0.3
#: Between the expected error and one that is hardly exceeded: noise has tails, and curvature changes with x.
MARGIN = 3.0
#: How much longer the next step is where nothing is clear yet.
LONGER = 8.0


@dataclass(frozen=True)
class Calibration:
    """Measured steps, and what they were measured from.

    Attributes:
        x: where, shape (n,).
        one_sided: steps for first-order formulas, shape (n,).
        central: steps for second-order formulas, shape (n,).
        second: size of the second derivatives at x and near it, shape (n, m); 0 where they can't be told from noise.
        third: size of the third derivatives, shape (n, m).
        noise: level of noise, shape (n, m).
        curved: whether second derivatives were seen at two steps, so that what comes after them is known to be smaller,
            shape (n,).
    """

    x: Vector
    one_sided: Vector
    central: Vector
    second: Array
    third: Array
    noise: Array
    curved: NDArray[np.bool_]

    def unclear(self, samples: Samples, method: str) -> Array:
        """Longer steps that may tell more, shape (1, n) with NaN where none is needed, or (0, n).

        First-order formulas need the second derivatives, and those of higher order where these vanish; central ones
        need the third.
        """
        longest = np.fmax.reduce(samples.h, axis=0)
        following = np.minimum(LONGER * longest, samples.limit)
        is_blank = (self.third == 0).all(axis=1)
        if method != "central":
            is_blank &= ~self.curved
        useful = is_blank & (following > longest)
        return np.where(useful, following, np.nan)[None] if useful.any() else np.empty((0, len(longest)))

    def step(self, method: str) -> Vector:
        """The steps for a method, shape (n,)."""
        return self.central if method == "central" else self.one_sided

    def error(self, scheme: NDArray[np.str_], h: Vector) -> Array:
        """What the error of differences with steps h will hardly exceed, shape (n, m): truncation and noise.

        Args:
            scheme: formulas, shape (n,).
            h: steps, shape (n,), 0 where fixed.
        """
        size, noise = np.abs(h)[:, None], self.noise
        safe = np.where(size > 0, size, 1.0)
        is_central = (scheme == "central")[:, None]
        is_three = np.char.endswith(scheme, "_3")[:, None]
        first_order = size * self.second / 2 + 2 * noise / safe
        cubed = size**2 * self.third
        central = cubed / 6 + noise / safe
        three = cubed / 3 + 4 * noise / safe
        expected = np.where(is_central, central, np.where(is_three, three, first_order))
        return np.where(size > 0, MARGIN * expected, 0.0)


def calibrate(x: Vector, samples: Samples, base: Vector, value: Array, noise: Vector | None, eps: float) -> Calibration:
    """Second and third derivatives from the values of an extrapolation, and the steps that balance them with noise.

    The noise is a standard deviation. Forward: the mean square (h f'' / 2)^2 + 2 (noise / h)^2 is smallest at
    h = 8^(1/4) (noise / |f''|)^(1/2); central: (h^2 f''' / 6)^2 + (noise / h)^2 / 2 at h = (3 noise / |f'''|)^(1/3).
    The derivatives are taken at the smallest steps at which they are clear of noise.

    Args:
        x: shape (n,).
        samples: the values.
        base: value at x, shape (m,).
        value: the derivative, shape (n, m): entries that are small in their column count less.
        noise: level of noise, shape (m,); None: rounding of the last digit.
        eps: relative rounding error of the function's values.
    """
    table = tabulate(samples, base, noise, eps, cautious=False)
    h, slope = table.h, table.slope
    # Rounding is that of the values close to x.
    level = np.nan_to_num(np.fmin.reduce(table.level, axis=0), nan=0.0)
    level = np.maximum(level, np.finfo(float).tiny)
    second, third, fourth = _derivatives(h[..., None], slope, table.bend, level, samples.side[:, None])
    second, third = _nearby(np.abs(value), second, third, fourth)
    longest = np.fmax.reduce(np.where(np.isfinite(slope).all(axis=2), h, np.nan), axis=0)
    longest = np.where(np.isnan(longest), 0.0, longest)
    weight = 1 / emphasis(np.abs(value))
    forces = [np.linalg.norm(weight * size, axis=1) for size in (level, second, third)]
    with np.errstate(divide="ignore", invalid="ignore"):
        by_second = 8 ** (1 / 4) * np.sqrt(forces[0] / forces[1])
        by_third = np.cbrt(forces[0] / forces[2])
    return Calibration(
        x.copy(),
        np.minimum(np.minimum(by_second, 6 ** (1 / 3) * by_third), longest),
        np.minimum(3 ** (1 / 3) * by_third, longest),
        second,
        third,
        level,
        ((np.abs(table.bend) > CLEAR_SECOND * level).sum(axis=0) >= 2).any(axis=1),
    )


def _derivatives(
    h: Array, slope: Array, bend: Array, level: Array, side: NDArray[np.int8]
) -> tuple[Array, Array, Array]:
    """Sizes of the second to fourth derivatives, shape (n, m); steps are sorted, the smallest first.

    The fourth is known of symmetric differences only: bends over h^2 are the second plus h^2 / 12 times the fourth.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        bend = np.abs(bend)
        second = _first_clear(bend / h**2, bend > CLEAR_SECOND * level)
        change = np.abs(np.diff(slope, axis=0))
        widths = np.diff(h**2, axis=0)
        third = _first_clear(6 * change / widths, change > CLEAR_THIRD * level / h[:-1])
        turn = np.abs(np.diff(bend / h**2, axis=0))
        fourth = _first_clear(12 * turn / widths, turn > CLEAR_SECOND * level / h[:-1] ** 2)
        # One-sided: D(h) = f' + h f'' / 2 + h^2 f''' / 6.
        tilt = np.diff(slope, axis=0) / np.diff(h, axis=0)
        one_second = _first_clear(2 * np.abs(tilt), change > CLEAR_SECOND * 2 * level / h[:-1])
        twist = np.diff(tilt, axis=0)
        span = h[2:] - h[:-2]
        one_third = _first_clear(
            6 * np.abs(twist / span), np.abs(twist) > CLEAR_SECOND * 2 * level / (h[:-2] * np.diff(h, axis=0)[:-1])
        )
    is_two_sided = side == 0
    return (
        np.where(is_two_sided, second, one_second),
        np.where(is_two_sided, third, one_third),
        np.where(is_two_sided, fourth, 0.0),
    )


def emphasis(slopes: Array) -> Array:
    """What errors of the entries of a column count relative to: their sizes, shape (n, m), but not too small ones."""
    largest = slopes.max(axis=1, keepdims=True, initial=0.0)
    return np.maximum(slopes, np.where(largest > 0, SMALL * largest, 1.0))


def _nearby(first: Array, second: Array, third: Array, fourth: Array) -> tuple[Array, Array]:
    """Sizes of the second and third derivatives near x, from those of all at x."""
    with np.errstate(invalid="ignore", over="ignore"):
        mixed = np.cbrt(fourth) * np.cbrt(first)
        near_second = np.fmax(np.sqrt(first * third), mixed * np.cbrt(first))
        near_third = np.fmax(np.sqrt(second * fourth), mixed * np.cbrt(fourth))
    return np.fmax(second, NEARBY * near_second), np.fmax(third, NEARBY * near_third)


def _first_clear(values: Array, clear: NDArray[np.bool_]) -> Array:
    """The values (k, n, m) at the first step at which they are clear and finite; 0 where there is none."""
    if not len(values):
        return np.zeros(values.shape[1:])
    usable = clear & np.isfinite(values)
    row = np.argmax(usable, axis=0)[None]
    found: Array = np.take_along_axis(values, row, axis=0)[0]
    return np.where(usable.any(axis=0), found, 0.0)
