"""The models of the fits: y as a function of the predictors and of parameters b, as NIST prints them.

A curve is written once against an array namespace. Parameters are entries of b, numbers or vectors of length k, and
predictors broadcast against them. Powers that aren't whole are defined for positive bases only and NaN elsewhere,
for complex numbers too: these have powers of every base, which would turn "out of the domain" into a wrong number.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MODELS", "Model"]

Vector = NDArray[np.float64]


class Model(ABC):
    """A curve and its derivatives by the parameters. Models have no state and pickle by class."""

    @abstractmethod
    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        """Values at the predictor x, shape (m,), or (m, 1) where entries of b are vectors of length k.

        Nelson's model has two predictors, x[0] and x[1].
        """

    @abstractmethod
    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        """Derivatives by b_1, b_2, ... at a real b, each of shape (m,)."""


def _positive(base: Any, xp: Any) -> Any:
    """The base of a power that isn't whole: NaN where its real part isn't positive."""
    return xp.where(xp.real(base) > 0.0, base, xp.nan)


def _polynomial(coefficients: Sequence[Any], x: Any) -> Any:
    """c_0 + c_1 x + c_2 x^2 + ..., by Horner's rule."""
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = coefficient + x * value
    return value


class Saturation(Model):
    """y = b1 (1 - exp(-b2 x))."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        return -b[0] * xp.expm1(-b[1] * x)

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        return -np.expm1(-b[1] * x), b[0] * x * np.exp(-b[1] * x)


class Misra1b(Model):
    """y = b1 (1 - (1 + b2 x / 2)^-2)."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:  # noqa: ARG002
        base = 1.0 + 0.5 * b[1] * x
        return b[0] * (1.0 - 1.0 / (base * base))

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        base = 1.0 + 0.5 * b[1] * x
        return 1.0 - base**-2.0, b[0] * x * base**-3.0


class Misra1c(Model):
    """y = b1 (1 - (1 + 2 b2 x)^(-1/2))."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        return b[0] * (1.0 - _positive(1.0 + 2.0 * b[1] * x, xp) ** -0.5)

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        base = _positive(1.0 + 2.0 * b[1] * x, np)
        return 1.0 - base**-0.5, b[0] * x * base**-1.5


class Misra1d(Model):
    """y = b1 b2 x / (1 + b2 x)."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:  # noqa: ARG002
        scaled = b[1] * x
        return b[0] * scaled / (1.0 + scaled)

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        base = 1.0 + b[1] * x
        return b[1] * x / base, b[0] * x / base**2


class Chwirut(Model):
    """y = exp(-b1 x) / (b2 + b3 x)."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        return xp.exp(-b[0] * x) / (b[1] + b[2] * x)

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        below = b[1] + b[2] * x
        ratio = np.exp(-b[0] * x) / below
        return -x * ratio, -ratio / below, -x * ratio / below


class Lanczos(Model):
    """y = b1 exp(-b2 x) + b3 exp(-b4 x) + b5 exp(-b6 x)."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        return b[0] * xp.exp(-b[1] * x) + b[2] * xp.exp(-b[3] * x) + b[4] * xp.exp(-b[5] * x)

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        first, second, third = (np.exp(-rate * x) for rate in b[1::2])
        return first, -b[0] * x * first, second, -b[2] * x * second, third, -b[4] * x * third


class Gauss(Model):
    """y = b1 exp(-b2 x) + b3 exp(-((x - b4) / b5)^2) + b6 exp(-((x - b7) / b8)^2)."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        left, right = (x - b[3]) / b[4], (x - b[6]) / b[7]
        return b[0] * xp.exp(-b[1] * x) + b[2] * xp.exp(-left * left) + b[5] * xp.exp(-right * right)

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        decay = np.exp(-b[1] * x)
        return decay, -b[0] * x * decay, *_peak(b[2:5], x), *_peak(b[5:8], x)


def _peak(b: Vector, x: Vector) -> tuple[Vector, Vector, Vector]:
    """Derivatives of b_1 exp(-z^2), z = (x - b_2) / b_3."""
    height, center, width = b
    z = (x - center) / width
    shape = np.exp(-z * z)
    by_center = 2.0 * height * z * shape / width
    return shape, by_center, by_center * z


class DanWood(Model):
    """y = b1 x^b2."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:  # noqa: ARG002
        return b[0] * x ** b[1]

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        power = x ** b[1]
        return power, b[0] * power * np.log(x)


@dataclass(frozen=True)
class Rational(Model):
    """y = (b1 + b2 x + ... + b_(d+1) x^d) / (1 + b_(d+2) x + ... + b_(2d+1) x^d).

    Args:
        degree: the degree d of both polynomials.
    """

    degree: int

    def curve(self, b: Any, x: Any, xp: Any) -> Any:  # noqa: ARG002
        above, below = self._parts(b, x)
        return above / below

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        above, below = self._parts(b, x)
        powers = [x**k / below for k in range(self.degree + 1)]
        return *powers, *(-above / below * power for power in powers[1:])

    def _parts(self, b: Any, x: Any) -> tuple[Any, Any]:
        d = self.degree
        return _polynomial([b[k] for k in range(d + 1)], x), _polynomial([1.0, *(b[d + k] for k in range(1, d + 1))], x)


class Nelson(Model):
    """log(y) = b1 - b2 x1 exp(-b3 x2)."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        return b[0] - b[1] * x[0] * xp.exp(-b[2] * x[1])

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        loss = x[0] * np.exp(-b[2] * x[1])
        return np.ones_like(loss), -loss, b[1] * x[1] * loss


class MGH17(Model):
    """y = b1 + b2 exp(-b4 x) + b3 exp(-b5 x)."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        return b[0] + b[1] * xp.exp(-b[3] * x) + b[2] * xp.exp(-b[4] * x)

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        slow, fast = np.exp(-b[3] * x), np.exp(-b[4] * x)
        return np.ones_like(x), slow, fast, -b[1] * x * slow, -b[2] * x * fast


