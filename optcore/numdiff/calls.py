"""The calls that one derivative makes: batches of points, counted by purpose, with the failures among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, UserFunctionError
from optcore.evaluator import Evaluator
from optcore.functions import FlatFun
from optcore.history import FUN, NUMDIFF
from optcore.marks import Kind
from optcore.numdiff.batched import together
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.remote import Remote

__all__ = ["Caller", "Calls"]

Vector = NDArray[np.float64]


class Caller:
    """Calls one function through the evaluator, here or where the backend does it.

    Args:
        function: the user function.
        evaluator: makes and counts the calls.
        options: say where and how.
        keep_errors: an exception at a difference point is an outcome like NaN.
    """

    def __init__(self, function: FlatFun, evaluator: Evaluator, options: NumdiffOptions, *, keep_errors: bool) -> None:
        self.function = function
        self._evaluator = evaluator
        self.keeps_errors = keep_errors
        self._is_complex = options.method == "complex_step"
        in_one_call = options.batch_evaluator == "batch"
        self.remote = Remote(function, options)
        backend = together if in_one_call else self.remote if self.remote.backend is not None else None
        self._backend = backend if backend is not None or self._is_complex else one_by_one

    def batch(self, points: NDArray[Any], tasks: list[int], *, keep_errors: bool = False) -> list[Any] | None:
        """Outputs at points of shape (k, n); None if one failed and failures are to be survived."""
        try:
            outputs = self._evaluator.batch(
                self.function, points, tasks, self._backend, keep_errors=keep_errors or self.keeps_errors
            )
        except UserFunctionError as error:
            if not self._is_complex or not isinstance(error.__cause__, (TypeError, np.exceptions.ComplexWarning)):
                raise
            raise InvalidFunctionError(
                f"complex_step needs a function that takes complex params, but {error}; "
                "use numpy's functions instead of math's, or another method"
            ) from error
        return outputs


class _Outcome:
    """Of one evaluation made here."""

    __slots__ = ("error", "start", "stop", "value")

    def __init__(self, value: Any, error: BaseException | None, start: float, stop: float) -> None:
        self.value, self.error, self.start, self.stop = value, error, start, stop


def one_by_one(function: Any, points: NDArray[Any]) -> Iterator[_Outcome]:
    """Evaluate real points here, as directly as can be: each one is used once, so that no copies are needed."""
    answer, read, clock = function.local_answer(may_change_x=True), function.read, perf_counter
    plain = (float, np.float64) if function.kind is Kind.SCALAR else ()
    for x in points:
        start = clock()
        try:
            answered = answer(x)
            value = (number := float(answered), number) if type(answered) in plain else read(answered)
        except BaseException as error:  # noqa: BLE001  whatever a user function raises; it was called
            yield _Outcome(None, error, start, clock())
        else:
            yield _Outcome(value, None, start, clock())


class Calls:
    """The calls for the derivative at one x.

    Args:
        caller: makes them.
        x: shape (n,).
        base: output at x, where it is known already.

    Attributes:
        base: output at x, or None.
        n_rounds: batches so far.
        failures: (coordinate, point, reason) of each point without a finite value.
        raised: exceptions in the last batch, by the position of their point.
    """

    def __init__(self, caller: Caller, x: Vector, base: Any) -> None:
        self._caller = caller
        self._x = x
        self.base = base
        self.n_rounds = 0
        self.failures: list[tuple[int, NDArray[Any], str]] = []
        self._spent: Counter[str] = Counter()
        self.raised: dict[int, Exception] = {}

    @property
    def n_evaluations(self) -> dict[str, int]:
        """Calls by purpose."""
        return {purpose: number for purpose, number in self._spent.items() if number}

    def round(
        self,
        points: NDArray[Any],
        purpose: str,
        *,
        with_base: bool,
        more: tuple[str, int] = ("", 0),
        keep_errors: bool = False,
    ) -> Any:
        """One batch.

        Args:
            points: shape (k, n).
            purpose: of the calls.
            with_base: the value at x is needed too. Wherever it is computed it counts as a call of fun, since the
                solver asked about x.
            more: purpose of so many points at the end.
            keep_errors: exceptions at the points are no errors, whatever the caller does with them elsewhere.

        Returns:
            The k values, shape (k,) or (k, m), NaN where the function raised; None if the derivative failed
            and failures are to be survived.
        """
        k = len(points)
        with_base = with_base and self.base is None
        if with_base:
            points = np.concatenate([self._x[None], points])
        if not len(points):  # every param is fixed
            return np.empty(0)
        tasks = [NUMDIFF] * len(points)
        if with_base:
            tasks[0] = FUN
            self._spent["base"] = 1
        self._spent[purpose] += k - more[1]
        if more[1]:
            self._spent[more[0]] += more[1]
        self.n_rounds += 1
        outputs = self._caller.batch(points, tasks, keep_errors=keep_errors)
        if outputs is None:
            return None
        if with_base:
            self.base = outputs.pop(0)
        return self._values(outputs)

    def _values(self, outputs: list[Any]) -> NDArray[Any]:
        raised = self.raised = {i: output for i, output in enumerate(outputs) if isinstance(output, Exception)}
        if not raised:
            return np.array(outputs)
        known = next((output for i, output in enumerate(outputs) if i not in raised), self.base)
        nothing = np.full(np.shape(0.0 if known is None else known), np.nan)
        return np.array([nothing if i in raised else output for i, output in enumerate(outputs)])

    def note_failures(self, points: NDArray[Any], coordinate: NDArray[np.intp], values: NDArray[Any]) -> None:
        """Remember which of the first points of the last batch have no finite value, and why.

        Args:
            points: shape (k, n).
            coordinate: which coordinate each one moves, shape (k,).
            values: shape (k,) or (k, m).
        """
        rows = values.reshape(len(values), -1)
        for k in np.flatnonzero(~np.isfinite(rows).all(axis=1)):
            error = self.raised.get(int(k))
            wrong = rows[k][~np.isfinite(rows[k])][0]
            reason = str(wrong) if error is None else f"{type(error).__name__}: {error}"
            self.failures.append((int(coordinate[k]), points[k], reason))
