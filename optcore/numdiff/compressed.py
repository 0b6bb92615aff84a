"""Differences of functions with a sparse jacobian: one point for each colour of its columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optcore.numdiff.calls import Calls
from optcore.numdiff.holomorphy import check_point, refuse_if_not_holomorphic
from optcore.numdiff.pattern import SparsePart
from optcore.numdiff.plain import PlainDifferences, is_finite
from optcore.numdiff.result import Differenced
from optcore.numdiff.sparse import Pattern, plan_colours
from optcore.numdiff.subject import Subject

__all__ = ["CompressedDifferences"]

Vector = NDArray[np.float64]


class CompressedDifferences:
    """Params that share no value are moved together, by known steps.

    Args:
        subject: the function.
        pattern: what is known of its jacobian.
        plain: takes the jacobian where nothing is known yet, and columns from other points where some fail.
        sparse_output: whether jacobians are `scipy.sparse.csr_array`, not arrays.
    """

    def __init__(self, subject: Subject, pattern: SparsePart, plain: PlainDifferences, *, sparse_output: bool) -> None:
        self._subject = subject
        self._sparse = pattern
        self._plain = plain
        self._sparse_output = sparse_output

    def derivative(self, x: Vector, calls: Calls, *, ask_value: bool) -> Differenced | None:
        """A jacobian from one point for each colour; where nothing is known of the pattern, that first."""
        sparse, plain, subject = self._sparse, self._plain, self._subject
        if sparse.pattern is None:
            if not sparse.probe(x, calls):
                return None
            done = plain.derivative(x, calls, ask_value=True)
            if done is None:
                return None
            return self._shaped(done, sparse.learn(done.derivative))
        steps, box = subject.steps(x, subject.options.method), subject.box(x)
        plan = plan_colours(x, steps, box, sparse.pattern)
        points, more = plan.points, ("", 0)
        check = None
        if not plain.is_checked:
            check = check_point(x, subject.scale(x), box, subject.eps)
        elif (direction := sparse.check_direction(x, steps.h)) is not None:
            check = np.clip(x + direction, box.lower, box.upper)
        if check is not None:
            points, more = np.concatenate([points, check[None]]), ("check", 1)
        with_base = ask_value or plan.needs_base or check is not None
        values = calls.round(points, "differences", with_base=with_base, more=more)
        if values is None:
            return None
        entries, pattern = plan.entries(values[: len(plan.points)], calls.base), plan.pattern
        if check is not None:
            matrix, move = pattern.matrix(entries), check.real - x
            if not plain.is_checked:
                refuse_if_not_holomorphic(move, calls.base, values[-1], matrix, subject.eps)
                plain.is_checked = True
            elif not sparse.agrees(matrix, move, values[-1].real, calls.base, subject.eps):
                sparse.forget()
                return self.derivative(x, calls, ask_value=ask_value)
        if subject.recovers and not is_finite(entries):
            calls.note_failures(plan.points, np.full(len(plan.points), -1), values[: len(plan.points)])
            done = plain.recover(x, calls, steps, pattern.dense(entries))
            return done and self._shaped(done, pattern)
        derivative = pattern.matrix(entries) if self._sparse_output else pattern.dense(entries)
        return Differenced(calls.base, derivative, steps, calls.n_evaluations, calls.n_rounds)

    def _shaped(self, done: Differenced, pattern: Pattern) -> Differenced:
        """A dense jacobian made sparse where that is wanted: solvers need all of them alike."""
        if not self._sparse_output:
            return done
        return done._replace(derivative=pattern.matrix(done.derivative[pattern.rows, pattern.columns]))
