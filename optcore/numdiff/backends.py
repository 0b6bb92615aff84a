"""Where a batch is evaluated: in this thread, in threads, in worker processes, by joblib, by a map.

Each backend takes a function and points of shape (k, n) and yields k outcomes in the order of the points.
Exceptions are data: they are the `error` of their outcome.
"""

from __future__ import annotations

import importlib
import os
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from optcore.errors import InvalidInputError, unknown_name
from optcore.numdiff import _worker as wire
from optcore.numdiff._shipment import FUNCTIONS_KEPT, Shipment, pickled
from optcore.numdiff.pool import Evaluated, n_workers_from, shared_pool

__all__ = ["BACKENDS", "Backend", "Workers", "get_backend", "map_joblib", "map_threads", "map_with", "serial"]

Function = Callable[[NDArray[Any]], Any]
Backend = Callable[[Function, NDArray[Any]], Iterator[Evaluated]]

BACKENDS = ("processes", "threads", "joblib", "serial")


def get_backend(
    evaluator: str | Callable[..., Iterable[Any]], n_cores: int = 1, timeout: float | None = None
) -> Backend | None:
    """The backend for a name or a function like map.

    Args:
        evaluator: "processes" (the shared pool of this process), "threads", "joblib" (whatever backend of
            joblib is active), "serial", or a callable like map: called with a function and a list of points, it
            gives the results in the order of the points.
        n_cores: how many points are evaluated at the same time; -1 for all cores. A callable decides that
            itself.
        timeout: seconds that one call may take (see `Pool.evaluate`); of "processes" only.

    Returns:
        The backend; None where there is nothing to gain over a loop: "serial", or a single core and no time-out.

    Raises:
        UnknownNameError: if there is no backend of this name.
        InvalidInputError: if `n_cores` is neither positive nor -1, or there can be no time-out.

    >>> import numpy as np
    >>> backend = get_backend(map)
    >>> [outcome.value for outcome in backend(sum, np.eye(2))]
    [np.float64(1.0), np.float64(1.0)]
    """
    if timeout is not None and evaluator != "processes":
        raise InvalidInputError(
            f"timeout needs batch_evaluator='processes', whose workers can be ended in the middle of a call, "
            f"but it is {evaluator!r}"
        )
    if callable(evaluator):
        return _Mapped(partial(_map_with, evaluator))
    if evaluator not in BACKENDS:
        raise unknown_name("batch_evaluator", evaluator, BACKENDS)
    n = n_workers_from(n_cores)
    if evaluator == "serial" or (n == 1 and timeout is None):
        return None
    if evaluator == "processes":
        return Workers(n, timeout)
    return _Threads(n) if evaluator == "threads" else _Mapped(partial(_map_joblib, n))


def serial(function: Function, points: NDArray[Any]) -> Iterator[Evaluated]:
    """One point after the other, in this thread; a point is evaluated when its outcome is asked for.

    Args:
        function: takes a vector of shape (n,).
        points: shape (k, n).
    """
    return map(partial(_evaluated, function), points)


def map_threads(function: Function, points: NDArray[Any], n: int) -> Iterator[Evaluated]:
    """In `n` threads of this process: for functions that wait, or release the interpreter lock.

    BLAS keeps the number of threads that it has in this process.

    Args:
        function: takes a vector of shape (n,); it must be thread-safe.
        points: shape (k, n).
        n: number of threads.
    """
    return _Threads(n)(function, points)


def map_joblib(function: Function, points: NDArray[Any], n: int) -> Iterator[Evaluated]:
    """By whatever backend of joblib is active: loky by default, dask or ray inside a `parallel_config`.

    Args:
        function: takes a vector of shape (n,).
        points: shape (k, n).
        n: number of jobs.
    """
    return _map_joblib(n, function, points)


def map_with(function: Function, points: NDArray[Any], mapper: Callable[..., Iterable[Any]]) -> Iterator[Evaluated]:
    """By a function like map, for example the `map` of a pool or an executor.

    Args:
        function: takes a vector of shape (n,).
        points: shape (k, n).
        mapper: called with a function, which can be pickled, and a list of points.

    Raises:
        InvalidInputError: if the mapper does not give one result for each point.
    """
    return _map_with(mapper, function, points)


def _evaluated(function: Function, x: NDArray[Any]) -> Evaluated:
    x = x.copy()  # the function may write to it
    start = perf_counter()
    try:
        value = function(x)
    except Exception as error:  # noqa: BLE001  whatever the user's function raises
        return Evaluated(None, error, start, perf_counter())
    return Evaluated(value, None, start, perf_counter())


