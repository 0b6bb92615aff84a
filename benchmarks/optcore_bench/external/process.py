"""A process that asks for evaluations through its pipes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Self

from optcore.errors import OptcoreError
from optcore_bench.supervise.usage import resident_bytes
from optcore_bench.supervise.words import last_words, signal_name

__all__ = ["MEMORY_LIMIT", "Ended", "ExternalError", "Process", "how_it_ended"]

#: Bytes that a process and its children may hold during a run; None without a limit.
MEMORY_LIMIT: ContextVar[int | None] = ContextVar("MEMORY_LIMIT", default=None)

_TICK_MILLISECONDS = 20
_CHUNK = 1 << 16
_PRINTED_KEPT = 1 << 14
#: How long a process that has closed its pipe may take to end, before it is killed.
_PATIENCE = 2.0


class ExternalError(OptcoreError):
    """A solver outside of this process failed; the message is all that there is to say.

    Attributes:
        status: of the row: "error", or "crashed" where its process ended.
    """

    def __init__(self, message: str, status: str = "error") -> None:
        super().__init__(message)
        self.status = status


class Ended(Exception):  # noqa: N818  no error where the process may end
    """The process has closed its end of a pipe."""


class Process:
    """A started program, its stdin, stdout and stderr being pipes to this process.

    It leads a process group of its own on Linux, where the guard of supervised processes ends whatever they leave
    behind; elsewhere it stays in the group of this process, which is killed as a whole. While it is waited for, the
    memory that it and its children hold is looked at, see `MEMORY_LIMIT`.

    Args:
        command: the program and its arguments.
        environment: all of its environment variables; those of this process by default.

    Raises:
        ExternalError: it can't be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._printed = bytearray()
        self._read = bytearray()
        self._own_group = sys.platform == "linux"
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=None if environment is None else dict(environment),
                process_group=0 if self._own_group else None,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ExternalError(f"the program {command[0]!r} can't be started: {why}") from error
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._in, self._out, self._errors = (pipe.fileno() for pipe in pipes if pipe is not None)
        for descriptor in (self._in, self._out, self._errors):
            os.set_blocking(descriptor, False)
        self._watched = self._process.pid
        self._poll = select.poll()
        self._poll.register(self._errors, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def has_forked(self) -> None:
        """Note that the process that was started has left its pipes to a copy of itself, and ends."""
        self._process.wait()

    def watch(self, pid: int | None) -> None:
        """Look at the memory of another process that has its pipes and leads a group, and end it too; None: no more."""
        self._watched = self._process.pid if pid is None else pid

    def forget_printed(self) -> None:
        """Start a run with nothing printed."""
        _ = self.last_words
        self._printed.clear()

    def write(self, data: bytes) -> None:
        """Write all of it; what the process prints on stderr meanwhile is taken.

        Raises:
            Ended: it has closed its stdin, or is gone.
        """
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                self._wait(self._in, select.POLLOUT)
            except OSError as error:
                raise Ended from error

    def read(self, size: int) -> bytes:
        """So many bytes of its stdout.

        Raises:
            Ended: it has closed its stdout before.
        """
        while len(self._read) < size:
            self._more()
        data = bytes(self._read[:size])
        del self._read[:size]
        return data

    def read_line(self, longest: int) -> bytes | None:
        """A line of its stdout without its end; None if it is longer than it may be.

        Raises:
            Ended: it has closed its stdout before the end of a line; what it wrote of it stays in `rest`.
        """
        searched = 0
        while (end := self._read.find(b"\n", searched)) < 0:
            searched = len(self._read)
            if searched > longest:
                return None
            self._more()
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        return line if end <= longest else None

    @property
    def rest(self) -> bytes:
        """What it wrote on stdout and nobody has read."""
        return bytes(self._read)

    def _more(self) -> None:
        while True:
            try:
                data = os.read(self._out, _CHUNK)
            except BlockingIOError:
                self._wait(self._out, select.POLLIN)
                continue
            if not data:
                raise Ended
            self._read += data
            return

    def _wait(self, descriptor: int, event: int) -> None:
        """Until it can be read or written; a time limit is the supervisor's business.

        Raises:
            ExternalError: it holds more memory than it may.
        """
        limit = MEMORY_LIMIT.get()
        self._poll.register(descriptor, event)
        try:
            ready = dict(self._poll.poll(None if limit is None else _TICK_MILLISECONDS))
        finally:
            self._poll.unregister(descriptor)
        if limit is not None and (held := _held_bytes(self._watched)) > limit:
            raise ExternalError(
                f"killed while its process held {held / 1e6:.0f} MB of memory; the limit is {limit / 1e6:.0f} MB",
                "crashed",
            )
        if self._errors in ready and not self._drain():
            self._poll.unregister(self._errors)
            self._errors = -1

    def _drain(self) -> bool:
        """Take what it printed on stderr, of which the end is kept; False once nothing more can come."""
        try:
            data = os.read(self._errors, _CHUNK)
        except BlockingIOError:
            return True
        self._printed += data
        del self._printed[:-_PRINTED_KEPT]
        return bool(data)

    # --- its end -----------------------------------------------------------------------------------------------------

    def wait(self) -> str:
        """Give it a moment to end, end it if it doesn't; how it ended, in words, and what it printed last."""
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            how = "closed its output without ending"
        else:
            how = how_it_ended(code)
        return how + self.words_at_the_end

    @property
    def words_at_the_end(self) -> str:
        """What it printed last, as the end of a sentence; "" for nothing."""
        said = self.last_words
        return f"; it printed last: {said}" if said else ""

    @property
    def last_words(self) -> str:
        """The last lines that it printed on stderr."""
        for _ in range(_PRINTED_KEPT):
            before = len(self._printed)
            if self._errors < 0 or not self._drain() or len(self._printed) == before:
                break
        return last_words(self._printed.decode(errors="replace"))

    def end(self) -> None:
        """Kill it and its group, and let go of it. Ending twice does no harm."""
        for pid in {self._process.pid, self._watched} if self._own_group else ():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def how_it_ended(code: int) -> str:
    """An exit code, negative for a signal, in words.

    >>> how_it_ended(3), how_it_ended(-11)
    ('ended with exit code 3', 'was killed by SIGSEGV')
    """
    return f"ended with exit code {code}" if code >= 0 else f"was killed by {signal_name(-code)}"


def _held_bytes(pid: int) -> int:
    """The resident sets of a process and, where Linux tells them, of its children."""
    held = resident_bytes(pid)
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        held += sum(_held_bytes(int(child)) for child in children)
    return held
