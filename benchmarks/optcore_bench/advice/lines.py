"""From the histories of the candidates to what each costs: calls until it had solved the problem, and lines of time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from optcore_bench.advice.parallel import USUAL_OVERHEAD, Parallel
from optcore_bench.advice.probe import Probe
from optcore_bench.advice.task import Task
from optcore_bench.advice.trials import Trial, histories
from optcore_bench.costs import HitCounts, VirtualClock, hit_counts
from optcore_bench.store import Results

__all__ = ["hits_and_lines"]

#: Numbers of cores that the map tells of, beside the one asked for: up to those of a large machine.
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
    hits = hit_counts(Results.from_frame(histories(task, trials)), tau)
    solved = hits.frame[hits.frame["solved"]].set_index("solver")
    counts = solved[["evaluations", "jacobians", "batches"]].astype(float)
    table = counts.reindex([trial.candidate.label for trial in trials]).rename_axis("candidate")
    table = table.fillna({"evaluations": np.inf, "batches": np.inf}).assign(
        f=[np.nan if trial.result is None else trial.result.fun for trial in trials],
        error=[derivatives["error"].get(trial.candidate.source.name, np.nan) for trial in trials],
        status=["error" if trial.result is None else str(trial.result.status) for trial in trials],
        message=[trial.message or ("" if trial.result is None else trial.result.message) for trial in trials],
    )
    arrived = [trial for trial in trials if trial.candidate.label in solved.index]
    lines = [line for trial in arrived for line in _lines(trial, hits, looked, parallel, cores)]
    return table, pd.DataFrame(lines, columns=["candidate", "cores", "slope", "fixed"])


def _lines(
    trial: Trial, hits: HitCounts, looked: Probe, parallel: Parallel, cores: int
) -> list[tuple[str, int, float, float]]:
    label, source = trial.candidate.label, trial.candidate.source
    ratio = 0.0 if source.exact is None else max(looked.of(source).seconds / looked.seconds - 1, 0.0)
    (position,) = np.flatnonzero(hits.frame["solver"] == label)
    batches = float(hits.frame["batches"][position])

    def slope(number: int) -> float:
        return float(hits.spent(VirtualClock(1.0, ratio, number))[position])

    alone, own = slope(1), batches * trial.overhead
    overhead = parallel.overhead if parallel.saves else USUAL_OVERHEAD
    lines = []
    for number in sorted({*CORES, cores}):
        lines.append((label, number, alone, own))
        if number > 1 and source.options is not None:
            lines.append((label, number, slope(number), own + batches * overhead))
    return lines
