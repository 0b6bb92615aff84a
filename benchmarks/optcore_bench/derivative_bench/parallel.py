"""How well workers are used, and from which cost of a call on they pay."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from optcore.numdiff.derivative import NumericalDerivative
from optcore.numdiff.options import NumdiffOptions

__all__ = ["break_even", "break_even_table", "crossing", "efficiency_table"]

Vector = NDArray[np.float64]

CALL_SECONDS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
WORKERS = (2, 4, 8)
#: Calls of these lengths are made by a busy processor, not by a sleeping one.
BUSY_SECONDS = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3)
#: About so much time goes into one cell of a table.
_CELL_SECONDS = 1.0
_MAX_REPEATS = 200


@dataclass(frozen=True)
class Sleeping:
    """Takes time without a processor, as a function that waits for another machine does."""

    seconds: float

    def __call__(self, x: Vector) -> float:
        time.sleep(self.seconds)
        return float(x @ x)


@dataclass(frozen=True)
class Busy:
    """Takes a processor's time."""

    seconds: float

    def __call__(self, x: Vector) -> float:
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            pass
        return float(x @ x)


def efficiency_table(
    call_seconds: Iterable[float] = CALL_SECONDS,
    workers: Iterable[int] = WORKERS,
    n: int = 10,
    evaluators: Sequence[str] = ("processes", "threads", "joblib"),
) -> pd.DataFrame:
    """Time of a gradient by sleeping functions against what so many workers need at least.

    Args:
        call_seconds: times of a call.
        workers: numbers of workers.
        n: number of params; a gradient is n + 1 calls.
        evaluators: `batch_evaluator`s to compare.

    Returns:
        One row a (evaluator, workers, call_seconds). Columns: these, `gradient_seconds` (median), and `efficiency`,
        `ceil((n + 1) / workers) call_seconds / gradient_seconds`, with the time of a call as measured here.
    """
    rows = []
    for seconds in call_seconds:
        function = Sleeping(seconds)
        for evaluator in evaluators:
            for number in workers:
                options = NumdiffOptions(n_cores=number, batch_evaluator=evaluator)
                with NumericalDerivative(function, np.ones(n), options=options) as gradient:
                    call, spent = _side_by_side([function, gradient], n, seconds * (n + 1))
                ideal = math.ceil((n + 1) / number) * call
                rows.append(
                    {
                        "evaluator": evaluator,
                        "workers": number,
                        "call_seconds": seconds,
                        "gradient_seconds": spent,
                        "efficiency": ideal / spent,
                    }
                )
    return pd.DataFrame(rows)


def break_even_table(
    busy_seconds: Iterable[float] = BUSY_SECONDS, workers: int = 2, ns: Iterable[int] = (10, 40)
) -> pd.DataFrame:
    """Speed-up of gradients by workers over serial ones, by functions that keep a processor busy.

    Args:
        busy_seconds: times of a call.
        workers: number of workers; more than the processor's cores make no sense.
        ns: numbers of params.

    Returns:
        One row a (evaluator, n, call_seconds). Columns: these, `serial_seconds, parallel_seconds, speed_up` (medians of
        gradients).
    """
    rows = []
    for evaluator in ("processes", "joblib"):
        for n in ns:
            for seconds in busy_seconds:
                function, x = Busy(seconds), np.ones(n)
                options = NumdiffOptions(n_cores=workers, batch_evaluator=evaluator)
                with NumericalDerivative(function, x, options=options) as gradient:
                    both = [NumericalDerivative(function, x), gradient]
                    serial, parallel = _side_by_side(both, n, seconds * (n + 1))
                rows.append(
                    {
                        "evaluator": evaluator,
                        "n": n,
                        "call_seconds": seconds,
                        "serial_seconds": serial,
                        "parallel_seconds": parallel,
                        "speed_up": serial / parallel,
                    }
                )
    return pd.DataFrame(rows)


def break_even(table: pd.DataFrame, evaluator: str, n: int) -> float:
    """From which time of a call on workers pay, in seconds: where the speed-up crosses 1, interpolated in logarithms.

    Args:
        table: of `break_even_table`.
        evaluator: one of its evaluators.
        n: one of its numbers of params.

    Returns:
        Seconds; the shortest call of the table where workers pay everywhere, infinity where they never do.

    >>> table = pd.DataFrame({"evaluator": "processes", "n": 10, "call_seconds": [1e-4, 1e-2], "speed_up": [0.5, 2.0]})
    >>> round(break_even(table, "processes", 10), 6)
    0.001
    """
    chosen = table[(table["evaluator"] == evaluator) & (table["n"] == n)].sort_values("call_seconds")
    return crossing(chosen["call_seconds"].to_numpy(), chosen["speed_up"].to_numpy())


def crossing(call_seconds: ArrayLike, speed_up: ArrayLike) -> float:
    """The time of a call above which the speed-up stays above 1, interpolated in logarithms; as `break_even`.

    Args:
        call_seconds: increasing, shape (k,).
        speed_up: shape (k,).
    """
    log_time, log_gain = np.log(call_seconds), np.log(speed_up)
    below = np.flatnonzero(log_gain < 0)
    if not below.size:
        return float(np.exp(log_time[0]))
    last = below[-1]
    if last == log_gain.size - 1:
        return math.inf
    share = -log_gain[last] / (log_gain[last + 1] - log_gain[last])
    return float(np.exp(log_time[last] + share * (log_time[last + 1] - log_time[last])))


def _side_by_side(functions: Sequence[Callable[[Vector], object]], n: int, expected: float) -> list[float]:
    """Median times of functions that are called in turn, so that what else the machine does hits them alike.

    Args:
        functions: each takes x, shape (n,). Their first calls, with which workers start, are left out.
        n: number of params.
        expected: seconds that one turn takes, about.
    """
    x = np.ones(n)
    repeats = int(np.clip(_CELL_SECONDS / expected, 3, _MAX_REPEATS))
    for function in functions:
        function(x)
    spent: list[list[float]] = [[] for _ in functions]
    for i in range(repeats):
        x[0] = 1.0 + i / repeats
        for function, times in zip(functions, spent, strict=True):
            start = time.perf_counter()
            function(x)
            times.append(time.perf_counter() - start)
    return [float(np.median(times)) for times in spent]
