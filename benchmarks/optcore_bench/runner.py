"""Running a study: what is stored is not run again, what fails costs one row, what finishes is stored at once."""

from __future__ import annotations

import contextlib
import os
import platform
import warnings
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import joblib

from optcore import pickling
from optcore.errors import InvalidInputError, OptcoreError
from optcore.solvers import CallableAlgorithm
from optcore_bench.addresses import address_of
from optcore_bench.environment import environment_hash, fingerprint, provenance
from optcore_bench.execute import Task, compare_derivative, execute
from optcore_bench.progress import Progress, make_progress
from optcore_bench.runs import Run, expand
from optcore_bench.selection import resolved_options
from optcore_bench.store import Results, RunRecord, StoreNotFoundError, StoreWriter, stored_run_ids
from optcore_bench.strategies import Analytic, NoDerivative
from optcore_bench.study import Study, load_study
from optcore_bench.worker import Job, Supervisors, perform, perform_elsewhere, record_without_process

__all__ = ["MixedEnvironmentError", "MixedStudyError", "NotComparableError", "default_store", "make_task", "run_study"]

#: Keys of a study that all rows of a store share.
_SHARED = ("name", "budget", "stopping", "seed", "keep_x")


class NotComparableError(OptcoreError):
    """Rows would stand side by side that can't be compared."""


class MixedEnvironmentError(NotComparableError):
    """A store holds the results of one environment, and this is another one."""


class MixedStudyError(NotComparableError):
    """A store holds the results of one study, and this is another one."""


def default_store(study: Study) -> Path:
    """results/local/NAME under the current folder."""
    return Path("results") / "local" / study.name


def run_study(
    study: Study | str | Path,
    store: str | os.PathLike[str] | None = None,
    n_jobs: int = 1,
    backend: str = "threads",
    *,
    allow_mixed: bool = False,
    progress: Progress | None = None,
    command: str | None = None,
) -> Results:
    """Run what a study lists and its store doesn't hold yet.

    Each run happens in a supervised process of its worker's (see `optcore_bench.supervise`). The workers themselves
    only wait for these processes; threads do that as well as processes would, start at once and share one log, hence
    the default. A joblib backend ("loky", or "dask" and "ray" once they are registered) spreads the workers over
    processes or machines.

    The store is the same whatever `n_jobs`, the backend or an interruption was. Ctrl-C, or kill -9, costs the runs in
    flight and nothing else: the same call takes it up again.

    Args:
        study: a Study, the name of one that ships, or the path of a TOML file.
        store: folder of the results; results/local/NAME under the current folder by default.
        n_jobs: how many runs at the same time; -1 for as many as this process may use cores.
        backend: "threads", or a joblib backend.
        allow_mixed: whether to add to a store that was made in another environment.
        progress: told what happens; nobody by default.
        command: the command line, for the manifest.

    Returns:
        The results, finished.

    Raises:
        MixedEnvironmentError: the store was made in another environment.
        MixedStudyError: the store holds runs of another study, or of this one under other rules.
        InvalidInputError: n_jobs or backend can't be, or something of the user's own can't be pickled.
        KeyboardInterrupt: on Ctrl-C, after all processes have ended.
    """
    study = study if isinstance(study, Study) else load_study(study)
    workers = _workers(n_jobs)
    runs = expand(study)
    path = default_store(study) if store is None else Path(store)
    stored = _look_into(path, study, runs, allow_mixed=allow_mixed)
    pending = [run for run in runs if run.run_id not in stored]
    progress = make_progress(quiet=True) if progress is None else progress
    with StoreWriter(path, study=study.to_toml(), manifest=_manifest(path, command, stored, pending)) as writer:
        progress.begin(study.name, len(runs), len(runs) - len(pending))
        try:
            _note_missing(pending, progress)
            _note_superseded(pending, stored, progress)
            labels = {run.run_id: run.label for run in pending}
            with contextlib.closing(_records(study, pending, workers, backend)) as records:
                for record in records:
                    _check_environment(record, allow_mixed=allow_mixed)
                    writer.append(record)
                    progress.done(labels[record.run["run_id"]], record.run["status"])
        finally:
            progress.end()
        writer.finish([run.run_id for run in runs])
    return Results(path)


