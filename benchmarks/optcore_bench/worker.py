"""What a worker does with one run: hand it to a supervised process, and make a row of what came back.

A worker is a thread of this process, or a process of joblib's; either way it runs no user code itself. Supervisors
are kept between runs, as many as there are workers at work at the same time in this process.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore import pickling
from optcore.history import FUN, FUN_AND_JAC, JAC, NUMDIFF, HistoryRows, asked, best_so_far
from optcore_bench.environment import fingerprint
from optcore_bench.execute import clean_values
from optcore_bench.store import RunRecord
from optcore_bench.supervise import Outcome, SupervisionError, Supervisor
from optcore_bench.supervise.words import shorten
from optcore_bench.surroundings import Surroundings

__all__ = [
    "Job",
    "NotRun",
    "Supervisors",
    "counts",
    "perform",
    "perform_elsewhere",
    "process_ends",
    "record_without_process",
]

Vector = NDArray[np.float64]

#: What the process that runs are forked from imports beforehand.
PRELOAD = ("numpy", "scipy.optimize", "optcore", "optcore_problems", "optcore_bench.execute")

#: The largest number that the column holds.
_MOST_ITERATIONS = 2**63 - 1
_CLOSING_SECONDS = 10.0
_TICK_SECONDS = 0.05

#: How a run ended, where it didn't come to an answer.
_STATUS = {"raised": "error", "crashed": "crashed", "timeout": "timeout", "memory": "crashed"}


@dataclass(frozen=True, eq=False)
class Job:
    """A run as it travels to a worker. Pickled once, never unpickled by the worker.

    Attributes:
        row: the columns of the row that are known beforehand.
        payload: the run.
        comparison: the comparison of the derivative at the start; None where none is needed.
        derivative_error: what is known of it without a comparison.
        seconds: limit for each of the two.
        max_memory: limit in bytes, or None.
        keep_x: whether points are stored.
        problem: the problem, where values without noise are needed after the run; None where there is no noise.
        until: when all must have ended, in seconds since the epoch, or None; what hasn't ended then is not a row.
        environment: what a solver that runs elsewhere adds to the fingerprint.
    """

    row: Mapping[str, Any]
    payload: bytes
    comparison: bytes | None
    derivative_error: float | None
    seconds: float
    max_memory: int | None
    keep_x: bool
    problem: bytes | None = None
    until: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NotRun:
    """A run that could not end in time, and is left out as if it had not been begun."""

    run_id: str


class _OutOfTimeError(Exception):
    """The time of the whole study is over."""


class Supervisors:
    """The supervisors of this process: each is used by one thread at a time and kept for the next run."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._idle: list[Supervisor] = []
        self._busy: list[Supervisor] = []
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether one is in use."""
        return bool(self._busy)

    def start(self, number: int) -> None:
        """Begin to start so many, without waiting for them: runs will come for all of them."""
        with self._changed:
            for _ in range(number - len(self._idle) - len(self._busy)):
                supervisor = Supervisor(preload=PRELOAD)
                supervisor.start()
                self._idle.append(supervisor)

    def dismiss(self) -> None:
        """Let the processes end that nobody uses, without waiting for that: no more runs will come."""
        with self._changed:
            for supervisor in self._idle:
                supervisor.dismiss()

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Supervisor]:
        """One that no other thread uses, started if there is none.

        Raises:
            SupervisionError: they are closed.
        """
        with self._changed:
            if self._closed:
                raise SupervisionError("the study was interrupted")
            supervisor = self._idle.pop() if self._idle else Supervisor(preload=PRELOAD)
            self._busy.append(supervisor)
        try:
            yield supervisor
        finally:
            with self._changed:
                self._busy.remove(supervisor)
                self._idle.append(supervisor)
                self._changed.notify_all()

    def close(self) -> None:
        """End all processes. Runs in flight are killed first, so that their threads let go of them."""
        with self._changed:
            self._closed = True
            deadline = time.monotonic() + _CLOSING_SECONDS
            while self._busy and time.monotonic() < deadline:
                for supervisor in self._busy:
                    _kill(supervisor.child_pid)
                self._changed.wait(_TICK_SECONDS)
            supervisors, self._idle = [*self._idle, *self._busy], []
        for supervisor in supervisors:
            supervisor.close()


def _kill(pid: int | None) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def perform(job: Job, supervisors: Supervisors) -> RunRecord | NotRun:
    """Run a job in a supervised process; whatever happens there, the answer is a record, if it ends in time."""
    started = time.time()
    try:
        with supervisors.borrow() as supervisor:
            outcome = _supervised(supervisor, job.payload, job)
            error = job.derivative_error
            if job.comparison is not None and outcome.ended in ("returned", "raised"):
                compared = _supervised(supervisor, job.comparison, job)
                error = (compared.answer or {}).get("derivative_error")
            fun_true, trouble = (None, "") if job.problem is None else _clean_values(job, outcome.rows, supervisor)
    except _OutOfTimeError:
        return NotRun(job.row["run_id"])
    return _record(job, outcome, error, fun_true, trouble, started)


def _supervised(supervisor: Supervisor, payload: bytes, job: Job) -> Outcome:
    """Run a function under the limits of a job.

    Raises:
        _OutOfTimeError: it was the end of the whole study that ended it, not a limit of its own.
    """
    left = float("inf") if job.until is None else job.until - time.time()
    if left <= 0:
        raise _OutOfTimeError
    outcome = supervisor.run(payload, seconds=min(job.seconds, left), max_memory=job.max_memory)
    if left < job.seconds and outcome.ended == "timeout":
        raise _OutOfTimeError
    return outcome


def _clean_values(job: Job, rows: HistoryRows, supervisor: Supervisor) -> tuple[Vector, str]:
    """The value without noise of each evaluation, shape (k,), and what kept it from being known, if anything did.

    NaN where the evaluation gave the solver no value.
    """
    values = np.full(rows.fun.size, np.nan)
    known = np.flatnonzero(~np.isnan(rows.fun))
    if not known.size:
        return values, ""
    payload = pickling.dumps((clean_values, (job.problem, rows.x[known])))
    outcome = _supervised(supervisor, payload, job)
    found = outcome.rows.fun
    values[known[: found.size]] = found
    if found.size == known.size:
        return values, ""
    return values, f"values without noise are known for {found.size} of {known.size} evaluations: {outcome.message}"


_watched: set[int] = set()


class _Served:
    """What a process of joblib's holds: the supervisors of the study that it works for, and what they see."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._seen: Surroundings | None = None
        self._supervisors = Supervisors()

    def supervisors(self, surroundings: Surroundings | None) -> Supervisors:
        """Supervisors whose processes see what the process that runs the study sees; None for what this one sees."""
        with self._mutex:
            if surroundings is not None and surroundings != self._seen:
                surroundings.apply()
                if self._seen is not None:  # those that were started saw something else
                    self._supervisors.close()
                    self._supervisors = Supervisors()
                self._seen = surroundings
            return self._supervisors


