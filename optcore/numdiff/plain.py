"""Differences with known steps: one batch, and more only where points fail."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.numdiff.calls import Calls
from optcore.numdiff.holomorphy import check_point, refuse_if_not_holomorphic
from optcore.numdiff.recovery import Retries
from optcore.numdiff.result import Differenced
from optcore.numdiff.schemes import Plan, Steps, plan_points
from optcore.numdiff.subject import Subject

__all__ = ["PlainDifferences", "is_finite"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]


class PlainDifferences:
    """Each param is moved by itself, by a known step."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.is_checked = subject.options.method != "complex_step"

    def derivative(self, x: Vector, calls: Calls, *, ask_value: bool) -> Differenced | None:
        """By the method and the steps of the options."""
        return self.take(x, calls, self._subject.options.method, None, ask_value=ask_value)

    def take(
        self, x: Vector, calls: Calls, method: str, measured: Vector | None, *, ask_value: bool
    ) -> Differenced | None:
        """By any method of one round; with measured steps, shape (n,), where they are given."""
        subject = self._subject
        steps, box = subject.steps(x, method, measured), subject.box(x)
        plan = plan_points(x, steps, box)
        points, more = plan.points, ("", 0)
        if not self.is_checked:
            check = check_point(x, subject.scale(x), box, subject.eps)
            points, more = np.concatenate([points, check[None]]), ("check", 1)
        with_base = ask_value or plan.needs_base or not self.is_checked
        values = calls.round(points, "differences", with_base=with_base, more=more)
        if values is None:
            return None
        if subject.notice_precision():
            # Steps for double precision vanish in its rounding. Once is enough to learn that.
            return self.take(x, calls, method, measured, ask_value=ask_value)
        derivative = _assemble(plan, values[: len(plan.points)], calls.base)
        if not self.is_checked:
            refuse_if_not_holomorphic(check.real - x, calls.base, values[-1], derivative, subject.eps)
            self.is_checked = True
        if subject.recovers and not is_finite(derivative):
            calls.note_failures(plan.points, plan.coordinate, values)
            return self.recover(x, calls, steps, derivative)
        return Differenced(calls.base, derivative, steps, calls.n_evaluations, calls.n_rounds)

    def recover(self, x: Vector, calls: Calls, steps: Steps, derivative: Array) -> Differenced | None:
        """Take the columns that are not finite from other points, as far as there are any."""
        columns = np.atleast_2d(derivative)
        bad = np.flatnonzero(~np.isfinite(columns).all(axis=0))
        h, scheme = steps.h.copy(), steps.scheme.astype("<U10")
        box = self._subject.box(x)
        retries = Retries(x, steps, bad, box)
        is_open = set(map(int, bad))
        while is_open and is_finite(calls.base) and (attempt := retries.next(is_open)) is not None:
            plan = plan_points(x, attempt, box)
            values = calls.round(plan.points, "differences", with_base=plan.needs_base)
            if values is None:
                return None
            calls.note_failures(plan.points, plan.coordinate, values)
            again = np.atleast_2d(_assemble(plan, values, calls.base))
            tried = np.flatnonzero(attempt.h)
            good = tried[np.isfinite(again[:, tried]).all(axis=0)]
            columns[:, good], h[good], scheme[good] = again[:, good], attempt.h[good], attempt.scheme[good]
            is_open -= set(map(int, good))
        scheme[list(is_open)] = "failed"
        return Differenced(
            calls.base,
            columns.reshape(derivative.shape),
            Steps(h, scheme),
            calls.n_evaluations,
            calls.n_rounds,
            failures=tuple(calls.failures),
        )


def _assemble(plan: Plan, values: NDArray[Any], base: Any) -> Array:
    if not len(values):  # every coordinate is fixed
        return np.zeros((*np.shape(base), plan.base_weight.size))
    if values.dtype.kind == "c":
        return plan.derivative(values.imag, None if base is None else np.real(base))
    return plan.derivative(values, base)


def is_finite(values: Any) -> bool:
    """Whether all are; of None, which isn't known, it is assumed."""
    return values is None or bool(np.isfinite(values).all())