def _workers(n_jobs: Any) -> int:
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or not (n_jobs >= 1 or n_jobs == -1):
        raise InvalidInputError(f"n_jobs must be a whole number of at least 1, or -1 for all cores, but is {n_jobs!r}")
    return available_cores() if n_jobs == -1 else int(n_jobs)


def available_cores() -> int:
    """Cores that this process may use, which in a container or batch job are fewer than the machine has."""
    return max(1, int(joblib.cpu_count()))


# --- what may stand together in one store ----------------------------------------------------------------------------


def _look_into(path: Path, study: Study, runs: list[Run], *, allow_mixed: bool) -> dict[str, tuple[Any, ...]]:
    """Ids and cells of what is stored, after checks that the study may go on in this store."""
    try:
        stored = stored_run_ids(path)
    except StoreNotFoundError:
        return {}
    results = Results(path)
    _same_rules(path, study, results.study)
    listed = {run.key for run in runs}
    foreign = [key for key in sorted(set(stored.values())) if key not in listed]
    if foreign:
        suite, problem, start, noise, algorithm, derivative = foreign[0]
        raise MixedStudyError(
            f"the store '{path}' holds {len(foreign)} runs that the study {study.name!r} doesn't list, such as "
            f"{suite}/{problem}#{start}{noise and f' ~ {noise}'} {algorithm} [{derivative}]; list them again, or give "
            "another --store"
        )
    if stored and not allow_mixed:
        _same_environment(path, results.manifest.get("environment") or {})
    return stored


def _same_rules(path: Path, study: Study, known: Mapping[str, Any]) -> None:
    asked = study.to_dict()
    asked["budget"] = {key: value for key, value in asked["budget"].items() if value is not None}
    different = [key for key in _SHARED if known.get(key) != asked[key]]
    if different:
        shown = "; ".join(f"{key} {known.get(key)!r} there, {asked[key]!r} here" for key in different)
        raise MixedStudyError(
            f"the store '{path}' was made under other rules ({shown}); rows of one store share them: give another "
            "--store, or remove this one"
        )


def _same_environment(path: Path, known: Mapping[str, str]) -> None:
    here = fingerprint()
    different = [key for key in sorted({*known, *here}) if known.get(key) != here.get(key)]
    if different:
        shown = "; ".join(f"{key} {known.get(key)!r} there, {here.get(key)!r} here" for key in different)
        raise MixedEnvironmentError(
            f"the store '{path}' was made in another environment ({shown}), where evaluation counts can differ: give "
            "another --store, or mix them with --allow-mixed"
        )


def _check_environment(record: RunRecord, *, allow_mixed: bool) -> None:
    """A worker on another machine may have another environment than the one that began the study."""
    there = record.run["environment"]
    if not allow_mixed and environment_hash(there) != environment_hash(fingerprint()):
        host = record.timings.get("host")
        raise MixedEnvironmentError(
            f"the worker on {host!r} has another environment than this process; use the same installation on the same "
            "kind of machine, or mix them with --allow-mixed"
        )


def _manifest(path: Path, command: str | None, stored: Collection[str], pending: list[Run]) -> dict[str, Any]:
    """Where and from what the store is made; what stored the first run stays, what went on is added."""
    if not stored:
        return {"environment": fingerprint(), "provenance": provenance(command)}
    if not pending:
        return {}
    known = Results(path).manifest
    now = provenance(command)
    resumed = {key: now[key] for key in ("created", "command", "host", "git") if key in now}
    return {"resumed": [*known.get("resumed", []), resumed]}


