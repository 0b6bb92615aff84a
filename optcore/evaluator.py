"""The only door to user code: call, time, count, stop at the budget, catch, record."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidFunctionError, InvalidInputError, UserFunctionError
from optcore.history import FUN, INFEASIBLE, JAC, NUMDIFF, TASKS, Recorder
from optcore.marks import Kind

__all__ = ["Budget", "ErrorHandling", "Evaluator", "FlatFunction", "Status", "StopSolver"]

ErrorHandling = Literal["raise", "continue"]


class Status(StrEnum):
    """How an optimization ended."""

    CONVERGED = "converged"  # the solver says that its convergence criteria are met
    STOPPED = "stopped"  # the solver stopped without claiming convergence
    BUDGET_EVALUATIONS = "budget_evaluations"
    BUDGET_SECONDS = "budget_seconds"
    ERROR = "error"
    INTERRUPTED = "interrupted"


def _real(value: Any) -> float | None:
    """A limit as a float, NaN (which is no limit) if it isn't a number; None stays None."""
    if value is None:
        return None
    return float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else float("nan")


@dataclass(frozen=True)
class Budget:
    """What an optimization may spend. The first limit that is reached ends it with the best point so far.

    Args:
        max_evaluations: calls of fun (those for numerical derivatives included) and fun_and_jac together.
        max_gradients: the same in units of n + 1 evaluations, the price of a forward-difference gradient.
        max_seconds: wall time; checked before each call.
    """

    max_evaluations: int | None = None
    max_gradients: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_evaluations", "max_gradients"):
            number = _real(getattr(self, name))
            if number is not None and not (number % 1 == 0 and number >= 1):
                raise InvalidInputError(
                    f"Budget.{name} must be a whole number of at least 1, but is {getattr(self, name)!r}"
                )
        seconds = _real(self.max_seconds)
        if seconds is not None and not seconds > 0:
            raise InvalidInputError(f"Budget.max_seconds must be above 0, but is {self.max_seconds!r}")

    def resolve(self, n: int) -> tuple[int | None, float | None]:
        """The limits (evaluations, seconds) for n params.

        >>> Budget(max_gradients=200).resolve(4)
        (1000, None)
        """
        limits = [self.max_evaluations] if self.max_evaluations is not None else []
        if self.max_gradients is not None:
            limits.append(self.max_gradients * (n + 1))
        return (int(min(limits)) if limits else None), self.max_seconds