class Roszman1(Model):
    """y = b1 - b2 x - arctan(b3 / (x - b4)) / pi."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        return b[0] - b[1] * x - xp.arctan(b[2] / (x - b[3])) / math.pi

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        shifted = x - b[3]
        scale = math.pi * (shifted**2 + b[2] ** 2)
        return np.ones_like(x), -x, -shifted / scale, -b[2] / scale


class ENSO(Model):
    """y = b1 + b2 cos(w x) + b3 sin(w x) and two cycles more: b5, b6 of the period b4, b8, b9 of the period b7.

    w = 2 pi / 12 is that of the year; the period b4 has the frequency 2 pi / b4.
    """

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        turns = 2.0 * math.pi * x
        year, second, third = turns / 12.0, turns / b[3], turns / b[6]
        return (
            b[0]
            + b[1] * xp.cos(year)
            + b[2] * xp.sin(year)
            + b[4] * xp.cos(second)
            + b[5] * xp.sin(second)
            + b[7] * xp.cos(third)
            + b[8] * xp.sin(third)
        )

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        year = 2.0 * math.pi * x / 12.0
        return np.ones_like(x), np.cos(year), np.sin(year), *_cycle(b[3:6], x), *_cycle(b[6:9], x)


def _cycle(b: Vector, x: Vector) -> tuple[Vector, Vector, Vector]:
    """Derivatives of b_2 cos(a) + b_3 sin(a), a = 2 pi x / b_1."""
    period, by_cos, by_sin = b
    angle = 2.0 * math.pi * x / period
    cos, sin = np.cos(angle), np.sin(angle)
    return (by_cos * sin - by_sin * cos) * angle / period, cos, sin


class MGH09(Model):
    """y = b1 (x^2 + b2 x) / (x^2 + b3 x + b4)."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:  # noqa: ARG002
        return b[0] * (x * (x + b[1])) / (x * (x + b[2]) + b[3])

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        above, below = x * (x + b[1]), x * (x + b[2]) + b[3]
        bend = -b[0] * above / below**2
        return above / below, b[0] * x / below, x * bend, bend


class Rat42(Model):
    """y = b1 / (1 + exp(b2 - b3 x))."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        return b[0] / (1.0 + xp.exp(b[1] - b[2] * x))

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        growth = np.exp(b[1] - b[2] * x)
        share = 1.0 / (1.0 + growth)
        bend = b[0] * growth * share**2
        return share, -bend, x * bend


class Rat43(Model):
    """y = b1 / (1 + exp(b2 - b3 x))^(1 / b4)."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        return b[0] / (1.0 + xp.exp(b[1] - b[2] * x)) ** (1.0 / b[3])

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        growth = np.exp(b[1] - b[2] * x)
        power = (1.0 + growth) ** (-1.0 / b[3])
        bend = b[0] / b[3] * power * growth / (1.0 + growth)
        return power, -bend, x * bend, b[0] * power * np.log1p(growth) / b[3] ** 2


class MGH10(Model):
    """y = b1 exp(b2 / (x + b3))."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        return b[0] * xp.exp(b[1] / (x + b[2]))

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        shifted = x + b[2]
        growth = np.exp(b[1] / shifted)
        slope = b[0] * growth / shifted
        return growth, slope, -slope * b[1] / shifted


class Eckerle4(Model):
    """y = (b1 / b2) exp(-((x - b3) / b2)^2 / 2)."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        z = (x - b[2]) / b[1]
        return b[0] / b[1] * xp.exp(-0.5 * z * z)

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        z = (x - b[2]) / b[1]
        shape = np.exp(-0.5 * z * z) / b[1]
        slope = b[0] * shape / b[1]
        return shape, slope * (z * z - 1.0), slope * z


class Bennett5(Model):
    """y = b1 (b2 + x)^(-1 / b3)."""

    def curve(self, b: Any, x: Any, xp: Any) -> Any:
        return b[0] * _positive(b[1] + x, xp) ** (-1.0 / b[2])

    def slopes(self, b: Vector, x: Vector) -> tuple[Vector, ...]:
        base = _positive(b[1] + x, np)
        power = base ** (-1.0 / b[2])
        return power, -b[0] / b[2] * power / base, b[0] / b[2] ** 2 * power * np.log(base)


#: The model of each data set, in NIST's order: from the lower level of difficulty to the higher.
MODELS: dict[str, Model] = {
    "Misra1a": Saturation(),
    "Chwirut2": Chwirut(),
    "Chwirut1": Chwirut(),
    "Lanczos3": Lanczos(),
    "Gauss1": Gauss(),
    "Gauss2": Gauss(),
    "DanWood": DanWood(),
    "Misra1b": Misra1b(),
    "Kirby2": Rational(2),
    "Hahn1": Rational(3),
    "Nelson": Nelson(),
    "MGH17": MGH17(),
    "Lanczos1": Lanczos(),
    "Lanczos2": Lanczos(),
    "Gauss3": Gauss(),
    "Misra1c": Misra1c(),
    "Misra1d": Misra1d(),
    "Roszman1": Roszman1(),
    "ENSO": ENSO(),
    "MGH09": MGH09(),
    "Thurber": Rational(3),
    "BoxBOD": Saturation(),
    "Rat42": Rat42(),
    "MGH10": MGH10(),
    "Eckerle4": Eckerle4(),
    "Rat43": Rat43(),
    "Bennett5": Bennett5(),
}