_OF_THIS_PROCESS = _Served()


def perform_elsewhere(job: Job, parent: int, host: str, surroundings: Surroundings) -> RunRecord | NotRun:
    """The same in a process of joblib's, which ends when the one that runs the study does, even by kill -9.

    Such a process may have worked for an earlier study, and sees what the one that runs this study sees now.
    """
    ours = parent == os.getpid()
    near = host == platform.node() and not ours
    if near and parent not in _watched:
        _watched.add(parent)
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        if threading.current_thread() is threading.main_thread():
            # A terminal and a batch system tell all processes to end. The one that runs the study ends this one.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return perform(job, _OF_THIS_PROCESS.supervisors(surroundings if near else None))


def _end_with(pid: int) -> None:
    """Wait for the end of a process, then end this one; its supervised processes notice and end too."""
    process_ends(pid)
    os._exit(1)


def process_ends(pid: int, seconds: float | None = None) -> bool:
    """Wait for the end of a process of this machine.

    Args:
        pid: its number.
        seconds: how long to wait; None for as long as it takes.

    Returns:
        Whether it has ended.
    """
    try:
        if hasattr(os, "pidfd_open"):
            descriptor = os.pidfd_open(pid)
            try:
                return bool(select.select([descriptor], [], [], seconds)[0])
            finally:
                os.close(descriptor)
        end = float("inf") if seconds is None else time.monotonic() + seconds
        while True:
            os.kill(pid, 0)
            if time.monotonic() >= end:
                return False
            time.sleep(1.0)
    except OSError:  # it is gone already
        return True


