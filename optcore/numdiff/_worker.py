"""One worker process of the pool, and the wire format that both ends speak.

`pool.py` starts this file as a script. It imports nothing but the standard library until the first message
has told it where the parent finds its modules, then numpy, and then whatever the user's function needs.
Importing the package here would multiply the time that a cold start takes.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import perf_counter
from typing import IO, Any

#: Parent to worker: kind, key of the function, bytes that follow.
TASK = struct.Struct("=BQQ")
SETTINGS, FUNCTION, POINTS, FORGET, BASE, MOVED = range(6)
#: What follows the header of POINTS and MOVED: index of the first point, number of points, their length, are they
#: complex, seconds that a call may take (0: any number).
SLICE = struct.Struct("=QQQBd")
#: Then the points; for MOVED how many numbers of each differ from BASE, which ones, and what they are.

#: Worker to parent: kind, index of the point, start, stop (perf_counter), bytes that follow.
RECORD = struct.Struct("=BQddQ")
READY, UNLOADABLE, FLOAT, FLOAT64, ARRAY, PICKLE, ERROR = range(7)
OUTCOMES = frozenset({FLOAT, FLOAT64, ARRAY, PICKLE, ERROR})

#: Read by JAX when it is imported.
JAX_PRECISION = "JAX_ENABLE_X64"

_DOUBLE = struct.Struct("=d")
_FLUSH_SECONDS = 1e-3


def encode_value(value: Any) -> tuple[int, bytes]:
    """Kind and bytes of a value; floats and float64 arrays without the detour through pickle."""
    import numpy as np

    kind = type(value)
    if kind is float:
        return FLOAT, _DOUBLE.pack(value)
    if kind is np.float64:
        return FLOAT64, _DOUBLE.pack(value)
    if kind is np.ndarray and value.dtype == np.float64 and value.flags.c_contiguous:
        return ARRAY, struct.pack(f"={1 + value.ndim}q", value.ndim, *value.shape) + value.tobytes()
    try:
        return PICKLE, pickle.dumps(value, 5)
    except Exception:  # noqa: BLE001  pickle raises whatever an object's own methods raise
        import cloudpickle

        return PICKLE, cloudpickle.dumps(value, 5)


def encode_error(error: BaseException, hidden_frames: int = 1) -> bytes:
    """Bytes of an exception and of its traceback as text.

    Args:
        error: what was raised.
        hidden_frames: frames of ours at the top of the traceback, which would tell the user nothing.
    """
    frames = error.__traceback__
    for _ in range(hidden_frames):
        frames = frames.tb_next if frames is not None and frames.tb_next is not None else frames
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except Exception:  # noqa: BLE001  the exception's own __str__ may be what is broken
        text = f"{type(error).__qualname__} (it has no readable message)\n"
    try:
        import cloudpickle

        blob = cloudpickle.dumps(error, 5)
        if type(pickle.loads(blob)).__qualname__ != type(error).__qualname__:
            blob = b""
    except Exception:  # noqa: BLE001  as for values
        blob = b""
    return pickle.dumps((blob, type(error).__qualname__, text), 5)


def call(function: Callable[[Any], Any], x: Any) -> tuple[int, bytes, float, float]:
    """Evaluate one point: kind and bytes of the outcome, and when the call started and stopped."""
    start = perf_counter()
    try:
        value = function(x)
    except BaseException as error:  # noqa: BLE001  SystemExit too: it must not end the worker
        return ERROR, encode_error(error), start, perf_counter()
    stop = perf_counter()
    try:
        kind, payload = encode_value(value)
    except Exception as error:  # noqa: BLE001  as in encode_value
        failure = TypeError(
            f"the function returned a {type(value).__qualname__} that can't be sent back from a worker "
            f"process ({type(error).__name__}: {error}); return numbers, arrays, or containers of them"
        )
        return ERROR, encode_error(failure, hidden_frames=0), start, stop
    return kind, payload, start, stop


def decode(kind: int, payload: bytes | bytearray) -> tuple[Any, BaseException | None]:
    """Value and error of an outcome; exactly one of them means something."""
    if kind == FLOAT:
        return _DOUBLE.unpack(payload)[0], None
    try:
        if kind == ERROR:
            return None, _decode_error(payload)
        return _decode_object(kind, payload), None
    except Exception as error:  # noqa: BLE001  as in encode_value
        failure = RuntimeError(
            f"what a worker process sent back can't be unpickled here: {type(error).__name__}: {error}"
        )
        failure.__cause__ = error
        return None, failure


def _decode_object(kind: int, payload: bytes | bytearray) -> Any:
    import numpy as np

    if kind == FLOAT64:
        return np.float64(_DOUBLE.unpack(payload)[0])
    if kind == ARRAY:
        (ndim,) = struct.unpack_from("=q", payload)
        shape = struct.unpack_from(f"={ndim}q", payload, 8)
        return np.frombuffer(payload, dtype=np.float64, offset=8 * (1 + ndim)).reshape(shape)
    return pickle.loads(payload)


def _decode_error(payload: bytes | bytearray) -> BaseException:
    blob, name, text = pickle.loads(payload)
    error: BaseException | None = None
    if blob:
        try:
            error = pickle.loads(blob)
        except Exception:  # noqa: BLE001  a class that exists only in the worker
            error = None
    if not isinstance(error, BaseException):
        last = text.strip().rsplit("\n", 1)[-1]
        error = RuntimeError(last if name in last else f"{name}: {last}")
    error.add_note("Traceback in the worker process:\n" + text.rstrip())
    return error


def _apply_settings(body: bytes) -> None:
    path, folder, arguments, environment = pickle.loads(body)
    sys.path[:] = path
    sys.argv[:] = arguments
    if folder is not None and folder != os.getcwd():
        os.chdir(folder)
    if environment != dict(os.environ):
        os.environ.clear()
        os.environ.update(environment)
    if "jax" in sys.modules and JAX_PRECISION in environment:
        sys.modules["jax"].config.update("jax_enable_x64", environment[JAX_PRECISION] == "1")


class _Server:
    """Answers the messages of the parent until it closes its end."""

    def __init__(self, connection: socket.socket, reader: IO[bytes]) -> None:
        self._connection = connection
        self._reader = reader
        self._functions: dict[int, Callable[[Any], Any]] = {}
        self._is_ready = False
        self._has_alarm = False
        self._base = b""

    def run(self) -> None:
        while True:
            header = self._reader.read(TASK.size)
            if len(header) < TASK.size:
                return
            kind, key, size = TASK.unpack(header)
            body = self._reader.read(size)
            if len(body) < size:
                return
            if kind in (POINTS, MOVED):
                self._evaluate(key, body, self._moved if kind == MOVED else _copied)
            elif kind == BASE:
                self._base = body
            elif kind == FUNCTION:
                self._load(key, body)
            elif kind == SETTINGS:
                _apply_settings(body)
                self._get_ready()
            else:
                self._functions.pop(key, None)

    def _get_ready(self) -> None:
        if not self._is_ready:
            import numpy  # noqa: F401  found now, on the parent's path; a failure here ends the start

            self._is_ready = True
            self._connection.sendall(RECORD.pack(READY, 0, 0.0, 0.0, 0))

    def _load(self, key: int, body: bytes) -> None:
        try:
            self._functions[key] = pickle.loads(body)
        except BaseException as error:  # noqa: BLE001  importing the user's modules can raise anything
            payload = encode_error(error)
            self._connection.sendall(RECORD.pack(UNLOADABLE, key, 0.0, 0.0, len(payload)) + payload)

    def _moved(self, body: bytes, count: int, n: int, dtype: Any) -> Iterator[Any]:
        """Points that differ from BASE in few places."""
        import numpy as np

        base = np.frombuffer(self._base, np.float64)
        assert base.size * base.itemsize == n * np.dtype(dtype).itemsize
        start = SLICE.size + 8 * count
        numbers = np.frombuffer(body, np.int64, count, SLICE.size).tolist()
        total = sum(numbers)
        where = np.frombuffer(body, np.int64, total, start)
        values = np.frombuffer(body, np.float64, total, start + 8 * total)
        at = 0
        for number in numbers:
            x = base.copy()
            x[where[at : at + number]] = values[at : at + number]
            at += number
            yield x.view(dtype)

    def _evaluate(self, key: int, body: bytes, read: Callable[..., Iterable[Any]]) -> None:
        import numpy as np

        function = self._functions.get(key)
        if function is None:  # it could not be loaded, and the parent knows
            return
        first, count, n, is_complex, timeout = SLICE.unpack_from(body)
        points = read(body, count, n, np.complex128 if is_complex else np.float64)
        pieces: list[bytes] = []
        flushed = perf_counter()
        if timeout:
            self._prepare_for_the_alarm()
        for index, x in enumerate(points, first):
            if timeout:
                signal.setitimer(signal.ITIMER_REAL, timeout)
            kind, payload, start, stop = call(function, x)
            if timeout:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            pieces.append(RECORD.pack(kind, index, start, stop, len(payload)))
            pieces.append(payload)
            # What the alarm finds unsent would be lost, and then it weren't clear which point it ended.
            if timeout or stop - flushed > _FLUSH_SECONDS:
                self._connection.sendall(b"".join(pieces))
                pieces.clear()
                flushed = stop
        if pieces:
            self._connection.sendall(b"".join(pieces))

    def _prepare_for_the_alarm(self) -> None:
        """Have SIGALRM end this process wherever it is, in compiled code too, and first say to the parent where."""
        if not self._has_alarm:
            self._has_alarm = True
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            # The traceback is the last that the parent gets: between two records, no record itself.
            faulthandler.register(signal.SIGALRM, self._connection.fileno(), all_threads=False, chain=True)


def _copied(body: bytes, count: int, n: int, dtype: Any) -> Iterable[Any]:
    """Points as they came. A copy: aligned, and the function may write to it."""
    import numpy as np

    return np.frombuffer(body, dtype, offset=SLICE.size).reshape(count, n).copy()


def _handle_signals() -> None:
    # Ctrl-C is the parent's to answer. A handler instead of SIG_IGN, because programs that the function
    # starts would inherit SIG_IGN and then survive Ctrl-C.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.siginterrupt(signal.SIGINT, False)
    # A worker is in a process group of its own, so a terminal set to `stty tostop` would stop it when it
    # prints.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)


def _die_with_parent(lifeline: int) -> bool:
    """Have the kernel end this process group when the parent is gone; False if it is gone already.

    The parent holds the other end of the pipe and never writes to it, so the one event on it is the parent's
    death. The default action of SIGIO ends a process even inside compiled code that never looks at Python's
    signals.
    """
    import fcntl
    import select

    with suppress(OSError, AttributeError):  # not everywhere; a worker then ends after its present call
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    return not select.select([lifeline], [], [], 0)[0]


def main(connection_fd: int, lifeline: int) -> None:
    """Run as a worker.

    Args:
        connection_fd: file descriptor of the socket that leads to the parent.
        lifeline: read end of the pipe whose other end only the parent holds.
    """
    _handle_signals()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # what the function prints must not be lost in a buffer when the worker is killed
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if _die_with_parent(lifeline):
        with (
            suppress(BrokenPipeError, ConnectionResetError),  # the parent is gone or wants no answer
            socket.socket(fileno=connection_fd) as connection,
            connection.makefile("rb") as reader,
        ):
            _Server(connection, reader).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
