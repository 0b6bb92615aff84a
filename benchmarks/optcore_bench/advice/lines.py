"""From the histories of the candidates to what each costs: calls until it had solved the problem, and lines of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from optcore_bench.advice.parallel import USUAL_OVERHEAD, Parallel
from optcore_bench.advice.probe import Probe
from optcore_bench.advice.task import Task
from optcore_bench.advice.trials import Trial, histories
from optcore_bench.costs import VirtualClock, cost_table
from optcore_bench.store import Results

__all__ = ["hits_and_lines"]

CORES = (1, 2, 4, 8, 16, 32, 64, 128)


def hits_and_lines(
    task: Task,
    looked: Probe,
    trials: Sequence[Trial],
    derivatives: pd.DataFrame,
    parallel: Parallel,
    tau: float,
    cores: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each candidate needed, and the lines of `BestMap`.

    A line's slope is the rounds of calls until the problem was solved, a call for derivatives counted by its measured
    price in evaluations; its fixed part is what the solver took beside the calls, batch by batch, and with workers
    what sending a batch to them takes.

    Returns:
        A table by label of the candidates, and a table with the columns `candidate, cores, slope, fixed`.
    """
    results = Results.from_frame(histories(task, trials))
    evaluations = _row(cost_table(results, tau=tau))
    with_jacobians = _row(cost_table(results, tau=tau, jac_cost=1))
    batches = _row(cost_table(results, tau=tau, cost="batches"))
    rows, lines = {}, []
    for trial in trials:
        label, source = trial.candidate.label, trial.candidate.source
        n_evaluations = evaluations.get(label, np.inf)
        solved = np.isfinite(n_evaluations)
        rows[label] = {
            "f": np.nan if trial.result is None else trial.result.fun,
            "evaluations": n_evaluations,
            "jacobians": with_jacobians[label] - n_evaluations if solved else np.nan,
            "batches": batches.get(label, np.inf),
            "error": derivatives["error"].get(source.name, np.nan),
            "status": "error" if trial.result is None else str(trial.result.status),
            "message": trial.message or ("" if trial.result is None else trial.result.message),
        }
        if solved:
            lines += _lines(trial, results, looked, parallel, tau, batches[label], cores)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("candidate")
    return table, pd.DataFrame(lines, columns=["candidate", "cores", "slope", "fixed"])


def _lines(
    trial: Trial, results: Any, looked: Probe, parallel: Parallel, tau: float, batches: float, cores: int
) -> list[tuple[str, int, float, float]]:
    label, source = trial.candidate.label, trial.candidate.source
    ratio = 0.0
    if source.exact is not None:
        tried = next(tried for tried in looked.tried if tried.source.name == source.name)
        ratio = max(tried.seconds / looked.seconds - 1, 0.0)
    alone = _row(cost_table(results, tau=tau, cost=VirtualClock(1.0, ratio, cores=1)))[label]
    own = batches * trial.overhead
    lines = []
    for number in sorted({*CORES, cores}):
        lines.append((label, number, alone, own))
        if number > 1 and source.options is not None:
            shared = _row(cost_table(results, tau=tau, cost=VirtualClock(1.0, ratio, cores=number)))[label]
            overhead = parallel.overhead if parallel.saves else USUAL_OVERHEAD
            lines.append((label, number, shared, own + batches * overhead))
    return lines


def _row(table: pd.DataFrame) -> dict[str, float]:
    """The one row of a cost table of one problem."""
    return {str(name): float(value) for name, value in table.iloc[0].items()}