class Workers:
    """The shared pool of this process for a number of workers.

    Args:
        n: number of workers.
        timeout: seconds that one call may take; None: any number.

    Attributes:
        events: what happened to workers, one sentence each; grows.
    """

    def __init__(self, n: int, timeout: float | None = None) -> None:
        self._pool = shared_pool(n)
        self._timeout = timeout
        self.events = self._pool.events

    def __call__(self, function: Function | Shipment, points: NDArray[Any]) -> Iterator[Evaluated]:
        """The outcomes at points of shape (k, n), in their order."""
        return self._pool.evaluate(function, points, timeout=self._timeout)


class _Threads:
    """Threads that are kept between batches and end with this object."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._owner = -1
        self._executor: ThreadPoolExecutor | None = None

    def __call__(self, function: Function, points: NDArray[Any]) -> Iterator[Evaluated]:
        if self._executor is None or self._owner != os.getpid():  # threads don't survive a fork
            self._executor = ThreadPoolExecutor(self._n, thread_name_prefix="optcore")
            self._owner = os.getpid()
        return self._executor.map(partial(_evaluated, function), points)


class _Portable:
    """A function that any pickle module can send, and that is unpickled once where it is sent often.

    Where it was sent, it answers in bytes, so that exceptions and values that plain pickle refuses come back
    too.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._token = os.urandom(16)
        self._blob: bytes | None = None

    def __call__(self, x: NDArray[Any]) -> Evaluated:
        return _evaluated(self._function, x)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._blob is None:
            self._blob = pickled(self._function)
        return _arrive, (self._token, self._blob)


class _Mapped:
    """A map whose function is pickled once, as long as it is the same object."""

    def __init__(self, run: Backend) -> None:
        self._run = run
        self._last: tuple[Function, _Portable] | None = None

    def __call__(self, function: Function, points: NDArray[Any]) -> Iterator[Evaluated]:
        if self._last is None or self._last[0] is not function:
            self._last = (function, _Portable(function))
        return self._run(self._last[1], points)


def _portable(function: Function) -> _Portable:
    return function if isinstance(function, _Portable) else _Portable(function)


_arrived: OrderedDict[bytes, Callable[[NDArray[Any]], Any]] = OrderedDict()


def _arrive(token: bytes, blob: bytes) -> Callable[[NDArray[Any]], Any]:
    if token not in _arrived:
        _arrived[token] = partial(wire.call, pickle.loads(blob))
        if len(_arrived) > FUNCTIONS_KEPT:
            _arrived.popitem(last=False)
    return _arrived[token]


def _decoded(results: Iterable[Any]) -> Iterator[Evaluated]:
    began = perf_counter()
    for result in results:
        if isinstance(result, Evaluated):  # evaluated in this process
            yield result
            continue
        kind, payload, start, stop = result
        now = perf_counter()
        if not began <= start <= stop <= now:  # the clock of another machine
            start, stop = max(began, now - (stop - start)), now
        value, error = wire.decode(kind, bytearray(payload))
        yield Evaluated(value, error, start, stop)


def _map_with(mapper: Callable[..., Iterable[Any]], function: Function, points: NDArray[Any]) -> Iterator[Evaluated]:
    n_outcomes = 0
    for outcome in _decoded(mapper(_portable(function), list(points))):
        n_outcomes += 1
        if n_outcomes > len(points):
            break
        yield outcome
    if n_outcomes != len(points):
        name = getattr(mapper, "__qualname__", repr(mapper))
        raise InvalidInputError(
            f"batch_evaluator {name} must give one result for each of the {len(points)} points, in their "
            f"order, but gave {'more' if n_outcomes > len(points) else n_outcomes}"
        )


def _map_joblib(n: int, function: Function, points: NDArray[Any]) -> Iterator[Evaluated]:
    joblib = importlib.import_module("joblib")  # heavy, and rarely needed
    task = joblib.delayed(_portable(function))
    try:
        parallel = joblib.Parallel(n_jobs=n, return_as="generator")
    except ValueError:  # a backend that can only return everything at once
        parallel = joblib.Parallel(n_jobs=n)
    results = parallel(task(x) for x in points)
    try:
        yield from _decoded(results)
    finally:
        if isinstance(results, Generator):
            with warnings.catch_warnings():  # joblib warns of outcomes that it throws away, as it should
                warnings.simplefilter("ignore", UserWarning)
                results.close()
