"""Sparse jacobians: columns that share no row are moved together. Pure functions of arrays and patterns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError
from optcore.numdiff.schemes import Steps

__all__ = ["CompressedPlan", "Pattern", "colour", "plan_colours", "read_pattern", "refuse_numbers"]

Vector = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Pattern:
    """Where a jacobian may differ from zero.

    Attributes:
        rows: row of each entry, shape (nnz,).
        columns: column of each entry, shape (nnz,).
        shape: (m, n).
        colours: shape (n,); columns of one colour share no row.
    """

    rows: Indices
    columns: Indices
    shape: tuple[int, int]
    colours: Indices

    def matrix(self, entries: Vector) -> Any:
        """The entries, shape (nnz,), as a `scipy.sparse.csr_array` of shape (m, n)."""
        from scipy.sparse import csr_array

        return csr_array((entries, (self.rows, self.columns)), shape=self.shape)

    def dense(self, entries: Vector) -> NDArray[np.float64]:
        """The entries as an array of shape (m, n)."""
        array = np.zeros(self.shape)
        array[self.rows, self.columns] = entries
        return array

    @property
    def n_colours(self) -> int:
        """How many columns of different colour there are: evaluations of one round."""
        return int(self.colours.max(initial=-1)) + 1


def read_pattern(given: Any, n: int) -> Pattern:
    """A pattern from a scipy sparse matrix or an array, by what differs from zero.

    Args:
        given: shape (m, n).
        n: number of params.

    Raises:
        InvalidInputError: it isn't a matrix with n columns.
    """
    shape = np.shape(given)
    if len(shape) != 2 or shape[1] != n:
        raise InvalidInputError(
            f"sparsity must be a matrix with one column for each of the {n} params, 'detect' or None, but has the "
            f"shape {shape}"
        )
    if hasattr(given, "tocoo"):
        coordinates = given.tocoo()
        used = coordinates.data != 0
        rows, columns = coordinates.row[used], coordinates.col[used]
    else:
        rows, columns = np.nonzero(np.asarray(given))
    entries = np.unique(np.stack([columns, rows]).astype(np.intp), axis=1)
    return Pattern(entries[1], entries[0], (int(shape[0]), n), colour(entries[1], entries[0], n))


def colour(rows: Indices, columns: Indices, n: int) -> Indices:
    """Colours of columns such that columns of one colour share no row.

    Greedy, in three orders (as they come, most neighbours first, fewest last), of which the best is taken. See
    Curtis, Powell & Reid (1974) for the idea, Coleman & More (1983), SIAM J. Numer. Anal. 20(1), for the orders.

    Args:
        rows: row of each entry, shape (nnz,).
        columns: column of each entry, shape (nnz,).
        n: number of columns.

    Returns:
        Shape (n,), counted from 0.

    >>> colour(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 2, 2]), 3).tolist()
    [0, 1, 0]
    """
    neighbours = _neighbours(rows, columns, n)
    degree = [len(others) for others in neighbours]
    orders = [
        range(n),
        sorted(range(n), key=lambda i: -degree[i]),
        _smallest_last(neighbours, degree),
    ]
    return min((_greedy(neighbours, order) for order in orders), key=lambda colours: colours.max(initial=0))


def _neighbours(rows: Indices, columns: Indices, n: int) -> list[set[int]]:
    """For each column those that share a row with it."""
    in_row: dict[int, list[int]] = {}
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        in_row.setdefault(row, []).append(column)
    neighbours: list[set[int]] = [set() for _ in range(n)]
    for together in in_row.values():
        for column in together:
            neighbours[column].update(together)
    for column, others in enumerate(neighbours):
        others.discard(column)
    return neighbours


def _smallest_last(neighbours: list[set[int]], degree: list[int]) -> list[int]:
    """Remove the column with the fewest neighbours left, again and again; the last removed comes first."""
    left = degree.copy()
    buckets: list[set[int]] = [set() for _ in range(max(left, default=0) + 1)]
    for column, size in enumerate(left):
        buckets[size].add(column)
    order: list[int] = []
    removed = [False] * len(left)
    lowest = 0
    while len(order) < len(left):
        while not buckets[lowest]:
            lowest += 1
        column = min(buckets[lowest])  # whichever, but always the same
        buckets[lowest].remove(column)
        removed[column] = True
        order.append(column)
        for other in neighbours[column]:
            if not removed[other]:
                buckets[left[other]].remove(other)
                left[other] -= 1
                buckets[left[other]].add(other)
        lowest = max(lowest - 1, 0)
    return order[::-1]


def _greedy(neighbours: list[set[int]], order: Iterable[int]) -> Indices:
    colours = [-1] * len(neighbours)
    for column in order:
        taken = {colours[other] for other in neighbours[column]}
        chosen = 0
        while chosen in taken:
            chosen += 1
        colours[column] = chosen
    return np.array(colours, dtype=np.intp)


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
        points: shape (k, n); first one for each colour, then, for second-order formulas, a second one for each.
        pattern: the entries.
        steps: of the columns.
        span: distance of the two points of central differences, shape (n,).
    """

    points: NDArray[Any]
    pattern: Pattern
    steps: Steps
    span: Vector

    @property
    def needs_base(self) -> bool:
        """Whether the value at x is part of the formula."""
        return bool(np.isin(self.steps.scheme, ("forward", "backward", "forward_3", "backward_3")).any())

    def entries(self, values: NDArray[Any], base: Any) -> Vector:
        """The entries of the jacobian, shape (nnz,).

        Args:
            values: shape (k, m); complex for complex steps.
            base: shape (m,).

        Raises:
            InvalidInputError: the function has another number of values than the pattern has rows.
        """
        m = self.pattern.shape[0]
        refuse_numbers(values.ndim - 1)
        if values.shape[1:] != (m,):
            raise InvalidInputError(f"sparsity has {m} rows, but the function returned {values.shape[1]} values")
        rows, columns = self.pattern.rows, self.pattern.columns
        colours = self.pattern.colours[columns]
        scheme, h = self.steps.scheme[columns], self.steps.h[columns]
        safe = np.where(h == 0, 1.0, h)
        first = values[colours, rows]
        with np.errstate(invalid="ignore"):
            if values.dtype.kind == "c":
                entries = first.imag / safe
            else:
                origin = np.zeros(m) if base is None else np.asarray(base)
                second = (
                    values[colours + self.pattern.n_colours, rows] if len(values) > self.pattern.n_colours else first
                )
                three = (2.0 * (first - origin[rows]) - 0.5 * (second - origin[rows])) / safe
                one = (first - origin[rows]) / safe
                central = (first - second) / self.span[columns]
                is_three = np.char.endswith(scheme, "_3")
                entries = np.where(scheme == "central", central, np.where(is_three, three, one))
        return np.where(h == 0, 0.0, entries)


