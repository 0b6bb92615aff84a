"""What happens in the workers of a cluster, which live longer than a study and may serve others beside it.

So nothing of a study may be left in them: its supervised processes end with it (`end_session`), with the process that
runs it if that is on the same machine, or after a while without runs.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from dataclasses import dataclass

from optcore_bench.store import RunRecord
from optcore_bench.worker import Job, NotRun, Supervisors, perform, process_ends

__all__ = ["Session", "end_session", "perform_remotely"]

_IDLE_SECONDS = 300.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Session:
    """A study that is being run, as its workers know it.

    Attributes:
        name: tells it from all others.
        host, pid: where the process that runs it is.
        path: its module search path; folders that a worker has too are added to the worker's.
    """

    name: str
    host: str
    pid: int
    path: tuple[str, ...]


class _Served:
    """What a worker holds for a session."""

    def __init__(self, session: Session) -> None:
        self.supervisors = Supervisors()
        self.used = time.monotonic()
        self.ended = threading.Event()
        for folder in session.path:
            if folder not in sys.path and os.path.isdir(folder):
                sys.path.append(folder)
        near = session.host == platform.node() and session.pid != os.getpid()
        threading.Thread(target=self._watch, args=(session, near), daemon=True).start()

    def _watch(self, session: Session, near: bool) -> None:
        while not self.ended.wait(_LOOK_SECONDS):
            idle = not self.supervisors.busy and time.monotonic() - self.used > _IDLE_SECONDS
            if idle or (near and process_ends(session.pid, 0.0)):
                end_session(session.name)


_served: dict[str, _Served] = {}
_mutex = threading.Lock()


def perform_remotely(job: Job, session: Session) -> RunRecord | NotRun:
    """Run a job in a supervised process of this worker."""
    with _mutex:
        if session.name not in _served:
            _served[session.name] = _Served(session)
        served = _served[session.name]
        served.used = time.monotonic()
    try:
        return perform(job, served.supervisors)
    finally:
        served.used = time.monotonic()


def end_session(name: str) -> None:
    """End the supervised processes of a session, and with them its runs in flight."""
    with _mutex:
        served = _served.pop(name, None)
    if served is not None:
        served.ended.set()
        served.supervisors.close()
