"""Noise on the values of a problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError, unknown_name
from optcore_problems.namespace import array_namespace
from optcore_problems.transform.base import Transformation, number, whole_number
from optcore_problems.transform.bits import TO_UNIT, real_points, words

if TYPE_CHECKING:
    from optcore_problems.problem import Problem

__all__ = ["Noise", "oscillation", "round_to_digits"]

_KINDS = ("additive", "multiplicative", "wild", "rounded")
_DISTRIBUTIONS = ("normal", "uniform")
_MOST_DIGITS = 15

_NO_DERIVATIVE = {
    "jax": "its noise is decided from the bits of x, which has no derivative",
    "complex_step": "its noise is decided from the bits of a real x, which has no derivative",
}
_STEPS = {
    "jax": "rounded values are constant between steps: their derivative is zero",
    "complex_step": "rounded values are constant between steps: their derivative is zero",
}


@dataclass(frozen=True)
class Noise(Transformation):
    """Noise on what is evaluated, a pure function of the seed, the problem's name and x.

    A scalar problem has noise on its value. A least-squares problem has noise on each of its residuals, independent of
    one another, and its value is the sum of their squares, so that scalar and least-squares solvers see one and the
    same problem. (With multiplicative noise of a small level the relative standard deviation of that sum is thus
    between 2 level / sqrt(m) and 2 level.) With v a value or a residual and u of the distribution:

    - "additive": v + level u.
    - "multiplicative": v (1 + level u).
    - "wild": the deterministic oscillation phi of More & Wild (2009): the value is f(x) (1 + level phi(x)), each
      residual r(x) sqrt(1 + level phi(x)). It has derivatives, of complex steps and JAX too, but steep ones.
    - "rounded": v rounded to `level` significant decimal digits.

    "uniform" and "normal" as a kind are short for additive noise of that distribution.

    Closed-form derivatives stay those of the function without noise. JAX and complex steps don't go with noise that is
    decided from bits: the problem's `excludes` says so.

    Args:
        kind: "additive", "multiplicative", "wild" or "rounded".
        level: the standard deviation of normal noise, half the width of uniform noise, the amplitude of the
            oscillation (below 1), the number of digits.
        distribution: "normal" (mean 0, variance 1) or "uniform" (in [-1, 1]); normal by default. Only for additive
            and multiplicative noise.
        seed: other seeds give independent noise; has no meaning for "wild" and "rounded".

    Raises:
        UnknownNameError, InvalidInputError: a value that can't be.

    References:
        More & Wild (2009), SIAM J. Optim. 20(1), 172-191, section 4: the oscillation.

    >>> Noise("uniform", 0.1)
    Noise(kind='additive', level=0.1, distribution='uniform', seed=0)
    >>> Noise("rounded", 6).words
    'rounded 6'
    """

    key: ClassVar[str] = "noise"
    suffix: ClassVar[str] = ""
    moves: ClassVar[bool] = False

    kind: str = "multiplicative"
    level: float = 1e-3
    distribution: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        kind, distribution, seed = self.kind, self.distribution, whole_number(self.key, "seed", self.seed)
        if kind in _DISTRIBUTIONS:
            if distribution not in (None, kind):
                raise InvalidInputError(f"noise: kind {kind!r} is a distribution, and {distribution!r} another one")
            kind, distribution = "additive", kind
        if kind not in _KINDS:
            raise unknown_name("kind of noise", kind, (*_KINDS, *_DISTRIBUTIONS))
        if kind in ("wild", "rounded"):
            seed = 0
            if distribution is not None:
                raise InvalidInputError(f"noise: {kind!r} has no distribution, but {distribution!r} is given")
        else:
            distribution = "normal" if distribution is None else distribution
            if distribution not in _DISTRIBUTIONS:
                raise unknown_name("distribution of noise", distribution, _DISTRIBUTIONS)
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "distribution", distribution)
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "level", self._level(kind))

    def _level(self, kind: str) -> float:
        if kind == "rounded":
            digits = number(self.key, "level, the number of digits,", self.level, 1, _MOST_DIGITS, above=False)
            return whole_number(self.key, "level, the number of digits,", int(digits) if digits % 1 == 0 else digits)
        level = number(self.key, "level", self.level, 0.0)
        if kind == "wild" and level >= 1:
            raise InvalidInputError(f"noise: the level of wild noise must be below 1, but is {self.level!r}")
        return level

    @property
    def words(self) -> str:
        """What runs have in their column `noise`: `multiplicative 0.001`, `additive uniform 0.001 seed 3`."""
        parts = [self.kind, *([self.distribution] if self.distribution == "uniform" else []), f"{self.level:.12g}"]
        return " ".join([*parts, *(["seed", str(self.seed)] if self.seed else [])])

    def to_plain(self) -> dict[str, Any]:
        """The kind and the level always, the rest where it differs from the defaults."""
        chosen: dict[str, Any] = {"kind": self.kind, "level": self.level}
        if self.distribution == "uniform":
            chosen["distribution"] = "uniform"
        return chosen | ({"seed": self.seed} if self.seed else {})

    def changes(self, problem: Problem) -> dict[str, Any]:
        """Functions with noise; derivatives without."""
        # Two noises of one kind are independent, the same noise at two levels is the same but for the level.
        place = len(problem.transformations)
        stream = f"noise {self.seed} {self.kind} {self.distribution} {place} {problem.original.full_name}"
        excluded = {"wild": {}, "rounded": _STEPS}.get(self.kind, _NO_DERIVATIVE)
        changes: dict[str, Any] = {"excludes": {**excluded, **problem.excludes}}
        if problem.residuals_xp is not None:
            changes["residuals_xp"] = _Noisy(problem.residuals_xp, self, stream, is_value=False)
            if problem.has_gradient:
                changes["gradient_np"] = problem.gradient
        else:
            changes["fun_xp"] = _Noisy(problem.fun_xp, self, stream, is_value=True)
        return changes


@dataclass(frozen=True, eq=False)
class _Noisy:
    """A function of (x, xp) with noise on its answer; x of shape (n,) or (n, k)."""

    inner: Callable[[Any, Any], Any] | None
    noise: Noise
    stream: str
    is_value: bool

    def __call__(self, x: Any, xp: Any) -> Any:
        assert self.inner is not None
        kind, level = self.noise.kind, self.noise.level
        if kind == "wild":
            values = self.inner(x, xp)
            factor = 1.0 + level * oscillation(x)
            return values * (factor if self.is_value else xp.sqrt(factor))
        points = real_points(x, "rounding" if kind == "rounded" else "noise")
        values = self.inner(points, np)
        if kind == "rounded":
            rounded = round_to_digits(values, int(level))
            return rounded if rounded.ndim else rounded[()]
        disturbance = self._disturbance(points, values)
        if kind == "additive":
            return values + disturbance
        disturbance += 1.0
        return values * disturbance

    def _disturbance(self, points: NDArray[np.float64], values: Any) -> Any:
        """Level times numbers of the distribution: one for each value, each point's from its own bits."""
        count = 1 if self.is_value else len(values)
        if points.ndim == 1:
            bits: Any = words(self.stream, points, count)
            bits = bits[0] if self.is_value else bits
        else:
            bits = np.stack([words(self.stream, x, count) for x in points.T], axis=1).reshape(values.shape)
        if self.noise.distribution == "uniform":
            return bits * (TO_UNIT * self.noise.level)
        return _erfinv()(bits * TO_UNIT) * (_SQRT2 * self.noise.level)


