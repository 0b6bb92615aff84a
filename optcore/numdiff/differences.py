"""Derivatives of a flat function by differences: what minimize and NumericalDerivative both use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidFunctionError, InvalidInputError
from optcore.evaluator import Evaluator
from optcore.functions import FlatFun
from optcore.numdiff import adaptive, noise, rules
from optcore.numdiff.batched import take_many
from optcore.numdiff.calibration import Calibration, calibrate
from optcore.numdiff.calls import Caller, Calls
from optcore.numdiff.holomorphy import check_point, refuse_if_not_holomorphic
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.pattern import SparsePart
from optcore.numdiff.recovery import Retries
from optcore.numdiff.result import Differenced
from optcore.numdiff.schedule import Schedule
from optcore.numdiff.schemes import Plan, Steps, choose_steps, default_scale, plan_points, relative_step
from optcore.numdiff.sparse import Pattern, plan_colours
from optcore.tree import Converter

__all__ = ["Differences"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]
EPS_SINGLE = float(np.finfo(np.float32).eps)
#: Where an estimated level of noise is a standard deviation, single values are this many times further off.
SPREAD = 3.0


class Differences:
    """Derivatives of one flat function.

    Args:
        function: the user function.
        evaluator: makes and counts the calls.
        converter: reads steps given as trees.
        bounds: the points stay within them.
        options: how to take differences.
        standalone: no solver asks: an exception at a difference point is no worse than NaN, and points come in any
            order.
        sparse_output: whether jacobians of a known pattern are `scipy.sparse.csr_array`, not arrays.
    """

    def __init__(
        self,
        function: FlatFun,
        evaluator: Evaluator,
        converter: Converter,
        bounds: FlatBounds,
        options: NumdiffOptions,
        *,
        standalone: bool = False,
        sparse_output: bool = False,
    ) -> None:
        self.options = options
        self._sparse_output = sparse_output
        self._function = function
        self._bounds = bounds
        self._converter = converter
        self._recovers = options.on_failure != "raise" and options.method != "complex_step"
        take_many(function, options, is_vector=converter.is_vector)
        self._caller = Caller(
            function, evaluator, options, keep_errors=self._recovers and (standalone or evaluator.survives)
        )
        self._n_events = len(self._caller.events)
        given = None if isinstance(options.step_size, str) else options.step_size
        self._step = _positive(converter, given, "step_size")
        self._typical = _positive(converter, options.typical_x, "typical_x")
        self._factor = converter.flatten_partial(options.scaling_factor, default=1.0, what="scaling_factor")
        self._eps = converter.eps
        self._checked = options.method != "complex_step"
        self._noise: Vector | None = None if isinstance(options.noise, str) else _level(options.noise)
        self._estimates_noise = options.noise == "estimate" or (options.measures is not None and options.noise is None)
        self._sparse = SparsePart(options.sparsity, converter.n) if options.sparsity is not None else None
        self._schedule = Schedule(options, None if standalone else evaluator) if options.measures else None

    @property
    def notes(self) -> list[str]:
        """What happened to the workers since this object was made, one sentence each."""
        return self._caller.events[self._n_events :]

    def derivative(self, x: Vector, base: Any = None, *, ask_value: bool = False) -> Differenced | None:
        """The derivative at x, shape (n,), and the value there if it is known or asked for.

        Args:
            x: the point.
            base: output of the function at x, where it is known already.
            ask_value: the value at x is wanted for its own sake too.

        Returns:
            None if a call failed and failures are to be survived.
        """
        calls = Calls(self._caller, x, base)
        if self.options.method == "richardson":
            return self._extrapolate(x, calls)
        if self._sparse is not None:
            return self._compressed(x, calls, self._sparse, ask_value=ask_value)
        if self._schedule is None:
            return self._plain(x, calls, self.options.method, None, ask_value=ask_value)
        return self._measured(x, calls, self._schedule, ask_value=ask_value)

    def _box(self, x: Vector) -> FlatBounds:
        """What the points must stay in: the bounds, and x, since some solvers leave the bounds on their way."""
        bounds = self._bounds
        if not bounds.any or bounds.contain(x):
            return bounds
        return FlatBounds(np.minimum(bounds.lower, x), np.maximum(bounds.upper, x))

    # plain differences ---------------------------------------------------------------------------------------------

    def steps(self, x: Vector, method: str, measured: Vector | None = None) -> Steps:
        """The steps at x, shape (n,), of a method with one round."""
        if measured is not None:
            # A measured step may be smaller than the rounding of an x that has moved.
            h = np.maximum(measured, 4 * np.spacing(np.abs(x)))
        else:
            h = relative_step(method, self._eps) * self._factor * default_scale(x, self._typical)
            if self._step is not None:
                h = np.where(np.isnan(self._step), h, self._step)
        steps = choose_steps(method, x, h, self._box(x))
        if not steps.h.all():
            self._refuse_vanishing(x, h, steps)
        return steps

    def _refuse_vanishing(self, x: Vector, h: Vector, steps: Steps) -> None:
        for i in np.flatnonzero((steps.h == 0) & (steps.scheme != "fixed")):
            raise InvalidInputError(
                f"the step {h[i]:g} for {self._converter.names[i]!r} vanishes in the rounding of {float(x[i])!r}; "
                "give a larger step_size, scaling_factor or typical_x"
            )

    def _plain(
        self, x: Vector, calls: Calls, method: str, measured: Vector | None, *, ask_value: bool
    ) -> Differenced | None:
        """One batch, and more only where points fail."""
        steps = self.steps(x, method, measured)
        plan = plan_points(x, steps, self._box(x))
        points, more = plan.points, ("", 0)
        if not self._checked:
            check = check_point(x, default_scale(x, self._typical), self._box(x), self._eps)
            points, more = np.concatenate([points, check[None]]), ("check", 1)
        with_base = ask_value or plan.needs_base or not self._checked
        values = calls.round(points, "differences", with_base=with_base, more=more)
        if values is None:
            return None
        if self._function.is_single and self._eps < EPS_SINGLE:
            # Steps for double precision vanish in its rounding. Once is enough to learn that.
            self._eps = EPS_SINGLE
            return self._plain(x, calls, method, measured, ask_value=ask_value)
        derivative = _assemble(plan, values[: len(plan.points)], calls.base)
        if not self._checked:
            refuse_if_not_holomorphic(check.real - x, calls.base, values[-1], derivative, self._eps)
            self._checked = True
        if self._recovers and not _is_finite(derivative):
            calls.note_failures(plan.points, plan.coordinate, values)
            return self._recover(x, calls, steps, derivative)
        return Differenced(calls.base, derivative, steps, calls.n_evaluations, calls.n_rounds)

    def _recover(self, x: Vector, calls: Calls, steps: Steps, derivative: Array) -> Differenced | None:
        """Take the columns that are not finite from other points, as far as there are any."""
        columns = np.atleast_2d(derivative)
        bad = np.flatnonzero(~np.isfinite(columns).all(axis=0))
        h, scheme = steps.h.copy(), steps.scheme.astype("<U10")
        box = self._box(x)
        retries = Retries(x, steps, bad, box)
        is_open = set(map(int, bad))
        while is_open and _is_finite(calls.base) and (attempt := retries.next(is_open)) is not None:
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

    def _compressed(self, x: Vector, calls: Calls, sparse: SparsePart, *, ask_value: bool) -> Differenced | None:
        """A jacobian from one point for each colour; where nothing is known of the pattern, that first."""
        if sparse.pattern is None:
            if not sparse.probe(x, calls):
                return None
            done = self._plain(x, calls, self.options.method, None, ask_value=True)
            if done is None:
                return None
            return self._shaped(done, sparse.learn(done.derivative))
        steps = self.steps(x, self.options.method)
        plan = plan_colours(x, steps, self._box(x), sparse.pattern)
        points, more = plan.points, ("", 0)
        box = self._box(x)
        check = None
        if not self._checked:
            check = check_point(x, default_scale(x, self._typical), box, self._eps)
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
            if not self._checked:
                refuse_if_not_holomorphic(move, calls.base, values[-1], matrix, self._eps)
                self._checked = True
            elif not sparse.agrees(matrix, move, values[-1].real, calls.base, self._eps):
                sparse.forget()
                return self._compressed(x, calls, sparse, ask_value=ask_value)
        if self._recovers and not _is_finite(entries):
            calls.note_failures(plan.points, np.full(len(plan.points), -1), values[: len(plan.points)])
            done = self._recover(x, calls, steps, pattern.dense(entries))
            return done and self._shaped(done, pattern)
        derivative = pattern.matrix(entries) if self._sparse_output else pattern.dense(entries)
        return Differenced(calls.base, derivative, steps, calls.n_evaluations, calls.n_rounds)

    def _shaped(self, done: Differenced, pattern: Pattern) -> Differenced:
        """A dense jacobian made sparse where that is wanted: solvers need all of them alike."""
        if not self._sparse_output:
            return done
        return done._replace(derivative=pattern.matrix(done.derivative[pattern.rows, pattern.columns]))

    # extrapolated differences --------------------------------------------------------------------------------------

    def _extrapolate(self, x: Vector, calls: Calls, purpose: str = "differences") -> Differenced | None:
        found = self._richardson(x, calls, purpose)
        return found if found is None else found[0]

    def _richardson(
        self, x: Vector, calls: Calls, purpose: str
    ) -> tuple[Differenced, adaptive.Samples, adaptive.Estimate] | None:
        box = self._box(x)
        samples, ladder = adaptive.start(x, box, self._first_steps(x))
        progress: adaptive.Progress | None = None
        found: adaptive.Estimate | None = None
        while found is None or len(ladder):
            more = self._sample(x, calls, box, samples, ladder, purpose)
            if more is None:
                return None
            samples = adaptive.turn(more)
            level = None if self._noise is None else SPREAD * self._noise
            found = adaptive.estimate(samples, np.atleast_1d(calls.base), level, self._eps)
            ladder, progress = adaptive.decide(samples, found, progress, self.options.tol)
            if not _is_finite(calls.base):
                break
        return self._extrapolated(x, calls, samples, found), samples, found

    def _sample(
        self, x: Vector, calls: Calls, box: FlatBounds, samples: adaptive.Samples, ladder: Array, purpose: str
    ) -> adaptive.Samples | None:
        """One round: the values at the steps of a ladder, shape (r, n)."""
        row, column, side = _ladder_points(ladder, samples.side)
        values = self._shifted(x, calls, box, column, side * ladder[row, column], purpose, first=not len(samples.h))
        if values is None:
            return None
        if calls.failures and not self._recovers:
            coordinate, _, reason = calls.failures[0]
            raise InvalidFunctionError(
                f"the function gave {reason} where {self._converter.names[coordinate]!r} was moved for the numerical "
                "derivative; on_failure='recover' looks for other points"
            )
        if self._function.is_single:
            self._eps = max(self._eps, EPS_SINGLE)
        m = max(1, np.size(calls.base))
        up = np.full((*ladder.shape, m), np.nan)
        down = up.copy()
        for half, k in ((up, np.flatnonzero(side == 1)), (down, np.flatnonzero(side == -1))):
            half[row[k], column[k]] = values.reshape(len(values), -1)[k] if len(k) else 0.0
        return samples.with_values(ladder, up, down)

    def _extrapolated(
        self, x: Vector, calls: Calls, samples: adaptive.Samples, found: adaptive.Estimate
    ) -> Differenced:
        is_fixed = np.asarray(np.isnan(samples.h).all(axis=0))
        value = np.where(is_fixed[:, None], 0.0, found.value)
        error = np.where(is_fixed[:, None], 0.0, found.error)
        names = np.array(["richardson", "richardson_forward", "richardson_backward"])  # by side 0, 1, -1
        scheme = np.where(is_fixed, "fixed", names[samples.side])
        scheme = np.where(np.isnan(value).any(axis=1), "failed", scheme)
        step = np.fmin.reduce(found.step, axis=1) * np.where(samples.side < 0, -1.0, 1.0)
        shape = np.shape(calls.base)
        return Differenced(
            calls.base,
            value.T.reshape(*shape, x.size),
            Steps(np.where(is_fixed, 0.0, step), scheme),
            calls.n_evaluations,
            calls.n_rounds,
            error=error.T.reshape(*shape, x.size),
            noise=None if self._noise is None else self._noise.reshape(shape if self._noise.size > 1 else ()),
            failures=tuple(calls.failures),
        )

    def _first_steps(self, x: Vector) -> Vector | None:
        """Where the user says something about the scale of params, that; NaN elsewhere."""
        if self._step is None and self._typical is None:
            return None
        first = np.full(x.size, np.nan) if self._step is None else self._step.copy()
        if self._typical is not None:
            first = np.where(np.isnan(first), adaptive.FIRST_STEP * self._typical, first)
        return first

    def _shifted(
        self,
        x: Vector,
        calls: Calls,
        box: FlatBounds,
        coordinate: NDArray[np.intp],
        shift: Vector,
        purpose: str,
        *,
        first: bool = False,
    ) -> Array | None:
        """Values at x + shift e_i, shape (k, ...); in the first round those that tell the noise come along."""
        points = np.tile(x, (len(coordinate), 1))
        points[np.arange(len(coordinate)), coordinate] += shift
        points = np.clip(points, box.lower, box.upper)
        searches = first and self._estimates_noise and self._noise is None
        if not searches:
            values = calls.round(points, purpose, with_base=first)
        else:
            values = self._search_noise(x, calls, box, points, purpose)
        if values is None:
            return None
        k = len(coordinate)
        calls.note_failures(points, coordinate, values[:k])
        return np.asarray(values[:k], dtype=np.float64)

    def _search_noise(
        self, x: Vector, calls: Calls, box: FlatBounds, others: Array, purpose: str
    ) -> NDArray[Any] | None:
        """Estimate the noise; its first round has other points with it, whose values are returned."""
        floor = np.asarray(self._eps)
        search = noise.search(x, box, floor)
        points = next(search)
        kept = values = calls.round(
            np.concatenate([others, points]), purpose, with_base=True, more=("noise", len(points))
        )
        while True:
            if values is None:
                return None
            on_line = values[-len(points) :].reshape(len(points), -1)
            try:
                points = search.send((np.atleast_1d(calls.base), on_line))
            except StopIteration as stop:
                self._noise = stop.value
                return kept  # type: ignore[no-any-return]  # arrays of any kind
            values = calls.round(points, "noise", with_base=False)

    # measured steps ------------------------------------------------------------------------------------------------

    def _measured(self, x: Vector, calls: Calls, schedule: Schedule, *, ask_value: bool) -> Differenced | None:
        if schedule.is_due(x):
            if self._estimates_noise:
                self._noise = None
            if self.options.measures == "calibrated":
                return self._calibrated(x, calls, schedule)
            if not self._by_rule(x, calls, schedule):
                return None
        calibration = schedule.calibration
        assert calibration is not None
        done = self._plain(x, calls, schedule.method, calibration.step(schedule.method), ask_value=ask_value)
        if done is None:
            return None
        error = calibration.error(done.steps.scheme, done.steps.h).T.reshape(done.derivative.shape)
        schedule.judge(x, done.derivative, error, self._bounds)
        level = (
            None if self._noise is None else self._noise.reshape(np.shape(done.output) if self._noise.size > 1 else ())
        )
        return done._replace(error=error, noise=level)

    def _calibrated(self, x: Vector, calls: Calls, schedule: Schedule) -> Differenced | None:
        """An extrapolated derivative, which measures the steps of those that follow."""
        found = self._richardson(x, calls, "calibration")
        if found is None:
            return None
        done, samples, best = found
        if not _is_finite(calls.base):
            return done
        base, box = np.atleast_1d(calls.base), self._box(x)
        calibration = calibrate(x, samples, base, best.value, self._noise, self._eps)
        while len(ladder := calibration.unclear(samples)):
            more = self._sample(x, calls, box, samples, ladder, "calibration")
            if more is None:
                return None
            samples = more
            calibration = calibrate(x, samples, base, best.value, self._noise, self._eps)
        schedule.renew(calibration, done.derivative)
        return done._replace(n_evaluations=calls.n_evaluations, n_rounds=calls.n_rounds, failures=tuple(calls.failures))

    def _by_rule(self, x: Vector, calls: Calls, schedule: Schedule) -> bool:
        """Measure steps by the rules for noisy functions; whether nothing failed."""
        box = self._box(x)
        nowhere = np.empty((0, x.size))
        if self._estimates_noise:
            if self._search_noise(x, calls, box, nowhere, "calibration") is None:
                return False
        elif calls.base is None and calls.round(nowhere, "calibration", with_base=True) is None:
            return False
        base = np.atleast_1d(calls.base)
        assert self._noise is not None
        level = np.broadcast_to(self._noise, base.shape)
        search = (
            rules.more_wild(x, base, level, box)
            if self.options.measures == "more_wild"
            else rules.shi(x, base, level, box, central=schedule.method == "central")
        )
        try:
            coordinate, shift = next(search)
            while True:
                values = self._shifted(x, calls, box, coordinate, shift, "calibration")
                if values is None:
                    return False
                coordinate, shift = search.send(values.reshape(len(values), -1))
        except StopIteration as stop:
            h: Vector = stop.value
        size = np.where(h > 0, h, 1.0)[:, None]
        # At the steps of the rules truncation and noise are of the same size.
        calibration = Calibration(
            x.copy(), h, h, 4 * level / size**2, 3 * level / size**3, np.broadcast_to(level, (x.size, level.size))
        )
        schedule.renew(calibration, None)
        return True


def _ladder_points(
    ladder: Array, side: NDArray[np.int8]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int8]]:
    """Rows, columns and signs of the points of a ladder of steps (r, n); those of a coordinate follow each other."""
    column, row = np.nonzero(~np.isnan(ladder.T))
    up, down = np.flatnonzero(side[column] >= 0), np.flatnonzero(side[column] <= 0)
    index = np.concatenate([up, down])
    sign = np.repeat(np.array([1, -1], dtype=np.int8), [len(up), len(down)])
    order = np.argsort(index, kind="stable")
    return row[index[order]], column[index[order]], sign[order]


def _assemble(plan: Plan, values: NDArray[Any], base: Any) -> Array:
    if not len(values):  # every coordinate is fixed
        return np.zeros((*np.shape(base), plan.base_weight.size))
    if values.dtype.kind == "c":
        return plan.derivative(values.imag, None if base is None else np.real(base))
    return plan.derivative(values, base)


def _is_finite(values: Any) -> bool:
    return values is None or bool(np.isfinite(values).all())


def _level(noise: float | None) -> Vector | None:
    return None if noise is None else np.array([float(noise)])


def _positive(converter: Converter, tree: Any, what: str) -> Vector | None:
    if tree is None:
        return None
    flat = converter.flatten_partial(tree, default=np.nan, what=what)
    for i in np.flatnonzero(flat <= 0):
        raise InvalidInputError(f"{what} of {converter.names[i]!r} must be above 0, but is {flat[i]}")
    return flat
