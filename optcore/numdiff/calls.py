"""The calls that one derivative makes: batches of points, counted by purpose, with the failures among them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, UserFunctionError
from optcore.evaluator import Evaluator
from optcore.functions import FlatFun
from optcore.history import DIFFERENCE, FUN, NUMDIFF, code_of
from optcore.numdiff.batched import together
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.remote import Remote
from optcore.purpose import Purpose

__all__ = ["Caller", "Calls"]

Vector = NDArray[np.float64]

#: What rows have for the purposes that derivatives count. The base point is a call of fun for the solver, since that
#: asked about it.
_CODES = {
    "differences": DIFFERENCE,
    "calibration": code_of(NUMDIFF, Purpose.CALIBRATION),
    "noise": code_of(NUMDIFF, Purpose.NOISE),
    "check": code_of(NUMDIFF, Purpose.PROBE),
    "probe": code_of(NUMDIFF, Purpose.PROBE),
}


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
        self._in_one_call = options.batch_evaluator == "batch"
        self._together = partial(together, function)
        self.remote = Remote(function, options)
        self._backend = None if self.remote.backend is None else self.remote
        self.new_batch = evaluator.new_batch

    def batch(
        self, points: NDArray[Any], codes: list[int], *, keep_errors: bool = False, number: int | None = None
    ) -> Sequence[Any] | NDArray[Any] | None:
        """Outputs at points of shape (k, n); None if one failed and failures are to be survived.

        Args:
            points: the user function may write to them.
            codes: task and purpose of each.
            keep_errors: an exception is an outcome, whatever it is elsewhere.
            number: of the batch, from `new_batch`.
        """
        keep_errors = keep_errors or self.keeps_errors
        try:
            if self._in_one_call:
                return self._evaluator.at_once(
                    self._together, self.function.name, points, codes, keep_errors=keep_errors, number=number
                )
            return self._evaluator.batch(
                self.function, points, codes, self._backend, keep_errors=keep_errors, number=number
            )
        except UserFunctionError as error:
            if not self._is_complex or not isinstance(error.__cause__, (TypeError, np.exceptions.ComplexWarning)):
                raise
            raise InvalidFunctionError(
                f"complex_step needs a function that takes complex params, but {error}; "
                "use numpy's functions instead of math's, or another method"
            ) from error


class Calls:
    """The calls for the derivative at one x.

    Args:
        caller: makes them.
        x: shape (n,).
        base: output at x, where it is known already.
        batches: gets, by number of its batch, how many points of differences there were.

    Attributes:
        base: output at x, or None.
        n_rounds: batches so far.
        failures: (coordinate, point, reason) of each point without a finite value.
        raised: exceptions in the last batch, by the position of their point.
    """

    def __init__(self, caller: Caller, x: Vector, base: Any, batches: dict[int, int] | None = None) -> None:
        self._caller = caller
        self._x = x
        self.base = base
        self.n_rounds = 0
        self.failures: list[tuple[int, NDArray[Any], str]] = []
        self._spent: dict[str, int] = {}
        self._batches = batches
        self.raised: dict[int, Exception] = {}

    @property
    def n_evaluations(self) -> dict[str, int]:
        """Calls by purpose."""
        return dict(self._spent)

    def round(
        self,
        points: NDArray[Any],
        purpose: str,
        *,
        with_base: bool,
        more: tuple[str, int] = ("", 0),
        joined: NDArray[Any] | None = None,
        keep_errors: bool = False,
    ) -> Any:
        """One batch.

        Args:
            points: shape (k, n).
            purpose: of the calls.
            with_base: the value at x is needed too. Wherever it is computed it counts as a call of fun, since the
                solver asked about x.
            more: purpose of so many points at the end.
            joined: the points with x in front of them, shape (k + 1, n), where they are at hand.
            keep_errors: exceptions at the points are no errors, whatever the caller does with them elsewhere.

        Returns:
            The k values, shape (k,) or (k, m), NaN where the function raised; None if the derivative failed
            and failures are to be survived.
        """
        k = len(points)
        with_base = with_base and self.base is None
        if with_base:
            points = np.concatenate([self._x[None], points]) if joined is None else joined
        if not len(points):  # every param is fixed
            return np.empty(0)
        last, n_last = more
        first, spent = k - n_last, self._spent
        codes = [_CODES[purpose]] * first
        if with_base:
            codes.insert(0, FUN)
            spent["base"] = 1
        if first:
            spent[purpose] = spent.get(purpose, 0) + first
        if n_last:
            codes += [_CODES[last]] * n_last
            spent[last] = spent.get(last, 0) + n_last
        self.n_rounds += 1
        number = None
        if self._batches is not None:
            number = self._caller.new_batch()
            self._batches[number] = codes.count(DIFFERENCE)
        outputs = self._caller.batch(points, codes, keep_errors=keep_errors, number=number)
        if outputs is None:
            return None
        if with_base:
            self.base = outputs.item(0) if isinstance(outputs, np.ndarray) else outputs[0]
            outputs = outputs[1:]
        return self._values(outputs)

    def _values(self, outputs: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
        if isinstance(outputs, np.ndarray):
            return outputs
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
