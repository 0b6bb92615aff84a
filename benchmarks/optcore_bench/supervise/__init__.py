"""Runs in a process of their own, so that nothing a run does can harm another run, or the harness.

A solver may call `os._exit`, run into a segmentation fault, spin in C with the interpreter's lock held, ignore every
signal, or eat all memory. A watchdog in the same process stops only some of these: a timer's Python handler waits for
the C call to end, a thread that waits for the lock waits with it, and a solver can undo either. Pools of processes
stop none of them soundly: they have no limit that kills, or lose the other runs of the pool, and all lose what the
dead run had evaluated. So each worker has one *supervised child*, killed from outside with SIGKILL at the deadline,
and three decisions make that cheap. (1) The child lives on from run to run: a trivial run costs about 0.2 ms, where
a child per run costs 4 ms with numpy loaded and 7 ms with scipy. (2) When it has to be replaced, the next one is
forked by a *guard*, a process that has imported the libraries and never runs a solver: 4 ms instead of 1.6 s for a
new interpreter that imports scipy. The guard also reaps the child, adopts and kills what it leaves behind, and ends
when the harness does, even by kill -9, because the socket between them closes. (3) Evaluations are written into
memory that the supervisor maps too: 0.2 us a row, x apart, against 1.1 us for a message through a pipe, and none is
lost however the run ends.

>>> from optcore import pickling
>>> from optcore_bench.supervise import Supervisor
>>> def run(memory, a, b):
...     return {"sum": a + b}
>>> with Supervisor(preload=("numpy",)) as supervisor:
...     outcome = supervisor.run(pickling.dumps((run, (1, 2))), seconds=60)
>>> outcome.ended, outcome.answer
('returned', {'sum': 3})
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optcore_bench.supervise.outcome import Outcome, SupervisionError
    from optcore_bench.supervise.supervisor import Supervisor

__all__ = ["Outcome", "SupervisionError", "Supervisor"]


def __getattr__(name: str) -> Any:
    """Import the supervisor when it is asked for: guard and child import this package too, and must stay small."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.supervisor"), name)
