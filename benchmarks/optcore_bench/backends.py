"""The workers: threads of this process, processes of joblib's, or a cluster that joblib knows.

Workers only wait for the supervised processes in which runs happen. The same guarantees hold with all of them.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
import logging
import os
import platform
import queue
import secrets
import signal
import sys
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from typing import Any, Protocol, Self

import joblib

from optcore.errors import InvalidInputError, MissingLibraryError, OptcoreError, unknown_name
from optcore_bench.cores import count_workers
from optcore_bench.interrupts import SIGNALS, postponed
from optcore_bench.remote import Session, end_session, perform_remotely
from optcore_bench.store import RunRecord
from optcore_bench.surroundings import Surroundings
from optcore_bench.worker import Job, NotRun, Supervisors, perform, perform_elsewhere

__all__ = ["BACKENDS", "Backend", "open_backend"]

#: Those that are known by name; others can be registered with joblib.
BACKENDS = ("threads", "loky", "dask", "ray")
_SCHEDULER_SECONDS = 10.0
_ENDING_SECONDS = 1.0
#: Where loky hands jobs to its workers and takes their answers.
_THREAD_OF_LOKY = "ExecutorManagerThread"

Answer = RunRecord | NotRun


class Backend(Protocol):
    """Workers, as many as `workers`."""

    workers: int

    def expect(self, number: int) -> None:
        """So many jobs will come: what takes its time to start may begin to. None: what takes its time to end may."""
        ...

    def perform(self, jobs: Iterable[Job]) -> Generator[Answer, None, None]:
        """Do jobs, as many at the same time as there are workers; answers come in the order in which they end.

        What the iterable raises is raised here, once what was begun has ended. `close` of the generator ends the
        runs in flight.
        """
        ...


@contextlib.contextmanager
def open_backend(name: str, n_jobs: int, scheduler: str | None = None) -> Iterator[Backend]:
    """Start or reach the workers.

    Args:
        name: "threads", or a joblib backend.
        n_jobs: how many; -1 for the cores that this process may use, or all that a cluster has.
        scheduler: address of dask's scheduler.

    Yields:
        The workers. All processes of theirs that belong to the study have ended afterwards.

    Raises:
        UnknownNameError: there is no such backend.
        MissingLibraryError: its library is not installed.
        InvalidInputError: n_jobs can't be, or there is no scheduler at the address.
    """
    workers = count_workers(n_jobs)
    if scheduler is not None and name != "dask":
        raise InvalidInputError(f"a scheduler goes with the backend 'dask', not with {name!r}")
    if name == "threads":
        with contextlib.closing(_Threads(workers)) as threads:
            yield threads
    elif name == "dask":
        with _Dask(n_jobs, scheduler) as dask:
            yield dask
    else:
        _check(name)
        yield _Processes(name, workers)


def _check(name: str) -> None:
    if name == "ray":
        if importlib.util.find_spec("ray") is None:
            raise MissingLibraryError("the backend 'ray' needs ray, which is not installed: pip install ray")
        importlib.import_module("ray.util.joblib").register_ray()
    known = joblib.parallel.BACKENDS
    if name not in known:
        raise unknown_name("backend", name, {*BACKENDS, *known})


class _Threads:
    """Threads of this process; their supervised processes are kept from one call of `perform` to the next."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._supervisors = Supervisors()

    def expect(self, number: int) -> None:
        """Start the supervised processes, one a worker, or let them end."""
        if number:
            self._supervisors.start(min(self.workers, number))
        else:
            self._supervisors.dismiss()

    def perform(self, jobs: Iterable[Job]) -> Generator[Answer, None, None]:
        """Do jobs; one worker is the thread that asks."""
        feed, team = _Feed(jobs), _Team(self.workers, self._supervisors)
        alone = (perform(job, self._supervisors) for job in feed)
        try:
            yield from alone if self.workers == 1 else team.perform(iter(feed))
        except BaseException:
            self._supervisors.close()  # before the threads, which wait for their processes
            raise
        finally:
            team.close()
        feed.check()

    def close(self) -> None:
        """End the supervised processes."""
        self._supervisors.close()


