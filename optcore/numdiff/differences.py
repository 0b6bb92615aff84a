"""Derivatives of a flat function by differences: what minimize and NumericalDerivative both use.

Each way to take them is a strategy with one method: `PlainDifferences`, `ExtrapolatedDifferences`,
`MeasuredDifferences`, and around these `DetectedPattern` and `TreePattern`, which find out what a jacobian looks like.
They share a `Subject`: the function, and what is known of it, such as which params can be moved together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.evaluator import Evaluator
from optcore.functions import FlatFun
from optcore.numdiff.batched import take_many
from optcore.numdiff.calls import Caller, Calls
from optcore.numdiff.columns import Together
from optcore.numdiff.extrapolated import ExtrapolatedDifferences
from optcore.numdiff.measured import MeasuredDifferences
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.pattern import DetectedPattern, Strategy, TreePattern, is_tree
from optcore.numdiff.plain import PlainDifferences
from optcore.numdiff.result import Differenced
from optcore.numdiff.sampling import Sampler
from optcore.numdiff.schedule import Schedule
from optcore.numdiff.sparse import Pattern, read_pattern
from optcore.numdiff.subject import Subject
from optcore.tree import Converter

__all__ = ["Differences"]

Vector = NDArray[np.float64]


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
        self._subject = subject
        self._sparse_output = sparse_output
        self._strategy = _strategy(subject, bounds, None if standalone else evaluator)

    @property
    def notes(self) -> list[str]:
        """What became of n_cores, and what has happened to workers since this object was made, a sentence each."""
        return self._caller.remote.notes

    @property
    def speculates(self) -> bool:
        """Whether the derivative is to be taken together with a value that is asked for alone."""
        return self.options.speculates(self._subject.converter.n)

    def derivative(
        self, x: Vector, base: Any = None, *, ask_value: bool = False, batches: dict[int, int] | None = None
    ) -> Differenced | None:
        """The derivative at x, shape (n,), and the value there if it is known or asked for.

        Args:
            x: the point.
            base: output of the function at x, where it is known already.
            ask_value: the value at x is wanted for its own sake too.
            batches: gets the numbers of the batches, and how many points of differences each had.

        Returns:
            None if a call failed and failures are to be survived.
        """
        done = self._strategy.derivative(x, Calls(self._caller, x, base, batches), ask_value=ask_value)
        columns = self._subject.columns
        if done is None or not isinstance(columns, Together):
            return done
        shaped = columns.pattern.matrix if self._sparse_output else columns.pattern.dense
        return done._replace(
            derivative=shaped(done.derivative), error=None if done.error is None else shaped(done.error)
        )


def _strategy(subject: Subject, bounds: FlatBounds, watched: Evaluator | None) -> Strategy:
    """What the options ask for.

    Args:
        subject: the function and its options; learns the pattern of its jacobian, if there is one.
        bounds: the points stay within them.
        watched: says how far an optimization has come; None: there is none.
    """
    options, converter = subject.options, subject.converter
    plain, sampler = PlainDifferences(subject), Sampler(subject)
    strategy: Strategy = plain
    extrapolation = ExtrapolatedDifferences(subject, sampler)
    if options.method == "richardson":
        strategy = extrapolation
    elif options.measures is not None:
        strategy = MeasuredDifferences(subject, bounds, sampler, plain, extrapolation, Schedule(options, watched))
    if options.sparsity is None:
        return strategy
    if isinstance(options.sparsity, str):
        return DetectedPattern(subject, plain, strategy)
    if is_tree(options.sparsity):
        return TreePattern(subject, options.sparsity, strategy)
    if isinstance(options.sparsity, Pattern):  # of second derivatives, which read it themselves
        subject.columns = Together(options.sparsity)
        return strategy
    subject.columns = Together(read_pattern(options.sparsity, converter.size, converter.free))
    return strategy
