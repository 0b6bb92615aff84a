"""Functions with hard derivatives: badly scaled, with parameters of zero, tiny or huge, near the edge of their domain.

All are written with numpy's functions, so that a complex step in extended precision gives their derivatives to about
1e-18, by code that is not optcore's.
"""

from dataclasses import dataclass

import numpy as np


def rosenbrock_chain(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def wood(x):
    a, b, c, d = x
    return (
        100 * (a**2 - b) ** 2
        + (a - 1) ** 2
        + (c - 1) ** 2
        + 90 * (c**2 - d) ** 2
        + 10.1 * ((b - 1) ** 2 + (d - 1) ** 2)
        + 19.8 * (b - 1) * (d - 1)
    )


def brown_badly_scaled(x):
    return (x[0] - 1e6) ** 2 + (x[1] - 2e-6) ** 2 + (x[0] * x[1] - 2) ** 2


#: More, Garbow and Hillstrom (1981), ACM TOMS 7(1), problem 10.
MEYER = np.array(
    [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872], dtype=float
)


def meyer(x):
    t = 45.0 + 5.0 * np.arange(1, 17)
    return ((x[0] * np.exp(x[1] / (t + x[2])) - MEYER) ** 2).sum()


#: The same, problem 17.
OSBORNE = np.array(
    [
        *(0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628),
        *(0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420),
        *(0.414, 0.411, 0.406),
    ]
)


def osborne_residuals(x):
    t = 10.0 * np.arange(33)
    return OSBORNE - (x[0] + x[1] * np.exp(-t * x[3]) + x[2] * np.exp(-t * x[4]))


def osborne(x):
    return (osborne_residuals(x) ** 2).sum()


SCALES_9 = 10.0 ** np.arange(-4, 5)


def badly_scaled_9(x):
    return (np.sin(SCALES_9 * x) + (SCALES_9 * x) ** 2 / 2).sum()


def huge(x):
    y = x / 1e8
    return (np.exp(0.1 * y) + y**2).sum() + y[0] * y[-1]


SCALES_6 = 10.0 ** np.arange(6)


def zeros_6(x):
    return np.exp(0.3 * SCALES_6 * x).sum() + (SCALES_6 * x).sum() ** 2


def logs(x):
    return np.log(x).sum() + (x**2).sum()


def parabola_at_zero(x):
    return ((x - 1) ** 2).sum() + 100


def parabola_with_zeros(x):
    return ((x - np.arange(len(x))) ** 2).sum() + 1e3


_LOGIT = np.random.default_rng(0)
FEATURES = np.column_stack([np.ones(200), _LOGIT.normal(size=(200, 4))])
CHOICES = (_LOGIT.uniform(size=200) < 1 / (1 + np.exp(-FEATURES @ np.array([0.3, -1, 0.5, 2, 0])))).astype(float)


def logit(x):
    index = FEATURES @ x
    return (np.log(1 + np.exp(index)) - CHOICES * index).sum()


@dataclass(frozen=True)
class Hard:
    """A function and where its derivative is wanted."""

    fun: object
    x: np.ndarray

    @property
    def gradient(self):
        return exact(self.fun, self.x)


def exact(fun, x):
    """The derivative by a complex step of 1e-40 in extended precision, shape (n,) or (m, n)."""
    point = np.asarray(x, dtype=np.clongdouble)
    columns = []
    for i in range(len(x)):
        moved = point.copy()
        moved[i] += np.clongdouble(1e-40j)
        columns.append(np.imag(fun(moved)) / np.longdouble(1e-40))
    return np.array(columns, dtype=float).T


#: The nine that start far from zero, then the four with parameters of zero.
HARD = {
    "rosenbrock": Hard(rosenbrock_chain, np.tile([-1.2, 1.0], 5)),
    "wood": Hard(wood, np.array([-3.0, -1.0, -3.0, -1.0])),
    "brown badly scaled": Hard(brown_badly_scaled, np.ones(2)),
    "meyer": Hard(meyer, np.array([0.02, 4000.0, 250.0])),
    "osborne 1": Hard(osborne, np.array([0.5, 1.5, -1.0, 0.01, 0.02])),
    "badly scaled": Hard(badly_scaled_9, 0.7 / SCALES_9),
    "huge": Hard(huge, 1e8 * np.array([1.0, -2.0, 3.0, 0.5, -0.7, 1.3])),
    "zeros of scales 1 to 1e5": Hard(zeros_6, np.zeros(6)),
    "logs": Hard(logs, 10.0 ** -np.arange(1, 7)),
    "parabola at zero": Hard(parabola_at_zero, np.zeros(5)),
    "rosenbrock at zero": Hard(rosenbrock_chain, np.zeros(10)),
    "parabola with zeros": Hard(parabola_with_zeros, np.zeros(6) + np.array([0, 1.5, 0, 4.0, 0, 9.0])),
    "logit at zero": Hard(logit, np.zeros(5)),
}
