"""Sparse jacobians: columns that share no row are moved together. Pure functions of arrays and patterns."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError
from optcore.numdiff.colouring import colour
from optcore.numdiff.schemes import Steps

__all__ = ["CompressedPlan", "Pattern", "Places", "nonzeros", "plan_colours", "read_pattern", "refuse_numbers"]

Vector = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Places:
    """Where a matrix may differ from zero.

    Attributes:
        rows: row of each entry, shape (nnz,).
        columns: column of each entry, shape (nnz,).
        shape: (m, n).
    """

    rows: Indices
    columns: Indices
    shape: tuple[int, int]

    def matrix(self, entries: Vector) -> Any:
        """The entries, shape (nnz,), as a `scipy.sparse.csr_array` of shape (m, n)."""
        from scipy.sparse import csr_array

        return csr_array((entries, (self.rows, self.columns)), shape=self.shape)

    def dense(self, entries: Vector) -> NDArray[np.float64]:
        """The entries as an array of shape (m, n)."""
        array = np.zeros(self.shape)
        array[self.rows, self.columns] = entries
        return array


@dataclass(frozen=True, eq=False)
class Pattern(Places):
    """Where a jacobian may differ from zero: rows of a column follow each other, columns increase.

    Attributes:
        colours: shape (n,); columns of one colour share no row with an entry.
        mirrored: the matrix is symmetric, and has each entry across the diagonal, too.
    """

    colours: Indices
    mirrored: bool = False

    def whole(self, entries: Vector) -> Any:
        """The same as `matrix`, with the entries across the diagonal where these are not among them."""
        if not self.mirrored:
            return self.matrix(entries)
        n = self.shape[1]
        alone = ~np.isin(self.columns * n + self.rows, self.rows * n + self.columns)
        rows, columns = np.append(self.rows, self.columns[alone]), np.append(self.columns, self.rows[alone])
        return replace(self, rows=rows, columns=columns).matrix(np.append(entries, entries[alone]))

    @property
    def n_colours(self) -> int:
        """How many columns of different colour there are: evaluations of one round."""
        return int(self.colours.max(initial=-1)) + 1

    @functools.cached_property
    def counts(self) -> Indices:
        """Number of entries of each column, shape (n,)."""
        return np.bincount(self.columns, minlength=self.shape[1])

    @functools.cached_property
    def places(self) -> Indices:
        """Where in its column each entry is, shape (nnz,)."""
        return np.arange(len(self.columns)) - (np.cumsum(self.counts) - self.counts)[self.columns]

    @functools.cached_property
    def slots(self) -> Indices:
        """The rows of each column, shape (n, d), repeated where a column has fewer than d; 0 where it has none."""
        first = np.cumsum(self.counts) - self.counts
        index = first[:, None] + np.arange(max(1, self.counts.max(initial=0))) % np.maximum(self.counts, 1)[:, None]
        padded = np.append(self.rows, 0)
        return np.where(self.counts[:, None] > 0, padded[np.minimum(index, len(self.rows))], 0)

    def one_by_one(self) -> Pattern:
        """The same with a colour for each column."""
        return replace(self, colours=np.arange(self.shape[1]))


def nonzeros(given: Any) -> tuple[Indices, Indices]:
    """Rows and columns of what differs from zero in a scipy sparse matrix or an array, shapes (nnz,)."""
    if not hasattr(given, "tocoo"):
        rows, columns = np.nonzero(np.asarray(given))
        return rows, columns
    coordinates = given.tocoo()
    used = coordinates.data != 0
    return coordinates.row[used].astype(np.int64), coordinates.col[used].astype(np.int64)


def read_pattern(given: Any, n: int, free: Indices | None = None) -> Pattern:
    """A pattern from a scipy sparse matrix or an array, by what differs from zero.

    Args:
        given: shape (m, n).
        n: number of params, those that are fixed included.
        free: positions of those that are not, to which the pattern is restricted; None: all.

    Raises:
        InvalidInputError: it isn't a matrix with n columns.
    """
    shape = np.shape(given)
    if len(shape) != 2 or shape[1] != n:
        of_these = "" if free is None else f", of which {n - len(free)} are fixed: their columns are left out here"
        advice = "; it looks transposed" if len(shape) == 2 and shape[0] == n else ""
        raise InvalidInputError(
            f"sparsity must be a matrix with one column for each of the {n} params, 'detect' or None, but has the "
            f"shape {shape}{of_these}{advice}"
        )
    m = int(shape[0])
    rows, columns = nonzeros(given)
    if free is not None:
        position = np.full(n, -1)
        position[free] = np.arange(len(free))
        kept = position[columns] >= 0
        rows, columns, n = rows[kept], position[columns[kept]], len(free)
    columns, rows = np.divmod(np.unique(columns * max(m, 1) + rows), max(m, 1))
    return Pattern(rows, columns, (m, n), colour(rows, columns, n))


def refuse_numbers(ndim: int) -> None:
    """Raise where a function returns a number, of 0 dimensions."""
    if ndim == 0:
        raise InvalidInputError(
            "sparsity is for functions with several values, whose jacobian is sparse, but the function returned a "
            "number; leave sparsity out"
        )


@dataclass(frozen=True)
class CompressedPlan:
    """Points that move all columns of a colour at once, and the formula for the entries.

    Attributes:
        points: shape (k, n); first one for each colour of which a column is moved, then, for second-order formulas, a
            second one for each.
        coordinate: shape (k,): the column that a point moves; -1 where there are several.
        pattern: the entries.
        steps: of the columns.
        first: shape (n,): the first point of each column.
        span: distance of the two points of central differences, shape (n,).
    """

    points: NDArray[Any]
    coordinate: Indices
    pattern: Pattern
    steps: Steps
    first: Indices
    span: Vector

    @property
    def needs_base(self) -> bool:
        """Whether the value at x is part of the formula."""
        return bool(np.isin(self.steps.scheme, ("forward", "backward", "forward_3", "backward_3")).any())

    def derivative(self, values: NDArray[Any], base: Any) -> Vector:
        """The entries of the jacobian, shape (nnz,).

        Args:
            values: shape (k, m); the imaginary parts for complex steps.
            base: shape (m,), or None where it isn't needed.

        Raises:
            InvalidInputError: the function has another number of values than the pattern has rows.
        """
        check_rows(self.pattern, values if base is None else np.asarray(base)[None])
        rows, columns = self.pattern.rows, self.pattern.columns
        if not len(values):
            return np.zeros(len(rows))
        half = len(values) - 1 if len(values) == 1 else self.first.max() + 1
        scheme, h, at = self.steps.scheme[columns], self.steps.h[columns], self.first[columns]
        safe = np.where(h == 0, 1.0, h)
        value = values[at, rows]
        with np.errstate(invalid="ignore"):
            if (self.steps.scheme == "complex_step").any():
                entries = value / safe
            else:
                origin = 0.0 if base is None else np.asarray(base)[rows]
                second = values[at + half, rows] if len(values) > half else value
                three = (2.0 * (value - origin) - 0.5 * (second - origin)) / safe
                central = (value - second) / self.span[columns]
                is_three = (scheme == "forward_3") | (scheme == "backward_3")
                entries = np.where(scheme == "central", central, np.where(is_three, three, (value - origin) / safe))
        return np.where(h == 0, 0.0, entries)


def check_rows(pattern: Pattern, values: NDArray[Any]) -> None:
    """Raise where the function, of values of shape (k, ...), has another number of them than the pattern has rows."""
    if not len(values):
        return
    refuse_numbers(values.ndim - 1)
    m = pattern.shape[0]
    if values.shape[1:] != (m,):
        raise InvalidInputError(f"sparsity has {m} rows, but the function returned {values.shape[1]} values")


def plan_colours(x: Vector, steps: Steps, bounds: FlatBounds, pattern: Pattern) -> CompressedPlan:
    """One point for each colour, two for second-order formulas.

    Args:
        x: shape (n,).
        steps: what the columns would be moved by one by one; colours of which none is moved have no points.
        bounds: no point leaves them.
        pattern: the pattern and its colours.
    """
    scheme, h = steps.scheme, steps.h
    is_complex = bool((scheme == "complex_step").any())
    moved = np.flatnonzero(h)
    used, row = np.unique(pattern.colours[moved], return_inverse=True)
    k = len(used)
    first = np.zeros(x.size, dtype=np.intp)
    first[moved] = row
    alone = np.where(np.bincount(row, minlength=k) == 1, np.bincount(row, moved, minlength=k).astype(np.intp), -1)
    points: NDArray[Any] = np.tile(x.astype(np.complex128 if is_complex else np.float64), (k, 1))
    if is_complex:
        points[row, moved] += 1j * h[moved]
        return CompressedPlan(points, alone, pattern, steps, first, np.ones(x.size))
    points[row, moved] += h[moved]
    blocks = [points]
    central, three = scheme == "central", (scheme == "forward_3") | (scheme == "backward_3")
    if central.any() or three.any():
        second = np.tile(x, (k, 1))
        second[row, moved] += np.where(central, -h, np.where(three, 2 * h, 0.0))[moved]
        blocks.append(second)
        alone = np.concatenate([alone, alone])
    stacked = np.clip(np.concatenate(blocks), bounds.lower, bounds.upper)
    span = np.where(central, (x + h) - (x - h), 1.0)
    return CompressedPlan(stacked, alone, pattern, steps, first, np.where(span == 0, 1.0, span))
