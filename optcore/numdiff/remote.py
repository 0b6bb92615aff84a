"""User functions where a backend calls them: what travels there, and how their answers are read."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.functions import FlatFun
from optcore.marks import Kind
from optcore.numdiff.backends import Backend, Workers, get_backend
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.pool import Evaluated, Shipment, why_one_core

__all__ = ["Remote"]


class Remote:
    """Calls a function by the backend of the options: a backend itself, whose values are (output, scalar value).

    Args:
        function: the user function.
        options: say where it is called.

    Attributes:
        backend: of the options; None where the function is called here.
        notes: what the user should know of where it is called.
    """

    def __init__(self, function: FlatFun, options: NumdiffOptions) -> None:
        self.backend: Backend | None = None
        self._function = function
        self._shipped: _Shipped | Shipment | None = None
        note = None
        if options.batch_evaluator != "batch":
            self.backend = get_backend(options.batch_evaluator, options.n_cores, options.timeout)
            has_cores = options.batch_evaluator in ("processes", "threads", "joblib")
            note = why_one_core(options.n_cores) if has_cores else None
        # Each worker process would import this package only to convert nothing. Answers of other backends may be
        # arrays that the function writes to in its next call, so that they are read at once.
        self._travels_alone = (
            isinstance(self.backend, Workers) and function.takes_vectors and options.method != "complex_step"
        )
        self._own_notes = [note] if note else []
        self._events: list[str] = getattr(self.backend, "events", [])  # of the shared pool
        self._n_events = len(self._events)

    @property
    def notes(self) -> list[str]:
        """What became of n_cores, and what has happened to workers since this object was made, a sentence each."""
        return self._own_notes + self._events[self._n_events :]

    def __call__(self, _: Any, points: NDArray[Any]) -> Iterator[Evaluated]:
        """The outcomes at points of shape (k, n), in their order."""
        assert self.backend is not None
        if self._shipped is None:  # at the first call, when the function is as it is meant to be
            self._shipped = self._alone() if self._travels_alone else _Shipped(self._function)
        outcomes = self.backend(self._shipped, points)  # type: ignore[arg-type]  # workers take shipments too
        read = self._shipped.learn if isinstance(self._shipped, _Shipped) else self._read
        with contextlib.closing(outcomes) if isinstance(outcomes, Generator) else contextlib.nullcontext():
            for outcome in outcomes:
                yield outcome if outcome.error is not None else _read(read, outcome)

    def _alone(self) -> Shipment:
        function, kwargs = self._function.function, self._function.kwargs
        return Shipment(partial(function, **kwargs) if kwargs else function)

    def _read(self, answer: Any) -> tuple[Any, float]:
        if self._function.kind is Kind.SCALAR and type(answer) in (float, np.float64):
            number = float(answer)
            return number, number
        return self._function.read(answer)


class _Shipped:
    """A function with all that it needs to read answers. Each copy sends along once what it learnt of them.

    Attributes:
        user_function: what messages are about.
    """

    def __init__(self, function: FlatFun) -> None:
        self.user_function = function.function
        self._function = function
        self._sent = False

    def __call__(self, x: NDArray[Any]) -> tuple[Any, float]:
        output, value = self._function(x)
        learnt = None if self._sent else (self._function.reader.structure, self._function.is_single)
        self._sent = True
        return (output, learnt), value

    def learn(self, answer: Any) -> tuple[Any, float]:
        """(output, scalar value), from what a copy of this answered."""
        (output, learnt), value = answer
        if learnt is not None:
            structure, self._function.is_single = learnt
            if structure is not None:
                self._function.reader.learn(structure)
        return output, value


def _read(read: Any, outcome: Evaluated) -> Evaluated:
    value, _, start, stop = outcome
    try:
        return Evaluated(read(value), None, start, stop)
    except Exception as error:  # noqa: BLE001  an answer that doesn't fit is an outcome too
        return Evaluated(None, error, start, stop)
