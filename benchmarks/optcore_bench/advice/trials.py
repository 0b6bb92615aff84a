"""The few candidates that survive the first look, run on the user's function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

import optcore as om
from optcore.errors import InvalidInputError, OptcoreError, unknown_name
from optcore.marks import Kind
from optcore.result import OptimizeResult
from optcore.solvers import Algorithm, get_algorithm
from optcore.solvers.algorithm import make_algorithm
from optcore_bench.advice.probe import Probe, Tried
from optcore_bench.advice.sources import Source
from optcore_bench.advice.task import Task
from optcore_bench.evaluations import solver_label

__all__ = ["Candidate", "Trial", "check_algorithms", "choose", "histories", "run_trials", "survivors"]

#: A derivative with a leaf that is further off than this is no derivative.
WRONG = 1e-2
#: Errors below this are all good enough for an optimization to a usual tolerance.
GOOD = 1e-6
#: So many cores are "many", where the question is what would be best on them.
MANY_CORES = 64
#: Up to so many params solvers without derivatives are worth a look; above it where the function is noisy only.
FEW_PARAMS = 30
NO_DERIVATIVE = Source("none")

_WITH_DERIVATIVE = {
    Kind.SCALAR: ("scipy_lbfgsb", "scipy_slsqp"),
    Kind.LIKELIHOOD: ("scipy_lbfgsb", "scipy_slsqp"),
    Kind.LEAST_SQUARES: ("scipy_ls_trf", "scipy_lbfgsb"),
}
#: The first of them that is installed.
_WITHOUT = {
    Kind.SCALAR: ("nag_pybobyqa", "scipy_cobyqa"),
    Kind.LIKELIHOOD: ("nag_pybobyqa", "scipy_cobyqa"),
    Kind.LEAST_SQUARES: ("nag_dfols", "nag_pybobyqa", "scipy_cobyqa"),
}


@dataclass(frozen=True, eq=False)
class Candidate:
    """An algorithm, and where it gets its derivatives from.

    Attributes:
        algorithm: what `om.minimize` gets.
        name: what it is called.
        source: of derivatives.
    """

    algorithm: Any
    name: str
    source: Source

    @property
    def label(self) -> str:
        """As columns of cost tables."""
        return solver_label(self.name, self.source.name)


@dataclass(frozen=True, eq=False)
class Trial:
    """A candidate and what became of it.

    Attributes:
        candidate: which.
        result: what it found; None if it failed.
        message: why it failed.
    """

    candidate: Candidate
    result: OptimizeResult | None
    message: str = ""

    @property
    def cut_off(self) -> bool:
        """Whether its time ran out."""
        return self.result is not None and self.result.status is om.Status.BUDGET_SECONDS

    @property
    def overhead(self) -> float:
        """Seconds per batch that were not spent in the user's functions."""
        if self.result is None:
            return np.nan
        rows = self.result.history.rows
        outside = self.result.seconds - float(np.sum(rows.stop - rows.start))
        return max(outside, 0.0) / max(len(np.unique(rows.batch)), 1)


def survivors(probe: Probe) -> tuple[list[Tried], list[Tried]]:
    """The two or three sources that are worth running, and all others with the reason why they aren't."""
    usable: list[Tried] = []
    rest: list[Tried] = []
    for tried in probe.tried:
        if not tried.reason and not tried.error <= WRONG:
            off = f"wrong at {tried.leaf!r}: off by {tried.error:.2g} of its largest entry"
            tried = replace(tried, reason=off)
        (rest if tried.reason else usable).append(tried)
    if not usable:
        return [], rest
    quality = [(max(tried.error, GOOD), tried.seconds) for tried in usable]
    best = {
        min(range(len(usable)), key=lambda i: (usable[i].seconds, usable[i].error)),
        min(range(len(usable)), key=lambda i: (usable[i].seconds_on(MANY_CORES), usable[i].seconds)),
        min(range(len(usable)), key=quality.__getitem__),
    }
    chosen = sorted((usable[i] for i in best), key=lambda tried: tried.seconds)
    for i, tried in enumerate(usable):
        if i not in best:
            better = min(chosen, key=lambda other: (max(other.error, GOOD) > max(tried.error, GOOD), other.seconds))
            rest.append(replace(tried, reason=f"not run: {better.source.name} is as good, or better, for less"))
    return chosen, rest


def choose(
    task: Task, probe: Probe, kept: Sequence[Tried], algorithms: Sequence[Any] | None, derivatives: Sequence[str] | None
) -> list[Candidate]:
    """The pairs of algorithm and source that are run, at most five or six unless the user names more.

    Raises:
        InvalidInputError, UnknownNameError, MissingLibraryError: what the user names doesn't exist or doesn't fit.
    """
    sources = [tried.source for tried in kept]
    if derivatives is not None:
        sources = _named_sources(probe, derivatives)
    if algorithms is not None:
        return _of_user(sources, algorithms)
    fitting = [name for name in _WITH_DERIVATIVE[task.kind] if _fits(get_algorithm(name), task)]
    chosen = [Candidate(name, name, source) for name in fitting[:1] for source in sources]
    chosen += [Candidate(name, name, source) for name in fitting[1:] for source in sources[:1]]
    if (task.n <= FEW_PARAMS or probe.noisy or not chosen) and (derivatives is None or "none" in derivatives):
        free = [name for name in _WITHOUT[task.kind] if _fits(get_algorithm(name), task)]
        chosen += [Candidate(name, name, NO_DERIVATIVE) for name in free[:1]]
    if not chosen:
        raise InvalidInputError("no algorithm fits this function and its bounds; name some with algorithms=")
    return chosen


