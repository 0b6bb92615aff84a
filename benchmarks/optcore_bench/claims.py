"""Who runs what: processes that work on one store at the same time share its runs out among themselves.

Each process has one file in STORE/claims for as long as it is at work. It holds a line of JSON that says who it is,
and then one line for each event: `+ ID` it takes a run, `= ID STATUS` the run is stored, `- ID` the run was given
back, `.` there is nothing left to run. A process looks into the files of the others before and after it takes a run,
and gives it back if another one has taken it at the same moment; so no lock is needed, and no two processes keep the
same run. (On a network disk that shows what others wrote with a delay two can; one of the two rows is then dropped.)
Runs of a process that has died are free again. The last one to end removes the files.

A process is known to live by the lock that it holds on its file. Where the file system knows no locks, or only those
of its own machine, processes of this machine are looked up by their number and start time, and those of others count
as dead once they have not touched their file for two minutes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from optcore_bench.interrupts import postponed
from optcore_bench.store.files import explained
from optcore_bench.store.locks import boot_of_machine, lock

__all__ = ["Claims", "Peer"]

_FOLDER = "claims"
_SUFFIX = ".claims"
_TOUCH_SECONDS = 30.0
_SILENT_SECONDS = 120.0


class Peer:
    """Another process at work on the store, as far as its file says.

    Attributes:
        who: host, boot, pid and start time of the process, and what it works on; empty while that is unknown.
        running: ids of the runs that it has taken and not yet stored.
        rests: whether it has nothing left to run and has let go of its log.
    """

    def __init__(self, path: Path) -> None:
        self.who: dict[str, Any] = {}
        self.running: set[str] = set()
        self.rests = False
        self._path = path
        self._offset = 0
        self._dead = False

    def news(self) -> Iterator[tuple[str, str]]:
        """Read on in its file: id and status of each run that it has stored since the last look."""
        for line in self._new_lines():
            sign, _, rest = line.partition(" ")
            run_id, _, status = rest.partition(" ")
            if sign == "+":
                self.running.add(run_id)
            elif sign in ("-", "="):
                self.running.discard(run_id)
                if sign == "=":
                    yield run_id, status
            elif sign == ".":
                self.rests = True
            elif line.startswith("{"):
                self.who = json.loads(line)

    def _new_lines(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            self._dead = True
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode().splitlines()

    def is_alive(self) -> bool:
        """Whether the process still is at work."""
        self._dead = self._dead or not self._lives()
        return not self._dead

    def _lives(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that several that look at the same moment don't take each other for the process.
            locked = lock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            silent = time.time() - os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)
        here = self.who.get("boot") == boot_of_machine()
        if locked is None:
            return _is_running(self.who) if here else silent < _SILENT_SECONDS
        return not locked or (bool(self.who) and not here and silent < _SILENT_SECONDS)

    def __str__(self) -> str:
        return f"process {self.who.get('pid', '?')} on {self.who.get('host', '?')}"


class Claims:
    """What this process has taken of the runs of a store, beside others that do the same.

    Threads may share it.

    Args:
        root: the store.
        work: names what this process works on; processes with the same `work` end together.

    Raises:
        StoreWriteError: here and wherever something is told to the others: the disk is full, or may not be written.
    """

    def __init__(self, root: Path, work: str = "") -> None:
        self._root = root
        self._folder = root / _FOLDER
        self._work = work
        self._mutex = threading.RLock()
        self._peers: dict[Path, Peer] = {}
        self._stored: dict[str, str] = {}
        with explained(root):
            self._path, self._descriptor = self._create()
        pid = os.getpid()
        who = {"host": platform.node(), "boot": boot_of_machine(), "pid": pid, "started": _start_of(pid)}
        self._write(json.dumps({**who, "work": work}))
        self._refresh()
        self._stored.clear()  # whoever reads the store from now on finds these in it
        if not self.peers():  # as long as there are others, they may not yet have read what the dead ones stored
            self._remove_dead()
        self._ended = threading.Event()
        threading.Thread(target=self._keep_touching, daemon=True).start()

    def _create(self) -> tuple[Path, int]:
        while True:
            path = self._folder / f"{secrets.token_hex(8)}{_SUFFIX}"
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                self._folder.mkdir(exist_ok=True)
                continue
            lock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:  # else somebody took it, not yet locked, for that of a dead process
                return path, descriptor
            os.close(descriptor)

    def _keep_touching(self) -> None:
        while not self._ended.wait(_TOUCH_SECONDS):
            with self._mutex, contextlib.suppress(OSError):
                if self._descriptor >= 0:
                    os.utime(self._descriptor)

    def take(self, run_id: str) -> bool:
        """Take a run; False if another process has it or has stored it since this one began."""
        with self._mutex:
            if not self._is_free(run_id):
                return False
            self._write(f"+ {run_id}")
            if self._is_free(run_id):
                return True
            self._write(f"- {run_id}")
            return False

    def free(self, run_ids: Iterable[str]) -> list[str]:
        """Those of some runs that nobody else has, or has stored since this process began."""
        with self._mutex:
            self._refresh()
            taken = set(self._stored).union(*(peer.running for peer in self._peers.values() if peer.is_alive()))
            return [run_id for run_id in run_ids if run_id not in taken]

    def _is_free(self, run_id: str) -> bool:
        self._refresh()
        if run_id in self._stored:
            return False
        return not any(run_id in peer.running and peer.is_alive() for peer in self._peers.values())

    def stored(self, run_id: str, status: str) -> None:
        """Tell the others that a run that was taken is stored."""
        self._write(f"= {run_id} {status}")

    def give_back(self, run_id: str) -> None:
        """Tell the others that a run that was taken has not been run."""
        self._write(f"- {run_id}")

    def rest(self) -> None:
        """Tell the others that there is nothing left to run, and that the log is closed."""
        self._write(".")

    def stored_by_others(self) -> dict[str, str]:
        """Id and status of all runs that others have stored since this process began."""
        with self._mutex:
            self._refresh()
            return dict(self._stored)

    def peers(self, work: str | None = None) -> list[Peer]:
        """The others that are at work, or those of them that work on `work`."""
        with self._mutex:
            self._refresh()
            found = [peer for peer in self._peers.values() if work is None or peer.who.get("work") == work]
            return [peer for peer in found if peer.is_alive()]

    def _refresh(self) -> None:
        for path in self._files():
            if path != self._path:
                self._peers.setdefault(path, Peer(path))
        for peer in self._peers.values():
            self._stored.update(peer.news())

    def _files(self) -> list[Path]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return [self._folder / name for name in names if name.endswith(_SUFFIX)]

    def _write(self, line: str) -> None:
        with self._mutex, explained(self._root):
            os.write(self._descriptor, f"{line}\n".encode())

    def _remove_dead(self) -> None:
        for path, peer in list(self._peers.items()):
            if not peer.is_alive():
                _remove(path)
                del self._peers[path]

    def close(self) -> None:
        """End: what was taken and not stored is free. The last one to end removes all files."""
        with postponed(), self._mutex:
            if self._descriptor < 0:
                return
            self._ended.set()
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
            if not self.peers():  # of two that end at once, one at least sees that nobody is left
                self._remove_dead()
                _remove(self._path)
                with contextlib.suppress(OSError):
                    self._folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _remove(path: Path) -> None:
    """Remove the file of a process that has ended; one that was just made, not yet locked, notices that it is gone."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB) is not False:
                path.unlink()
        finally:
            os.close(descriptor)


def _start_of(pid: int) -> str:
    """When a process started, in the system's own unit; "" where that can't be known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _is_running(who: dict[str, Any]) -> bool:
    pid = who.get("pid")
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _start_of(pid) == who.get("started")