def plan_colours(x: Vector, steps: Steps, bounds: FlatBounds, pattern: Pattern) -> CompressedPlan:
    """One point for each colour, two for second-order formulas.

    Args:
        x: shape (n,).
        steps: what the columns would be moved by one by one.
        bounds: no point leaves them.
        pattern: the pattern and its colours.
    """
    scheme, h = steps.scheme, steps.h
    is_complex = bool((scheme == "complex_step").any())
    own = np.arange(x.size)
    points: NDArray[Any] = np.tile(x.astype(np.complex128 if is_complex else np.float64), (pattern.n_colours, 1))
    if is_complex:
        points[pattern.colours, own] += 1j * h
        return CompressedPlan(points, pattern, steps, np.ones(x.size))
    points[pattern.colours, own] += h
    blocks = [points]
    central, three = scheme == "central", np.char.endswith(scheme, "_3")
    if central.any() or three.any():
        second = np.tile(x, (pattern.n_colours, 1))
        second[pattern.colours, own] += np.where(central, -h, np.where(three, 2 * h, 0.0))
        blocks.append(second)
    stacked = np.clip(np.concatenate(blocks), bounds.lower, bounds.upper)
    span = np.where(central, (x + h) - (x - h), 1.0)
    return CompressedPlan(stacked, pattern, steps, np.where(span == 0, 1.0, span))
