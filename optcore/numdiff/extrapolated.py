"""Richardson extrapolation of one function: rounds of samples, until the estimated errors are small enough."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.numdiff import adaptive
from optcore.numdiff.calls import Calls
from optcore.numdiff.noise import SPREAD
from optcore.numdiff.plain import is_finite
from optcore.numdiff.result import Differenced
from optcore.numdiff.sampling import Sampler
from optcore.numdiff.schemes import Steps
from optcore.numdiff.subject import Subject

__all__ = ["Extrapolated", "ExtrapolatedDifferences"]

Vector = NDArray[np.float64]


class Extrapolated(NamedTuple):
    """A derivative and what it came from, which can be used to measure steps."""

    done: Differenced
    samples: adaptive.Samples
    best: adaptive.Estimate


class ExtrapolatedDifferences:
    """Differences at several steps, extrapolated, with bounds of the error."""

    def __init__(self, subject: Subject, sampler: Sampler) -> None:
        self._subject = subject
        self._sampler = sampler

    def derivative(self, x: Vector, calls: Calls, *, ask_value: bool) -> Differenced | None:  # noqa: ARG002  a Strategy
        """The value at x always belongs to it."""
        found = self.take(x, calls, "differences", self._subject.options.tol)
        return None if found is None else found.done

    def take(self, x: Vector, calls: Calls, purpose: str, tol: float) -> Extrapolated | None:
        """The derivative, each entry to the relative error tol, and its samples; None if a call failed."""
        subject = self._subject
        columns = subject.columns
        samples, ladder = adaptive.start(x, subject.room(x), self._first_steps(x))
        samples = replace(samples, rows=columns.rows)
        progress: adaptive.Progress | None = None
        found: adaptive.Estimate | None = None
        while found is None or len(ladder):
            more = self._sampler.ladder(x, calls, samples, ladder, purpose)
            if more is None:
                return None
            samples = adaptive.turn(more)
            level = None if subject.noise is None else SPREAD * columns.spread(subject.noise)
            found = adaptive.estimate(samples, columns.spread(np.atleast_1d(calls.base)), level, subject.eps)
            ladder, progress = adaptive.decide(samples, found, progress, tol)
            if not is_finite(calls.base):
                break
        return Extrapolated(self._differenced(calls, samples, found), samples, found)

    def _first_steps(self, x: Vector) -> Vector | None:
        """Where the user says something about the scale of params, that; NaN elsewhere."""
        given, typical = self._subject.first_step, self._subject.typical
        if given is None and typical is None:
            return None
        first = np.full(x.size, np.nan) if given is None else given.copy()
        if typical is not None:
            first = np.where(np.isnan(first), adaptive.FIRST_STEP * typical, first)
        return first

    def _differenced(self, calls: Calls, samples: adaptive.Samples, found: adaptive.Estimate) -> Differenced:
        is_fixed = np.asarray(np.isnan(samples.h).all(axis=0))
        value = np.where(is_fixed[:, None], 0.0, found.value)
        error = np.where(is_fixed[:, None], 0.0, found.error)
        names = np.array(["richardson", "richardson_forward", "richardson_backward"])  # by side 0, 1, -1
        scheme = np.where(is_fixed, "fixed", names[samples.side])
        scheme = np.where(np.isnan(value).any(axis=1), "failed", scheme)
        step = np.fmin.reduce(found.step, axis=1) * np.where(samples.side < 0, -1.0, 1.0)
        gather, shape = self._subject.columns.gather, np.shape(calls.base)
        return Differenced(
            calls.base,
            gather(value, shape),
            Steps(np.where(is_fixed, 0.0, step), scheme),
            calls.n_evaluations,
            calls.n_rounds,
            error=gather(error, shape),
            noise=self._subject.noise_of(calls),
            failures=tuple(calls.failures),
        )
