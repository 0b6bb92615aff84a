"""The only door to user code: call, time, count, stop at the budget, catch, record."""

from __future__ import annotations

import contextlib
import itertools
import numbers
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import Any, Literal, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, InvalidInputError, UserFunctionError
from optcore.history import FAILED, FUN, FUN_AND_JAC, INFEASIBLE, JAC, NUMDIFF, TASK, TASKS, code_of
from optcore.ledger import BATCH_SHIFT, Ledger
from optcore.marks import Kind
from optcore.purpose import Purpose

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
#: What takes many points, shape (k, n), and gives the k outputs and scalar values; an output that can't be read is the
#: exception that says so.
Together = Callable[[NDArray[Any]], tuple[Sequence[Any] | NDArray[Any], Sequence[float] | NDArray[Any]]]

#: Codes of calls at points that no solver asked for. INFEASIBLE keeps those of fun_and_jac from being the best.
_PROBES = {
    FUN: code_of(NUMDIFF, Purpose.PROBE),
    JAC: code_of(JAC, Purpose.PROBE),
    FUN_AND_JAC: code_of(FUN_AND_JAC, Purpose.PROBE) | INFEASIBLE,
}

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
        #: A number for a batch of calls, never the same.
        self.new_batch = itertools.count(1).__next__
        self.max_seconds = max_seconds
        self._deadline = np.inf if max_seconds is None else ledger.origin + max_seconds
        #: Whether a failed call is answered by None instead of an exception.
        self.survives = error_handling == "continue"
        #: The last exception of a user function.
        self.last_failure: Exception | None = None

    def caller(
        self,
        function: FlatFunction,
        *,
        may_change_x: bool = False,
        code: int | None = None,
        failed: Callable[[BaseException, str, NDArray[np.float64]], None] | None = None,
    ) -> Callable[[NDArray[np.float64], bytes], Any]:
        """What calls the function at one point: output, or None if it failed and failures are to be survived.

        A closure, because this is what every evaluation goes through; all that doesn't change is bound once. It takes
        the point and its bytes, which the caller has at hand.

        Args:
            function: the user function.
            may_change_x: the solver makes a copy of x for each call, so that no other is needed.
            code: task and purpose as rows have them; None: a solver asks for the task of the function.
            failed: raises, or doesn't, where the function did; None: as `error_handling` says.
        """
        task, ledger = function.task, self.ledger
        code = task if code is None else code
        failed = self._failed if failed is None else failed
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
                append((code | FAILED, nan, start, clock(), data))
                return failed(error, function.name, np.frombuffer(data))
            append((code, value, start, clock(), data))
            if len(pending) >= _SETTLE:
                settle()
            return output

        return call

    def prober(self, function: FlatFunction) -> Callable[[NDArray[np.float64]], Any]:
        """What calls the function at points that no solver asked for: recorded and budgeted as any, never the best.

        It answers None if the user function raised (see `last_failure`), whatever `error_handling` is.
        """
        call = self.caller(function, code=_PROBES[function.task], failed=self._note_failure)
        return lambda x: call(x, x.tobytes())

    def batch(
        self,
        function: FlatFunction,
        points: NDArray[Any],
        codes: list[int],
        backend: Backend | None,
        *,
        keep_errors: bool = False,
        number: int | None = None,
    ) -> list[Any] | None:
        """Calls at many points that could run at the same time; recorded in the order of the points.

        Args:
            function: called at each point.
            points: shape (k, n), float64 or complex128 (the real part is recorded). Nobody needs them any more: the
                user function may get the rows themselves.
            codes: for each point task and purpose of the call (`history.code_of`).
            backend: None calls here, one after the other; else (function, points) -> results in order.
            keep_errors: where a call for a numerical derivative raises, the exception takes the place of its output.
            number: of the batch, from `new_batch`; None: a new one.

        Returns:
            The k outputs, or None if one failed and failures are to be survived.

        Raises:
            StopSolver: the budget ends within the batch; what was evaluated until then is recorded.
        """
        allowed, group = self._admit(len(points), number)
        codes = [code | group for code in codes]
        is_over = allowed < len(points)
        points = points[:allowed]
        if backend is None:
            outputs = self._here(function, points, codes, keep_errors)
        else:
            outputs = self._elsewhere(backend, function, points, codes, keep_errors)
        self._settle_many()
        if is_over:
            self._stop_evaluations()
        return outputs

    def at_once(
        self,
        together: Together,
        name: str,
        points: NDArray[Any],
        codes: list[int],
        *,
        keep_errors: bool = False,
        number: int | None = None,
    ) -> Sequence[Any] | NDArray[Any] | None:
        """As `batch`, by one call that takes all points; each of them counts as a call of the user function.

        Args:
            together: makes the call. An exception is that of every point.
            name: of the user function.
            points: see `batch`, as for what follows.
            codes: task and purpose of each.
            keep_errors: where an answer can't be read, the exception takes its place.
            number: of the batch.
        """
        allowed, group = self._admit(len(points), number)
        keeps_rows = self.ledger.keeps_rows
        data, n_bytes = _bytes_of(points[:allowed]) if keeps_rows else (b"", 0)
        outputs: Sequence[Any] | NDArray[Any]
        values: Sequence[float] | NDArray[Any]
        start = perf_counter()
        try:
            outputs, values = together(points[:allowed])
        except BaseException as error:  # noqa: BLE001  whatever a user function raises; it was called
            outputs, values = [error] * allowed, [float("nan")] * allowed
        stop = perf_counter()
        failed = False
        can_fail = not isinstance(outputs, np.ndarray)
        if keeps_rows or can_fail:
            data, n_bytes = (data, n_bytes) if keeps_rows else _bytes_of(points[:allowed])
            rows = [data[at : at + n_bytes] for at in range(0, len(data), n_bytes)]
            append = self.ledger.append
            values = values.tolist() if isinstance(values, np.ndarray) else values
            for output, value, code, row in zip(outputs, values, codes, rows, strict=False):
                if can_fail and isinstance(output, BaseException):
                    append((code | group | FAILED, value, start, stop, row))
                    failed |= not self._keeps(output, code, keep_errors, name, row)
                else:
                    append((code | group, value, start, stop, row))
        self._settle_many()
        if stop >= self._deadline:
            self._stop_seconds()
        if allowed < len(points):
            self._stop_evaluations()
        return None if failed else outputs

    def _admit(self, k: int, number: int | None) -> tuple[int, int]:
        """How many of k calls the budget allows, which are charged; and what marks their rows as one batch."""
        self.check_time()
        limit, spend = self.max_evaluations, self._spend
        allowed = k if limit is None else sum(spend() <= limit for _ in range(k))
        return allowed, (self.new_batch() if number is None else number) << BATCH_SHIFT

    def _here(
        self, function: FlatFunction, points: NDArray[Any], codes: list[int], keep_errors: bool
    ) -> list[Any] | None:
        """Calls in this thread, one after the other, as directly as can be."""
        ledger, clock, deadline = self.ledger, perf_counter, self._deadline
        append = ledger.append if ledger.keeps_rows else None
        answer: Any
        read: Any
        plain: tuple[type, ...]
        if points.dtype.kind == "c":
            answer, read, plain = function, tuple, ()  # it reads by itself
        else:
            answer, read = function.local_answer(may_change_x=True), function.read
            plain = (np.float64, float) if function.kind is Kind.SCALAR else ()
        data, n_bytes = _bytes_of(points)
        outputs: list[Any] = []
        failed = False
        for i, x in enumerate(points):
            start = clock()
            if start >= deadline:
                self._stop_seconds()
            try:
                answered = answer(x)
                if type(answered) in plain:
                    output = value = float(answered)
                else:
                    output, value = read(answered)
            except BaseException as error:  # noqa: BLE001  whatever a user function raises; it was called
                row = data[i * n_bytes : (i + 1) * n_bytes]
                ledger.append((codes[i] | FAILED, np.nan, start, clock(), row))
                if self._keeps(error, codes[i], keep_errors, function.name, row):
                    outputs.append(error)
                else:
                    failed = True
                continue
            if append is not None:
                append((codes[i], value, start, clock(), data[i * n_bytes : (i + 1) * n_bytes]))
            outputs.append(output)
        return None if failed else outputs

    def _elsewhere(
        self,
        backend: Backend,
        function: FlatFunction,
        points: NDArray[Any],
        codes: list[int],
        keep_errors: bool,
    ) -> list[Any] | None:
        """Calls where a backend makes them."""
        append = self.ledger.append
        data, n_bytes = _bytes_of(points)
        outputs: list[Any] = []
        failed = False
        results = backend(function, points)
        # Closing: calls under way end at once where the budget stops the batch.
        with contextlib.closing(results) if isinstance(results, Generator) else contextlib.nullcontext():
            for i, result in enumerate(results):
                row = data[i * n_bytes : (i + 1) * n_bytes]
                if result.error is not None:
                    append((codes[i] | FAILED, np.nan, result.start, result.stop, row))
                    if self._keeps(result.error, codes[i], keep_errors, function.name, row):
                        outputs.append(result.error)
                    else:
                        failed = True
                    continue
                output, value = result.value
                append((codes[i], value, result.start, result.stop, row))
                outputs.append(output)
                if result.stop >= self._deadline:
                    self._stop_seconds()
        return None if failed else outputs

    def _keeps(self, error: BaseException, code: int, keep_errors: bool, name: str, x: bytes) -> bool:
        """Whether an exception takes the place of an output; otherwise it is raised, or the batch has failed."""
        if keep_errors and code & TASK == NUMDIFF and _is_survivable(error):
            self.last_failure = error
            return True
        self._failed(error, name, np.frombuffer(x))
        return False

    def check_time(self) -> None:
        """Stop if the time is over: for those who answer without a call."""
        if perf_counter() >= self._deadline:
            self._stop_seconds()

    def _settle_many(self) -> None:
        if len(self.ledger.pending) >= _SETTLE:
            self.ledger.settle()

    def _stop_evaluations(self) -> None:
        raise StopSolver(Status.BUDGET_EVALUATIONS, f"the budget of {self.max_evaluations} evaluations is spent")

    def _stop_seconds(self) -> None:
        raise StopSolver(Status.BUDGET_SECONDS, f"the budget of {self.max_seconds:g} seconds is spent")

    def _note_failure(self, error: BaseException, _name: str, _x: NDArray[np.float64]) -> None:
        if not _is_survivable(error):
            raise error
        self.last_failure = error

    def _failed(self, error: BaseException, name: str, x: NDArray[np.float64]) -> None:
        self._note_failure(error, name, x)
        if self.survives:
            return
        raise UserFunctionError(
            f"{name} raised {type(error).__name__}: {error}; at params {self._describe(x)}. "
            "Mend the function, or survive such points with error_handling='continue'"
        ) from error

    @property
    def purposes(self) -> dict[str, int]:
        """Calls of fun and fun_and_jac so far by purpose."""
        return self.ledger.purposes

    @property
    def counts(self) -> dict[str, int]:
        """Calls so far by task, those in history.TASKS."""
        return dict(zip(TASKS, self.ledger.counts, strict=True))


def _is_survivable(error: BaseException) -> TypeGuard[Exception]:
    """Whether it is a failure at a point, not Ctrl-C and not an answer that can never be used."""
    return isinstance(error, Exception) and not isinstance(error, InvalidFunctionError)


def _bytes_of(points: NDArray[Any]) -> tuple[bytes, int]:
    """Points, shape (k, n), as bytes of float64, and how many there are of each."""
    return points.real.tobytes(), 8 * points.shape[1]
