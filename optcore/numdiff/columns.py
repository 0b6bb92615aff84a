"""How params are moved: each by itself, or those together that share no value of the function.

What is said of the values that a param enters has the shape (n, d). For params that are moved by themselves these are
all m values (a number is one); with a pattern those that the param enters, d at most.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.numdiff.schemes import Steps, plan_points
from optcore.numdiff.sparse import Pattern, check_rows, plan_colours

__all__ = ["Columns", "Moves", "Singly", "Together"]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]
Indices = NDArray[np.intp]


class Moves(NamedTuple):
    """Points that were asked for by (coordinate, shift), r of them.

    Attributes:
        points: shape (k, n).
        coordinate: the param that a point moves, shape (k,); -1 where there are several.
        asked: the params of the requests, shape (r,).
        owner: the point of each request, shape (r,).
    """

    points: Array
    coordinate: Indices
    asked: Indices
    owner: Indices


class Columns(Protocol):
    """How params are moved, and which values tell what a param does."""

    @property
    def rows(self) -> Indices | None:
        """Which value is where in arrays of shape (n, d); -1 where one comes again; None: all in order."""
        ...

    def room(self, x: Vector, bounds: FlatBounds) -> FlatBounds:
        """The bounds, closed around params that no value depends on."""
        ...

    def plan(self, x: Vector, steps: Steps, bounds: FlatBounds) -> Any:
        """Points for steps, and the formula."""
        ...

    def derivative(self, plan: Any, values: NDArray[Any], base: Any) -> Array:
        """What the formula gives: shape (n,) or (m, n), or the entries of a pattern, shape (nnz,)."""
        ...

    def moves(self, x: Vector, coordinate: Indices, shift: Vector) -> Moves:
        """Points for x + shift e_i, shapes (r,)."""
        ...

    def read(self, moves: Moves, values: Array) -> Array:
        """What the values at the points, shape (k, ...), say of the requests, shape (r, d)."""
        ...

    def spread(self, values: Array) -> Array:
        """What is known of each value, shape (m,), as something that fits to (n, d)."""
        ...

    def gather(self, found: Array, shape: tuple[int, ...]) -> Array:
        """What has the shape (n, d) in the form of `derivative`; `shape` is that of the value."""
        ...

    def bad(self, derivative: Array) -> Indices:
        """The columns that hold a number which isn't finite."""
        ...

    def put(self, derivative: Array, again: Array, good: Indices) -> None:
        """Take these columns from another derivative."""
        ...

    def alone(self) -> Columns | None:
        """The same with each param moved by itself; None: they are already."""
        ...

    def matrix(self, derivative: Array) -> Any:
        """What vectors of shape (n,) can be multiplied with."""
        ...


class Singly:
    """Each param is moved by itself."""

    rows = None

    def room(self, x: Vector, bounds: FlatBounds) -> FlatBounds:  # noqa: ARG002  a method of Columns
        """The bounds as they are."""
        return bounds

    def plan(self, x: Vector, steps: Steps, bounds: FlatBounds) -> Any:
        """Points of each param."""
        return plan_points(x, steps, bounds)

    def derivative(self, plan: Any, values: NDArray[Any], base: Any) -> Array:
        """Shape (n,) or (m, n)."""
        if not len(values):  # every param is fixed
            return np.zeros((*np.shape(base), plan.base_weight.size))
        found: Array = plan.derivative(values, base)
        return found

    def moves(self, x: Vector, coordinate: Indices, shift: Vector) -> Moves:
        """A point for each request."""
        index = np.arange(len(coordinate))
        points = np.tile(x, (len(coordinate), 1))
        points[index, coordinate] += shift
        return Moves(points, coordinate, coordinate, index)

    def read(self, moves: Moves, values: Array) -> Array:
        """All values of the point."""
        return values.reshape(len(moves.points), -1)

    def spread(self, values: Array) -> Array:
        """As they are: every param may enter every value."""
        return values

    def gather(self, found: Array, shape: tuple[int, ...]) -> Array:
        """Shape (n,) or (m, n)."""
        return found.T.reshape(*shape, len(found))

    def bad(self, derivative: Array) -> Indices:
        """The columns that hold a number which isn't finite."""
        return np.flatnonzero(~np.isfinite(np.atleast_2d(derivative)).all(axis=0))

    def put(self, derivative: Array, again: Array, good: Indices) -> None:
        """Take these columns from another derivative."""
        derivative[..., good] = again[..., good]

    def alone(self) -> None:
        """They are already."""
        return

    def matrix(self, derivative: Array) -> Any:
        """The array."""
        return derivative


class Together:
    """Params of one colour are moved together.

    Args:
        pattern: says which value depends on which param, and the colours.
    """

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        counts = pattern.counts
        self.rows: Indices = np.where(np.arange(pattern.slots.shape[1]) < counts[:, None], pattern.slots, -1)
        self._is_idle = counts == 0

    def room(self, x: Vector, bounds: FlatBounds) -> FlatBounds:
        """Closed around params that no value depends on: their columns are zero without a call."""
        idle = self._is_idle
        if not idle.any():
            return bounds
        return FlatBounds(np.where(idle, x, bounds.lower), np.where(idle, x, bounds.upper))

    def plan(self, x: Vector, steps: Steps, bounds: FlatBounds) -> Any:
        """Points of each colour."""
        return plan_colours(x, steps, bounds, self.pattern)

    def derivative(self, plan: Any, values: NDArray[Any], base: Any) -> Array:
        """The entries, shape (nnz,)."""
        found: Array = plan.derivative(values, base)
        return found

    def moves(self, x: Vector, coordinate: Indices, shift: Vector) -> Moves:
        """The first request of each param of a colour is one point, the second another, and so on."""
        order = np.argsort(coordinate, kind="stable")
        number = np.empty(len(order), dtype=np.intp)  # of a request among those of its param
        number[order] = np.arange(len(order)) - np.searchsorted(coordinate[order], coordinate[order])
        keys = self.pattern.colours[coordinate] * (number.max(initial=0) + 1) + number
        used, owner = np.unique(keys, return_inverse=True)
        points = np.tile(x, (len(used), 1))
        points[owner, coordinate] += shift
        single = np.bincount(owner, minlength=len(used)) == 1
        who = np.full(len(used), -1)
        who[owner] = coordinate
        return Moves(points, np.where(single, who, -1), coordinate, owner)

    def read(self, moves: Moves, values: Array) -> Array:
        """Of the point the values that the param enters."""
        check_rows(self.pattern, values)
        found: Array = values[moves.owner[:, None], self.pattern.slots[moves.asked]]
        return found

    def spread(self, values: Array) -> Array:
        """To where each value is."""
        return values if values.size == 1 else values[self.pattern.slots]

    def gather(self, found: Array, shape: tuple[int, ...]) -> Array:  # noqa: ARG002  a method of Columns
        """The entries, shape (nnz,)."""
        return found[self.pattern.columns, self.pattern.places]

    def bad(self, derivative: Array) -> Indices:
        """The columns that hold an entry which isn't finite."""
        return np.unique(self.pattern.columns[~np.isfinite(derivative)])

    def put(self, derivative: Array, again: Array, good: Indices) -> None:
        """Take these columns from other entries."""
        chosen = np.isin(self.pattern.columns, good)
        derivative[chosen] = again[chosen]

    def alone(self) -> Together | None:
        """A colour for each param."""
        singles = self.pattern.one_by_one()
        return Together(singles) if singles.n_colours > self.pattern.n_colours else None

    def matrix(self, derivative: Array) -> Any:
        """A csr_array of shape (m, n)."""
        return self.pattern.whole(derivative)