class _Team:
    """Threads that do jobs, as many as there are jobs at the same time.

    Joblib's would do, but it looks every 10 ms what they have done, which takes up to a hundredth of a core. They are
    daemons, so that a second Ctrl-C doesn't wait for them.

    Args:
        most: of them.
        supervisors: whose processes they wait for.
    """

    def __init__(self, most: int, supervisors: Supervisors) -> None:
        self._most = most
        self._supervisors = supervisors
        self._threads: list[threading.Thread] = []
        self._todo: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()

    def perform(self, jobs: Iterator[Job]) -> Generator[Answer, None, None]:
        """Answers as they come. A job is taken once a thread is free for it, and before the answer is handed out."""
        under_way = self._begin(jobs, 0)
        while under_way:
            answer = self._done.get()
            if isinstance(answer, BaseException):
                raise answer
            under_way = self._begin(jobs, under_way - 1)
            yield answer

    def _begin(self, jobs: Iterator[Job], under_way: int) -> int:
        """Give jobs to those that have none; returns how many have one then."""
        for job in itertools.islice(jobs, self._most - under_way):
            under_way += 1
            if under_way > len(self._threads):
                thread = threading.Thread(target=self._work, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._todo.put(job)
        return under_way

    def _work(self) -> None:
        while (job := self._todo.get()) is not None:
            try:
                self._done.put(perform(job, self._supervisors))
            except BaseException as error:  # noqa: BLE001  raised where the answer is awaited
                self._done.put(error)

    def close(self) -> None:
        """End the threads, whose jobs have ended."""
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(_ENDING_SECONDS)


class _Processes:
    """Processes that joblib starts on this machine, or whatever its backend of that name is."""

    def __init__(self, name: str, workers: int) -> None:
        self.workers = workers
        self._name = name

    def expect(self, number: int) -> None:
        """Nothing: joblib's processes start with the first job."""

    def perform(self, jobs: Iterable[Job]) -> Generator[Answer, None, None]:
        """Do jobs."""
        parallel = joblib.Parallel(
            self.workers, self._name, return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1
        )
        # Taken when the study runs: joblib keeps its processes for the next one.
        surroundings = Surroundings.here(owned=self._name == "loky")
        try:
            yield from _collect(parallel, perform_elsewhere, jobs, os.getpid(), platform.node(), surroundings)
        except BrokenProcessPool as error:
            raise OptcoreError(
                f"a process of the backend {self._name!r} could not start, or was ended by something else; finished "
                "runs are stored, and the same call goes on, with the backend 'threads' without such processes"
            ) from error


class _Dask:
    """The workers of a dask cluster.

    Jobs and records travel straight between this process and the workers where they reach each other, and through the
    scheduler otherwise.
    """

    def __init__(self, n_jobs: int, scheduler: str | None) -> None:
        self._client, self._is_ours = _connect(scheduler)
        try:
            has = sum(self._client.ncores().values())
        except BaseException:
            self._leave()
            raise
        if not has:
            self._leave()
            raise InvalidInputError(
                f"the dask scheduler at {scheduler or self._client.scheduler.address} has no workers; start some with "
                "`dask worker ADDRESS`"
            )
        self.workers = has if n_jobs == -1 else min(n_jobs, has)
        self._session = Session(secrets.token_hex(8), platform.node(), os.getpid(), tuple(sys.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # workers that are gone have nothing left to end
            self._client.run(end_session, self._session.name)
        self._leave()

    def _leave(self) -> None:
        if self._is_ours:
            self._client.close()

    def expect(self, number: int) -> None:
        """Nothing: the workers are there."""

    def perform(self, jobs: Iterable[Job]) -> Generator[Answer, None, None]:
        """Do jobs."""
        with joblib.parallel_config("dask", client=self._client, pure=False):
            # This backend of joblib's takes all that there is; what is dispatched beforehand is what limits it.
            parallel = joblib.Parallel(return_as="generator_unordered", pre_dispatch=self.workers, batch_size=1)
            yield from _collect(parallel, perform_remotely, jobs, self._session)


def _connect(scheduler: str | None) -> tuple[Any, bool]:
    """A client of a dask scheduler, and whether it was made here."""
    if importlib.util.find_spec("distributed") is None:
        raise MissingLibraryError(
            "the backend 'dask' needs distributed, which is not installed: pip install 'optcore[dask]'"
        )
    distributed: Any = importlib.import_module("distributed")

    if scheduler is None:
        try:
            return distributed.default_client(), False
        except ValueError:
            raise InvalidInputError(
                "the backend 'dask' needs a scheduler: start one with `dask scheduler` and workers with `dask worker "
                "ADDRESS`, and give its address: --scheduler ADDRESS"
            ) from None
    try:
        if not scheduler.startswith("inproc://"):
            # Before a client is made: one that is made of what is no address hangs and complains when it goes.
            distributed.comm.get_address_host_port(scheduler)
        client = distributed.Client(scheduler, timeout=_SCHEDULER_SECONDS, set_as_default=False, direct_to_workers=True)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidInputError(
            f"no dask scheduler answers at {scheduler!r} ({reason}); start one with `dask scheduler`"
        ) from error
    return client, True


class _Feed:
    """Jobs whose exception is raised after the last answer; threads of joblib, which take them, would lose it."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = iter(jobs)
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Job]:
        try:
            yield from self._jobs
        except Exception as error:  # noqa: BLE001  raised by `check`
            self._error = error

    def check(self) -> None:
        """Raise what was raised."""
        if self._error is not None:
            raise self._error


def _collect(parallel: Any, function: Any, jobs: Iterable[Job], *arguments: Any) -> Generator[Answer, None, None]:
    """Answers as they come."""
    feed = _Feed(jobs)
    with contextlib.ExitStack() as stack:
        with _undisturbed():  # processes that joblib is still starting it can't end
            outputs = parallel(joblib.delayed(function)(job, *arguments) for job in feed)
            stack.callback(_close_quietly, outputs)
        # Not `yield from`, which would close the outputs before they can be closed quietly.
        for record in outputs:  # noqa: UP028
            yield record
    feed.check()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM to the end of the block, and let what is started there never get them.

    A terminal sends Ctrl-C to all processes, and one that is still importing would answer with a traceback. What this
    thread blocks, the threads and processes that it starts do too. Where other threads don't, the signal comes to the
    main thread nevertheless, which puts it off.
    """
    resource_tracker.ensure_running()  # up to Python 3.13 its start lifts the block
    with postponed():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _close_quietly(outputs: Any) -> None:
    """End what is under way, without joblib's words for it: that outputs were not used is no news then.

    A job that was just dispatched meets workers that are being ended. Depending on the moment loky logs that from its
    thread, or the thread, which has killed the workers by then, ends with a KeyError.
    """
    with warnings.catch_warnings(), _without_words_of_loky():
        warnings.simplefilter("ignore", UserWarning)
        outputs.close()


@contextlib.contextmanager
def _without_words_of_loky() -> Iterator[None]:
    """Keep what its thread says of work that was given up from standard error. Everything else is told as before."""

    def is_ours() -> bool:
        return threading.current_thread().name == _THREAD_OF_LOKY

    def tell(args: threading.ExceptHookArgs) -> None:
        if not (is_ours() and args.exc_type is KeyError):
            before(args)

    def is_heard(_: logging.LogRecord) -> bool:
        return not is_ours()

    before, logger = threading.excepthook, logging.getLogger("concurrent.futures")
    threading.excepthook = tell
    logger.addFilter(is_heard)
    try:
        yield
    finally:
        logger.removeFilter(is_heard)
        threading.excepthook = before
