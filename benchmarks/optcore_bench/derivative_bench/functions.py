"""Functions with hard derivatives: badly scaled, with parameters of zero, tiny or huge, near the edge of their domain.

Each is written with numpy's functions, so that a complex step in extended precision gives its derivative to about
1e-18, without any code that takes differences.

References:
    More, Garbow & Hillstrom (1981), ACM Trans. Math. Softw. 7(1), 17-41: Wood (14), Brown badly scaled (4), Meyer (10),
    Osborne 1 (17). The others are made for what they are hard at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HARD",
    "HardFunction",
    "exact_derivative",
    "moved_points",
    "osborne_1",
    "osborne_1_residuals",
    "rosenbrock",
]

Vector = NDArray[np.float64]

#: Relative spread of the points to which params move between derivatives.
SPREAD = 0.03
_STEP = 1e-40


@dataclass(frozen=True, eq=False)
class HardFunction:
    """A scalar function and where its gradient is wanted.

    Attributes:
        name: what tables call it.
        fun: takes real or complex x, shape (n,).
        x: the point, shape (n,).
        hard_because: what makes its derivative hard, a few words.
    """

    name: str
    fun: Callable[[Any], Any]
    x: Vector
    hard_because: str


def exact_derivative(fun: Callable[[Any], Any], x: Vector) -> Vector:
    """The derivative by a complex step of 1e-40 in extended precision.

    Args:
        fun: written for complex numbers; returns a number, or a vector of shape (m,).
        x: the point, shape (n,).

    Returns:
        Shape (n,) or (m, n).

    References:
        Squire & Trapp (1998), SIAM Review 40(1), 110-112.

    >>> exact_derivative(lambda x: x @ x, np.array([1.0, 3.0])).tolist()
    [2.0, 6.0]
    """
    point = np.asarray(x, dtype=np.clongdouble)
    columns = []
    for i in range(len(x)):
        moved = point.copy()
        moved[i] += np.clongdouble(1j * _STEP)
        columns.append(np.imag(fun(moved)) / np.longdouble(_STEP))
    return np.asarray(np.array(columns).T, dtype=np.float64)


def moved_points(x: Vector, count: int = 5, seed: int = 1) -> list[Vector]:
    """Points near x, as they follow in an optimization: every entry moved by about three per cent."""
    generator = np.random.default_rng(seed)
    return [x * (1.0 + SPREAD * generator.normal(size=x.size)) for _ in range(count)]


def rosenbrock(x: Any) -> Any:
    """The chained function of Rosenbrock."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def _wood(x: Any) -> Any:
    a, b, c, d = x
    valleys = 100 * (a**2 - b) ** 2 + (a - 1) ** 2 + (c - 1) ** 2 + 90 * (c**2 - d) ** 2
    return valleys + 10.1 * ((b - 1) ** 2 + (d - 1) ** 2) + 19.8 * (b - 1) * (d - 1)


def _brown_badly_scaled(x: Any) -> Any:
    return (x[0] - 1e6) ** 2 + (x[1] - 2e-6) ** 2 + (x[0] * x[1] - 2) ** 2


_RESISTANCE = np.array(
    [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872], dtype=float
)
_TEMPERATURE = 45.0 + 5.0 * np.arange(1, 17)


def _meyer(x: Any) -> Any:
    return ((x[0] * np.exp(x[1] / (_TEMPERATURE + x[2])) - _RESISTANCE) ** 2).sum()


_DECAY = np.array(
    [
        *(0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628),
        *(0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420),
        *(0.414, 0.411, 0.406),
    ]
)
_TIMES = 10.0 * np.arange(33)


def osborne_1_residuals(x: Any) -> Any:
    """Two exponentials fitted to 33 values, shape (33,)."""
    return _DECAY - (x[0] + x[1] * np.exp(-_TIMES * x[3]) + x[2] * np.exp(-_TIMES * x[4]))


def osborne_1(x: Any) -> Any:
    """The sum of the squares of these residuals."""
    return (osborne_1_residuals(x) ** 2).sum()


_SCALES_9: Vector = 10.0 ** np.arange(-4.0, 5.0)
_SCALES_6: Vector = 10.0 ** np.arange(6.0)


def _badly_scaled(x: Any) -> Any:
    return (np.sin(_SCALES_9 * x) + (_SCALES_9 * x) ** 2 / 2).sum()


def _huge(x: Any) -> Any:
    y = x / 1e8
    return (np.exp(0.1 * y) + y**2).sum() + y[0] * y[-1]


def _zeros(x: Any) -> Any:
    return np.exp(0.3 * _SCALES_6 * x).sum() + (_SCALES_6 * x).sum() ** 2


def _logs(x: Any) -> Any:
    return np.log(x).sum() + (x**2).sum()


def _parabola_at_zero(x: Any) -> Any:
    return ((x - 1) ** 2).sum() + 100


def _parabola_with_zeros(x: Any) -> Any:
    return ((x - np.arange(len(x))) ** 2).sum() + 1e3


_SAMPLE = np.random.default_rng(0)
_FEATURES = np.column_stack([np.ones(200), _SAMPLE.normal(size=(200, 4))])
_PROBABILITY = 1 / (1 + np.exp(-_FEATURES @ np.array([0.3, -1.0, 0.5, 2.0, 0.0])))
_CHOICES = (_SAMPLE.uniform(size=200) < _PROBABILITY).astype(float)


def _logit(x: Any) -> Any:
    index = _FEATURES @ x
    return (np.log(1 + np.exp(index)) - _CHOICES * index).sum()


#: The functions by name: nine whose params are not zero or of very different scales, four with params of zero.
HARD: dict[str, HardFunction] = {
    function.name: function
    for function in (
        HardFunction("rosenbrock", rosenbrock, np.tile([-1.2, 1.0], 5), "a curved valley, ten variables"),
        HardFunction("wood", _wood, np.array([-3.0, -1.0, -3.0, -1.0]), "a polynomial: higher differences vanish"),
        HardFunction("brown badly scaled", _brown_badly_scaled, np.ones(2), "terms of 1e6 and 1e-6 in one sum"),
        HardFunction("meyer", _meyer, np.array([0.02, 4000.0, 250.0]), "variables of 1e-2 and 1e3, values of 1e9"),
        HardFunction("osborne 1", osborne_1, np.array([0.5, 1.5, -1.0, 0.01, 0.02]), "small rates in exponentials"),
        HardFunction("badly scaled", _badly_scaled, np.asarray(0.7 / _SCALES_9), "scales from 1e-4 to 1e4"),
        HardFunction("huge", _huge, 1e8 * np.array([1.0, -2.0, 3.0, 0.5, -0.7, 1.3]), "variables of 1e8"),
        HardFunction("zeros of scales 1 to 1e5", _zeros, np.zeros(6), "variables of 0 that need steps of 1e-5"),
        HardFunction(
            "logs",
            _logs,
            np.asarray(10.0 ** -np.arange(1.0, 7.0)),
            "variables down to 1e-6 beside the edge of the domain",
        ),
        HardFunction("parabola at zero", _parabola_at_zero, np.zeros(5), "variables of 0, a large constant"),
        HardFunction("rosenbrock at zero", rosenbrock, np.zeros(10), "variables of 0"),
        HardFunction(
            "parabola with zeros",
            _parabola_with_zeros,
            np.array([0.0, 1.5, 0.0, 4.0, 0.0, 9.0]),
            "variables of 0 beside others, a large constant",
        ),
        HardFunction("logit at zero", _logit, np.zeros(5), "a log likelihood of 200 observations at 0"),
    )
}
