"""Supervisor: one run at a time, in a process of its own, under limits."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from optcore_bench.supervise import wire
from optcore_bench.supervise.handle import Child
from optcore_bench.supervise.launch import Guard, Mode, default_mode
from optcore_bench.supervise.outcome import Outcome, SupervisionError
from optcore_bench.supervise.run import Limits, Run

__all__ = ["Outcome", "SupervisionError", "Supervisor"]

DEFAULT_PRELOAD = ("numpy", "scipy.optimize", "optcore", "optcore_problems")


class Supervisor:
    """Runs functions in a child process, one at a time, and survives whatever they do.

    The child lives on from run to run. It is replaced after a run that ended its process, was killed, raised something
    that is not an ordinary exception, or left threads, processes, open files, another working folder or much memory.
    Warning filters, numpy's error handling and the recursion limit are put back after each run. What else a run changes
    in modules (patches, caches, the state of global random generators) or in environment variables stays for the runs
    after it: a run that depends on such things sets them itself.

    Not to be shared by threads: one each. Processes start at the first run, or with `start`.

    Args:
        preload: modules to import before the first run. They must not start threads (so not jax), and should hold what
            most runs need, the module of the function that is run included; they must not run user code.
        environment: environment variables on top of those of this process. Numerical libraries get one thread unless
            said otherwise here; PYTHONHASHSEED is 0.
        mode: "zygote" forks children from a process that has preloaded the modules: 4 ms a child. "plain" starts each
            as a new interpreter: as long as the imports take. The default is what the platform bears. If a preloaded
            module starts threads, "zygote" becomes "plain" at the first run, because forking would be unsafe then.

    Attributes:
        mode: the mode in use.

    Raises:
        SupervisionError: if an argument is not what it should be.
    """

    def __init__(
        self,
        preload: Sequence[str] = DEFAULT_PRELOAD,
        environment: Mapping[str, str] | None = None,
        *,
        mode: Mode | None = None,
    ) -> None:
        if isinstance(preload, str):
            raise SupervisionError(f"preload must be a sequence of module names, but is the string {preload!r}")
        if mode not in (None, "zygote", "plain"):
            raise SupervisionError(f"mode must be 'zygote', 'plain' or None, but is {mode!r}")
        variables: list[tuple[object, object]] = list((environment or {}).items())
        for name, value in variables:
            if not (isinstance(name, str) and isinstance(value, str)):
                raise SupervisionError(f"environment must map str to str, but holds {name!r}: {value!r}")
        self.mode: Mode = mode or default_mode()
        self._preload = tuple(preload)
        self._environment = dict(environment or {})
        self._number = 0
        self._owner = os.getpid()
        self._guard: Guard | None = None
        self._close_guard: Callable[[], object] = lambda: None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes; nothing is left behind. Closing twice does no harm."""
        self._closed = True
        self._close_guard()

    def start(self) -> None:
        """Begin to start the processes, without waiting for them: who knows that a run will come saves that time.

        They see the environment variables and the module search path of this moment. What keeps them from starting is
        raised by the first run.
        """
        if not self._closed and self._guard is None:
            with suppress(SupervisionError):
                self._new_guard()

    def dismiss(self) -> None:
        """Let the processes end, without waiting for that as `close` does, since no run is expected any more."""
        if self._guard is not None:
            self._guard.dismiss()

    @property
    def child_pid(self) -> int | None:
        """Process id of the child that waits for the next run or does one; None if there is none, or it is starting."""
        child = self._guard.child if self._guard is not None else None
        return None if child is None else child.pid

    def run(self, payload: bytes, *, seconds: float | None, max_memory: int | None = None) -> Outcome:
        """Run a function in the child.

        Args:
            payload: `optcore.pickling.dumps((function, args))`. The child calls `function(memory, *args)`; `memory`
                is an `optcore.history.Memory` to record evaluations into. The function returns a dict with str keys of
                plain values: str, int, float, bool, None, and lists and dicts of them.
            seconds: limit of wall time; None for none. Starting a process doesn't count, unpickling does.
            max_memory: limit in bytes of the resident memory of the child's process, libraries included, the record
                excluded; looked at every 20 ms.

        Returns:
            The outcome. Exceptions of the function, crashes and limits are outcomes, not exceptions.

        Raises:
            SupervisionError: if the supervisor is closed, can't start its processes, or `seconds` is not positive.
        """
        if seconds is not None and not seconds > 0:
            raise SupervisionError(
                f"the limit of a run must be a positive number of seconds or None, but is {seconds!r}"
            )
        self._number += 1
        try:
            guard, child = self._ready_child()
            child.memory.clear()
            child.forget_printed()
            run = Run(guard, child, Limits(seconds, max_memory))
            outcome = run.watch(self._number, payload)
            if not run.child_is_clean:  # end it now: nothing that it left shall disturb anybody
                guard.end_child()
                guard.drop_child()
            if guard.lost:
                self._close_guard()
        except BaseException:
            self._close_guard()  # in the middle of a run, by Ctrl-C for example: nothing of it may go on
            raise
        return outcome

    def _ready_child(self) -> tuple[Guard, Child]:
        if self._closed:
            raise SupervisionError("the supervisor is closed; make a new one")
        if os.getpid() != self._owner:  # in a copy of the process that made it: the guard answers to the original
            self._close_guard()
            self._owner = os.getpid()
        for _ in range(2):
            guard = self._ready_guard()
            try:
                waits = guard.child_waits()
                return guard, guard.child if waits and guard.child else guard.start_child()
            except wire.Disconnected:
                self._close_guard()
        raise SupervisionError("the guard process of a supervisor ended twice in a row; is something killing it?")

    def _ready_guard(self) -> Guard:
        guard = self._guard
        if guard is None or guard.closed:
            guard = self._new_guard()
        if guard.wait_until_ready() and self.mode == "zygote":
            guard.close()
            self.mode = "plain"
            guard = self._new_guard()
            guard.wait_until_ready()
        return guard

    def _new_guard(self) -> Guard:
        guard = self._guard = Guard(self.mode, self._preload, self._environment)
        self._close_guard = weakref.finalize(self, guard.close)
        return guard
