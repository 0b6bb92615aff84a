"""Runs as they travel to workers."""

from __future__ import annotations

from typing import Any

from optcore import pickling
from optcore.errors import InvalidInputError
from optcore.solvers import CallableAlgorithm
from optcore_bench.addresses import address_of
from optcore_bench.algorithms import resolved_options
from optcore_bench.execute import Task, compare_derivative, execute
from optcore_bench.external.dialogue import RemoteAlgorithm
from optcore_bench.external.place import Place
from optcore_bench.external.program import ProgramAlgorithm
from optcore_bench.runs import Run
from optcore_bench.strategies import Analytic, NoDerivative
from optcore_bench.study import Study
from optcore_bench.worker import Job

__all__ = ["known_columns", "make_job", "make_task"]


def known_columns(run: Run) -> dict[str, Any]:
    """The columns that are known before a run."""
    problem = run.problem
    return {
        "run_id": run.run_id,
        "study": run.study,
        "suite": problem.suite,
        "problem": problem.name,
        "problem_version": problem.version,
        "n": problem.n,
        "m": problem.m,
        "algorithm": run.entry.name,
        "algorithm_options": resolved_options(run.algorithm),
        "derivative": run.derivative.name,
        "derivative_options": run.derivative.resolved_options,
        "start": run.start,
        "seed": run.seed,
        "noise": problem.noise,
        "f_start": run.f_start,
        "f_opt": problem.f_opt,
    }


def make_task(run: Run, max_memory: int | None = None) -> Task:
    """What goes to the process that runs it, which may hold so many bytes."""
    return Task(
        problem=address_of(run.problem) or run.problem,
        x0=run.x0,
        algorithm=_code_of(run),
        options={}
        if isinstance(run.algorithm, (RemoteAlgorithm, ProgramAlgorithm))
        else resolved_options(run.algorithm),
        kind=run.algorithm.kind,
        strategy=run.derivative,
        seed=run.seed,
        max_evaluations=run.max_evaluations,
        max_seconds=run.max_seconds,
        max_memory=max_memory,
    )


def _code_of(run: Run) -> Any:
    """What its process makes the algorithm of."""
    if isinstance(run.entry.algorithm, Place):
        return run.entry.algorithm.for_workers()
    if isinstance(run.algorithm, (RemoteAlgorithm, ProgramAlgorithm)):
        return run.algorithm
    return run.algorithm.function if isinstance(run.algorithm, CallableAlgorithm) else type(run.algorithm)


def make_job(study: Study, run: Run, until: float | None = None) -> Job:
    """What goes to a worker.

    Args:
        study: the study.
        run: one of its runs that can be.
        until: when all must have ended, in seconds since the epoch.

    Raises:
        InvalidInputError: something of the user's own can't be pickled.
    """
    task = make_task(run, study.max_memory)
    known = isinstance(run.derivative, Analytic | NoDerivative)
    return Job(
        row=known_columns(run),
        payload=_pickled((execute, (task,)), run),
        comparison=None if known else _pickled((compare_derivative, (task,)), run),
        derivative_error=0.0 if isinstance(run.derivative, Analytic) else None,
        seconds=_limit(study, run),
        max_memory=study.max_memory,
        keep_x=study.keep_x,
        problem=_pickled(task.problem, run) if run.problem.noise else None,
        until=until,
        environment=run.entry.environment,
    )


def _limit(study: Study, run: Run) -> float:
    """Seconds after which the supervisor kills: the run itself stops at its budget, unless it hangs."""
    if run.max_seconds is None:
        return study.run_timeout
    return 1.1 * run.max_seconds + 1.0 + run.derivative.setup_seconds


def _pickled(what: Any, run: Run) -> bytes:
    try:
        return pickling.dumps(what)
    except Exception as error:  # whatever the user's objects raise
        raise InvalidInputError(
            f"{run.label} can't be sent to another process: {type(error).__name__}: {error}; define what it uses at "
            "the top of a module, without open files, locks or connections"
        ) from error
