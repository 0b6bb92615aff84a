"""What some ten calls a param tell of a function: its price, its noise, and how good each derivative of it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore.marks import Kind
from optcore.numdiff.options import NumdiffOptions
from optcore_bench.advice.sources import Failed, Source, Taken, take_exact, take_numerical, take_steady, user_sources
from optcore_bench.advice.task import Task

__all__ = ["Probe", "Tried", "probe"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]
Entries = NDArray[np.intp]

N_POINTS = 3
#: Of up to so many params every entry is looked at at every point, of more each entry at one of them ...
ALL_ENTRIES = 3
#: ... and of so many per point at most.
MOST_ENTRIES = 30
#: How far the other points are from the start, relative to each param; 0.01 where it is zero.
NEIGHBOURHOOD = 0.1
#: Part of the time that may go into this.
SHARE = 0.35
#: Calls that the price of a call is measured with, beside those for derivatives.
N_TIMED = 3
#: Values whose noise is above so many times their rounding are noisy.
NOISY = 100.0
#: Measured steps are worth a look where the default ones are worse than this.
GOOD_STEPS = 1e-6
#: A jacobian with fewer than so many params is not looked at for zeros.
LEAST_SPARSE = 10


@dataclass(frozen=True, eq=False)
class Tried:
    """What is known of a source.

    Attributes:
        source: which.
        n_calls: calls of the user's function for a derivative and the value, once what has to be learnt is known.
        seconds: how long these take one after the other.
        error: worst relative error of a leaf over the points; NaN where there is nothing to compare with.
        leaf: which one that is.
        reason: why it is out of the question; "" if it isn't.
    """

    source: Source
    n_calls: float = np.nan
    seconds: float = np.nan
    error: float = np.nan
    leaf: str = ""
    reason: str = ""

    def seconds_on(self, cores: int) -> float:
        """How long its calls take where so many of them run at the same time, in whole rounds."""
        return float(self.seconds * np.ceil(self.n_calls / cores) / self.n_calls)


@dataclass(frozen=True, eq=False)
class Probe:
    """What the calls told.

    Attributes:
        n: number of params that are free.
        m: number of residuals or contributions; None for functions that return a number.
        seconds: median time of a call of the user's function.
        spread: standard deviation of that time over its mean.
        noise: standard deviation of the objective's values.
        noisy: whether that is more than rounding.
        n_calls: how many calls it took.
        reference: what errors are relative to.
        tried: the sources.
        errors: columns `derivative, leaf, point, error, resolution`: largest difference from the reference in a leaf
            over the reference's largest entry there, and how well the reference is known, likewise.
    """

    n: int
    m: int | None
    seconds: float
    spread: float
    noise: float
    noisy: bool
    n_calls: int
    reference: str
    tried: tuple[Tried, ...]
    errors: pd.DataFrame = field(repr=False)

    def of(self, source: Source) -> Tried:
        """What is known of a source."""
        return next(tried for tried in self.tried if tried.source.name == source.name)

    def estimate(self, n_derivatives: int = 100, cores: int = 1) -> pd.DataFrame:
        """What so many derivatives, each with the value, would take; a rough guess of what an optimization does.

        Returns:
            Index: the source. Columns: `calls` (for one derivative), `seconds` (for one, on one core) and `total` (for
            all, on `cores`, in whole rounds of calls).
        """
        usable = [tried for tried in self.tried if not tried.reason]
        frame = pd.DataFrame(
            {
                "calls": [tried.n_calls for tried in usable],
                "seconds": [tried.seconds for tried in usable],
                "total": [n_derivatives * tried.seconds_on(cores) for tried in usable],
            },
            index=pd.Index([tried.source.name for tried in usable], name="derivative"),
        )
        return frame.sort_values("total", kind="stable")


def probe(task: Task, seconds: float, seed: int, tell: Callable[[str], None]) -> Probe:
    """Look at the function: about ten calls a param, or fewer where they would take more than a third of the time.

    Args:
        task: the function.
        seconds: time for everything.
        seed: of the points.
        tell: gets a line of text from time to time.

    Raises:
        InvalidInputError: the time isn't enough for anything; says how much would be.
    """
    return _Prober(task, seconds, seed, tell).probe()


class _Prober:
    def __init__(self, task: Task, seconds: float, seed: int, tell: Callable[[str], None]) -> None:
        self.task, self.tell = task, tell
        self.rng = np.random.default_rng(seed)
        self.n_calls = 1  # the one that task was tried with
        self.times: list[float] = []
        self.limit = SHARE * seconds
        self.seconds = seconds
        self.rows: list[dict[str, Any]] = []
        self.m: int | None = None

    def probe(self) -> Probe:
        task = self.task
        call = self._time_calls()
        noise, noisy = self._noise()
        points = self._points(call)
        sources = self._sources(noise if noisy else None)
        found = {source.name: _Found(source) for source in sources}
        reference = ""
        for number, (x, entries) in enumerate(points):
            self.tell(f"derivatives at point {number + 1} of {len(points)}")
            reference = self._compare(x, entries, number + 1, found) or reference
        errors = pd.DataFrame(self.rows, columns=["derivative", "leaf", "point", "error", "resolution"])
        call = float(np.median(self.times))
        return Probe(
            n=task.n,
            m=self.m,
            seconds=call,
            spread=float(np.std(self.times) / np.mean(self.times)),
            noise=noise,
            noisy=noisy,
            n_calls=self.n_calls,
            reference=reference,
            tried=tuple(one.tried(call, errors) for one in found.values()),
            errors=errors,
        )

    def _time_calls(self) -> float:
        for _ in range(N_TIMED):
            started = perf_counter()
            self.task.function(self.task.start.copy())
            self.times.append(perf_counter() - started)
        self.n_calls += N_TIMED
        call = min(self.times)
        needed = call * (40 + 5 * (self.task.n + 1))
        if needed > self.seconds:
            raise InvalidInputError(
                f"one call of fun takes {call:.3g} s: {self.seconds:g} s are too few to try anything with "
                f"{self.task.n} params; give at least seconds={needed:.0f}"
            )
        return call

    def _noise(self) -> tuple[float, bool]:
        """Level of noise of the objective, by values on a line, and whether it is more than rounding."""
        task, x = self.task, self.task.start
        if not task.movable.size:
            raise InvalidInputError("all params are fixed by their bounds: there is nothing to optimize")
        # Few entries are differentiated, but all move on the line that shows the noise, unless they can't.
        taken = take_numerical(task, x, NumdiffOptions(noise="estimate"), task.box(x, task.movable[:1]))
        self._count(taken)
        level = np.atleast_1d(np.asarray(0.0 if taken.noise is None else taken.noise))
        output = np.atleast_1d(np.asarray(taken.output, dtype=np.float64))
        self.m = None if task.kind is Kind.SCALAR else output.size
        if task.kind is Kind.LEAST_SQUARES:
            level, size = 2 * np.sqrt(np.sum((output * level) ** 2)), float(output @ output)
        else:
            level, size = np.sqrt(np.sum(level**2)), float(np.abs(output).sum())
        rounding = task.converter.eps * max(size, np.finfo(float).tiny)
        return float(level), bool(level > NOISY * rounding)

    def _points(self, call: float) -> list[tuple[Vector, Entries]]:
        """The start and points near it, and which entries to look at there."""
        task, movable = self.task, self.task.movable
        affordable = max(int(self.limit / max(call, 1e-9) / 10), 1)
        if movable.size <= ALL_ENTRIES and N_POINTS * movable.size <= affordable:
            groups = [movable] * N_POINTS
        else:
            size = max(1, min(-(-movable.size // N_POINTS), MOST_ENTRIES, affordable // N_POINTS))
            groups = [part[:size] for part in self._dealt(movable)]
            groups = [part for part in groups if part.size][: max(1, affordable // size)]
        x = task.start
        points = [x]
        while len(points) < len(groups):
            size_of = np.where(x == 0, NEIGHBOURHOOD, np.abs(x))
            moved = x + NEIGHBOURHOOD * size_of * self.rng.uniform(-1, 1, x.size)
            points.append(np.clip(moved, task.bounds.lower, task.bounds.upper))
        return list(zip(points, groups, strict=True))

    def _dealt(self, movable: Entries) -> list[Entries]:
        """Entries dealt to the points, a leaf's one after the other, so that each group begins with all leaves."""
        hands: list[list[int]] = [[] for _ in range(N_POINTS)]
        order = []
        for _, part in self.task.leaves:
            mine = movable[(movable >= part.start) & (movable < part.stop)]
            order.append(self.rng.permutation(mine).tolist())
        position = 0
        for rank in range(max(map(len, order))):
            for leaf in order:
                if rank < len(leaf):
                    hands[position % N_POINTS].append(leaf[rank])
                    position += 1
        return [np.array(sorted(hand), dtype=np.intp) for hand in hands]

    def _sources(self, noise: float | None) -> list[Source]:
        own = [
            Source.numerical("complex_step", NumdiffOptions(method="complex_step")),
            Source.numerical("forward", NumdiffOptions()),
            Source.numerical("central", NumdiffOptions(method="central")),
        ]
        if noise is not None:
            level: float | Literal["estimate"] = noise if self.task.kind is Kind.SCALAR else "estimate"
            own.append(Source.numerical("forward, noise", NumdiffOptions(noise=level)))
            own.append(Source.numerical("central, noise", NumdiffOptions(method="central", noise=level)))
        else:
            own.append(Source.numerical("calibrated", NumdiffOptions(step_size="calibrated")))
        if self.task.kind is Kind.LEAST_SQUARES and self.task.n >= LEAST_SPARSE:
            own.append(Source.numerical("sparse", NumdiffOptions(sparsity="detect")))
        return [*user_sources(self.task), *own]

    # one point -------------------------------------------------------------------------------------------------------

    def _compare(self, x: Vector, entries: Entries, point: int, found: dict[str, _Found]) -> str:
        """Take the derivative from all sources, and compare them; returns what the reference is."""
        taken: dict[str, Taken] = {}
        for name, one in found.items():
            if not one.reason:
                try:
                    taken[name] = self._take(one, x, entries, point, taken)
                except Failed as failed:
                    one.reason = str(failed)
                    self.n_calls += failed.n_calls
        try:
            extrapolated = take_numerical(self.task, x, NumdiffOptions(method="richardson"), self.task.box(x, entries))
        except Failed:
            return ""
        self._count(extrapolated)
        name, reference, bound = _reference(extrapolated, taken, entries)
        for leaf, part in self.task.leaves:
            chosen = entries[(entries >= part.start) & (entries < part.stop)]
            if not chosen.size:
                continue
            scale = np.max(np.abs(reference[..., chosen])) or 1.0
            resolution = np.max(bound[..., chosen]) / scale
            for source, own in taken.items():
                error = np.max(np.abs(own.derivative[..., chosen] - reference[..., chosen])) / scale
                self.rows.append(
                    {"derivative": source, "leaf": leaf, "point": point, "error": error, "resolution": resolution}
                )
        return name

    def _take(self, one: _Found, x: Vector, entries: Entries, point: int, taken: dict[str, Taken]) -> Taken:
        task, source = self.task, one.source
        if source.exact is not None:
            if source.name == "jax" and point == 1:
                take_exact(x, source.exact)  # compiles, for which it calls fun once
                self.n_calls += 1
            result = take_exact(x, source.exact)
            one.times.append(float(result.seconds[0]))
            return result
        assert source.options is not None
        box = task.box(x, entries)
        if source.name == "sparse":
            result, calls = take_steady(task, x, source.options)
            self._count(result, calls)
            if result.n_calls > (task.n + 1) / 2:
                raise Failed(f"the jacobian is dense: {result.n_calls} calls a derivative instead of {task.n + 1}")
        elif source.name == "calibrated":
            if self._steps_are_good(taken, entries):
                raise Failed("default steps are as good")
            result, calls = take_steady(task, x, source.options, box)
            self._count(result, calls)
        else:
            result = take_numerical(task, x, source.options, box)
            self._count(result)
        one.calls.append(result.n_calls if source.name == "sparse" else _calls_of_all(source, task.n))
        return result

    def _steps_are_good(self, taken: dict[str, Taken], entries: Entries) -> bool:
        """Whether forward differences agree with central ones, which are better, as far as they can be expected to."""
        if "forward" not in taken or "central" not in taken:
            return False
        central = taken["central"].derivative[..., entries]
        difference = np.max(np.abs(taken["forward"].derivative[..., entries] - central), initial=0.0)
        return bool(difference <= GOOD_STEPS * np.max(np.abs(central), initial=0.0))

    def _count(self, taken: Taken, n_calls: int | None = None) -> None:
        self.n_calls += taken.n_calls if n_calls is None else n_calls
        self.times.extend(taken.seconds.tolist())


