"""The only door to user code: call, time, count, stop at the budget, catch, record."""

from __future__ import annotations

import contextlib
import itertools
import numbers
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import Any, Literal, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, InvalidInputError, UserFunctionError
from optcore.history import FAILED, FUN, FUN_AND_JAC, INFEASIBLE, JAC, NUMDIFF, TASKS
from optcore.ledger import BATCH_SHIFT, Ledger
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
    gradient_shape: tuple[int, ...] | None

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


_FLOAT64 = np.dtype(np.float64)
#: So many rows are put into the books together.
_SETTLE = 512


class Evaluator:
    """Calls user functions and keeps the books. Several threads may call it at the same time.

    Args:
        ledger: where each call is written.
        describe: a flat vector as messages show it.
        max_evaluations: limit on calls of fun and fun_and_jac together, or None.
        max_seconds: limit on the wall time since `ledger.origin`, or None.
        error_handling: "raise", or "continue" (a failed call is recorded with the value NaN and answered by None).
    """

    def __init__(
        self,
        ledger: Ledger,
        describe: Callable[[NDArray[np.float64]], str],
        *,
        max_evaluations: int | None = None,
        max_seconds: float | None = None,
        error_handling: ErrorHandling = "raise",
    ) -> None:
        self.ledger = ledger
        self._describe = describe
        self.max_evaluations = max_evaluations
        #: Numbers each evaluation, in one step that no other thread can come between.
        self._spend = itertools.count(1).__next__
        self._number_batch = itertools.count(1).__next__
        self.max_seconds = max_seconds
        self._deadline = np.inf if max_seconds is None else ledger.origin + max_seconds
        #: Whether a failed call is answered by None instead of an exception.
        self.survives = error_handling == "continue"
        #: The last exception of a user function.
        self.last_failure: Exception | None = None

    def caller(
        self, function: FlatFunction, *, may_change_x: bool = False
    ) -> Callable[[NDArray[np.float64], bytes], Any]:
        """What calls the function at one point: output, or None if it failed and failures are to be survived.

        A closure, because this is what every evaluation goes through; all that doesn't change is bound once. It takes
        the point and its bytes, which the caller has at hand.

        Args:
            function: the user function.
            may_change_x: the solver makes a copy of x for each call, so that no other is needed.
        """
        task, ledger = function.task, self.ledger
        append, pending, settle = ledger.append, ledger.pending, ledger.settle
        clock, deadline, spend = perf_counter, self._deadline, self._spend
        answer, read = function.local_answer(may_change_x=may_change_x), function.read
        limit = None if task == JAC else self.max_evaluations
        # What most functions answer needs no reading: a number of numpy's, or a gradient as it should be.
        shape = function.gradient_shape if task == JAC else None
        plain = np.ndarray if shape else np.float64 if task == FUN and function.kind is Kind.SCALAR else None
        nan = float("nan")

        def call(x: NDArray[np.float64], data: bytes) -> Any:
            if limit is not None and spend() > limit:
                self._stop_evaluations()
            start = clock()
            if start >= deadline:
                self._stop_seconds()
            try:
                answered = answer(x)
                if type(answered) is not plain:
                    output, value = read(answered)
                elif shape is None:
                    output = value = float(answered)  # numpy's own floats are slow in all that follows
                elif answered.dtype is _FLOAT64 and answered.shape == shape:
                    output, value = answered, nan
                else:
                    output, value = read(answered)
            except BaseException as error:  # noqa: BLE001  whatever a user function raises; it was called
                append((task | FAILED, nan, start, clock(), data))
                return self._failed(error, function.name, np.frombuffer(data))
            append((task, value, start, clock(), data))
            if len(pending) >= _SETTLE:
                settle()
            return output

        return call

    def batch(
        self,
        function: FlatFunction,
        points: NDArray[Any],
        tasks: list[int],
        backend: Backend | None,
        *,
        keep_errors: bool = False,
    ) -> list[Any] | None:
        """Calls at many points that could run at the same time; recorded in the order of the points.

        Args:
            function: called at each point.
            points: shape (k, n), float64 or complex128 (the real part is recorded).
            tasks: for each point what the call is for.
            backend: None calls here, one after the other; else (function, points) -> results in order.
            keep_errors: where a call for a numerical derivative raises, the exception takes the place of its output.

        Returns:
            The k outputs, or None if one failed and failures are to be survived.

        Raises:
            StopSolver: the budget ends within the batch; what was evaluated until then is recorded.
        """
        if perf_counter() >= self._deadline:
            self._stop_seconds()
        k = allowed = len(points)
        if self.max_evaluations is not None:
            allowed = sum(self._spend() <= self.max_evaluations for _ in range(k))
        group = self._number_batch() << BATCH_SHIFT
        data = points.real.tobytes()
        size = len(data) // k
        append = self.ledger.append
        outputs: list[Any] = []
        failed = False
        results = (_serial if backend is None else backend)(function, points[:allowed])
        # Closing: calls under way end at once where the budget stops the batch.
        with contextlib.closing(results) if isinstance(results, Generator) else contextlib.nullcontext():
            for i, result in enumerate(results):
                x = data[i * size : (i + 1) * size]
                if result.error is not None:
                    append((tasks[i] | FAILED | group, np.nan, result.start, result.stop, x))
                    if keep_errors and tasks[i] == NUMDIFF and _is_survivable(result.error):
                        self.last_failure = result.error
                        outputs.append(result.error)
                        continue
                    self._failed(result.error, function.name, np.frombuffer(x))
                    failed = True
                    continue
                output, value = result.value
                append((tasks[i] | group, value, result.start, result.stop, x))
                outputs.append(output)
                if result.stop >= self._deadline:
                    self._stop_seconds()
        self._settle_many()
        if allowed < k:
            self._stop_evaluations()
        return None if failed else outputs

    def probe(self, function: FlatFunction, x: NDArray[np.float64]) -> Any:
        """One call at a point that no solver asked for: counted, recorded and budgeted like any other, never the best.

        Returns:
            The output; None if the user function raised (see `last_failure`), whatever `error_handling` is.
        """
        # INFEASIBLE keeps it from those that a solver asked for; numdiff and jac are none of them anyway.
        code = {FUN: NUMDIFF, FUN_AND_JAC: FUN_AND_JAC | INFEASIBLE}.get(function.task, function.task)
        if function.task != JAC and self.max_evaluations is not None and self._spend() > self.max_evaluations:
            self._stop_evaluations()
        start = perf_counter()
        if start >= self._deadline:
            self._stop_seconds()
        try:
            output, value = function(x)
        except BaseException as error:
            self.ledger.append((code | FAILED, float("nan"), start, perf_counter(), x.tobytes()))
            if not _is_survivable(error):
                raise
            self.last_failure = error
            return None
        self.ledger.append((code, value, start, perf_counter(), x.tobytes()))
        self._settle_many()
        return output

    def _settle_many(self) -> None:
        if len(self.ledger.pending) >= _SETTLE:
            self.ledger.settle()

    def _stop_evaluations(self) -> None:
        raise StopSolver(Status.BUDGET_EVALUATIONS, f"the budget of {self.max_evaluations} evaluations is spent")

    def _stop_seconds(self) -> None:
        raise StopSolver(Status.BUDGET_SECONDS, f"the budget of {self.max_seconds:g} seconds is spent")

    def _failed(self, error: BaseException, name: str, x: NDArray[np.float64]) -> None:
        if not _is_survivable(error):
            raise error
        self.last_failure = error
        if self.survives:
            return
        raise UserFunctionError(
            f"{name} raised {type(error).__name__}: {error}; at params {self._describe(x)}. "
            "Mend the function, or survive such points with error_handling='continue'"
        ) from error

    @property
    def counts(self) -> dict[str, int]:
        """Calls so far by task, those in history.TASKS."""
        return dict(zip(TASKS, self.ledger.counts, strict=True))


def _is_survivable(error: BaseException) -> TypeGuard[Exception]:
    """Whether it is a failure at a point, not Ctrl-C and not an answer that can never be used."""
    return isinstance(error, Exception) and not isinstance(error, InvalidFunctionError)


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
        except BaseException as error:  # noqa: BLE001  whatever a user function raises; it was called
            yield _Result(None, error, start, perf_counter())
        else:
            yield _Result(value, None, start, perf_counter())
