"""The process between the supervisor and the child. It starts children, reaps them, and never runs a solver.

As a *zygote* it has imported the libraries that runs need and forks children that have them at once; it must then
have a single thread. In *plain* mode it starts each child as a new interpreter.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from optcore_bench.supervise import child, wire
from optcore_bench.supervise.usage import MAXRSS_UNIT
from optcore_bench.supervise.words import describe_error

__all__ = ["command", "main"]

_BOOT = (
    "import json, sys; from importlib import import_module; "
    "settings = json.loads(sys.argv.pop()); sys.path[:] = settings['path']; "
    "import_module(settings['entry']).main(settings)"
)
_ORPHAN_SECONDS = 2.0
#: The supervisor's end of the socket stays open in a copy of its process that somebody forked; hence this look.
_LOOK_FOR_PARENT_SECONDS = 2.0
#: jemalloc's own thread (pyarrow starts it) is taken care of at a fork by jemalloc itself.
_HARMLESS_THREADS = frozenset({"jemalloc_bg_thd"})


def command(settings: dict[str, Any]) -> list[str]:
    """Command line of a new interpreter that runs `main(settings)` of the module `settings["entry"]`.

    The module search path comes with the settings, and the main script is not run again. `-P` keeps the working
    folder from shadowing the standard library before the path is set.
    """
    return [sys.executable, "-P", "-c", _BOOT, json.dumps(settings)]


def main(settings: dict[str, Any]) -> None:
    """Entry point: import what is to be imported, say so, then serve the supervisor until it goes."""
    # What the process that starts this one blocks or ignores is not for the processes of runs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # crashes are expected
    lines = wire.Lines(control := socket.socket(fileno=settings["control"]))
    zygote = settings["mode"] == "zygote"
    gc.disable()  # imports make little garbage, and looking for it takes a tenth of their time
    for name in settings["preload"] if zygote else ():
        try:
            import_module(name)
        except BaseException as error:  # noqa: BLE001  whatever it is, the supervisor reports it
            lines.send({"failed": f"could not import {name!r} (preload): {describe_error(error)}"})
            os._exit(1)
    gc.freeze()  # the children share these pages for longer if no collection touches them
    gc.enable()
    guard = _Guard(control, lines, settings)
    lines.send({"ready": True, "threads": _threads()})
    try:
        guard.serve()
    finally:
        guard.end_everything()
        os._exit(0)


def _threads() -> list[str]:
    """Names of the threads beside the main one that make a fork unsafe."""
    tasks = [task for task in Path("/proc/self/task").glob("*") if task.name != str(os.getpid())]
    names = []
    for task in tasks:
        with suppress(OSError):
            names.append((task / "comm").read_text().strip())
    return [name for name in names if name not in _HARMLESS_THREADS]


class _Guard:
    def __init__(self, control: socket.socket, lines: wire.Lines, settings: dict[str, Any]) -> None:
        self._control = control
        self._lines = lines
        self._settings = settings
        self._child: int | None = None  # 0 would be our own group
        if sys.platform == "linux":
            pr_set_child_subreaper = 36
            ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)
        self._awake, self._waker = os.pipe()
        for fd in (self._awake, self._waker):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Obey until the supervisor is gone."""
        while os.getppid() == self._settings["parent"]:
            control = self._control.fileno()
            ready = select.select([control, self._awake], [], [], _LOOK_FOR_PARENT_SECONDS)[0]
            if self._awake in ready:
                with suppress(BlockingIOError):
                    os.read(self._awake, 4096)
                self._reap()
            if control in ready and not self._obey():
                return

    def _obey(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, 4096, 3, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        except OSError:
            return False
        if not data:
            return False
        for line in data.splitlines():  # an order to end a child that just died may still lie before one to start
            if json.loads(line)["do"] == "start":
                self._child = self._start(*fds)
                for fd in fds:
                    os.close(fd)
                self._lines.send({"pid": self._child})
            elif self._child is not None:
                self._end_child(self._child)
        return True

    # --- starting --------------------------------------------------------------------------------------------------

    def _start(self, socket_fd: int, memory_fd: int, errors_fd: int) -> int:
        if self._settings["mode"] == "zygote":
            return self._fork(socket_fd, memory_fd, errors_fd)
        settings = {
            "path": self._settings["path"],
            "entry": child.__name__,
            "preload": self._settings["preload"],
            "socket": socket_fd,
            "memory": memory_fd,
        }
        process = subprocess.Popen(
            command(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors_fd,
            pass_fds=(socket_fd, memory_fd),
            start_new_session=True,
        )
        process.returncode = 0  # it is reaped here, with its resource usage, not by the Popen object
        return process.pid

    def _fork(self, socket_fd: int, memory_fd: int, errors_fd: int) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of threads from 3.12 on; the supervisor has judged them
            pid = os.fork()
        if pid:
            return pid
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.close(self._awake)
            os.close(self._waker)
            os.dup2(errors_fd, 2)
            os.close(errors_fd)
            child.serve(socket_fd, memory_fd)
        except BaseException:  # noqa: BLE001  the supervisor shows what is printed
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    # --- ending ----------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Take note of a child that ended by itself, and bury orphans."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                self._report(pid, status, usage)

    def _end_child(self, pid: int) -> None:
        _kill(pid)
        _, status, usage = os.wait4(pid, 0)
        self._report(pid, status, usage)

    def _report(self, pid: int, status: int, usage: Any) -> None:
        """Kill what the dead child left, then tell the supervisor how it died and what it had used."""
        _kill_group(pid)
        self._child = None
        _end_orphans()
        self._lines.send(
            {
                "status": status,
                "cpu": usage.ru_utime + usage.ru_stime,
                "max_rss": usage.ru_maxrss * MAXRSS_UNIT,
            }
        )

    def end_everything(self) -> None:
        """Leave no process behind."""
        if self._child is not None:
            _kill(self._child)
            with suppress(ChildProcessError):
                os.waitpid(self._child, 0)
            _kill_group(self._child)
        _end_orphans()


def _kill(pid: int) -> None:
    """Kill a process that was not reaped yet, and its group; it leads one once it has called setsid."""
    _kill_group(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _end_orphans() -> None:
    """Kill and reap what the child's death made ours, and what their deaths make ours (Linux; nothing elsewhere)."""
    end = monotonic() + _ORPHAN_SECONDS
    while monotonic() < end:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            for orphan in _children_of(os.getpid()):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(orphan, signal.SIGKILL)
            sleep(1e-3)


def _children_of(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(after_name[1]) == parent:
                found.append(int(folder.name))
    return found
