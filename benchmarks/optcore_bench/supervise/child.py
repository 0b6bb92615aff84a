"""The process that runs solvers, one run after the other, and may die of it."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import pickle
import signal
import socket
import sys
import threading
import warnings
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from time import perf_counter
from typing import Any

from optcore_bench.supervise import wire
from optcore_bench.supervise.memory import SharedFile
from optcore_bench.supervise.usage import cpu_seconds, forget_peak, peak_bytes, resident_bytes
from optcore_bench.supervise.words import describe_error

__all__ = ["TRACE_SIGNAL", "main", "serve"]

#: Makes faulthandler write where the process is, also while C code holds the interpreter's lock.
TRACE_SIGNAL = signal.SIGUSR2

#: Descriptors that a library may open once and keep are no reason to replace the child; a steady leak is.
_SPARE_FDS = 64


def main(settings: dict[str, Any]) -> None:
    """Entry point where the child is a new interpreter, not a fork of the guard."""
    for name in settings["preload"]:
        import_module(name)
    serve(settings["socket"], settings["memory"])


def serve(socket_fd: int, memory_fd: int) -> None:
    """Run what comes through the socket until it is closed; never returns."""
    _die_with_the_guard()
    faulthandler.enable(all_threads=False)
    faulthandler.register(TRACE_SIGNAL, all_threads=False)
    memory = SharedFile(memory_fd)
    sock = socket.socket(fileno=socket_fd)
    sock.setblocking(True)
    baseline = _State.now()
    wire.send(sock, 0, json.dumps({"cpu": cpu_seconds(), "resident": _resident()}).encode())
    while True:
        try:
            number, payload = wire.receive(sock)
        except (wire.Disconnected, OSError):
            os._exit(0)
        report, answer = _execute(payload, memory)
        if os.getpid() != baseline.pid:  # the run forked, and this is the copy: only the original may answer
            os._exit(0)
        report["left"] = baseline.what_is_left()
        report["resident"] = _resident()
        try:
            wire.send(sock, number, json.dumps(report).encode() + b"\n" + answer)
        except OSError as error:  # the run closed our socket
            os.write(2, f"the connection to the supervisor was closed during the run: {error}".encode())
            os._exit(1)


def _resident() -> int:
    """The resident set; 0 where asking costs more than a run may."""
    return resident_bytes(os.getpid()) if sys.platform == "linux" else 0


def _die_with_the_guard() -> None:
    """On Linux, be killed when the guard is. The guard has one thread: the signal comes when a thread ends."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)


def _execute(payload: bytes, memory: SharedFile) -> tuple[dict[str, Any], bytes]:
    """Run one payload: the report, which tells of whatever it raised, and the answer as JSON."""
    forget_peak()
    recursion_limit = sys.getrecursionlimit()
    cpu, began = cpu_seconds(), perf_counter()
    answer, message, clean = b"", "", True
    try:
        with _settings_of_its_own():
            function, args = pickle.loads(payload)
            answer = _as_json(function(memory, *args))
    except BaseException as error:  # noqa: BLE001  SystemExit and KeyboardInterrupt too: they are the run's, not ours
        sys.setrecursionlimit(recursion_limit)
        message = _message(error)
        clean = isinstance(error, Exception) and not isinstance(error, (MemoryError, RecursionError))
    seconds = perf_counter() - began
    sys.setrecursionlimit(recursion_limit)
    total = cpu_seconds()
    report = {
        "ended": "returned" if answer else "raised",
        "message": message,
        "clean": clean,
        "seconds": seconds,
        "cpu_seconds": total - cpu,
        "cpu": total,
        "max_rss": peak_bytes(),
    }
    return report, answer


def _settings_of_its_own() -> ExitStack:
    """What runs commonly change for the whole process, put back when the run is over."""
    stack = ExitStack()
    stack.enter_context(warnings.catch_warnings())
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        stack.enter_context(numpy.errstate())
    return stack


def _message(error: BaseException) -> str:
    try:
        return describe_error(error)
    except BaseException:  # noqa: BLE001  out of memory or of stack even for that: its type must do
        return type(error).__name__


def _as_json(answer: Any) -> bytes:
    """The answer, if JSON carries it unchanged (NaN and infinities are allowed; tuples become lists).

    Raises:
        TypeError: if it can't; the message says where in the answer and what is there.
    """
    if not isinstance(answer, dict):
        raise TypeError(f"a supervised function must return a dict, but it returned {_kind(answer)}")
    odd = _not_plain(answer, "answer")
    if odd is not None:
        raise TypeError(f"{odd}; return str, int, float, bool, None, and lists and dicts of them")
    return json.dumps(answer).encode()


def _not_plain(value: Any, path: str) -> str | None:
    if value is None or isinstance(value, (str, int, float)):
        return None
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                return f"{path} has the key {key!r}, which is {_kind(key)} and not a str"
        parts = [(item, f"{path}[{key!r}]") for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(item, f"{path}[{i}]") for i, item in enumerate(value)]
    else:
        return f"{path} is {_kind(value)}"
    return next((odd for item, where in parts if (odd := _not_plain(item, where)) is not None), None)


def _kind(value: Any) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


# --- what a run left behind ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    """What the process was like before its first run."""

    pid: int
    folder: str | None
    descriptors: int
    threads: int
    children: bool

    @classmethod
    def now(cls) -> _State:
        return cls(os.getpid(), _folder(), _descriptors(), threading.active_count(), _has_children())

    def what_is_left(self) -> list[str]:
        """Reasons to replace the process. Threads of C libraries (BLAS, XLA) are none: they are meant to stay."""
        now = _State.now()
        reasons = {
            "threads": now.threads > self.threads,
            "processes": now.children and not self.children,
            "another working folder": now.folder != self.folder,
            "open files": now.descriptors > self.descriptors + _SPARE_FDS,
            "a timer": any(signal.getitimer(timer)[0] for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL)),
        }
        return [reason for reason, holds in reasons.items() if holds]


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _descriptors() -> int:
    for path in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return len(os.listdir(path))
    return 0


def _has_children() -> bool:
    try:
        if hasattr(os, "waitid"):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        else:
            os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True
