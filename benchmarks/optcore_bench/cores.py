"""How many cores there are to use, and whether they are sold twice."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import joblib

from optcore.errors import InvalidInputError

if TYPE_CHECKING:
    from optcore_bench.runs import Run

__all__ = ["available_cores", "count_workers", "oversold"]

#: What batch systems say that a task may use: SLURM, PBS, Grid Engine, LSF.
_BATCH = ("SLURM_CPUS_PER_TASK", "PBS_NCPUS", "NCPUS", "NSLOTS", "LSB_DJOB_NUMPROC")


def available_cores(environment: Mapping[str, str] | None = None) -> int:
    """Cores that this process may use.

    The least of what the machine has, what the affinity of the process and the quota of its cgroup allow (a container
    or batch job often gets a part of a machine), and what a batch system says: SLURM_CPUS_PER_TASK, PBS_NCPUS, NCPUS,
    NSLOTS, LSB_DJOB_NUMPROC.

    Args:
        environment: environment variables; those of this process by default.

    >>> available_cores({"SLURM_CPUS_PER_TASK": "1"})
    1
    """
    given = os.environ if environment is None else environment
    granted = [int(given[name]) for name in _BATCH if given.get(name, "").isdecimal() and int(given[name]) > 0]
    return max(1, min(int(joblib.cpu_count()), *granted[:1])) if granted else max(1, int(joblib.cpu_count()))


def count_workers(n_jobs: Any) -> int:
    """The number of workers that `n_jobs` stands for.

    Raises:
        InvalidInputError: it is neither a whole number of at least 1 nor -1.
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or not (n_jobs >= 1 or n_jobs == -1):
        raise InvalidInputError(f"n_jobs must be a whole number of at least 1, or -1 for all cores, but is {n_jobs!r}")
    return available_cores() if n_jobs == -1 else int(n_jobs)


def oversold(runs: Iterable[Run], workers: int, cores: int) -> str | None:
    """One sentence if the runs want more cores than there are, None if they don't.

    Numerical libraries have one thread in each run; what uses more are derivative strategies with `n_cores`.

    Args:
        runs: what is to be run.
        workers: how many at the same time.
        cores: how many there are.
    """
    wanted = {run.derivative.name: _cores_of(run, cores) for run in runs if not run.reason}
    if not wanted:
        return None
    name = max(wanted, key=wanted.__getitem__)
    if workers * wanted[name] <= cores:
        return None
    each = f" x {wanted[name]} cores of [{name}]" if wanted[name] > 1 else ""
    remedy = f"--jobs {max(1, cores // wanted[name])}" if wanted[name] <= cores else "fewer n_cores"
    return (
        f"{workers} jobs{each} want {workers * wanted[name]} cores, and this process may use {cores}: measured times "
        f"will be too long; use {remedy}"
    )


def _cores_of(run: Run, cores: int) -> int:
    n_cores = run.derivative.resolved_options.get("n_cores") or 1
    return cores if n_cores == -1 else int(n_cores)
