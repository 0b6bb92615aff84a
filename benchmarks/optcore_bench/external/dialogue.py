"""The harness's side of a solver in another Python: it is started, asks, is answered, and ends.

On Linux the interpreter stays, with its libraries loaded, and each run is a copy of it.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import OptcoreError
from optcore.marks import Kind
from optcore.objective import Objective
from optcore.solvers import Algorithm, SolverResult, get_algorithm
from optcore_bench.external import host
from optcore_bench.external.process import Ended, ExternalError, Process, how_it_ended

__all__ = ["Call", "RemoteAlgorithm", "RemoteFunction", "own_environment"]

#: Longer messages are none: the solver wrote into its pipe.
_LONGEST = 1 << 34

#: Whether an interpreter stays for further runs, each in a copy of it: only where a fork without exec is safe, and
#: where the guard of supervised processes ends whatever they leave behind.
_SERVES = sys.platform == "linux"
#: Interpreters of this process that wait for a run.
_IDLE: dict[str, Process] = {}

Questions = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True, eq=False)
class Call:
    """How to run a solver in another Python, as it travels to a worker.

    Attributes:
        python: the interpreter.
        request: what it must know to load the solver.
        versions: which versions it had when the study was planned.
    """

    python: str
    request: Mapping[str, Any]
    versions: Mapping[str, str]

    def converse(
        self, request: Mapping[str, Any], arrays: Sequence[Any], questions: Questions
    ) -> tuple[Any, list[Any]]:
        """Start the interpreter, answer what the solver asks, and give what it says at its end.

        Args:
            request: what to run, beside what says how to load it.
            arrays: that go with it.
            questions: what may be asked: each a function of nothing or of a point, shape (n,).

        Raises:
            ExternalError: the solver raised, its process ended, or it can't be started.
            StopSolver: the budget is spent; the process has ended.
        """
        process = _IDLE.pop(self.python, None) or self._start()
        try:
            answered = self._hold(process, {**self.request, "do": "run", **request}, arrays, questions)
        except BaseException:
            process.end()
            raise
        if _SERVES:
            process.forget_printed()
            _IDLE[self.python] = process
        else:
            process.end()
        if isinstance(answered, BaseException):
            raise answered
        return answered

    def _start(self) -> Process:
        process = Process([self.python, host.__file__, *(["serve"] if _SERVES else [])], own_environment())
        if _SERVES:
            process.has_forked()
        return process

    def _hold(
        self, process: Process, request: Mapping[str, Any], arrays: Sequence[Any], questions: Questions
    ) -> tuple[Any, list[Any]] | BaseException:
        """A run, from the request to the end of its process; what ended it, if the solver wasn't asked for it.

        Raises:
            ExternalError: its process ended by itself, or the pipe can't be used any more.
        """
        try:
            process.write(host.pack(request, arrays))
            message, given = self._receive(process)
            if "fingerprint" in message:
                self._check(message["fingerprint"])
                process.watch(message["pid"] if _SERVES else None)
                message, given = self._receive(process)
            while "ask" in message:
                try:
                    reply = _reply(questions[message["ask"]](*given))
                except BaseException as stop:
                    if not _SERVES or isinstance(stop, KeyboardInterrupt):
                        raise
                    process.write(host.pack({"form": "stop"}))
                    self._wait_for_end(process)
                    return stop
                process.write(reply)
                message, given = self._receive(process)
            if _SERVES and "ended" not in message:
                self._wait_for_end(process)
        except Ended:
            how = f"was killed, with the one that starts it{process.words_at_the_end}" if _SERVES else process.wait()
            raise self._crash(how) from None
        if "ended" in message:
            how = how_it_ended(os.waitstatus_to_exitcode(message["ended"]))
            raise self._crash(how + process.words_at_the_end)
        return ExternalError(message["failed"]) if "failed" in message else (message, given)

    def _crash(self, how: str) -> ExternalError:
        return ExternalError(f"the solver's process, {self.python!r}, {how}", "crashed")

    def _wait_for_end(self, process: Process) -> None:
        while "ended" not in self._receive(process)[0]:
            pass

    def _receive(self, process: Process) -> tuple[dict[str, Any], list[Any]]:
        head, blob = host.LENGTHS.unpack(process.read(host.LENGTHS.size))
        if head + blob > _LONGEST:
            raise ExternalError(f"the solver in {self.python!r} wrote into the pipe to the harness")
        try:
            message, arrays = host.unpack(process.read(head), process.read(blob))
            if "ended" in message:
                process.watch(None)
            return message, arrays  # noqa: TRY300  what follows is about reading them
        except (ValueError, KeyError, TypeError) as error:
            raise ExternalError(f"the solver in {self.python!r} wrote into the pipe to the harness") from error

    def _check(self, versions: Mapping[str, str]) -> None:
        for key, now in versions.items():
            if now != self.versions.get(key):
                raise ExternalError(
                    f"{self.python!r} has {key} {now}, but had {self.versions.get(key)} when the study was planned; "
                    "run the study again"
                )


def own_environment() -> dict[str, str]:
    """Environment variables of the other Python: those of this process, but for those that would lead it back here."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}


