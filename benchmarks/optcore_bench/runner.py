"""Running a study: what is stored is not run again, what fails costs one row, what finishes is stored at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from optcore_bench.backends import Backend, open_backend
from optcore_bench.claims import Claims
from optcore_bench.cores import available_cores, oversold
from optcore_bench.costs.frozen import freeze_reference
from optcore_bench.estimate import Kin
from optcore_bench.external.kept import keep_sources
from optcore_bench.interrupts import postponed
from optcore_bench.jobs import known_columns, make_job, make_task
from optcore_bench.mixing import check_environment, look_into, manifest_entries
from optcore_bench.plan import Plan, make_plan, read_retry, read_shard, read_stored, read_walltime
from optcore_bench.progress import Progress, duration, make_progress
from optcore_bench.runs import Run, expand
from optcore_bench.store import Results, RunRecord, StoreWriter
from optcore_bench.store.manifest import read_manifest
from optcore_bench.store.mixing import MixedEnvironmentError, MixedStudyError, NotComparableError
from optcore_bench.store.sources import list_contents
from optcore_bench.store.writer import store_path
from optcore_bench.study import Study, load_study
from optcore_bench.words import count
from optcore_bench.worker import Job, NotRun, record_without_process

__all__ = [
    "MixedEnvironmentError",
    "MixedStudyError",
    "NotComparableError",
    "Outcome",
    "available_cores",
    "carry_out",
    "default_store",
    "make_task",
    "plan_study",
    "run_study",
]

_LOOK_SECONDS = 0.2
#: Of a walltime a tenth, but no more than this, is kept for ending.
_RESERVE_SECONDS = 30.0


class Outcome(NamedTuple):
    """What became of a study.

    Attributes:
        results: the store.
        left: how many runs are not in it, because the walltime was over.
        others: who else is adding to the store; the last of them to end brings it to its digest.
    """

    results: Results
    left: int
    others: list[str]


def default_store(study: Study) -> Path:
    """results/local/NAME under the current folder."""
    return Path("results") / "local" / study.name


def run_study(
    study: Study | str | Path,
    store: str | os.PathLike[str] | None = None,
    n_jobs: int = 1,
    backend: str = "threads",
    *,
    scheduler: str | None = None,
    retry: str | Iterable[str] | None = None,
    shard: str | tuple[int, int] | None = None,
    walltime: str | float | None = None,
    allow_mixed: bool = False,
    progress: Progress | None = None,
    command: str | None = None,
) -> Results:
    """Run what a study lists and its store doesn't hold yet.

    Each run happens in a supervised process of its worker's (see `optcore_bench.supervise`). The workers themselves
    only wait for these processes; threads do that as well as processes would, start at once and share one log, hence
    the default. A joblib backend ("loky", "dask", "ray") spreads the workers over processes or machines.

    The store is the same whatever `n_jobs`, the backend, the shards or an interruption was. Ctrl-C, or kill -9, costs
    the runs in flight and nothing else: the same call takes it up again. Several processes may do it at the same time,
    on one machine or several that share a disk: they share the runs out among themselves (see
    `optcore_bench.claims`), and each returns when the store is complete.

    Args:
        study: a Study, the name of one that ships, or the path of a TOML file.
        store: folder of the results; results/local/NAME under the current folder by default.
        n_jobs: how many runs at the same time; -1 for as many as this process may use cores, or all that a dask
            cluster has.
        backend: "threads", or a joblib backend.
        scheduler: address of dask's scheduler; by default the client that is active. The workers need the same
            installation, and the results come back to this process, which alone writes the store.
        retry: statuses such as "crashed,timeout,error": stored runs that ended so are run again, and the new rows
            take the places of the old ones.
        shard: "K/N" or (K, N): only the K-th of N parts of the runs, see `optcore_bench.plan.Shard`. Parts can go
            into one store, or into one each, to be merged.
        walltime: seconds, or a text such as "3:50:00" or "90m": all has ended by then. Runs that can't end in time
            are left out, `results.finished` is False, and the same call goes on. A run of which other starts took
            longer than what is left is not begun; what is under way when the time is over is ended.
        allow_mixed: whether to add to a store that was made in another environment.
        progress: told what happens; nobody by default.
        command: the command line, for the manifest.

    Returns:
        The results, finished unless the walltime was over or other shards are at work on the store.

    Raises:
        MixedEnvironmentError: the store was made in another environment.
        MixedStudyError: the store holds runs of another study, or of this one under other rules.
        MissingLibraryError: the backend's library is not installed.
        UnknownNameError: there is no such backend or status.
        InvalidInputError: an argument can't be, or something of the user's own can't be pickled.
        OptcoreError: a process of joblib's could not start, or was ended by something else.
        KeyboardInterrupt: on Ctrl-C, after all processes have ended.
    """
    return carry_out(
        study,
        store,
        n_jobs,
        backend,
        scheduler=scheduler,
        retry=retry,
        shard=shard,
        walltime=walltime,
        allow_mixed=allow_mixed,
        progress=progress,
        command=command,
    ).results


def plan_study(
    study: Study,
    store: str | os.PathLike[str] | None = None,
    *,
    retry: str | Iterable[str] | None = None,
    shard: str | tuple[int, int] | None = None,
    allow_mixed: bool = False,
) -> Plan:
    """What `run_study` would run. Nothing is run and nothing is written.

    Args:
        study: the study.
        store: as for `run_study`, as the rest.
        retry: statuses of stored runs that are run again.
        shard: a part of the runs.
        allow_mixed: whether the store may be one of another environment.

    Returns:
        The plan.

    Raises:
        NotComparableError, InvalidInputError, UnknownNameError: as for `run_study`.
    """
    statuses, part = read_retry(retry), read_shard(shard)
    runs = expand(study)
    path = default_store(study) if store is None else Path(store)
    return make_plan(runs, look_into(path, study, runs, allow_mixed=allow_mixed), statuses, part)


def carry_out(
    study: Study | str | Path,
    store: str | os.PathLike[str] | None = None,
    n_jobs: int = 1,
    backend: str = "threads",
    *,
    scheduler: str | None = None,
    retry: str | Iterable[str] | None = None,
    shard: str | tuple[int, int] | None = None,
    walltime: str | float | None = None,
    allow_mixed: bool = False,
    progress: Progress | None = None,
    command: str | None = None,
) -> Outcome:
    """The same as `run_study`; also says what is left, and who else is at work."""
    until = _end_of(read_walltime(walltime))
    study = study if isinstance(study, Study) else load_study(study)
    statuses, part = read_retry(retry), read_shard(shard)
    runs = expand(study)
    path = store_path(default_store(study) if store is None else store)
    progress = make_progress(quiet=True) if progress is None else progress
    before = _signature(path)
    plan = make_plan(runs, look_into(path, study, runs, allow_mixed=allow_mixed), statuses, part)
    with contextlib.ExitStack() as stack:
        workers = stack.enter_context(open_backend(backend, n_jobs, scheduler))
        workers.expect(sum(not run.reason for run in plan.pending))
        manifest = manifest_entries(path, command, study, plan)
        writer = stack.enter_context(StoreWriter(path, study=study.to_toml(), manifest=manifest))
        keep_sources(path, (entry.algorithm for entry in study.algorithms))
        with postponed():  # else its file could be left
            claims = stack.enter_context(Claims(path, _work(plan.runs)))
        if _signature(path) != before:  # somebody stored something meanwhile
            plan = make_plan(runs, read_stored(path), statuses, part)
        progress.begin(study.name, len(plan.runs), len(plan.runs) - len(plan.pending), workers.workers)
        try:
            _note(plan, workers, backend, progress)
            left = _Work(study, plan, writer, claims, progress, until, allow_mixed=allow_mixed).do(workers)
            workers.expect(0)
        finally:
            progress.end()
        others = [] if left else _finish(writer, claims, runs)
    results = Results(path)
    if results.finished:
        freeze_reference(results)
    return Outcome(results, left, others)


def _end_of(walltime: float | None) -> float | None:
    """When runs must have ended, in seconds since the epoch."""
    return None if walltime is None else time.time() + walltime - min(_RESERVE_SECONDS, 0.1 * walltime)


def _signature(path: Path) -> Any:
    """Differs if something was stored meanwhile."""
    if not (path / "manifest.json").exists():
        return None
    contents = list_contents(path)
    logs = [path / "log" / f"{stem}.log" for stem in contents.logs]
    return contents.segments, [(log.name, log.stat().st_size) for log in logs if log.exists()]


def _work(runs: list[Run]) -> str:
    """Names what is to be done: the same for processes that do the same."""
    return hashlib.sha256(" ".join(sorted(run.run_id for run in runs)).encode()).hexdigest()[:16]


def _note(plan: Plan, workers: Backend, backend: str, progress: Progress) -> None:
    """What the user should know beforehand, one line each."""
    for reason in dict.fromkeys(run.reason for run in plan.pending if "not installed" in run.reason):
        times = sum(run.reason == reason for run in plan.pending)
        progress.note(f"warning: {reason} ({count(times, 'run is', 'runs are')} not applicable)")
    if old := plan.superseded:
        progress.note(
            f"{count(len(old), 'stored run was', 'stored runs were')} made by other code, options or versions and "
            f"{'is' if len(old) == 1 else 'are'} run again, such as {old[0].label}"
        )
    if plan.retried:
        again = count(len(plan.retried), "stored run is", "stored runs are")
        progress.note(f"{again} run again, since the status is to be retried")
    here = backend in ("threads", "loky")
    if here and (warning := oversold(plan.pending, workers.workers, available_cores())):
        progress.note(f"warning: {warning}")


def _finish(writer: StoreWriter, claims: Claims, runs: list[Run]) -> list[str]:
    """Bring the store to its digest; who does the same ends within moments and is waited for.

    Returns:
        Who else is at work on other parts of it.
    """
    writer.close()
    claims.rest()
    while True:
        # Looked at before: the log of a process that rests is closed, so that `finish` takes it in.
        alike = [peer for peer in claims.peers(_work(runs)) if not peer.rests]
        writer.finish([run.run_id for run in runs])
        if _is_finished(writer.path) or not alike:
            break
        time.sleep(_LOOK_SECONDS)
    return [] if _is_finished(writer.path) else [str(peer) for peer in claims.peers()]


def _is_finished(path: Path) -> bool:
    return read_manifest(path).get("finished") is not None


class _Work:
    """The runs that are left to do, shared with other processes that do the same."""

    def __init__(
        self,
        study: Study,
        plan: Plan,
        writer: StoreWriter,
        claims: Claims,
        progress: Progress,
        until: float | None,
        *,
        allow_mixed: bool,
    ) -> None:
        self._study = study
        self._plan = plan
        self._writer = writer
        self._claims = claims
        self._progress = progress
        self._until = until
        self._allow_mixed = allow_mixed
        self._todo = {run.run_id: run for run in plan.pending}
        self._seconds = None if until is None else Kin(plan, "seconds")
        self._late: dict[str, float] = {}

    def do(self, workers: Backend) -> int:
        """Do what can be done until all is stored, by this process or by others, or the time is over.

        Returns:
            How many runs are left.
        """
        waits = False
        while self._todo and not self._is_over():
            free = [self._todo[run_id] for run_id in self._claims.free(self._todo)]
            if fits := [run for run in free if self._fits(run)]:
                self._pass(fits, workers)
            elif free:
                break
            elif not waits and (others := self._claims.peers()):
                waits = True
                names = ", ".join(str(peer) for peer in others)
                self._progress.note(f"waiting for {count(len(self._todo), 'run')} of {names}")
            else:
                time.sleep(_LOOK_SECONDS)
            self._look_at_others()
        if late := [self._late[run_id] for run_id in self._todo if run_id in self._late]:
            self._progress.note(
                f"{count(len(late), 'run was', 'runs were')} not begun, which would not end within the walltime: "
                f"similar ones took up to {duration(max(late))}"
            )
        return len(self._todo)

    def _is_over(self) -> bool:
        return self._until is not None and time.time() >= self._until

    def _fits(self, run: Run) -> bool:
        """Whether a run may end in time, as far as its other starts tell."""
        if self._until is None or self._seconds is None or run.reason:
            return True
        took = self._seconds.of(run, near=True)
        if took is None or took <= self._until - time.time():
            return True
        self._late[run.run_id] = took
        return False

    def _look_at_others(self) -> None:
        for run_id, status in self._claims.stored_by_others().items():
            if run := self._todo.pop(run_id, None):
                self._progress.elsewhere(run.label, status)

    def _pass(self, runs: list[Run], workers: Backend) -> None:
        for run in runs:
            if run.reason and self._claims.take(run.run_id):
                row = known_columns(run)
                self._store(record_without_process(row, run.reason, run.problem.n, keep_x=self._study.keep_x))
        if not any(run.run_id in self._todo and not run.reason for run in runs):
            return
        with contextlib.closing(workers.perform(self._jobs(runs))) as answers:
            for answer in answers:
                if isinstance(answer, NotRun):
                    self._claims.give_back(answer.run_id)
                else:
                    self._store(answer)

    def _jobs(self, runs: list[Run]) -> Iterator[Job]:
        """Taken one by one, with joblib by threads of its own."""
        for run in runs:
            if self._is_over():
                return
            if not run.reason and self._fits(run) and self._claims.take(run.run_id):
                self._progress.started(run.label)
                yield make_job(self._study, run, self._until)

    def _store(self, record: RunRecord) -> None:
        check_environment(record, allow_mixed=self._allow_mixed)
        run_id = record.run["run_id"]
        before = self._plan.stored[run_id].began if run_id in self._plan.retried else None
        if before is not None:  # of two rows the one that began last counts, also where a clock was set back
            began = max(record.timings.get("started_at") or before, before + 1e-3)
            record = replace(record, timings={**record.timings, "started_at": began})
        self._writer.append(record)
        self._claims.stored(run_id, record.run["status"])
        if self._seconds is not None and (took := record.timings.get("seconds")) is not None:
            self._seconds.add(self._todo[run_id].key, took)
        evaluations = record.run["n_fun_evals"] + record.run["n_fun_and_jac_evals"]
        self._progress.done(self._todo.pop(run_id).label, record.run["status"], evaluations)
