"""Differences with known steps: one batch, and more only where points fail."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.numdiff.calls import Calls
from optcore.numdiff.columns import Columns
from optcore.numdiff.holomorphy import HolomorphyCheck
from optcore.numdiff.recovery import Retries
from optcore.numdiff.result import Differenced
from optcore.numdiff.schemes import Steps, all_finite
from optcore.numdiff.subject import Subject

__all__ = ["PlainDifferences", "is_finite"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]


class PlainDifferences:
    """One batch of points for known steps."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._check = HolomorphyCheck() if subject.options.method == "complex_step" else None

    def derivative(self, x: Vector, calls: Calls, *, ask_value: bool) -> Differenced | None:
        """By the method and the steps of the options."""
        return self.take(x, calls, self._subject.options.method, None, ask_value=ask_value)

    def take(
        self, x: Vector, calls: Calls, method: str, measured: Vector | None, *, ask_value: bool
    ) -> Differenced | None:
        """By any method of one round; with measured steps, shape (n,), where they are given."""
        subject, columns = self._subject, self._subject.columns
        steps, room = subject.steps(x, method, measured), subject.room(x)
        plan = columns.plan(x, steps, room)
        points, joined, more = plan.points, getattr(plan, "joined", None), ("", 0)
        check = self._check if self._check is not None and self._check.is_due else None
        if check is not None:
            beside = check.point(x, subject.scale(x), room, subject.eps)
            points, joined, more = np.concatenate([points, beside[None]]), None, ("check", 1)
        with_base = ask_value or plan.needs_base or check is not None
        values = calls.round(points, "differences", with_base=with_base, more=more, joined=joined)
        if values is None:
            return None
        if subject.notice_precision():
            # Steps for double precision vanish in its rounding. Once is enough to learn that.
            return self.take(x, calls, method, measured, ask_value=ask_value)
        derivative = _assemble(columns, plan, values[: len(plan.points)], calls.base)
        if check is not None and not check.passes(
            x, calls, beside, values[-1], columns.matrix(derivative), room, subject.eps
        ):
            return None
        if subject.recovers and not is_finite(derivative):
            plan = columns.plan(x, steps, room)  # anew: the function may have written to its params
            calls.note_failures(plan.points, plan.coordinate, values[: len(plan.points)])
            return self._recover(x, calls, steps, derivative)
        return Differenced(calls.base, derivative, steps, calls.n_evaluations, calls.n_rounds)

    def _recover(self, x: Vector, calls: Calls, steps: Steps, derivative: Array) -> Differenced | None:
        """Take the columns that are not finite from other points, as far as there are any.

        Columns that were moved together are first tried together, then one by one: any of them may be to blame.
        """
        columns: Columns | None = self._subject.columns
        assert columns is not None
        room = self._subject.room(x)
        h, scheme = steps.h.copy(), steps.scheme.astype("<U10")
        is_open = set(map(int, columns.bad(derivative)))
        again = False
        while columns is not None and is_open:
            retries = Retries(x, steps, sorted(is_open), room, again=again)
            while is_open and is_finite(calls.base) and (attempt := retries.next(is_open)) is not None:
                plan = columns.plan(x, attempt, room)
                values = calls.round(plan.points, "differences", with_base=plan.needs_base)
                if values is None:
                    return None
                calls.note_failures(plan.points, plan.coordinate, values)
                found = _assemble(columns, plan, values, calls.base)
                good = np.setdiff1d(np.flatnonzero(attempt.h), columns.bad(found))
                columns.put(derivative, found, good)
                h[good], scheme[good] = attempt.h[good], attempt.scheme[good]
                is_open -= set(map(int, good))
            columns, again = columns.alone(), True
        scheme[list(is_open)] = "failed"
        return Differenced(
            calls.base,
            derivative,
            Steps(h, scheme),
            calls.n_evaluations,
            calls.n_rounds,
            failures=tuple(calls.failures),
        )


def _assemble(columns: Columns, plan: Any, values: NDArray[Any], base: Any) -> Array:
    if plan.points.dtype.kind == "c":  # values may be real, of functions that drop the imaginary part
        return columns.derivative(plan, values.imag, None if base is None else np.real(base))
    return columns.derivative(plan, values, base)


def is_finite(values: Any) -> bool:
    """Whether all are; of None, which isn't known, it is assumed."""
    return values is None or all_finite(np.asarray(values))
