"""The parent's side of worker processes: one of them, and a team that works on one batch at a time."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import weakref
from collections import OrderedDict, deque
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore.numdiff import _worker as wire
from optcore.numdiff._shipment import FUNCTIONS_KEPT, Shipment

#: Larger messages aren't sent to a busy worker: if both ends wrote more than a socket holds, both would wait.
SMALL_BYTES = 1 << 14
#: From this length on, points travel as what differs between them.
LONG_BYTES = 1 << 13
#: Set in the environment of every worker.
WORKER_FLAG = "OPTCORE_WORKER"

_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)


class Record(NamedTuple):
    """What a worker sent: the outcome at one point, or news of itself."""

    kind: int
    #: Index of the point; the key of the function for UNLOADABLE.
    about: int
    start: float
    stop: float
    payload: bytearray


class Process:
    """The parent's end of one worker process."""

    def __init__(self) -> None:
        command = [*_interpreter(), wire.__file__]
        self.connection, theirs = socket.socketpair()
        # Only this process holds the writing end, so a worker learns of its death. A pipe for each worker,
        # because the kernel keeps one addressee for each pipe.
        self._lifeline: int | None
        lifeline, self._lifeline = os.pipe()
        try:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(lifeline)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), lifeline),
                env=_environment(),
                # A group of its own: the terminal's Ctrl-C is the parent's to answer, and programs that the
                # function started end with the worker.
                process_group=0,
            )
        except BaseException:
            self._release()
            raise
        finally:
            theirs.close()
            os.close(lifeline)
        self.is_ready = False
        self.is_broken = False
        #: Indices of the points that this worker was given, and of the last point in each message, oldest
        #: first.
        self.assigned: deque[int] = deque()
        self.ends: deque[int] = deque()
        self._settings: tuple[Any, ...] = ()
        #: Whose first point the worker has.
        self._base: NDArray[Any] | None = None
        self._loaded: OrderedDict[int, weakref.ref[Shipment]] = OrderedDict()
        self._received = bytearray()

    def ship(self, shipment: Shipment) -> None:
        """Make sure that this worker has a function; to be called only while it has nothing to do."""
        if shipment.key in self._loaded:
            self._loaded.move_to_end(shipment.key)
            return
        dead = [key for key, reference in self._loaded.items() if reference() is None]
        for key in dead or list(self._loaded)[: 1 + len(self._loaded) - FUNCTIONS_KEPT]:
            del self._loaded[key]
            self._send(wire.FORGET, key)
        settings = _settings()
        if settings != self._settings:
            self._send(wire.SETTINGS, 0, pickle.dumps(settings, 5))
            self._settings = settings
        self._send(wire.FUNCTION, shipment.key, shipment.blob)
        self._loaded[shipment.key] = weakref.ref(shipment)

    def give(self, shipment: Shipment, points: NDArray[Any], indices: range, timeout: float | None) -> bool:
        """Have a slice of the points evaluated; False if the worker has died before."""
        head = wire.SLICE.pack(indices.start, len(indices), points.shape[1], points.dtype.kind == "c", timeout or 0.0)
        kind, body = self._encoded(points, indices)
        self._send(kind, shipment.key, head + body)
        if not self.is_broken:
            self.assigned.extend(indices)
            self.ends.append(indices[-1])
        return not self.is_broken

    def _encoded(self, points: NDArray[Any], indices: range) -> tuple[int, bytes]:
        """Long points that differ from the first one in few places as what differs; the first is sent once."""
        rows = points[indices.start : indices.stop]
        if points[:1].nbytes >= LONG_BYTES and (self._base is points or not self.assigned):
            numbers, first = rows.view(np.float64), points[:1].view(np.float64)
            # As integers: bit by bit, so that zeros have signs and NaN is itself.
            differs = numbers.view(np.int64) != first.view(np.int64)
            row, where = np.divmod(np.flatnonzero(differs), first.size)  # much faster than nonzero of two axes
            if 8 * len(where) <= numbers.size:
                if self._base is not points:
                    self._send(wire.BASE, 0, first.tobytes())
                    self._base = points
                each = np.bincount(row, minlength=len(rows)).astype(np.int64)
                return wire.MOVED, each.tobytes() + where.astype(np.int64).tobytes() + numbers[row, where].tobytes()
        return wire.POINTS, rows.tobytes()

    def _send(self, kind: int, key: int, body: bytes = b"") -> None:
        head = wire.TASK.pack(kind, key, len(body))
        try:
            if len(body) < SMALL_BYTES:
                self.connection.sendall(head + body)
            else:
                self.connection.sendall(head)
                self.connection.sendall(body)
        except (BrokenPipeError, ConnectionResetError):
            self.is_broken = True  # what it sent before it died is still to be read

    def receive(self) -> tuple[list[Record], bool]:
        """The records that have arrived, and whether the worker is still there; waits for one byte."""
        try:
            data = self.connection.recv(1 << 18)
        except OSError:  # reset, or closed by another thread
            data = b""
        self._received += data
        records = []
        position = 0
        head = wire.RECORD.size
        while len(self._received) - position >= head:
            kind, index, start, stop, size = wire.RECORD.unpack_from(self._received, position)
            if len(self._received) - position < head + size:
                break
            payload = self._received[position + head : position + head + size]
            position += head + size
            records.append(Record(kind, index, start, stop, payload))
        del self._received[:position]
        self.is_ready = self.is_ready or any(record.kind == wire.READY for record in records)
        return records, bool(data)

    def take_back(self, n_messages: int | None = None) -> list[int]:
        """Unassign the points of the first messages, or of all, that have no outcome; their indices."""
        indices: list[int] = []
        for _ in range(len(self.ends) if n_messages is None else min(n_messages, len(self.ends))):
            end = self.ends.popleft()
            while not indices or indices[-1] != end:
                indices.append(self.assigned.popleft())
        return indices

    def check_off(self, index: int) -> None:
        """Note that the outcome of a point is here."""
        self.assigned.popleft()
        if self.ends[0] == index:
            self.ends.popleft()

    def hang_up(self) -> None:
        """Close the connection: a worker that has nothing to do ends."""
        self.connection.close()

    def kill(self) -> None:
        """End the worker, and what it started, at once."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._release()

    @property
    def is_timed_out(self) -> bool:
        """Whether a call took so long that the worker was ended."""
        return self.process.returncode == -signal.SIGALRM

    def last_words(self) -> str:
        """Where a call was that took too long: the user's frames, the innermost last."""
        lines = self._received.decode(errors="replace").splitlines()
        return "\n".join(line for line in lines[::-1] if line.startswith("  File ") and wire.__file__ not in line)

    def post_mortem(self) -> str:
        """How the worker ended, in words."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=1)
        code = self.process.returncode
        if code is not None:
            # What it started still runs. As long as that does, its group's number is no other's.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.kill()
        if code is None:
            return "closed its connection"
        if code >= 0:
            return f"ended with exit code {code}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"

    def disown(self) -> None:
        """Let go of the process without a trace, in a child that was forked."""
        self._release()
        self.process.returncode = 0

    def _release(self) -> None:
        self.connection.close()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


def _interpreter() -> list[str]:
    if not sys.executable:
        raise InvalidInputError(
            "worker processes need a Python interpreter, but sys.executable is empty in this program; "
            'use batch_evaluator="threads" or n_cores=1'
        )
    # -P: the folder of the worker's script must not be on the path, its modules would hide others.
    return [sys.executable, *subprocess._args_from_interpreter_flags(), "-P"]  # type: ignore[attr-defined]


def _environment() -> dict[str, str]:
    return {**os.environ, **_ONE_THREAD, **_precision_of_jax(), WORKER_FLAG: "1"}


def _precision_of_jax() -> dict[str, str]:
    """What a program switched on by `jax.config` doesn't hold in workers, which don't run the program."""
    config = getattr(sys.modules.get("jax"), "config", None)
    is_double = getattr(config, "jax_enable_x64", None)
    return {} if is_double is None else {wire.JAX_PRECISION: str(int(is_double))}


def _settings() -> tuple[Any, ...]:
    """What makes `import` and `open` in a worker mean the same as here."""
    try:
        folder: str | None = os.getcwd()
    except FileNotFoundError:
        folder = None
    return list(sys.path), folder, list(sys.argv), _environment()


class Team:
    """Workers that do one batch at a time, started when a batch needs them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.workers: list[Process] = []
        self.is_closed = False

    def muster(self, size: int) -> list[Process]:
        """At least `size` workers, but not more than the team has; dead ones replaced."""
        if self.is_closed:
            raise RuntimeError("the pool was closed during an evaluation")
        while len(self.workers) < min(size, self.size):
            self.workers.append(Process())
        return self.workers

    def wait(self, seconds: float | None = None) -> list[Process]:
        """The workers that have something to say, at least one unless the time is over."""
        if self.is_closed:
            raise RuntimeError("the pool was closed during an evaluation")
        poller = select.poll()
        by_fd = {worker.connection.fileno(): worker for worker in self.workers}
        for fd in by_fd:
            poller.register(fd, select.POLLIN)
        return [by_fd[fd] for fd, _ in poller.poll(None if seconds is None else max(0.0, seconds) * 1e3)]

    def settle(self, seconds: float) -> None:
        """Let the workers finish what they were given; kill those that take longer."""
        end = monotonic() + seconds
        try:
            while any(worker.assigned for worker in self.workers) and monotonic() < end:
                for worker in self.wait(end - monotonic()):
                    records, is_alive = worker.receive()
                    for record in records:
                        if record.kind in wire.OUTCOMES:
                            worker.check_off(record.about)
                        elif record.kind == wire.UNLOADABLE:
                            worker.take_back()
                    if not is_alive:
                        self.dismiss(worker)
        finally:
            for worker in [w for w in self.workers if w.assigned or w.is_broken]:
                self.dismiss(worker)

    def dismiss(self, worker: Process) -> None:
        """Kill a worker; the next batch gets another one."""
        self.workers.remove(worker)
        worker.kill()

    def kill(self) -> None:
        """Kill all workers; the next batch gets others."""
        while self.workers:
            self.workers.pop().kill()

    def hang_up(self) -> None:
        """Tell the workers to end."""
        self.is_closed = True
        for worker in self.workers:
            worker.hang_up()

    def disown(self) -> None:
        """Let go of everything without touching the processes, in a child that was forked."""
        self.is_closed = True
        for worker in self.workers:
            worker.disown()
        self.workers.clear()
