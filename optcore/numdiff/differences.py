"""Derivatives of a flat function by differences: what minimize and NumericalDerivative both use.

Each way to take them is a strategy with one method: `PlainDifferences`, `CompressedDifferences`,
`ExtrapolatedDifferences`, `MeasuredDifferences`. They share a `Subject`: the function, and what is known of it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.evaluator import Evaluator
from optcore.functions import FlatFun
from optcore.numdiff.batched import take_many
from optcore.numdiff.calls import Caller, Calls
from optcore.numdiff.compressed import CompressedDifferences
from optcore.numdiff.extrapolated import ExtrapolatedDifferences
from optcore.numdiff.measured import MeasuredDifferences
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.pattern import SparsePart
from optcore.numdiff.plain import PlainDifferences
from optcore.numdiff.result import Differenced
from optcore.numdiff.sampling import Sampler
from optcore.numdiff.schedule import Schedule
from optcore.numdiff.subject import Subject
from optcore.tree import Converter

__all__ = ["Differences"]

Vector = NDArray[np.float64]


class Strategy(Protocol):
    """A way to take a derivative."""

    def derivative(self, x: Vector, calls: Calls, *, ask_value: bool) -> Differenced | None:
        """The derivative at x, shape (n,); None if a call failed and failures are to be survived."""
        ...


class Differences:
    """Derivatives of one flat function.

    Args:
        function: the user function.
        evaluator: makes and counts the calls.
        converter: reads steps given as trees.
        bounds: the points stay within them.
        options: how to take differences.
        standalone: no solver asks: an exception at a difference point is no worse than NaN, and points come in any
            order.
        sparse_output: whether jacobians of a known pattern are `scipy.sparse.csr_array`, not arrays.
    """

    def __init__(
        self,
        function: FlatFun,
        evaluator: Evaluator,
        converter: Converter,
        bounds: FlatBounds,
        options: NumdiffOptions,
        *,
        standalone: bool = False,
        sparse_output: bool = False,
    ) -> None:
        self.options = options
        take_many(function, options, is_vector=converter.is_vector)
        subject = Subject(function, converter, bounds, options)
        self._caller = Caller(
            function, evaluator, options, keep_errors=subject.recovers and (standalone or evaluator.survives)
        )
        self._n_events = len(self._caller.events)
        self._strategy = _strategy(subject, bounds, None if standalone else evaluator, sparse_output=sparse_output)

    @property
    def notes(self) -> list[str]:
        """What happened to the workers since this object was made, one sentence each."""
        return self._caller.events[self._n_events :]

    def derivative(self, x: Vector, base: Any = None, *, ask_value: bool = False) -> Differenced | None:
        """The derivative at x, shape (n,), and the value there if it is known or asked for.

        Args:
            x: the point.
            base: output of the function at x, where it is known already.
            ask_value: the value at x is wanted for its own sake too.

        Returns:
            None if a call failed and failures are to be survived.
        """
        return self._strategy.derivative(x, Calls(self._caller, x, base), ask_value=ask_value)


def _strategy(subject: Subject, bounds: FlatBounds, watched: Evaluator | None, *, sparse_output: bool) -> Strategy:
    """What the options ask for.

    Args:
        subject: the function and its options.
        bounds: the points stay within them.
        watched: says how far an optimization has come; None: there is none.
        sparse_output: whether jacobians of a known pattern are sparse.
    """
    options = subject.options
    plain = PlainDifferences(subject)
    if options.method == "richardson":
        return ExtrapolatedDifferences(subject, Sampler(subject))
    if options.sparsity is not None:
        pattern = SparsePart(options.sparsity, subject.converter.n)
        return CompressedDifferences(subject, pattern, plain, sparse_output=sparse_output)
    if options.measures is None:
        return plain
    sampler = Sampler(subject)
    extrapolation = ExtrapolatedDifferences(subject, sampler)
    return MeasuredDifferences(subject, bounds, sampler, plain, extrapolation, Schedule(options, watched))