class StopSolver(BaseException):
    """Unwinds a solver at once. A BaseException, so that no `except Exception` in a library swallows it."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class FlatFunction(Protocol):
    """A user function of a flat vector (see functions.py)."""

    task: int
    name: str
    kind: Kind

    def __call__(self, x: NDArray[Any], /) -> tuple[Any, float]:
        """(output, scalar value)."""
        ...

    def local_answer(self, *, may_change_x: bool) -> Callable[[NDArray[np.float64]], Any]:
        """What calls the user function in this process."""
        ...

    def read(self, answer: Any, /) -> tuple[Any, float]:
        """(output, scalar value) from what it answered."""
        ...


class Evaluated(Protocol):
    """What a backend yields for one point; times are readings of perf_counter."""

    value: Any
    error: BaseException | None
    start: float
    stop: float


Backend = Callable[[Callable[[NDArray[Any]], Any], NDArray[Any]], Iterator[Any]]


class Evaluator:
    """Calls user functions and keeps the books.

    Args:
        recorder: where each call is written.
        describe: a flat vector as messages show it.
        sign: 1 to minimize, -1 to maximize.
        max_evaluations: limit on calls of fun and fun_and_jac together, or None.
        max_seconds: limit on the wall time since `recorder.origin`, or None.
        error_handling: "raise", or "continue" (a failed call is recorded with the value NaN and answered by None).
        bounds: the best point must be within them.
    """

    def __init__(
        self,
        recorder: Recorder,
        describe: Callable[[NDArray[np.float64]], str],
        *,
        sign: int = 1,
        max_evaluations: int | None = None,
        max_seconds: float | None = None,
        error_handling: ErrorHandling = "raise",
        bounds: FlatBounds | None = None,
    ) -> None:
        self.counts = [0, 0, 0, 0]
        self.best_fun = np.inf  # times sign: smaller is better
        self._best: bytes | None = None
        self._recorder = recorder
        self._describe = describe
        self._sign = sign
        self.max_evaluations = max_evaluations
        self._left = np.inf if max_evaluations is None else max_evaluations
        self.max_seconds = max_seconds
        self._deadline = np.inf if max_seconds is None else recorder.origin + max_seconds
        #: Whether a failed call is answered by None instead of an exception.
        self.survives = error_handling == "continue"
        #: The last exception of a user function.
        self.last_failure: Exception | None = None
        self._bounds = bounds
        self._batch = 0

    @property
    def n_fun_evals(self) -> int:
        """Calls of fun, those for numerical derivatives included."""
        return self.counts[FUN] + self.counts[NUMDIFF]

    def caller(
        self, function: FlatFunction, *, may_change_x: bool = False
    ) -> Callable[[NDArray[np.float64], bytes], Any]:
        """What calls a function at one point: output, or None if it failed and failures are to be survived.

        A closure, because this is what every evaluation goes through; all that doesn't change is bound once. It takes
        the point and its bytes, which the caller has at hand.

        Args:
            function: the user function.
            may_change_x: the solver makes a copy of x for each call, so that no other is needed.
        """
        task, counts, sign = function.task, self.counts, self._sign
        add, clock, deadline = self._recorder.add, perf_counter, self._deadline
        answer, read, spends = function.local_answer(may_change_x=may_change_x), function.read, task != JAC
        bounds = self._bounds
        plain = np.float64 if task == FUN and function.kind is Kind.SCALAR else None

        def call(x: NDArray[np.float64], data: bytes) -> Any:
            if spends:
                if self._left <= 0:
                    self._stop_evaluations()
                self._left -= 1
            start = clock()
            if start >= deadline:
                self._stop_seconds()
            try:
                answered = answer(x)
                if type(answered) is plain:
                    output = value = float(answered)  # numpy's own floats are slow in all that follows
                else:
                    output, value = read(answered)
            except Exception as error:  # noqa: BLE001  whatever a user function raises
                self._book(task, np.nan, start, clock(), data)
                self._batch += 1
                return self._failed(error, function.name, np.frombuffer(data))
            stop = clock()
            counts[task] += 1
            if bounds is None or bounds.contain(np.frombuffer(data)):
                add(task, value, self._batch, start, stop, data)
                if sign * value < self.best_fun:
                    self.best_fun, self._best = sign * value, data
            else:
                add(task | INFEASIBLE, value, self._batch, start, stop, data)
            self._batch += 1
            return output

        return call

    def batch(
        self, function: FlatFunction, points: NDArray[Any], tasks: list[int], backend: Backend | None
    ) -> list[Any] | None:
        """Calls at many points that could run at the same time; recorded in the order of the points.

        Args:
            function: called at each point.
            points: shape (k, n), float64 or complex128 (the real part is recorded).
            tasks: for each point what the call is for.
            backend: None calls here, one after the other; else (function, points) -> results in order.

        Returns:
            The k outputs, or None if one failed and failures are to be survived.

        Raises:
            StopSolver: the budget ends within the batch; what was evaluated until then is recorded.
        """
        if perf_counter() >= self._deadline:
            self._stop_seconds()
        k = len(points)
        allowed = int(min(k, self._left))
        outputs: list[Any] = []
        failed = False
        results = (_serial if backend is None else backend)(function, points[:allowed])
        # Closing: calls under way end at once where the budget stops the batch.
        with contextlib.closing(results) if isinstance(results, Generator) else contextlib.nullcontext():
            for i, result in enumerate(results):
                self._left -= 1
                x = points[i].real
                if result.error is not None:
                    self._book(tasks[i], np.nan, result.start, result.stop, x.tobytes())
                    self._failed(result.error, function.name, x)
                    failed = True
                    continue
                output, value = result.value
                self._book(tasks[i], value, result.start, result.stop, x.tobytes())
                outputs.append(output)
                if result.stop >= self._deadline:
                    self._stop_seconds()
        self._batch += 1
        if allowed < k:
            self._stop_evaluations()
        return None if failed else outputs

    def _stop_evaluations(self) -> None:
        raise StopSolver(Status.BUDGET_EVALUATIONS, f"the budget of {self.max_evaluations} evaluations is spent")

    def _stop_seconds(self) -> None:
        raise StopSolver(Status.BUDGET_SECONDS, f"the budget of {self.max_seconds:g} seconds is spent")

    def _book(self, task: int, value: float, start: float, stop: float, data: bytes) -> None:
        self.counts[task] += 1
        feasible = self._bounds is None or self._bounds.contain(np.frombuffer(data))
        self._recorder.add(task if feasible else task | INFEASIBLE, value, self._batch, start, stop, data)
        if feasible and task != NUMDIFF:
            self.consider(value, data)

    def consider(self, value: float, data: bytes) -> None:
        """Remember a feasible point, given as bytes, if it is the best one so far."""
        if self._sign * value < self.best_fun:
            self.best_fun, self._best = self._sign * value, data

    @property
    def best_x(self) -> NDArray[np.float64] | None:
        """The best feasible point that the solver asked for, shape (n,); None if there is none."""
        return None if self._best is None else np.frombuffer(self._best).copy()

    def _failed(self, error: BaseException, name: str, x: NDArray[np.float64]) -> None:
        if not isinstance(error, Exception):
            raise error
        if isinstance(error, InvalidFunctionError):
            raise error
        self.last_failure = error
        if self.survives:
            return
        raise UserFunctionError(
            f"{name} raised {type(error).__name__}: {error}; at params {self._describe(x)}. "
            "Mend the function, or survive such points with error_handling='continue'"
        ) from error

    def count(self, task: str) -> int:
        """Calls for one of the tasks in history.TASKS."""
        return self.counts[TASKS.index(task)]


class _Result:
    """One evaluation made here."""

    __slots__ = ("error", "start", "stop", "value")

    def __init__(self, value: Any, error: BaseException | None, start: float, stop: float) -> None:
        self.value, self.error, self.start, self.stop = value, error, start, stop


def _serial(function: Callable[[NDArray[Any]], Any], points: NDArray[Any]) -> Iterator[_Result]:
    for x in points:
        start = perf_counter()
        try:
            value = function(x)
        except Exception as error:  # noqa: BLE001  whatever a user function raises
            yield _Result(None, error, start, perf_counter())
        else:
            yield _Result(value, None, start, perf_counter())
