"""The places of the entries of a sparse jacobian, worked out once for each function and size."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore_problems.least_squares import LeastSquaresFunction, Vector

__all__ = ["SparseFunction", "Structure", "band", "copy_windows", "five_points"]

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Structure:
    """Where a sparse matrix has entries, row by row and in each row from left to right.

    Args:
        indices: the column of each entry, int32.
        indptr: where each row begins among the entries, int32, shape (m + 1,).
        n: number of columns.
    """

    indices: NDArray[np.int32]
    indptr: NDArray[np.int32]
    n: int

    @classmethod
    def of_rows(cls, columns: Indices, n: int) -> Structure:
        """From the columns of the entries of every row.

        Args:
            columns: increasing along rows, shape (m, w); those outside 0 ... n - 1 are no entries.
            n: number of columns of the matrix.
        """
        is_entry = (columns >= 0) & (columns < n)
        indptr = np.concatenate(([0], np.cumsum(is_entry.sum(axis=1))))
        return cls(columns[is_entry].astype(np.int32), indptr.astype(np.int32), n)

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.indices.size

    @property
    def diagonal(self) -> Indices:
        """Which entries are those of the diagonal, shape (n,); all of them must be entries."""
        rows = np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr))
        return np.flatnonzero(self.indices == rows)

    def matrix(self, data: NDArray[Any]) -> Any:
        """A new csr_array with these entries.

        It takes the data as they are and copies of the indices: some of scipy's methods work in place.
        """
        from scipy.sparse import csr_array

        made = csr_array((data, self.indices.copy(), self.indptr.copy()), shape=(self.indptr.size - 1, self.n))
        made.has_canonical_format = True  # true by construction; scipy would look at every entry to find out
        return made

    def pattern(self) -> Any:
        """Which entries there are: a csr_array of bools."""
        return self.matrix(np.ones(self.size, dtype=bool))


class SparseFunction(LeastSquaresFunction):
    """A function that knows where its jacobian has entries, and fills them in."""

    residual_class = "zero_residual"
    takes_columns = True

    @abstractmethod
    def _structure(self) -> Structure:
        """Where the jacobian has entries."""

    @abstractmethod
    def _entries(self, x: Vector) -> Vector:
        """The entries of the jacobian at x in the order of the structure: a new array."""

    @cached_property
    def _places(self) -> Structure:
        return self._structure()

    def sparse_jacobian(self, x: Vector) -> Any:
        """The jacobian of the residuals at a real x: a new csr_array of shape (m, n)."""
        return self._places.matrix(self._entries(x))

    def pattern(self) -> Any:
        """The places where the jacobian isn't zero everywhere: a csr_array of bools, shape (m, n)."""
        return self._places.pattern()


def band(n: int, below: int, above: int) -> Structure:
    """The structure of a square matrix with so many diagonals below and above the main one.

    >>> band(4, 1, 0).pattern().toarray().astype(int)
    array([[1, 0, 0, 0],
           [1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """
    return Structure.of_rows(np.arange(n)[:, None] + np.arange(-below, above + 1), n)


def five_points(k: int) -> Structure:
    """The structure of the Laplacian at k x k points, line by line: every point with its four neighbours.

    >>> five_points(2).pattern().toarray().astype(int)
    array([[1, 1, 1, 0],
           [1, 1, 0, 1],
           [1, 0, 1, 1],
           [0, 1, 1, 1]])
    """
    line, place = np.divmod(np.arange(k * k), k)
    own = k * line + place
    left, right = np.where(place > 0, own - 1, -1), np.where(place < k - 1, own + 1, -1)
    return Structure.of_rows(np.stack((own - k, left, own, right, own + k), axis=1), k * k)


def copy_windows(values: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write values[i : i + w] into row i.

    Args:
        values: contiguous.
        out: contiguous, shape (k, w) with k + w - 1 <= values.size.

    >>> out = np.empty((3, 2))
    >>> copy_windows(np.array([1.0, 2.0, 3.0, 4.0]), out)
    >>> out.tolist()
    [[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]]
    """
    count, width = out.shape
    row = np.dtype((np.void, width * out.itemsize))  # rows copied as wholes: three times as fast as by numbers
    windows: NDArray[np.void] = np.ndarray((count,), row, buffer=values, strides=values.strides)
    out.view(row)[:, 0] = windows
