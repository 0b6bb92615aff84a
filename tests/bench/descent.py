"""An L-BFGS in plain Python, right and in seven wrong ways, for tests of comparisons."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def lbfgs(
    fun: Callable[[Vector], float],
    x0: Vector,
    *,
    memory: int = 10,
    curvature: bool = True,
    first_step: float = 1.0,
    central: bool = True,
    idle: bool = False,
    tolerance: float = 1e-9,
    wrong_sign: bool = False,
    scaled: bool = False,
) -> Vector:
    """Nocedal & Wright (2006), algorithm 7.5, with bisection for the weak Wolfe conditions and its own differences."""
    chance = random.Random(1)

    def gradient(x: Vector, f: float) -> Vector:
        h = (6e-6 if central else 1.5e-8) * np.maximum(np.abs(x), 0.1)
        ends = [fun(x + step) for step in np.diag(h)]
        starts = [fun(x - step) for step in np.diag(h)] if central else f
        g = (np.array(ends) - np.array(starts)) / (2 * h if central else h)
        return -g if wrong_sign and chance.random() < 0.01 else g

    x, f = x0, fun(x0)
    g = gradient(x, f)
    pairs: list[tuple[Vector, Vector]] = []
    for _ in range(400):
        if np.linalg.norm(g, np.inf) <= tolerance * max(1.0, abs(f)):
            break
        d = direction(g, pairs)
        if not pairs and scaled:
            d = d / max(np.linalg.norm(g), 1.0)
        low, high, step = 0.0, np.inf, first_step
        for _ in range(40):
            y = x + step * d
            fy = fun(y)
            if not fy <= f + 1e-4 * step * (g @ d):
                high = step
            else:
                gy = gradient(y, fy)
                if not curvature or gy @ d >= 0.9 * (g @ d):
                    break
                low = step
            step = (low + high) / 2 if np.isfinite(high) else 2 * step
        else:
            break
        if idle:
            fun(x + 1.5 * step * d)
        if (y - x) @ (gy - g) > 1e-14:
            pairs = [*pairs, (y - x, gy - g)][-memory:]
        x, f, g = y, fy, gy
    return x


def direction(g: Vector, pairs: list[tuple[Vector, Vector]]) -> Vector:
    """Nocedal & Wright (2006), algorithm 7.4."""
    q, alphas = g.copy(), []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (s @ y))
        q = q - alphas[-1] * y
    if pairs:
        s, y = pairs[-1]
        q = q * (s @ y) / (y @ y)
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + (alpha - (y @ q) / (s @ y)) * s
    return -q


#: How the solver is changed, by name.
MUTANTS: dict[str, dict[str, Any]] = {
    "memory of 1 instead of 10": {"memory": 1},
    "a dropped line-search condition": {"curvature": False},
    "twice the step": {"first_step": 2.0},
    "forward for central": {"central": False},
    "an extra evaluation per iteration": {"idle": True},
    "looser tolerance": {"tolerance": 1e-2},
    "a wrong sign once in a hundred": {"wrong_sign": True},
}
