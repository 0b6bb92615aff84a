"""The supervisor's handle on its guard: start it, let it start and end children, end it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import nan
from time import monotonic
from typing import Any, Literal

from optcore_bench.supervise import guard as guard_process
from optcore_bench.supervise import wire
from optcore_bench.supervise.handle import Child, wait_readable
from optcore_bench.supervise.outcome import SupervisionError
from optcore_bench.supervise.words import how_it_ended, last_words

__all__ = ["PINNED", "Death", "Guard", "Mode", "default_mode"]

Mode = Literal["zygote", "plain"]

#: Imports can take long on a shared file system that many jobs use at once.
_START_SECONDS = 300.0
#: A child that holds much memory takes its time to die.
_ANSWER_SECONDS = 60.0
#: How long the news of a death may take after the child's socket has closed.
_GRACE_SECONDS = 5.0

#: What is set in every supervised process, whatever is set in this one.
PINNED = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
) | {"PYTHONHASHSEED": "0"}


def default_mode() -> Mode:
    """Children forked by a preloaded guard on Linux; system libraries elsewhere don't bear a fork without exec."""
    return "zygote" if sys.platform == "linux" else "plain"


@dataclass(frozen=True)
class Death:
    """How a child ended.

    Attributes:
        status: wait status; None if the guard, which alone could tell, is gone too.
        cpu: processor seconds of the child's whole life.
        max_rss: bytes.
    """

    status: int | None = None
    cpu: float = nan
    max_rss: int = 0