def _reply(answer: Any) -> bytes:
    if answer is None:
        return host.pack({"form": "none"})
    if isinstance(answer, tuple):
        first, second = answer
        if isinstance(first, np.ndarray):
            arrays, shape = _entries(second)
            return host.pack({"form": "pair of arrays", "shape": shape}, [first, *arrays])
        return host.pack({"form": "pair"}, [np.array([first], dtype=np.float64), second])
    if isinstance(answer, (float, int)):
        return host.pack({"form": "float"}, [np.array([answer], dtype=np.float64)])
    arrays, shape = _entries(answer)
    return host.pack({"form": "array" if len(arrays) == 1 else "sparse", "shape": shape}, arrays)


def _entries(array: Any) -> tuple[list[NDArray[Any]], list[int]]:
    """A dense array as it is, the parts of a sparse one; and the shape."""
    if isinstance(array, np.ndarray):
        return [array], list(array.shape)
    csr = array.tocsr()
    return [csr.data, csr.indices, csr.indptr], list(csr.shape)


# --- plain functions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RemoteFunction:
    """A plain function in another Python, with the signature that it has there.

    Attributes:
        call: how to run it.
        label: what it is called.
        parameters: name, kind and whether there is a default of each.
    """

    call: Call
    label: str
    parameters: tuple[tuple[str, int, bool], ...]

    @property
    def __name__(self) -> str:
        """What messages call it."""
        return self.label

    @property
    def __signature__(self) -> inspect.Signature:
        """As `inspect.signature` gives it."""
        return inspect.Signature(
            [
                inspect.Parameter(
                    name, inspect._ParameterKind(kind), default=None if is_optional else inspect.Parameter.empty
                )
                for name, kind, is_optional in self.parameters
            ]
        )

    def __call__(self, **offered: Any) -> Any:
        """Run it there with what it asks for; gives what it returned.

        Raises:
            ExternalError: it raised, or its process ended.
        """
        bounds = offered.pop("bounds", None)
        functions = {name: value for name, value in offered.items() if callable(value)}
        vectors = {name: value for name, value in offered.items() if isinstance(value, np.ndarray)}
        plain = {name: value for name, value in offered.items() if name not in {*functions, *vectors}}
        if "bounds" in {name for name, _, _ in self.parameters}:
            plain["bounds"] = None  # replaced there where there are some
        request = {
            "plain": plain,
            "functions": list(functions),
            "vectors": list(vectors),
            "has_bounds": bounds is not None,
        }
        answer, given = self.call.converse(request, [*vectors.values(), *(bounds or ())], functions)
        x = given[0] if given else _Odd(answer["odd"])
        return x if answer["claims"] is None else {**answer["claims"], "x": x}


class _Odd:
    """Something that can't be sent, by what it looks like."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


# --- algorithms ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RemoteAlgorithm(Algorithm):
    """A subclass of om.Algorithm that runs in another Python.

    Args:
        call: how to run it.
        options: resolved.
        facts: the attributes of the algorithm there that decide how it is run.
        lacks: what has to be installed there before it can run, one sentence; None if nothing.
        known_as: the name of an algorithm that ships, "" for one of the user's own.
    """

    name: ClassVar[str] = "remote"
    library: ClassVar[str] = "optcore"

    call: Call
    options: Mapping[str, Any]
    facts: Mapping[str, Any]
    lacks: str | None = None
    known_as: str = ""

    def __post_init__(self, *given: Any) -> None:
        """Take over the attributes."""
        for fact, value in self.facts.items():
            if fact != "takes_sparse":
                object.__setattr__(self, fact, Kind(value) if fact == "kind" else value)

    @property
    def takes_sparse(self) -> bool:
        """Whether it can work with a sparse jacobian."""
        return bool(self.facts["takes_sparse"])

    def missing(self) -> str | None:  # type: ignore[override]  # depends on the interpreter
        """What has to be installed there; None if nothing."""
        return self.lacks and f"{self.lacks} (in {self.call.python})"

    def misfit(self, bounds: FlatBounds, names: Callable[[], Sequence[str]]) -> str | None:
        """As the algorithm of that name in this Python says, since both are the same code."""
        if self.known_as:
            try:
                return get_algorithm(self.known_as).from_options(self.options).misfit(bounds, names)
            except OptcoreError:  # known there only
                pass
        return super().misfit(bounds, names)

    def solve(self, objective: Objective, x0: NDArray[np.float64], bounds: FlatBounds) -> SolverResult:
        """Run it there.

        Raises:
            ExternalError: it raised, or its process ended.
        """
        request = {
            "options": dict(self.options),
            "n": objective.n,
            "m": objective.m,
            "derivative_precision": objective.derivative_precision,
            "max_evaluations": objective.evaluator.max_evaluations,
            "max_seconds": objective.evaluator.max_seconds,
        }
        arrays = [x0, np.asarray(bounds.lower), np.asarray(bounds.upper)]
        answer, given = self.call.converse(request, arrays, _questions(objective))
        x: Any = given[0] if given else _Odd(answer["odd"])
        return SolverResult(x, answer["success"], answer["message"], answer["n_iterations"], answer["claims"])


def _questions(objective: Objective) -> Questions:
    """What a solver may ask of an objective, by the names that host.py uses."""
    value, gradient = objective.scalar_callables(jointly=True)
    return {
        "value": objective.value,
        "gradient": objective.gradient,
        "value_and_gradient": objective.value_and_gradient,
        "residuals": objective.residuals,
        "jacobian": objective.jacobian,
        "residuals_and_jacobian": objective.residuals_and_jacobian,
        "value_of_pair": value,
        "gradient_of_pair": gradient,
        "forget": objective.forget,
        "best_x": lambda: objective.best_x,
    }