_SQRT2 = 2.0**0.5


@cache
def _erfinv() -> Any:
    """The inverse of the error function, which makes normal numbers; imported when they are first asked for."""
    from scipy.special import erfinv

    return erfinv


def oscillation(x: Any) -> Any:
    """The oscillation of More & Wild (2009), section 4, between -1 and 1.

    phi(x) = T3(phi0(x)) with Chebyshev's cubic T3(a) = a (4 a^2 - 3) and
    phi0(x) = 0.9 sin(100 |x|_1) cos(100 |x|_inf) + 0.1 cos(|x|_2).

    Args:
        x: shape (n,), or (n, k), a point a column; real, complex (the norms are continued analytically) or JAX's.

    Returns:
        A number, or shape (k,).

    >>> round(float(oscillation(np.array([1.0, 0.0]))), 6)
    0.861092
    """
    xp = array_namespace(x)
    if x.dtype.kind == "c":  # the modulus would lose what a complex step adds
        absolute = xp.where(x.real < 0, -x, x)
        largest = absolute.real.argmax(axis=0)
        max_norm = absolute[largest] if x.ndim == 1 else xp.take_along_axis(absolute, largest[None], axis=0)[0]
    else:
        absolute = abs(x)
        max_norm = absolute.max(axis=0)
    one_norm, two_norm = absolute.sum(axis=0), xp.sqrt((x * x).sum(axis=0))
    phi = 0.9 * xp.sin(100.0 * one_norm) * xp.cos(100.0 * max_norm) + 0.1 * xp.cos(two_norm)
    return phi * (4.0 * phi * phi - 3.0)


def round_to_digits(values: NDArray[np.float64], digits: int) -> NDArray[np.float64]:
    """Values rounded to so many significant decimal digits; what is zero, not finite or extreme stays.

    numpy warns of what is zero or extreme, unless it is told not to.

    >>> round_to_digits(np.array([123456.0, -0.00123456]), 3)
    array([ 1.23e+05, -1.23e-03])
    """
    scale = 10.0 ** (digits - 1.0 - np.floor(np.log10(np.abs(values))))
    rounded = np.rint(values * scale) / scale
    return np.where(np.isfinite(rounded), rounded, values)
