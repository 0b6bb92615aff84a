"""A pool of processes that lives as long as it is used, gets each function once, and ships only vectors.

A derivative by differences is many short calls of one function, again and again. So the workers are kept
between batches; the function travels once to each of them; cheap calls travel several to a message, expensive
ones one by one, so that no worker waits for another. Workers are started as fresh interpreters: scripts need
no `__main__` guard, no thread of the user is forked, and notebooks and interactive sessions work.

Why not one of the pools there are? Most send the function anew with each batch or task, and none knows which calls
are cheap. Milliseconds for a gradient (n = 10 / 40) of a free function by two workers, the fastest of 60 on a quiet
machine with two cores: here 0.24 / 0.40, multiprocessing's pool (Python 3.11) 1.04 / 1.78 point by point and
0.60 / 0.84 in chunks, at the price of idle workers where calls are long, concurrent.futures 1.8 / 5.7, pebble 5.2.3
1.9 / 4.2, mpire 2.10.2 2.9 / 7.5, loky through joblib 1.6.0 in one `with` 10 / 11. Efficiency with calls of 1 ms on
four workers, n = 10: 0.81 here, multiprocessing 0.73, mpire 0.59; of 10 ms: 0.96, then 0.95 and 0.89. So from 10 ms a
call on most of them would do for speed; but none has all of the rest: functions by value, a point evaluated again
after a death, limits of time that end compiled code, and nothing left behind. `benchmarks/asv_suite/parallel.py`
measures all of them again.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optcore.errors import InvalidInputError
from optcore.numdiff import _worker as wire
from optcore.numdiff._process import SMALL_BYTES, WORKER_FLAG, Process, Record, Team
from optcore.numdiff._shipment import Shipment, Shipments

__all__ = ["Evaluated", "Pool", "Shipment", "n_workers_from", "shared_pool", "why_one_core"]

_IS_POSIX = os.name == "posix"
#: Calls longer than this travel one by one; shorter ones several to a message of about _CHUNK_SECONDS.
_SINGLE_SECONDS = 0.5e-3
_CHUNK_SECONDS = 2e-3
#: A worker is given its next message before it has finished the last, unless calls are so long that the wait
#: for it doesn't matter, and so uneven (relative to their mean) that waiting behind a slow call would.
_PREFETCH_SECONDS = 5e-3
_EVEN = 0.2
#: How long an abandoned batch may take to end by itself before its workers are killed.
_GRACE_SECONDS = 0.1
#: How long idle workers may take to end by themselves.
_GOODBYE_SECONDS = 0.3


class Evaluated(NamedTuple):
    """The outcome of one call.

    Attributes:
        value: what the function returned; None if it raised.
        error: what the function raised; None if it returned.
        start: `perf_counter()` when the call began; on Linux this clock is common to all processes.
        stop: `perf_counter()` when the call ended.
    """

    value: Any
    error: BaseException | None
    start: float
    stop: float


def n_workers_from(n_cores: int) -> int:
    """Number of worker processes for `n_cores`.

    Args:
        n_cores: a positive number, or -1 for all cores that this process may use: those of its CPU affinity,
            within the CPU quota of its container.

    Returns:
        The number of workers. 1 inside a worker (see `why_one_core`).

    Raises:
        InvalidInputError: if `n_cores` is neither positive nor -1.

    >>> n_workers_from(3)
    3
    """
    if n_cores != -1 and n_cores < 1:
        raise InvalidInputError(f"n_cores must be at least 1, or -1 for all cores, but is {n_cores!r}")
    if _worker_name():
        return 1
    return _usable_cores() if n_cores == -1 else int(n_cores)


def why_one_core(n_cores: int) -> str | None:
    """Why `n_cores` counts as 1 in this process, in a sentence; None where it counts as what it is.

    A worker of a pool has siblings that use the other cores; if each of them started workers of its own, there
    would be more processes than cores.

    >>> why_one_core(4) is None
    True
    """
    name = _worker_name() if n_cores != 1 else None
    if name is None:
        return None
    return f"n_cores={n_cores} counts as 1, because this is {name}, and its siblings use the other cores"


def _worker_name() -> str | None:
    if os.environ.get(WORKER_FLAG):
        return "a worker process of a parallel derivative"
    # Also the parent of joblib's loky processes, of those of concurrent.futures and of dask. If nothing has
    # imported it, this process is none of its children.
    process = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None:
        return None
    return f"the process {process.current_process().name} of multiprocessing"


def _usable_cores() -> int:
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no control groups, or "max": no limit
        return affinity
    return max(1, min(affinity, allowed))


class Pool:
    """Worker processes that evaluate functions at many points.

    Workers are started when a batch first needs them. Batches may overlap (nested calls, threads): each gets
    workers of its own. After a fork the pool of the child starts afresh. Workers use one BLAS and OpenMP
    thread each.

    Args:
        n_workers: number of processes that share a batch.

    Raises:
        InvalidInputError: on systems other than POSIX, or if `n_workers` is below 1.

    >>> with Pool(2) as pool:
    ...     [outcome.value for outcome in pool.evaluate(lambda x: x.sum() ** 2, np.eye(3))]
    [np.float64(1.0), np.float64(1.0), np.float64(1.0)]
    """

    def __init__(self, n_workers: int) -> None:
        if not _IS_POSIX:
            raise InvalidInputError(
                "the process pool needs a POSIX system (Linux, macOS); "
                'use batch_evaluator="threads" or batch_evaluator="joblib"'
            )
        if n_workers < 1:
            raise InvalidInputError(f"n_workers must be at least 1, but is {n_workers!r}")
        self.n_workers = n_workers
        #: What happened to workers, one sentence each.
        self.events: list[str] = []
        self._shipments = Shipments()
        self._teams: list[Team] = []
        self._idle: list[Team] = []
        # Runs when the pool is garbage, and at exit.
        self._close = weakref.finalize(self, _end, self._teams)
        _pools.add(self)

    def evaluate(
        self, function: Callable[[Any], Any] | Shipment, points: ArrayLike, *, timeout: float | None = None
    ) -> Iterator[Evaluated]:
        """Evaluate a function at every point.

        A function is pickled when this pool first sees it, and recognised by its identity from then on. Give
        a `Shipment` to decide yourself when the function, with all that it refers to, is copied.

        Exceptions are data: an exception at one point is that point's `error`, with the worker's traceback as
        a note. Where a worker dies, a new one takes over and the point is evaluated again, once: if that one dies
        too, the point has a RuntimeError that says so. Where several calls travelled in one message, those whose
        outcome was lost with the worker are made again.

        Args:
            function: takes a vector of shape (n,), returns something that can be pickled.
            points: shape (k, n), real or complex.
            timeout: seconds that one call may take. Then its worker is ended, wherever it is, with all that it
                started; the point has a TimeoutError, whose note says where the call was, and isn't evaluated
                again. The function must leave SIGALRM alone. None: no limit.

        Returns:
            The k outcomes, in the order of the points, each as soon as it and those before it are known.
            Closing the iterator abandons what is not finished.

        Raises:
            InvalidInputError: if `points` has the wrong shape, or the function can't be pickled or loaded.
            RuntimeError: if the pool is closed, or no worker can be started.
        """
        if not self._close.alive:
            raise RuntimeError("this pool is closed; make a new one")
        batch = np.asarray(points)
        if batch.ndim != 2:
            raise InvalidInputError(f"points must have the shape (k, n), but have the shape {batch.shape}")
        batch = np.ascontiguousarray(batch, np.complex128 if batch.dtype.kind == "c" else np.float64)
        shipment = function if isinstance(function, Shipment) else self._shipments.of(function)
        return self._run(shipment, batch, timeout)

    def _run(self, shipment: Shipment, points: NDArray[Any], timeout: float | None) -> Iterator[Evaluated]:
        team = self._borrow()
        try:
            yield from _Batch(team, shipment, points, self.events, timeout).outcomes()
        except (Exception, GeneratorExit):
            team.settle(_GRACE_SECONDS)
            raise
        except BaseException:  # KeyboardInterrupt may come in the middle of a message
            team.kill()
            raise
        finally:
            if not team.is_closed:
                self._idle.append(team)

    def _borrow(self) -> Team:
        # No lock: list operations are atomic, and a garbage collection in here may end another batch.
        try:
            return self._idle.pop()
        except IndexError:
            team = Team(self.n_workers)
            self._teams.append(team)
            return team

    def close(self) -> None:
        """End all workers: at once those that are idle, within a second those that are busy."""
        self._idle.clear()
        self._close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return not self._close.alive

    def _disown(self) -> None:
        for team in self._teams:
            team.disown()
        self._teams.clear()
        self._idle.clear()
        self._shipments = Shipments()  # another thread may have held its lock


class _Batch:
    """One call of `evaluate`: what is still to do, who does it, what came back."""

    def __init__(
        self, team: Team, shipment: Shipment, points: NDArray[Any], events: list[str], timeout: float | None
    ) -> None:
        self._events = events
        self._timeout = timeout
        self._again: set[int] = set()  # points at which a worker died once
        self._team = team
        self._shipment = shipment
        self._points = points
        self._share = math.ceil(len(points) / team.size)
        self._pending = deque([range(len(points))])
        self._done: dict[int, Evaluated] = {}
        self._deaths_in_a_row = 0
        self._failed_starts = 0

    def outcomes(self) -> Iterator[Evaluated]:
        for index in range(len(self._points)):
            while index not in self._done:
                if self._pending:
                    self._distribute()
                self._collect()
            if self._pending:
                self._distribute()  # before the caller takes its time
            yield self._done.pop(index)

    def _distribute(self) -> None:
        for depth in (1, 2) if self._prefetches() else (1,):
            for worker in self._team.muster(len(self._points)):
                if self._pending and len(worker.ends) < depth and not worker.is_broken:
                    self._give(worker)

    def _give(self, worker: Process) -> None:
        if not worker.assigned:
            worker.ship(self._shipment)
        indices = self._pending.popleft()
        size = self._message_size()
        if len(indices) > size:
            self._pending.appendleft(indices[size:])
            indices = indices[:size]
        if not worker.give(self._shipment, self._points, indices, self._timeout):
            self._pending.appendleft(indices)

    def _message_size(self) -> int:
        seconds = self._shipment.seconds
        if seconds is None or seconds > _SINGLE_SECONDS:
            return 1
        return max(1, min(self._share, int(_CHUNK_SECONDS / max(seconds, 1e-9))))

    def _prefetches(self) -> bool:
        seconds = self._shipment.seconds
        if seconds is None or (seconds > _PREFETCH_SECONDS and self._shipment.spread > _EVEN * seconds):
            return False
        return self._message_size() * self._points[:1].nbytes < SMALL_BYTES

    def _collect(self) -> None:
        for worker in self._team.wait():
            records, is_alive = worker.receive()
            for record in records:
                self._take(worker, record)
            if not is_alive:
                self._bury(worker)

    def _take(self, worker: Process, record: Record) -> None:
        if record.kind in wire.OUTCOMES:
            worker.check_off(record.about)
            self._done[record.about] = Evaluated(*wire.decode(record.kind, record.payload), record.start, record.stop)
            self._shipment.timed(record.stop - record.start)
            self._deaths_in_a_row = 0
        elif record.kind == wire.UNLOADABLE:
            if record.about == self._shipment.key:  # otherwise it was mended since
                self._shipment.repair(wire.decode(wire.ERROR, record.payload)[1])
            self._put_back(worker.take_back())
        else:
            self._failed_starts = 0

    def _put_back(self, indices: Iterable[int]) -> None:
        # One by one: if one of them ends the next worker too, it is known which.
        self._pending.extendleft(range(i, i + 1) for i in reversed(list(indices)))

    def _bury(self, worker: Process) -> None:
        end = worker.post_mortem()
        if worker.is_timed_out and self._timeout is not None and worker.assigned:
            self._time_out(worker)
            return
        suspects = worker.take_back(1 if worker.is_ready else 0)
        others = worker.take_back()
        self._team.dismiss(worker)
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts > self._team.size:
                raise RuntimeError(f"a worker process {end} before it was ready; what it printed says why")
        is_alone = len(suspects) == 1
        self._deaths_in_a_row += is_alone
        if is_alone and suspects[0] in self._again:
            self._fail(
                suspects,
                f"the worker process {end} while it evaluated this point; look for calls of os._exit, "
                "crashes of compiled code, or a lack of memory",
            )
            suspects = []
        elif suspects:
            self._again.update(suspects if is_alone else ())
            self._events.append(f"a worker process {end}; it was replaced and its point evaluated again")
        self._put_back(suspects + others)
        if self._deaths_in_a_row > 2 + self._team.size:
            self._fail(
                [i for indices in self._pending for i in indices],
                f"not evaluated, because {self._deaths_in_a_row} worker processes in a row died in this "
                f"batch; the last one {end}",
            )
            self._pending.clear()

    def _time_out(self, worker: Process) -> None:
        at, *others = worker.take_back()
        self._team.dismiss(worker)
        error = TimeoutError(f"the call took longer than timeout={self._timeout:g} s and was ended")
        if words := worker.last_words():
            error.add_note(f"Where it was in the worker process (most recent call last):\n{words}")
        now = perf_counter()
        self._done[at] = Evaluated(None, error, now - (self._timeout or 0.0), now)
        self._put_back(others)

    def _fail(self, indices: list[int], message: str) -> None:
        now = perf_counter()
        for i in indices:
            self._done[i] = Evaluated(None, RuntimeError(message), now, now)


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
_shared: dict[int, Pool] = {}
_sharing = threading.RLock()


def shared_pool(n_workers: int) -> Pool:
    """The pool of this process for a number of workers; started when it is first used, closed at exit.

    >>> shared_pool(2) is shared_pool(2)
    True
    """
    with _sharing:
        pool = _shared.get(n_workers)
        if pool is None or pool.is_closed:
            pool = _shared[n_workers] = Pool(n_workers)
        return pool


def _end(teams: list[Team]) -> None:
    """Ask all workers to end, and kill those that don't."""
    for team in teams:
        team.hang_up()
    end = monotonic() + _GOODBYE_SECONDS
    while any(w.process.poll() is None for team in teams for w in team.workers) and monotonic() < end:
        sleep(2e-3)
    while teams:
        teams.pop().kill()


def _start_afresh() -> None:
    """In a child after a fork: the workers belong to the parent."""
    global _sharing
    _sharing = threading.RLock()
    _shared.clear()
    for pool in _pools:
        pool._disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
