"""How exact derivatives are at which cost, by method and function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optcore.numdiff.derivative import NumericalDerivative
from optcore.numdiff.options import NumdiffOptions
from optcore_bench.derivative_bench.functions import HARD, HardFunction, exact_derivative, moved_points, rosenbrock

__all__ = ["METHODS", "NOISY", "accuracy_table", "noise_table"]

Vector = NDArray[np.float64]

#: Standard deviations of uniform noise.
NOISE_LEVELS = (0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2)

#: What is compared, by the names that tables and figures use.
METHODS: dict[str, NumdiffOptions] = {
    "forward": NumdiffOptions(),
    "central": NumdiffOptions(method="central"),
    "complex_step": NumdiffOptions(method="complex_step"),
    "richardson": NumdiffOptions(method="richardson"),
    "forward, calibrated": NumdiffOptions(step_size="calibrated"),
    "central, calibrated": NumdiffOptions(method="central", step_size="calibrated"),
    "forward, shi": NumdiffOptions(step_size="shi"),
}

#: What is compared where the function is noisy.
NOISY: dict[str, NumdiffOptions] = {
    "forward": METHODS["forward"],
    "central": METHODS["central"],
    "forward, noise estimated": NumdiffOptions(noise="estimate"),
    "central, noise estimated": NumdiffOptions(method="central", noise="estimate"),
    "richardson, noise estimated": NumdiffOptions(method="richardson", noise="estimate", tol=1e-4),
}


#: Takes the gradient of a function at a point by another library; None where that isn't installed.
Peer = Callable[[Callable[[Vector], float], Vector], Vector | None]


def _by_scipy(method: str, fun: Callable[[Vector], float], x: Vector) -> Vector:
    """By scipy's `approx_derivative`, which its solvers use."""
    from scipy.optimize._numdiff import approx_derivative

    return np.asarray(approx_derivative(fun, x, method=method))


#: Methods of scipy, computed in the same way and shown beside.
PEERS: dict[str, Peer] = {f"scipy {method}": partial(_by_scipy, method) for method in ("2-point", "3-point")}


class _Counted:
    """A function that counts its calls."""

    def __init__(self, fun: Callable[[Vector], float]) -> None:
        self._fun = fun
        self.calls = 0

    def __call__(self, x: Vector) -> float:
        self.calls += 1
        return self._fun(x)


def accuracy_table(
    functions: Mapping[str, HardFunction] | None = None,
    methods: Mapping[str, NumdiffOptions] | None = None,
    peers: Mapping[str, Peer] | None = None,
) -> pd.DataFrame:
    """Errors and costs of first derivatives, and of those that follow at moved points with what was learnt.

    Args:
        functions: what to differentiate; `HARD` by default.
        methods: how; `METHODS` by default.
        peers: by which other libraries too; scipy's two methods by default. Those that aren't installed have no rows.

    Returns:
        One row a (function, method, phase), phase "first" (at the point itself) or "next" (five points moved by three
        per cent). Columns: `function, n, method, phase, evaluations, rounds` (means per derivative), `norm_error`
        (largest error of an entry over the largest entry), `entry_error` (largest relative error of an entry that
        doesn't vanish in the rounding of the value),
        `bounds_held` (share of entries whose error is within its bound, NaN where a method gives none); the largest
        errors over the phase's points.

    >>> table = accuracy_table({"wood": HARD["wood"]}, {"central": METHODS["central"]})
    >>> table[table["phase"] == "first"].set_index("method")["evaluations"].to_dict()
    {'central': 9.0, 'scipy 2-point': 5.0, 'scipy 3-point': 9.0}
    """
    rows = []
    for function in (functions or HARD).values():
        phases = {"first": [function.x], "next": moved_points(function.x)}
        for name, options in (methods or METHODS).items():
            with NumericalDerivative(function.fun, function.x, options=options) as derivative:
                rows += [_row(function, name, phase, _ours(derivative, points)) for phase, points in phases.items()]
        for name, peer in (PEERS if peers is None else peers).items():
            for phase, points in phases.items():
                if measured := list(_theirs(function.fun, peer, points)):
                    rows.append(_row(function, name, phase, measured))
    return pd.DataFrame(rows)


_Measured = Iterable[tuple[Vector, Vector, Vector | None, int, int]]


def _ours(derivative: NumericalDerivative, points: Iterable[Vector]) -> _Measured:
    """Points, gradients, their bounds, calls and rounds."""
    with np.errstate(all="ignore"):
        for x in points:
            result = derivative(x)
            yield x, result.derivative, result.error, sum(result.n_evaluations.values()), result.n_rounds