# --- the runs --------------------------------------------------------------------------------------------------------


def _note_missing(pending: list[Run], progress: Progress) -> None:
    """One line for each library that is missing; its runs are rows with the reason."""
    for reason in dict.fromkeys(run.reason for run in pending if "not installed" in run.reason):
        count = sum(run.reason == reason for run in pending)
        progress.note(f"warning: {reason} ({count} runs are not applicable)")


def _note_superseded(pending: list[Run], stored: Mapping[str, tuple[Any, ...]], progress: Progress) -> None:
    """One line where cells are run again, because what determines them has changed."""
    cells = set(stored.values())
    if again := [run for run in pending if run.key in cells]:
        progress.note(
            f"{len(again)} stored runs were made by other code, options or versions and are run again, "
            f"such as {again[0].label}"
        )


def _records(study: Study, pending: list[Run], workers: int, backend: str) -> Generator[RunRecord, None, None]:
    """The records of all runs, as they come."""
    for run in pending:
        if run.reason:
            yield record_without_process(_row(run), run.reason, run.problem.n, keep_x=study.keep_x)
    possible = [run for run in pending if not run.reason]
    if not possible:
        return
    jobs = (_job(study, run) for run in possible)
    if backend == "threads":
        yield from _with_threads(jobs, min(workers, len(possible)))
    else:
        yield from _with_joblib(jobs, workers, backend)


def _with_threads(jobs: Iterable[Job], workers: int) -> Iterator[RunRecord]:
    supervisors = Supervisors()
    parallel = joblib.Parallel(n_jobs=workers, backend="threading", return_as="generator_unordered")
    outputs = parallel(joblib.delayed(perform)(job, supervisors) for job in jobs)
    try:
        # Not `yield from`: the processes have to end before the threads that wait for them.
        for record in outputs:  # noqa: UP028
            yield record
    finally:
        supervisors.close()
        _close_quietly(outputs)


def _with_joblib(jobs: Iterable[Job], workers: int, backend: str) -> Iterator[RunRecord]:
    parent, host = os.getpid(), platform.node()
    try:
        parallel = joblib.Parallel(n_jobs=workers, backend=backend, return_as="generator_unordered")
    except ValueError as error:
        raise InvalidInputError(f"backend {backend!r}: {error}; there are 'threads' and joblib's backends") from error
    outputs = parallel(joblib.delayed(perform_elsewhere)(job, parent, host) for job in jobs)
    try:
        # Not `yield from`, which would close the outputs before they can be closed quietly.
        for record in outputs:  # noqa: UP028
            yield record
    finally:
        _close_quietly(outputs)


def _close_quietly(outputs: Any) -> None:
    """Joblib warns of outputs that were not used; after an interruption that is no news."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        outputs.close()


def _row(run: Run) -> dict[str, Any]:
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


def make_task(run: Run) -> Task:
    """What goes to the process that runs it."""
    return Task(
        problem=address_of(run.problem) or run.problem,
        x0=run.x0,
        algorithm=run.algorithm.function if isinstance(run.algorithm, CallableAlgorithm) else type(run.algorithm),
        options=resolved_options(run.algorithm),
        kind=run.algorithm.kind,
        strategy=run.derivative,
        seed=run.seed,
        max_evaluations=run.max_evaluations,
        max_seconds=run.max_seconds,
    )


def _job(study: Study, run: Run) -> Job:
    task = make_task(run)
    known = isinstance(run.derivative, Analytic | NoDerivative)
    return Job(
        row=_row(run),
        payload=_pickled((execute, (task,)), run),
        comparison=None if known else _pickled((compare_derivative, (task,)), run),
        derivative_error=0.0 if isinstance(run.derivative, Analytic) else None,
        seconds=_limit(study, run),
        max_memory=study.max_memory,
        keep_x=study.keep_x,
        problem=_pickled(task.problem, run) if run.problem.noise else None,
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
