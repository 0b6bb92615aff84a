"""Patterns of jacobians that aren't known before the first call: found out, or given as trees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, InvalidInputError
from optcore.numdiff.calls import Calls
from optcore.numdiff.columns import Singly, Together
from optcore.numdiff.plain import PlainDifferences
from optcore.numdiff.result import Differenced
from optcore.numdiff.schemes import COMPLEX_STEP, ORDER, uneven_weights
from optcore.numdiff.sparse import Pattern, read_pattern, refuse_numbers
from optcore.numdiff.subject import Subject
from optcore.numdiff.traced import traced_pattern
from optcore.residuals import ResidualReader
from optcore.sparse import is_sparse

__all__ = ["DetectedPattern", "Strategy", "TreePattern", "is_tree"]

Vector = NDArray[np.float64]
#: A found pattern is compared with a real difference at every so many derivatives.
CHECK_EVERY = 10
#: How many standard deviations of noise are no difference.
CLEAR = 6.0


class Strategy(Protocol):
    """A way to take a derivative."""

    def derivative(self, x: Vector, calls: Calls, *, ask_value: bool) -> Differenced | None:
        """The derivative at x, shape (n,); None if a call failed and failures are to be survived."""
        ...


def is_tree(given: Any) -> bool:
    """Whether a pattern is a tree of blocks, not one matrix."""
    if isinstance(given, Mapping):
        return True
    return isinstance(given, (list, tuple)) and any(isinstance(each, Mapping) or is_sparse(each) for each in given)


class TreePattern:
    """A pattern that looks like the derivative: a tree of residuals whose leaves are trees of params.

    Args:
        subject: the function; its value says how the residuals are put together.
        tree: blocks, sparse or dense; what differs from zero counts.
        strategy: takes derivatives once the pattern is known.
    """

    def __init__(self, subject: Subject, tree: Any, strategy: Strategy) -> None:
        self._subject = subject
        self._tree: Any = tree
        self._strategy = strategy

    def derivative(self, x: Vector, calls: Calls, *, ask_value: bool) -> Differenced | None:
        """The first one asks for the value before anything else."""
        if self._tree is not None:
            nowhere = np.empty((0, x.size))
            if calls.base is None and calls.round(nowhere, "differences", with_base=True) is None:
                return None
            self._read(calls)
        return self._strategy.derivative(x, calls, ask_value=ask_value)

    def _read(self, calls: Calls) -> None:
        refuse_numbers(np.ndim(calls.base))
        subject = self._subject
        reader = ResidualReader(subject.converter, keeps_sparse=True)
        reader.learn(subject.function.reader.structure)
        try:
            matrix = reader.jacobian(self._tree, "sparsity")
        except InvalidFunctionError as error:
            raise InvalidInputError(
                f"sparsity must look like the derivative, a tree of the function's value whose leaves are trees of "
                f"params, but {error}"
            ) from error
        subject.columns = Together(read_pattern(matrix, subject.converter.n))
        self._tree = None


class DetectedPattern:
    """Finds the pattern before the first derivative, and compares it with a real difference now and then.

    Functions of JAX are traced, if asdex is installed; for others NaN is put into one param after the other, and what
    the first jacobian shows is added.

    Args:
        subject: the function.
        plain: takes the first jacobian, of each param by itself.
        strategy: takes derivatives once the pattern is known.
    """

    def __init__(self, subject: Subject, plain: PlainDifferences, strategy: Strategy) -> None:
        self._subject = subject
        self._plain = plain
        self._strategy = strategy
        self._is_known = False
        self._may_trace = True
        self._age = 0

    def derivative(self, x: Vector, calls: Calls, *, ask_value: bool) -> Differenced | None:
        """With the pattern, which is found out where it isn't known."""
        if not self._is_known and not self._trace(x):
            dense = self._find(x, calls)
            if dense is None or self._strategy is self._plain or not self._is_known:
                return dense
        is_due = self._age % CHECK_EVERY == 0
        self._age += 1
        done = self._strategy.derivative(x, calls, ask_value=ask_value or is_due)
        if done is None or not is_due:
            return done
        holds = self._holds(x, calls, done)
        if holds is None:
            return None
        if not holds:
            self._is_known = self._may_trace = False
            return self.derivative(x, calls, ask_value=ask_value)
        return done._replace(n_evaluations=calls.n_evaluations, n_rounds=calls.n_rounds)

    def _use(self, pattern: Pattern) -> None:
        self._subject.columns = Together(pattern)
        self._is_known = True

    def _trace(self, x: Vector) -> bool:
        """Whether the function told its pattern without being called; it is checked at once."""
        pattern = traced_pattern(self._subject.function, self._subject.converter, x) if self._may_trace else None
        if pattern is None:
            return False
        self._age = 0
        self._use(pattern)
        return True

    def _find(self, x: Vector, calls: Calls) -> Differenced | None:
        """One jacobian from each param by itself, which gives the pattern, too."""
        subject = self._subject
        subject.columns = Singly()
        seen = self._probe(x, calls)
        if seen is None:
            return None
        method = subject.options.method
        is_plain = method in ORDER or method == "complex_step"
        done = self._plain.take(x, calls, method if is_plain else "forward", None, ask_value=True)
        if done is None or not np.isfinite(np.sum(calls.base)):
            return done
        size = np.abs(done.derivative) * np.abs(done.steps.h)
        level = 0.0 if subject.noise is None or method == "complex_step" else CLEAR * subject.noise[:, None]
        self._use(read_pattern(seen | ~(size <= level), x.size))
        self._age = 1
        columns = subject.columns
        assert isinstance(columns, Together)
        pattern = columns.pattern
        return done._replace(derivative=done.derivative[pattern.rows, pattern.columns])

    def _probe(self, x: Vector, calls: Calls) -> NDArray[np.bool_] | None:
        """Put NaN into one param after the other: which values become NaN, shape (m, n). None if a call failed.

        Functions that sort or compare hide dependence from it, and those that raise hide all.
        """
        n = x.size
        points = np.tile(x, (n, 1))
        np.fill_diagonal(points, np.nan)
        with np.errstate(invalid="ignore"):
            values = calls.round(points, "probe", with_base=True, keep_errors=True)
        if values is None:
            return None
        refuse_numbers(np.ndim(calls.base))
        seen: NDArray[np.bool_] = np.isnan(values.reshape(n, -1))
        seen[list(calls.raised)] = False
        return seen.T

    def _holds(self, x: Vector, calls: Calls, done: Differenced) -> bool | None:
        """Whether the derivative explains what a move of all params changes; None if the call failed."""
        subject = self._subject
        box = subject.box(x)
        h = done.steps.h
        size = np.maximum(subject.scale(x) * subject.eps**0.5, np.where(np.abs(h) > 10 * COMPLEX_STEP, np.abs(h), 0.0))
        wanted = np.where(h < 0, -1.0, 1.0) * size * uneven_weights(x.size)
        wanted = np.where((x + wanted < box.lower) | (x + wanted > box.upper), -wanted, wanted)
        point = np.clip(x + wanted, box.lower, box.upper)
        values = calls.round(point[None], "check", with_base=True)
        if values is None:
            return None
        matrix, move = subject.columns.matrix(done.derivative), point - x
        base = np.real(calls.base)
        real = np.real(values[0]) - base
        explained = np.abs(matrix) @ np.abs(move)
        level = 100 * subject.eps * np.max(np.abs(base), initial=0.0)
        if subject.noise is not None:
            level = level + CLEAR * subject.noise
        with np.errstate(invalid="ignore"):
            wrong = np.abs(real - matrix @ move) > 1e-2 * (explained + np.abs(real)) + level
        return not bool(wrong.any())
