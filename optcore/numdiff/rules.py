"""Steps for noisy functions by search: Shi et al. (2022), More & Wild (2012). Pure generators.

Each yields (coordinates, shifts), shape (k,) each: points x + shift e_i that can be evaluated at the same time, and
takes their values, shape (k, m). All coordinates search side by side.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.numdiff.calibration import emphasis

__all__ = ["more_wild", "shi"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]
Request = tuple[NDArray[np.intp], Vector]
Search = Generator[Request, Array, Vector]

#: The ratio of truncation to noise that is aimed at, see Shi et al. (2022), algorithm 2.1.
LOW, HIGH = 1.5, 6.0
MOST_ROUNDS = 20
MOST_TRIES = 6


class _Asked:
    """Values that are known already: steps are multiples of each other, so that many points come again."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, float], Vector] = {}

    def get(self, coordinates: NDArray[np.intp], shifts: Array) -> Generator[Request, Array, Array]:
        """Values at x + shift e_i for shifts of shape (s, k), as shape (s, k, m)."""
        wanted = [(int(i), float(h)) for row in shifts for i, h in zip(coordinates, row, strict=True)]
        missing = [key for key in dict.fromkeys(wanted) if key not in self._known]
        if missing:
            values = yield np.array([i for i, _ in missing]), np.array([h for _, h in missing])
            self._known.update(zip(missing, values, strict=True))
        return np.array([self._known[key] for key in wanted]).reshape(*shifts.shape, -1)


def shi(x: Vector, base: Vector, noise: Vector, bounds: FlatBounds, *, central: bool) -> Search:
    """Steps of forward or central differences by bisection on the ratio of truncation to noise.

    Forward: r(h) = |f(x + 4h) - 4 f(x + h) + 3 f(x)| / (8 noise); central: r(h) = |f(x + 3h) - 3 f(x + h) +
    3 f(x - h) - f(x - 3h)| / (8 noise); accepted between 1.5 and 6. Several values: the norms of both over
    those that a param enters, each relative to its slope, so that one without curvature doesn't make the step too long
    for the others, nor one with little noise too short. Where no step is accepted, as at a jump, the longest that was
    too short.

    Args:
        x: shape (n,).
        base: value there, shape (m,), or (n, m) where params enter different values.
        noise: level of noise, like base; above 0.
        bounds: no point leaves them; where central steps don't fit, the forward rule decides.
        central: whether steps of central differences are wanted.

    Returns:
        Steps h > 0, shape (n,); 0 where lower == upper.

    References:
        Shi, Xie, Xuan & Nocedal (2022), SIAM J. Sci. Comput. 44(4), A2302.
    """
    n = x.size
    sigma = float(np.max(noise))
    base, noise = (np.broadcast_to(each, (n, each.shape[-1])) for each in (base, noise))
    up, down = bounds.upper - x, x - bounds.lower
    sign = np.where(up >= down, 1.0, -1.0)
    reach, factor = (3.0, 3.0) if central else (4.0, 4.0)
    room = np.minimum(up, down) if central else np.maximum(up, down)
    # Without curvature no step is too long: the size of x ends the search.
    cap = np.minimum(np.maximum(np.abs(x), 1.0), room / reach)
    h = (3 * sigma) ** (1 / 3) if central else 2 / 3**0.5 * sigma**0.5
    steps = np.minimum(np.maximum(h, 4 * np.spacing(np.abs(x))), cap)
    low, high = np.zeros(n), np.full(n, np.inf)
    active = cap > 0
    asked = _Asked()
    for _ in range(MOST_ROUNDS):
        i = np.flatnonzero(active)
        if not len(i):
            break
        h = steps[i]
        if central:
            f = yield from asked.get(i, np.stack([h, -h, 3 * h, -3 * h]))
            combined, rise = f[2] - 3 * f[0] + 3 * f[1] - f[3], (f[0] - f[1]) / 2
        else:
            f = yield from asked.get(i, np.stack([sign[i] * h, 4 * sign[i] * h]))
            combined, rise = f[1] - 4 * f[0] + 3 * base[i], f[0] - base[i]
        with np.errstate(all="ignore"):
            # Values that a param doesn't enter have nothing to say.
            enters = (f != base[i]).any(axis=0)
            weight = enters / emphasis(np.abs(rise))
            ratio = np.linalg.norm(weight * combined, axis=1) / np.linalg.norm(8 * weight * noise[i], axis=1)
            ratio = np.where(enters.any(axis=1), ratio, 0.0)
        broken = ~np.isfinite(f).all(axis=(0, 2))
        ratio = np.where(broken, np.inf, ratio)
        short, long = ratio < LOW, ratio > HIGH
        low[i[short]], high[i[long]] = h[short], h[long]
        at_cap = short & (h >= cap[i])
        active[i] = (short & ~at_cap) | long
        with np.errstate(invalid="ignore"):
            between = np.sqrt(low[i] * high[i])
        longer = np.where(np.isinf(high[i]), np.minimum(factor * h, cap[i]), between)
        shorter = np.where(low[i] == 0, h / factor, between)
        steps[i] = np.where(at_cap, h, np.where(short, longer, np.where(long, shorter, h)))
    steps = np.where(active & (low > 0), low, steps)
    return np.where(cap > 0, steps, 0.0)