@dataclass
class _Found:
    """What is being learnt of a source."""

    source: Source
    reason: str = ""
    times: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)

    def tried(self, call: float, errors: pd.DataFrame) -> Tried:
        own = errors[errors["derivative"] == self.source.name]
        if self.reason or own.empty:
            return Tried(self.source, reason=self.reason or "there is nothing to compare it with")
        worst = own.loc[own["error"].idxmax()]
        if self.source.exact is None:
            n_calls = float(np.median(self.calls))
            seconds = n_calls * call
        else:
            n_calls = 1.0
            seconds = float(np.median(self.times)) + (0.0 if self.source.has_value else call)
        return Tried(self.source, n_calls, seconds, float(worst["error"]), str(worst["leaf"]))


def _calls_of_all(source: Source, n: int) -> float:
    """Calls for value and derivative of all entries."""
    assert source.options is not None
    return {"central": 2 * n + 1, "complex_step": n + 1}.get(source.options.method, n + 1)


def _reference(extrapolated: Taken, taken: dict[str, Taken], entries: Entries) -> tuple[str, Array, Array]:
    """What errors are measured against: exact derivatives if extrapolated ones don't contradict them, or these.

    Returns:
        Its name, the derivative, and a bound of its error, of the same shape.
    """
    assert extrapolated.error is not None
    best, bound = extrapolated.derivative, extrapolated.error
    for name in ("complex_step", "jax"):
        if name not in taken:
            continue
        exact = taken[name].derivative
        apart = np.abs(exact - best)[..., entries]
        if (apart <= 10 * bound[..., entries] + 1e-7 * np.max(np.abs(best[..., entries]), initial=0.0)).all():
            return name, exact, 16 * np.finfo(float).eps * np.abs(exact)
    return "richardson", best, bound
