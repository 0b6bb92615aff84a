"""advise: look at a function, try what survives, and say what to take."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.advice.best import BestMap
from optcore_bench.advice.lines import hits_and_lines
from optcore_bench.advice.parallel import Parallel, measure_parallel
from optcore_bench.advice.probe import Probe, probe
from optcore_bench.advice.result import Advice, derivative_table, duration, options_of
from optcore_bench.advice.sources import with_cores
from optcore_bench.advice.task import Task, read_task
from optcore_bench.advice.trials import Trial, check_algorithms, choose, run_trials, survivors
from optcore_bench.cores import available_cores

__all__ = ["advise"]

#: Values that differ by less than so many standard deviations of the noise can't be told apart: the usual three.
BELOW_NOISE = 3.0
#: The candidates get at least this share of the time, also where what came before took longer than it should: with
#: less, runs would be cut off before they can be compared.
LEAST_SHARE = 0.2


def advise(
    fun: Any,
    params: Any,
    *,
    jac: Any = None,
    fun_and_jac: Any = None,
    bounds: Any = None,
    fixed: Any = None,
    fun_kwargs: Mapping[str, Any] | None = None,
    jac_kwargs: Mapping[str, Any] | None = None,
    fun_and_jac_kwargs: Mapping[str, Any] | None = None,
    direction: str = "minimize",
    seconds: float = 60.0,
    cores: int | None = None,
    algorithms: Sequence[Any] | None = None,
    derivatives: Sequence[str] | None = None,
    tau: float = 1e-5,
    seed: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Advice:
    """Find out which algorithm and which source of derivatives one function should be minimized with.

    First about ten calls a param (fewer, where they would take more than a third of the time): the price of a call, its
    noise (ECnoise), and the error of the given jac and of each other source by leaf, at the start and two points near
    it, against extrapolated differences (or complex steps and JAX, where these confirm them). Then the sources that
    are the cheapest, the cheapest on many cores, and the best, each with the algorithms for such a function, run in
    equal parts of the time that is left. A candidate has solved the problem at the first evaluation with
    f <= f_L + tau (f_start - f_L), f_L the best value that any of them found (More & Wild 2009), or within three
    standard deviations of the noise. What it costs until there is a line over the price of an evaluation, for each
    number of cores: so the map of what is best has exact boundaries.

    Args:
        fun: as for `om.minimize`; of several functions the one with the most structure is looked at.
        params: the start: any pytree.
        jac: the derivative of fun, if there is one.
        fun_and_jac: value and derivative in one call, if there is such a function.
        bounds: as for `om.minimize`.
        fixed: as for `om.minimize`.
        fun_kwargs: as for `om.minimize`.
        jac_kwargs: as for `om.minimize`.
        fun_and_jac_kwargs: as for `om.minimize`.
        direction: "minimize" or "maximize".
        seconds: what all of it may take, roughly: a call that has begun is waited for.
        cores: that may evaluate the points of a derivative at the same time; by default those that there are to use.
        algorithms: names (or instances, or functions of your own) instead of those that advise chooses.
        derivatives: names of sources instead of those that advise chooses: "analytic", "fun_and_jac", "jax",
            "complex_step", "forward", "central", "calibrated" (of noisy functions "forward, noise", "central, noise"),
            "sparse", "none".
        tau: how near to the best value a candidate must come, 0 < tau < 1.
        seed: of the points near the start.
        tell: gets a line of text about what is being done.

    Returns:
        The advice: prints as one sentence and its evidence. `advice.table` has one row for each candidate that was
        run, best first: `f` (best value), `evaluations`, `jacobians` and `batches` until it was solved (inf if it
        wasn't), `seconds` (what these take at the measured prices with `cores`), `error` (of the derivative, worst
        leaf), `status` and `message`. `advice.options` goes into `om.minimize(fun, params, **advice.options)`,
        `advice.figure()` draws the map.

    Raises:
        InvalidInputError: arguments don't fit, or the time isn't enough for anything.
        InvalidFunctionError: fun returned something that doesn't fit, or isn't finite at the start.
        UserFunctionError: fun raised at the start.
        UnknownNameError: an algorithm or source doesn't exist; suggests the nearest.

    >>> import numpy as np
    >>> import optcore as om
    >>> from optcore_bench import advise
    >>> def loss(p):
    ...     return np.sum((p["slope"] - 1.0) ** 2) + (p["level"] - 2.0) ** 4
    >>> start = {"slope": np.zeros(3), "level": 0.0}
    >>> advice = advise(loss, start, seconds=5, cores=1, algorithms=["scipy_lbfgsb"])
    >>> om.minimize(loss, start, **advice.options).success
    True
    """
    started = perf_counter()
    say = tell or _silent

    def left() -> float:
        """Seconds that remain, or the least that what follows gets."""
        return max(seconds - (perf_counter() - started), LEAST_SHARE * seconds)

    number = _check(seconds, tau, cores)
    task = read_task(
        fun,
        params,
        jac=jac,
        fun_and_jac=fun_and_jac,
        bounds=bounds,
        fixed=fixed,
        fun_kwargs=fun_kwargs,
        jac_kwargs=jac_kwargs,
        fun_and_jac_kwargs=fun_and_jac_kwargs,
        direction=direction,
    )
    named, sources = _listed(algorithms), _listed(derivatives)
    check_algorithms(task, named or [])
    looked = probe(task, seconds, seed, say)
    kept, rest = survivors(looked)
    candidates = choose(task, looked, kept, named, sources)
    parallel = measure_parallel(task, looked, candidates, number, 0.1 * left())
    say(_forecast(looked, number))
    trials = run_trials(task, candidates, left(), say)
    return _advice(task, looked, trials, derivative_table(kept, rest), parallel, tau, number)


def _silent(_line: str) -> None:
    pass


def _check(seconds: Any, tau: Any, cores: Any) -> int:
    """The number of cores, once all three numbers make sense."""
    for name, value, most in (("seconds", seconds, math.inf), ("tau", tau, 1.0)):
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < most:
            limits = "above 0" if most == math.inf else "between 0 and 1"
            raise InvalidInputError(f"{name} must be a finite number {limits}, but is {value!r}")
    if cores is None:
        return available_cores()
    if isinstance(cores, bool) or not isinstance(cores, numbers.Integral) or cores < 1:
        raise InvalidInputError(f"cores must be a whole number of at least 1, or None, but is {cores!r}")
    return int(cores)


def _listed(given: Any) -> list[Any] | None:
    if given is None:
        return None
    many = list(given) if isinstance(given, (list, tuple)) else [given]
    if not many:
        raise InvalidInputError("name at least one algorithm or source of derivatives, or leave the argument out")
    return many


def _forecast(looked: Probe, cores: int) -> str:
    estimate = looked.estimate(cores=cores)
    if estimate.empty:
        return "no derivative can be used"
    parts = [f"{name} {duration(total)}" for name, total in estimate["total"].items()]
    return f"a hundred derivatives would take: {', '.join(parts)}"


def _advice(
    task: Task,
    looked: Probe,
    trials: Sequence[Trial],
    derivatives: pd.DataFrame,
    parallel: Parallel,
    tau: float,
    cores: int,
) -> Advice:
    table, lines = hits_and_lines(task, looked, trials, derivatives, parallel, _tau(looked, trials, tau), cores)
    best_map = BestMap.of(lines, (looked.seconds, cores))
    labels = list(table.index)
    table["seconds"] = [best_map.seconds(label, looked.seconds, cores) for label in labels]
    table = table.sort_values("seconds", kind="stable")
    table = table[["f", "evaluations", "jacobians", "batches", "seconds", "error", "status", "message"]]
    best = str(table.index[0])
    candidate = next(trial.candidate for trial in trials if trial.candidate.label == best)
    if parallel.pays(candidate.source):
        candidate = replace(candidate, source=with_cores(candidate.source, parallel.n_cores))
    return Advice(
        options=options_of(candidate, task.arguments),
        best=best,
        table=table,
        derivatives=derivatives,
        errors=looked.errors,
        map=best_map,
        probe=looked,
        trials=tuple(trials),
        tau=tau,
        cores=cores,
        notes=tuple(_notes(looked, trials, table, derivatives, best_map, cores)),
    )


def _tau(looked: Probe, trials: Sequence[Trial], tau: float) -> float:
    """The same, or what the noise allows."""
    results = [trial.result for trial in trials if trial.result is not None]
    gained = max(abs(result.start_fun - result.fun) for result in results)
    if not looked.noisy or gained == 0:
        return tau
    return float(min(max(tau, BELOW_NOISE * looked.noise / gained), 0.5))


def _notes(
    looked: Probe,
    trials: Sequence[Trial],
    table: pd.DataFrame,
    derivatives: pd.DataFrame,
    best_map: BestMap,
    cores: int,
) -> list[str]:
    notes = []
    for name, row in derivatives.iterrows():
        verdict = str(row["verdict"])
        if name not in ("analytic", "fun_and_jac") or verdict.startswith(("run", "not run")):
            continue
        if verdict.startswith("wrong"):
            notes.append(f"The derivative that you gave ({name}) is {verdict}; om.check_derivative shows the entries.")
        else:
            notes.append(f"The derivative that you gave ({name}) can't be used: {verdict.rstrip('.')}.")
    if looked.noisy:
        notes.append(f"The values are noisy: a standard deviation of {looked.noise:.2g}.")
    worse = [str(label) for label in table.index[np.isinf(table["evaluations"])] if np.isfinite(table["f"][label])]
    cut = [trial.candidate.label for trial in trials if trial.cut_off]
    if elsewhere := [label for label in worse if label not in cut]:
        notes.append(f"Ended at a higher value, in another minimum or too early: {', '.join(elsewhere)}.")
    if cut:
        notes.append(f"Ended by the time that each could have, so that more seconds may change it: {', '.join(cut)}.")
    if all(trial.result is not None and trial.result.fun == trial.result.start_fun for trial in trials):
        notes.append("Nothing that was run improved on the start.")
    if np.isinf(table["f"]).any():
        notes.append("The values have no limit: the function has no optimum here, or needs bounds.")
    notes += _boundaries(best_map, looked.seconds, cores)
    return notes


def _boundaries(best_map: BestMap, here: float, cores: int) -> list[str]:
    """What would be better if an evaluation cost more, or less."""
    mine = best_map.regions[best_map.regions["cores"] == cores].reset_index(drop=True)
    if len(mine) < 2:
        return []
    position = int(np.searchsorted(mine["to_seconds"].to_numpy(), here))
    on = f" on {cores} cores" if cores > 1 else ""
    notes = []
    if position + 1 < len(mine):
        above = mine.iloc[position + 1]
        notes.append(f"Above {duration(above['from_seconds'])} an evaluation{on} {above['candidate']} is faster.")
    if position > 0:
        below = mine.iloc[position - 1]
        notes.append(f"Below {duration(below['to_seconds'])} an evaluation{on} {below['candidate']} is faster.")
    return notes