def _theirs(fun: Callable[[Vector], float], peer: Peer, points: Iterable[Vector]) -> _Measured:
    with np.errstate(all="ignore"):
        for x in points:
            counted = _Counted(fun)
            gradient = peer(counted, x)
            if gradient is not None:
                yield x, gradient, None, counted.calls, 2


def _row(function: HardFunction, method: str, phase: str, measured: _Measured) -> dict[str, Any]:
    norm_errors, entry_errors, held, evaluations, rounds = [], [], [], [], []
    for x, gradient, bound, calls, n_rounds in measured:
        exact = exact_derivative(function.fun, x)
        error = np.where(np.isfinite(gradient), np.abs(gradient - exact), np.inf)
        norm_errors.append(error.max() / np.abs(exact).max())
        resolved = is_resolved(function.fun(x), exact, x)
        entry_errors.append((error[resolved] / np.abs(exact[resolved])).max())
        held.append(np.nan if bound is None else float((error <= bound).mean()))
        evaluations.append(calls)
        rounds.append(n_rounds)
    return {
        "function": function.name,
        "n": function.x.size,
        "method": method,
        "phase": phase,
        "evaluations": float(np.mean(evaluations)),
        "rounds": float(np.mean(rounds)),
        "norm_error": float(np.max(norm_errors)),
        "entry_error": float(np.max(entry_errors)),
        "bounds_held": float(np.mean(held)),
    }


def is_resolved(value: float, gradient: Vector, x: Vector) -> NDArray[np.bool_]:
    """Which entries of a gradient can be seen in the function's values at all.

    Args:
        value: the function at x.
        gradient: its exact gradient, shape (n,).
        x: shape (n,).

    Returns:
        Whether a step of max(|x|, 1) changes the value by more than a thousand roundings of it, shape (n,).

    >>> is_resolved(1e12, np.array([-2e6, -4e-6]), np.ones(2)).tolist()
    [True, False]
    """
    eps = np.finfo(np.float64).eps
    return np.asarray(np.abs(gradient) * np.maximum(np.abs(x), 1.0) > 1e3 * eps * abs(value))


def noise_table(levels: Iterable[float] = NOISE_LEVELS, repeats: int = 20) -> pd.DataFrame:
    """Errors where the function's values are noisy: Rosenbrock's function of ten variables with uniform noise.

    Args:
        levels: standard deviations of the noise.
        repeats: gradients at moved points, after the first, with noise of another seed each.

    Returns:
        One row a (level, method). Columns: `level, method, evaluations` (mean per gradient after the first),
        `norm_error` (median over the gradients).

    >>> table = noise_table(levels=[1e-6], repeats=3).set_index("method")["norm_error"]
    >>> bool(table["central, noise estimated"] < table["forward, noise estimated"] < table["forward"])
    True
    """
    start = HARD["rosenbrock"].x
    points = moved_points(start, repeats)
    rows = []
    for level in levels:
        for name, options in NOISY.items():
            noisy = _WithNoise(level)
            with NumericalDerivative(noisy, start, options=options) as derivative:
                derivative(start)
                errors, calls = _noisy_errors((x, _counted(derivative(x))) for x in points)
            rows.append({"level": level, "method": name, "evaluations": calls, "norm_error": errors})
        for name, peer in PEERS.items():
            errors, calls = _noisy_errors(
                (x, (gradient, n_calls)) for x, gradient, _, n_calls, _ in _theirs(_WithNoise(level), peer, points)
            )
            rows.append({"level": level, "method": name, "evaluations": calls, "norm_error": errors})
    return pd.DataFrame(rows)


def _counted(result: Any) -> tuple[Vector, int]:
    return result.derivative, sum(result.n_evaluations.values())


def _noisy_errors(measured: Iterable[tuple[Vector, tuple[Vector, int]]]) -> tuple[float, float]:
    errors, calls = [], []
    for x, (gradient, n_calls) in measured:
        exact = exact_derivative(rosenbrock, x)
        errors.append(np.abs(gradient - exact).max() / np.abs(exact).max())
        calls.append(n_calls)
    return float(np.median(errors)), float(np.mean(calls))


class _WithNoise:
    """Rosenbrock's function with uniform noise of a standard deviation, the same in every run."""

    def __init__(self, level: float) -> None:
        self._reach = np.sqrt(3.0) * level
        self._generator = np.random.default_rng(0)

    def __call__(self, x: Vector) -> float:
        return float(rosenbrock(x) + self._reach * self._generator.uniform(-1.0, 1.0))