def more_wild(x: Vector, base: Vector, noise: Vector, bounds: FlatBounds) -> Search:
    """Steps of forward differences from estimates of the curvature.

    The paper stops after two estimates, the first with a step of noise^(1/4). Here x and the noise are relative to
    the size of x and of the function where these are above 1, and the second step is repeated until one is accepted:
    for functions with several scales two are not enough.

    Args:
        x: shape (n,).
        base: value there, shape (m,) or (n, m); the entry with the largest second difference decides.
        noise: level of noise, like base; above 0.
        bounds: no point leaves them.

    Returns:
        Steps h > 0, shape (n,); 0 where lower == upper.

    References:
        More & Wild (2012), ACM TOMS 38(3), 19: h = 8^(1/4) (noise / |f''|)^(1/2).
    """
    n = x.size
    up, down = bounds.upper - x, x - bounds.lower
    sign = np.where(up >= down, 1.0, -1.0)
    cap = np.maximum(up, down) / 2
    asked = _Asked()
    sigma = float(np.max(noise))
    base, noise = (np.broadcast_to(each, (n, each.shape[-1])) for each in (base, noise))

    def curvature(i: NDArray[np.intp], h: Vector) -> Generator[Request, Array, tuple[Vector, Any]]:
        two_sided = (h <= up[i]) & (h <= down[i])
        f = yield from asked.get(i, np.stack([sign[i] * h, np.where(two_sided, -sign[i] * h, 2 * sign[i] * h)]))
        first, second = f
        origin = base[i]
        middle = np.where(two_sided[:, None], origin, first)
        ends = np.where(two_sided[:, None], first, origin)
        delta = np.abs(ends - 2 * middle + second)
        delta = np.where(np.isfinite(delta), delta, np.inf)
        at = np.arange(len(i)), np.argmax(delta / noise[i], axis=1)
        size = np.maximum(np.abs(first[at]), np.abs(second[at]))
        change = np.maximum(np.abs(first[at] - origin[at]), np.abs(second[at] - origin[at]))
        clear = delta[at] >= 100 * noise[i][at]
        near = change <= 0.1 * np.maximum(np.abs(origin[at]), size)
        return delta[at] / h**2, clear & near

    free = np.flatnonzero(cap > 0)
    size = max(1.0, float(np.max(np.abs(base))))
    h_a = np.minimum((sigma / size) ** 0.25 * np.maximum(np.abs(x[free]), 1.0), cap[free])
    mu, good = yield from curvature(free, h_a)
    h = h_a.copy()
    for _ in range(MOST_TRIES):
        again = np.flatnonzero(~good & (mu > 0))
        if not len(again):
            break
        before = mu[again]
        h[again] = np.minimum(np.where(np.isfinite(before), (sigma / before) ** 0.25, h[again] / 16), cap[free[again]])
        mu[again], clear = yield from curvature(free[again], h[again])
        with np.errstate(invalid="ignore"):
            good[again] = clear | (np.abs(before - mu[again]) <= mu[again] / 2)
    steps = np.zeros(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps[free] = np.where(mu > 0, 8**0.25 * np.sqrt(sigma / mu), h_a)
    return np.minimum(steps, 2 * cap)