def _named_sources(probe: Probe, derivatives: Sequence[str]) -> list[Source]:
    known = {tried.source.name: tried for tried in probe.tried}
    chosen = []
    for name in derivatives:
        if name == "none":
            continue
        if name not in known:
            raise unknown_name("source of derivatives of this function", name, [*known, "none"])
        if known[name].reason:
            raise InvalidInputError(f"derivatives={name!r} can't be: {known[name].reason}")
        chosen.append(known[name].source)
    return chosen


def check_algorithms(task: Task, algorithms: Sequence[Any]) -> None:
    """Whether those that the user names can work on the function, to be asked before it is called.

    Raises:
        InvalidInputError, UnknownNameError, MissingLibraryError: one doesn't exist or doesn't fit, or is given twice.
    """
    names: set[str] = set()
    for given in algorithms:
        made = make_algorithm(given, None)
        if misfit := _misfit(made, task):
            raise InvalidInputError(misfit)
        if made.name in names:
            raise InvalidInputError(f"algorithms= has {made.name} twice; give each a name of its own")
        names.add(made.name)


def _of_user(sources: Sequence[Source], algorithms: Sequence[Any]) -> list[Candidate]:
    chosen = []
    for given in algorithms:
        made = make_algorithm(given, None)
        if made.needs_jac and not sources:
            raise InvalidInputError(f"{made.name} needs a derivative, and none of this function's can be used")
        chosen += [Candidate(given, made.name, source) for source in (sources if made.needs_jac else [NO_DERIVATIVE])]
    return chosen


def _fits(cls: type[Algorithm], task: Task) -> bool:
    return cls.available() and _misfit(cls.from_options({}), task) is None


def _misfit(algorithm: Algorithm, task: Task) -> str | None:
    if algorithm.kind is Kind.LEAST_SQUARES and task.kind is not Kind.LEAST_SQUARES:
        return f"{algorithm.name} needs residuals: mark the function with om.mark.least_squares"
    return algorithm.misfit(task.bounds, lambda: task.converter.names)


def run_trials(task: Task, candidates: Sequence[Candidate], seconds: float, tell: Callable[[str], None]) -> list[Trial]:
    """Run the candidates one after the other, each with an equal part of the time that is left."""
    for candidate in candidates:
        _run(task, candidate, om.Budget(max_evaluations=1))  # imports its library, which is not the function's fault
    ends = perf_counter() + seconds
    trials = []
    for number, candidate in enumerate(candidates):
        share = max((ends - perf_counter()) / (len(candidates) - number), 0.01 * seconds)
        tell(f"{candidate.label}, {share:.2g} s at most")
        trials.append(_run(task, candidate, om.Budget(max_seconds=share)))
    if all(trial.result is None for trial in trials):
        reasons = "; ".join(f"{trial.candidate.label}: {trial.message}" for trial in trials)
        raise InvalidInputError(f"no algorithm could be run on this function: {reasons}")
    if not any(len(trial.result.history) for trial in trials if trial.result is not None):
        raise InvalidInputError(f"{seconds:.2g} s for all algorithms are over before any calls fun; give more seconds")
    return trials


def _run(task: Task, candidate: Candidate, budget: om.Budget) -> Trial:
    run = om.maximize if task.direction == "maximize" else om.minimize
    arguments = {**task.arguments, **candidate.source.arguments}
    try:
        result = run(
            task.fun,
            task.params,
            candidate.algorithm,
            **arguments,
            budget=budget,
            error_handling="continue",
        )
    except OptcoreError as error:
        return Trial(candidate, None, str(error).partition("\n")[0])
    return Trial(candidate, result)


def histories(task: Task, trials: Sequence[Trial]) -> pd.DataFrame:
    """All evaluations as `Results.from_frame` takes them; smaller is better."""
    sign = -1.0 if task.direction == "maximize" else 1.0
    finished = [trial for trial in trials if trial.result is not None]
    values = [sign * trial.result.fun for trial in finished if trial.result is not None]
    frames = []
    for trial in finished:
        assert trial.result is not None
        history = trial.result.history
        frames.append(
            pd.DataFrame(
                {
                    "problem": "function",
                    "algorithm": trial.candidate.name,
                    "derivative": trial.candidate.source.name,
                    "evaluation": np.arange(1, len(history.fun) + 1),
                    "fun": sign * history.fun,
                    "best": sign * history.monotone_fun,
                    "task": history.task,
                    "batch": history.batch,
                    "seconds": history.stop_time,
                    "n": task.n,
                    "status": str(trial.result.status),
                    "f_start": sign * trial.result.start_fun,
                    "f_opt": float(np.nanmin(values)),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
