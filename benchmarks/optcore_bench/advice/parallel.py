"""What sending the points of a derivative to workers costs here, measured; and whether it pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

from optcore.errors import OptcoreError
from optcore_bench.advice.probe import Probe
from optcore_bench.advice.sources import Source, prepare
from optcore_bench.advice.task import Task
from optcore_bench.advice.trials import Candidate

__all__ = ["Parallel", "measure_parallel"]

#: A gradient that takes less than this one call after the other isn't worth a look.
WORTH = 0.01
#: What a batch in workers costs beside its calls, where it wasn't measured: as seen on ordinary machines.
USUAL_OVERHEAD = 5e-4
#: Workers must save so much.
SAVING = 0.8


@dataclass(frozen=True, eq=False)
class Parallel:
    """What was measured.

    Attributes:
        n_cores: workers that a derivative had.
        overhead: seconds that a batch costs beside its rounds of calls.
        saves: time of a derivative in workers over its time without, by source; what isn't there wasn't measured.
    """

    n_cores: int = 1
    overhead: float = USUAL_OVERHEAD
    saves: dict[str, float] = field(default_factory=dict)

    def pays(self, source: Source) -> bool:
        """Whether a source is to be used with workers."""
        return self.saves.get(source.name, 1.0) < SAVING


def measure_parallel(
    task: Task, looked: Probe, candidates: Sequence[Candidate], cores: int, seconds: float
) -> Parallel:
    """Time the numerical sources of the candidates in worker processes, where that could pay.

    Args:
        task: the function.
        looked: what is known of it.
        candidates: what will be run.
        cores: workers at most.
        seconds: sources whose derivative would take longer than this are not measured.
    """
    n_cores = min(cores, task.n + 1)
    sources = {c.source.name: c.source for c in candidates if c.source.options is not None}
    if n_cores == 1 or not sources:
        return Parallel()
    found: dict[str, float] = {}
    overheads = []
    for name, source in sources.items():
        if not WORTH <= looked.of(source).seconds <= seconds:
            continue
        measured = _time(task, source, n_cores)
        if measured is None:
            continue
        parallel, n_calls = measured
        found[name] = parallel / (n_calls * looked.seconds)
        overheads.append(max(parallel - -(-n_calls // n_cores) * looked.seconds, 0.0))
    return Parallel(n_cores, min(overheads, default=USUAL_OVERHEAD), found)


def _time(task: Task, source: Source, n_cores: int) -> tuple[float, int] | None:
    """Seconds and calls of a derivative once the workers run; None where they can't get the function."""
    assert source.options is not None
    _, differences = prepare(task, replace(source.options, n_cores=n_cores))
    try:
        differences.derivative(task.start, ask_value=True)
        started = perf_counter()
        done = differences.derivative(task.start, ask_value=True)
    except OptcoreError:
        return None
    return (perf_counter() - started, sum(done.n_evaluations.values())) if done is not None else None
