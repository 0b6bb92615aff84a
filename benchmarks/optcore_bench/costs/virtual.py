"""A clock that never ran: what stored batches would take on a machine that was never asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from optcore.errors import InvalidInputError

__all__ = ["VirtualClock", "expected_longest", "is_number"]

#: How many calls of fun alone, of jac alone and of both a round holds.
Round = tuple[int, int, int]


@dataclass(frozen=True)
class VirtualClock:
    """Replays the stored batches of a run: the time it would have taken on a machine that was never asked.

    The calls of a batch are made in plan order, `cores` at a time; such a round lasts as long as its longest
    call, and `overhead_seconds` pass once a batch. A run is charged for its rounds up to and including the
    one that solved the problem: on one core that is `fun_seconds` times the evaluations, on many cores times
    the batches.

    Where `spread` is above 0, the times of calls are independent and log-normal with the given means and
    `spread` as their coefficient of variation, and a round lasts as long as its longest call does in
    expectation, see `expected_longest`.

    Args:
        fun_seconds: how long one evaluation of the objective takes.
        jac_seconds: how long one call of the jacobian takes; a call for both takes the sum.
        cores: how many calls run at the same time.
        overhead_seconds: what sending out a batch, collecting its answers and deciding on the next one takes; or
            "measured": what it took each run, see `measured_overhead`, where a clock ran.
        spread: standard deviation of the time of a call over its mean.
    """

    fun_seconds: float
    jac_seconds: float
    cores: int
    overhead_seconds: float | Literal["measured"] = 0.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        for name in ("fun_seconds", "jac_seconds", "overhead_seconds", "spread"):
            value = getattr(self, name)
            if name == "overhead_seconds" and isinstance(value, str) and value == "measured":
                continue
            if not is_number(value) or not (math.isfinite(value) and value >= 0):
                also = " or 'measured'" if name == "overhead_seconds" else ""
                raise InvalidInputError(f"{name} must be a finite number >= 0{also}, not {value!r}")
        if (
            not is_number(self.cores)
            or not math.isfinite(self.cores)
            or self.cores != int(self.cores)
            or self.cores < 1
        ):
            raise InvalidInputError(f"cores must be a whole number >= 1, not {self.cores!r}")

    def round_seconds(self, calls: Round) -> float:
        """How long a round with so many calls of fun, of jac and of both lasts, in expectation."""
        seconds = (self.fun_seconds, self.jac_seconds, self.fun_seconds + self.jac_seconds)
        if self.spread == 0:
            return max(t for t, k in zip(seconds, calls, strict=True) if k)
        return expected_longest(seconds, calls, self.spread)


def is_number(value: object) -> bool:
    """Whether a value is a number; True and False are none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


@lru_cache(maxsize=65536)
def expected_longest(seconds: tuple[float, ...], calls: tuple[int, ...], spread: float) -> float:
    """Expected longest of independent log-normal times.

    With s^2 = log(1 + spread^2), a call of mean t takes t exp(s z - s^2 / 2), z standard normal. The longest
    of k_1, k_2, ... calls of means t_1, t_2, ... has the expectation

        sum_i k_i t_i * integral of phi(y) Phi(y + s)^(k_i - 1) prod_(j != i) Phi(y + s + log(t_i / t_j) / s)^k_j dy,

    the mean of each call's time where it is the longest (David & Nagaraja 2003, Order Statistics, sec. 2.1,
    after completing the square). Two equal calls take 2 Phi(s / sqrt(2)) t. The trapezoidal rule on [-10, 10]
    is exact to rounding, because the integrand is smooth and its tails vanish.

    Args:
        seconds: mean times, >= 0.
        calls: how many calls have each mean time.
        spread: coefficient of variation of all of them, > 0.

    >>> round(expected_longest((1.0,), (1,), 0.3), 12)
    1.0
    >>> round(expected_longest((1.0,), (8,), 0.3), 3)
    1.479
    """
    from scipy.special import ndtr  # slow to import, and only needed for times that spread

    parts = [(t, k) for t, k in zip(seconds, calls, strict=True) if k and t > 0]
    s = math.sqrt(math.log1p(spread**2))
    y = np.linspace(-10.0, 10.0, 401)
    density = np.exp(-0.5 * y**2) / math.sqrt(2 * math.pi) * (y[1] - y[0])
    total = 0.0
    for i, (t, k) in enumerate(parts):
        longest = ndtr(y + s) ** (k - 1)
        for j, (other, count) in enumerate(parts):
            if j != i:
                longest = longest * ndtr(y + s + math.log(t / other) / s) ** count
        total += k * t * float(density @ longest)
    return total
