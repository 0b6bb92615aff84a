"""The supervisor's handle on a child: its socket, its memory, what it prints, what it uses."""

from __future__ import annotations

import json
import math
import os
import select
import socket
from contextlib import suppress
from time import monotonic

from optcore_bench.supervise import wire
from optcore_bench.supervise.child import TRACE_SIGNAL
from optcore_bench.supervise.memory import SharedFile, new_file
from optcore_bench.supervise.usage import resident_bytes
from optcore_bench.supervise.words import place_in_dump

__all__ = ["Child", "wait_readable"]

_TRACE_SECONDS = 0.25
_PAUSE_SECONDS = 0.005
_PRINTED_KEPT = 1 << 15
_CHUNK = 1 << 16


class Child:
    """A process that runs solvers, seen from the supervisor.

    Args:
        anonymous: whether its memory is a file in memory (Linux), or one in the folder for temporary files.
    """

    def __init__(self, *, anonymous: bool) -> None:
        #: Its number; None until the guard has told it.
        self.pid: int | None = None
        self.cpu = 0.0  # processor seconds of its life before the present run
        self._resident_when_new = 0
        self._left_before = 0
        self._memory_fd = new_file(anonymous=anonymous)
        self.memory = SharedFile(self._memory_fd)
        self.sock, self._theirs = socket.socketpair()
        self.errors, self._errors_theirs = os.pipe()
        self._printed = bytearray()
        self.sock.setblocking(False)
        os.set_blocking(self.errors, False)

    def fds(self) -> tuple[int, int, int]:
        """What the guard gives to the process: socket, memory, stderr."""
        return self._theirs.fileno(), self._memory_fd, self._errors_theirs

    def started(self, pid: int) -> None:
        """Close the process's ends of socket and pipe here, so that they end with the process."""
        self.pid = pid
        self._theirs.close()
        os.close(self._errors_theirs)
        self._errors_theirs = -1

    def wait_until_ready(self, seconds: float) -> None:
        """Wait until it has imported what it needs.

        Raises:
            Disconnected, Garbled: if it died, or said something else.
            TimeoutError: if it isn't ready in time.
        """
        exchange = wire.Exchange(self.sock, 0, None)
        end = monotonic() + seconds
        while monotonic() < end:
            wait_readable(self.sock.fileno(), min(end - monotonic(), 1.0))
            self.drain()
            message = exchange.read()
            if message is not None:
                report = json.loads(message)
                self.cpu, self._resident_when_new = report["cpu"], report["resident"]
                return
        raise TimeoutError

    # --- what it prints ----------------------------------------------------------------------------------------------

    def drain(self) -> bool:
        """Take what it printed on stderr, of which only the end is kept; False once nothing more can come."""
        try:
            data = os.read(self.errors, _CHUNK)
        except BlockingIOError:
            return True
        self._printed += data
        del self._printed[:-_PRINTED_KEPT]
        return bool(data)

    def forget_printed(self) -> None:
        """Start a run with nothing printed."""
        self._drain_all()
        self._printed.clear()

    def _drain_all(self) -> None:
        """A pipe holds little; what a process prints without pause is not waited for."""
        for _ in range(32):
            before = len(self._printed)
            self.drain()
            if len(self._printed) == before:
                return

    @property
    def printed(self) -> str:
        """The end of what it printed during the run."""
        self._drain_all()
        return self._printed.decode(errors="replace")

    def trace(self) -> str:
        """Where it is, in words; "" if it doesn't tell, because it changed its signal handlers or closed its stderr."""
        self._drain_all()
        said, self._printed = self._printed, bytearray()
        place = ""
        assert self.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self.pid, TRACE_SIGNAL)
            wait = _TRACE_SECONDS
            while wait_readable(self.errors, wait) and self.drain():
                wait = _PAUSE_SECONDS  # it comes in pieces; a pause is its end
            place = place_in_dump(self._printed.decode(errors="replace"))
        self._printed = said
        return place

    # --- what it uses ------------------------------------------------------------------------------------------------

    def charged_bytes(self) -> int:
        """Resident memory that counts against the limit of a run: neither the record, nor what earlier runs left."""
        assert self.pid is not None
        return resident_bytes(self.pid) - self.memory.touched - self._left_before

    def left_bytes(self, resident: int) -> int:
        """Take note of the resident memory after a run; returns how much more it is than in a new process."""
        self._left_before = max(0, resident - self.memory.touched - self._resident_when_new)
        return self._left_before

    def close(self) -> None:
        """Let go of everything on this side."""
        self.sock.close()
        self._theirs.close()
        for fd in (self.errors, self._errors_theirs, self._memory_fd):
            if fd >= 0:
                os.close(fd)
        self.errors = self._errors_theirs = self._memory_fd = -1
        self.memory.close()


def wait_readable(fd: int, seconds: float) -> bool:
    """Wait until something can be read, or the other end is closed; False if that took longer."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0, math.ceil(seconds * 1000))))
