"""Differences with steps that were measured: once, and again where they no longer fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.numdiff import rules
from optcore.numdiff.calibration import Calibration, calibrate
from optcore.numdiff.calls import Calls
from optcore.numdiff.extrapolated import ExtrapolatedDifferences
from optcore.numdiff.plain import PlainDifferences, is_finite
from optcore.numdiff.result import Differenced
from optcore.numdiff.sampling import Sampler
from optcore.numdiff.schedule import Schedule
from optcore.numdiff.subject import Subject

__all__ = ["MeasuredDifferences"]

Vector = NDArray[np.float64]


class MeasuredDifferences:
    """Measures steps by an extrapolation or by the rules for noisy functions, then takes plain differences with them.

    Args:
        subject: the function.
        bounds: of an optimization, for what the gradient can still do.
        sampler: evaluates around points.
        plain: takes differences of one round.
        extrapolation: takes the derivative that measures steps on its way.
        schedule: says when steps are measured, and which formula uses them.
    """

    def __init__(
        self,
        subject: Subject,
        bounds: FlatBounds,
        sampler: Sampler,
        plain: PlainDifferences,
        extrapolation: ExtrapolatedDifferences,
        schedule: Schedule,
    ) -> None:
        self._subject = subject
        self._bounds = bounds
        self._sampler = sampler
        self._plain = plain
        self._extrapolation = extrapolation
        self._schedule = schedule
        self._columns = subject.columns  # what steps were measured with

    def derivative(self, x: Vector, calls: Calls, *, ask_value: bool) -> Differenced | None:
        """With the steps that there are; where there are none, or they are in doubt, they are measured first."""
        schedule, subject = self._schedule, self._subject
        if schedule.is_due(x) or self._columns is not subject.columns:
            if self._sampler.estimates_noise:
                subject.noise = None
            if subject.options.measures == "calibrated":
                return self._calibrated(x, calls)
            if not self._by_rule(x, calls):
                return None
        calibration = schedule.calibration
        assert calibration is not None
        done = self._plain.take(x, calls, schedule.method, calibration.step(schedule.method), ask_value=ask_value)
        if done is None:
            return None
        columns = subject.columns
        error = columns.gather(calibration.error(done.steps.scheme, done.steps.h), np.shape(done.output))
        # A gradient is judged as far as the bounds let it count, the entries of a jacobian together.
        found = done.derivative if columns.rows is None else done.derivative[None]
        schedule.judge(x, found, error.reshape(found.shape), self._bounds)
        return done._replace(error=error, noise=subject.noise_of(calls))

    def _calibrated(self, x: Vector, calls: Calls) -> Differenced | None:
        """An extrapolated derivative, which measures the steps of those that follow."""
        subject, schedule = self._subject, self._schedule
        found = self._extrapolation.take(x, calls, "calibration", schedule.tolerance(subject.options.tol))
        if found is None:
            return None
        done, samples, best = found
        if not is_finite(calls.base):
            return done
        base = subject.columns.spread(np.atleast_1d(calls.base))
        noise = None if subject.noise is None else subject.columns.spread(subject.noise)
        calibration = calibrate(x, samples, base, best.value, noise, subject.eps)
        while len(ladder := calibration.unclear(samples, schedule.method)):
            more = self._sampler.ladder(x, calls, samples, ladder, "calibration")
            if more is None:
                return None
            samples = more
            calibration = calibrate(x, samples, base, best.value, noise, subject.eps)
        self._columns = subject.columns
        schedule.renew(calibration, done.derivative)
        return done._replace(n_evaluations=calls.n_evaluations, n_rounds=calls.n_rounds, failures=tuple(calls.failures))

    def _by_rule(self, x: Vector, calls: Calls) -> bool:
        """Measure steps by the rules for noisy functions; whether nothing failed."""
        subject, schedule = self._subject, self._schedule
        nowhere = np.empty((0, x.size))
        if self._sampler.estimates_noise:
            if self._sampler.search_noise(x, calls, nowhere, "calibration") is None:
                return False
        elif calls.base is None and calls.round(nowhere, "calibration", with_base=True) is None:
            return False
        columns, room = subject.columns, subject.room(x)
        base = columns.spread(np.atleast_1d(calls.base))
        assert subject.noise is not None
        level = np.broadcast_to(columns.spread(subject.noise), base.shape)
        search = (
            rules.more_wild(x, base, level, room)
            if subject.options.measures == "more_wild"
            else rules.shi(x, base, level, room, central=schedule.method == "central")
        )
        try:
            coordinate, shift = next(search)
            while True:
                values = self._sampler.shifted(x, calls, coordinate, shift, "calibration")
                if values is None:
                    return False
                coordinate, shift = search.send(values)
        except StopIteration as stop:
            h: Vector = stop.value
        size = np.where(h > 0, h, 1.0)[:, None]
        # At the steps of the rules truncation and noise are of the same size.
        calibration = Calibration(
            x.copy(),
            h,
            h,
            second=4 * level / size**2,
            third=3 * level / size**3,
            noise=np.broadcast_to(level, (x.size, level.shape[-1])),
            curved=np.ones(x.size, dtype=bool),
        )
        self._columns = columns
        schedule.renew(calibration, None)
        return True