def _record(
    job: Job, outcome: Outcome, derivative_error: float | None, fun_true: Vector | None, trouble: str, started: float
) -> RunRecord:
    answer = outcome.answer or {}
    rows = outcome.rows
    message = str(answer.get("message", outcome.message))
    status, iterations = str(answer.get("status", _STATUS.get(outcome.ended, "error"))), answer.get("n_iterations")
    if iterations is not None and not 0 <= iterations <= _MOST_ITERATIONS:
        status, message = "error", f"the solver claims {shorten(str(iterations))} iterations; its message: {message}"
        iterations = None
    run = {
        **job.row,
        "f_start": _start_value(rows, fun_true) if job.row["f_start"] is None else job.row["f_start"],
        "status": status,
        "message": "; ".join(filter(None, (shorten(message), trouble))),
        "f_best": _best(rows, fun_true),
        "f_final": answer.get("f_final"),
        "derivative_error": derivative_error,
        "n_iterations": iterations,
        "environment": {**fingerprint(), **job.environment},
        **counts(rows),
    }
    timings = {
        "seconds": outcome.seconds,
        "cpu_seconds": outcome.cpu_seconds,
        "max_rss": outcome.max_rss,
        "host": platform.node(),
        "worker": f"{os.getpid()}-{threading.get_native_id()}",
        "started_at": started,
    }
    return RunRecord(run=run, timings=timings, history=rows, fun_true=fun_true, keep_x=job.keep_x)


def record_without_process(row: Mapping[str, Any], message: str, n: int, *, keep_x: bool) -> RunRecord:
    """The record of a run that can't be."""
    rows = HistoryRows(
        task=np.zeros(0, dtype=np.uint8),
        fun=np.zeros(0),
        batch=np.zeros(0, dtype=np.int32),
        start=np.zeros(0),
        stop=np.zeros(0),
        x=np.zeros((0, n)),
    )
    run = {
        **row,
        "status": "not_applicable",
        "message": message,
        "f_best": None,
        "f_final": None,
        "derivative_error": None,
        "n_iterations": None,
        "environment": fingerprint(),
        **counts(rows),
    }
    return RunRecord(run=run, timings={}, history=rows, keep_x=keep_x)


def counts(rows: HistoryRows) -> dict[str, int]:
    """Calls by kind, from what was recorded, so that they are right for runs that died too."""
    fun, jac, both, numdiff = (int(np.count_nonzero(rows.task == t)) for t in (FUN, JAC, FUN_AND_JAC, NUMDIFF))
    return {
        "n_fun_evals": fun + numdiff,
        "n_jac_evals": jac,
        "n_fun_and_jac_evals": both,
        "n_numdiff_evals": numdiff,
        "n_batches": int(np.count_nonzero(np.diff(rows.batch))) + 1 if rows.batch.size else 0,
    }


def _start_value(rows: HistoryRows, fun_true: Vector | None = None) -> float | None:
    """The first value at a point that the solver asked for, which is the start; None if it never came to that."""
    values = (rows.fun if fun_true is None else fun_true)[asked(rows)]
    return float(values[0]) if values.size else None


def _best(rows: HistoryRows, fun_true: Vector | None = None) -> float | None:
    """The best value at a feasible point that the solver asked for, without noise; None if there is none."""
    best = best_so_far(rows, fun_true)
    return float(best[-1]) if best.size and not np.isnan(best[-1]) else None