class Guard:
    """A guard process and at most one child of it. It is started at once, and not waited for.

    Args:
        mode: "zygote" to preload in the guard and fork children, "plain" to start each as a new interpreter.
        preload: modules to import, in the guard or in each child.
        environment: variables on top of those of this process.

    Raises:
        SupervisionError: if the process can't be started.
    """

    def __init__(self, mode: Mode, preload: Sequence[str], environment: Mapping[str, str]) -> None:
        if os.name != "posix":
            raise SupervisionError(f"supervised runs need a POSIX system (Linux, macOS), but this is {sys.platform}")
        self.child: Child | None = None
        self.lost = False
        self._death: Death | None = None
        self._threads: list[str] | None = None
        self._mode = mode
        self._owner = os.getpid()
        self._control, theirs = socket.socketpair()
        self._lines = wire.Lines(self._control)
        settings = {
            "path": [os.fspath(entry) for entry in sys.path],
            "entry": guard_process.__name__,
            "mode": mode,
            "preload": list(preload),
            "control": theirs.fileno(),
            "parent": os.getpid(),
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed once the process is ready, or closed
        with theirs:
            self._process = self._start(settings, environment)

    def _start(self, settings: dict[str, Any], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                guard_process.command(settings),
                env={**os.environ, **PINNED, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(settings["control"],),
                start_new_session=True,
            )
        except OSError as error:
            self._control.close()
            self._errors.close()
            raise _start_error("the guard process", str(error), b"") from error

    def wait_until_ready(self) -> list[str]:
        """Wait until it has imported what it preloads.

        Returns:
            Names of threads that the preloaded modules started and that make forking unsafe.

        Raises:
            SupervisionError: if the process doesn't come up; the message holds what it printed.
        """
        if self._threads is None:
            try:
                self._threads = self._news_of_being_ready()
            except wire.Disconnected:
                printed = b""
                if not self.closed:  # by another thread
                    self._errors.seek(0)
                    printed = self._errors.read()
                self.close()
                raise _start_error("the guard process", "it ended", printed) from None
            except BaseException:
                self.close()
                raise
            self._errors.close()
        return self._threads

    def _news_of_being_ready(self) -> list[str]:
        end = monotonic() + _START_SECONDS
        while monotonic() < end:
            try:
                message = self._lines.receive(1.0)
            except TimeoutError:
                if self._process.poll() is not None:
                    raise wire.Disconnected from None
                continue
            if "failed" in message:
                raise SupervisionError(message["failed"])
            threads: list[str] = message["threads"]
            return threads
        raise SupervisionError(
            f"the guard process of a supervisor was not ready after {_START_SECONDS:g} s; "
            "are the modules to preload on a slow file system?"
        )

    def fileno(self) -> int:
        """Descriptor that becomes readable when the child, or the guard itself, has died."""
        return self._control.fileno()

    def start_child(self) -> Child:
        """A new child that waits for a run.

        Raises:
            SupervisionError: if it dies before that; the message holds what it printed.
            wire.Disconnected: if the guard is gone.
        """
        child = self.child = Child(anonymous=self._mode == "zygote")
        self._death = None
        self._lines.send({"do": "start"}, child.fds())
        try:
            child.started(self._lines.receive(_ANSWER_SECONDS)["pid"])
        except TimeoutError:
            raise wire.Disconnected from None
        try:
            child.wait_until_ready(_START_SECONDS)
        except (wire.Disconnected, wire.Garbled, TimeoutError) as error:
            late = isinstance(error, TimeoutError)
            status = self.end_child() if late else self.death(_GRACE_SECONDS)
            why = "it was not ready in time" if late else how_it_ended(status.status)
            printed = child.printed
            self.drop_child()
            raise _start_error("the process for runs", why, printed.encode()) from None
        return child

    def child_waits(self) -> bool:
        """Whether there is a child that waits for a run; one that died since the last run is dropped.

        Raises:
            wire.Disconnected: if the guard is gone.
        """
        if self.child is None:
            return False
        # A waiting child has nothing to say: what can be read is the end of its socket, or a mess.
        if wait_readable(self._control.fileno(), 0) or wait_readable(self.child.sock.fileno(), 0):
            self.end_child()
            if self.lost:
                raise wire.Disconnected
            self.drop_child()
        return self.child is not None

    def death(self, seconds: float) -> Death:
        """The news of the child's death.

        Raises:
            TimeoutError: if it doesn't come in time: the child lives.
        """
        if self._death is None:
            try:
                message = self._lines.receive(seconds)
                self._death = Death(message["status"], message["cpu"], message["max_rss"])
            except wire.Disconnected:
                self._lose()
                self._death = Death()
        return self._death

    def end_child(self) -> Death:
        """Kill the child, unless it is dead already, and all that it left."""
        if self._death is None:
            try:
                self._lines.send({"do": "end"})
                self.death(_ANSWER_SECONDS)
            except (wire.Disconnected, TimeoutError):
                self._lose()
        return self._death or Death()

    def drop_child(self) -> None:
        """Let go of a child that is dead."""
        child, self.child = self.child, None
        if child is not None:
            child.close()

    def _lose(self) -> None:
        """The guard is gone, or stuck: do without it what it would have done."""
        self.lost = True
        self._process.kill()
        if self.child is not None and self.child.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child.pid, signal.SIGKILL)

    def dismiss(self) -> None:
        """Let the guard end, and with it the child, without waiting for that as `close` does."""
        if not self.closed and os.getpid() == self._owner:
            with suppress(OSError):  # it is gone already
                self._control.shutdown(socket.SHUT_RDWR)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._control.fileno() < 0

    def close(self) -> None:
        """End the guard, which ends the child; wait for it."""
        if self.closed:
            return
        self._control.close()
        self._errors.close()
        if os.getpid() == self._owner:
            if self._threads is None:  # it would import what is left before it notices
                self._lose()
            try:
                self._process.wait(_ANSWER_SECONDS)
            except subprocess.TimeoutExpired:
                self._lose()
                self._process.wait()
        else:  # in a copy of the supervisor's process: the guard is the original's child
            self._process.returncode = 0
        self.drop_child()


def _start_error(what: str, why: str, printed: bytes) -> SupervisionError:
    said = last_words(printed.decode(errors="replace"))
    return SupervisionError(f"{what} of a supervisor did not start: {why}" + (f"; it printed: {said}" if said else ""))
