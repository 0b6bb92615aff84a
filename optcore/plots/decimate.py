"""Fewer points that draw the same line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["decimate"]

_KEPT = 4  # of each column: first, last, smallest, largest


def decimate(
    x: NDArray[np.float64], y: NDArray[np.float64], max_points: int, *, log_x: bool = False
) -> NDArray[np.intp]:
    """Positions of points that draw the same line as all of them: M4.

    The axis is cut into columns of equal width, and of each the first, last, smallest and largest point is kept. Where
    columns are at most as wide as a pixel the line is the same, pixel by pixel. Of a monotone curve a monotone one is
    left, as points are only left out.

    Args:
        x: where the points are, shape (k,), not decreasing.
        y: values, shape (k,); those that are not finite are never smallest or largest.
        max_points: at most so many are kept, at least 8.
        log_x: columns are of equal width on a logarithmic axis; x must be positive.

    Returns:
        Positions in increasing order, the first and the last point among them.

    References:
        Jugel, Jerzak, Hackenbroich & Markl (2014), "M4: a visualization-oriented time series data aggregation",
        Proceedings of the VLDB Endowment 7(10), section 4.

    >>> decimate(np.arange(100.0), np.sin(np.arange(100.0)), 8)
    array([ 0, 11, 33, 49, 50, 55, 77, 99])
    """
    if x.size <= max_points:
        return np.arange(x.size)
    first = _column_starts(np.log(x) if log_x else x, max(max_points // _KEPT, 2))
    lengths = np.diff(first, append=x.size)
    kept = [first, first + lengths - 1]
    finite = np.isfinite(y)
    for extreme, outside in ((np.minimum, np.inf), (np.maximum, -np.inf)):
        values = np.where(finite, y, outside)
        at_extreme = np.flatnonzero(finite & (values == np.repeat(extreme.reduceat(values, first), lengths)))
        columns = np.searchsorted(first, at_extreme, side="right")
        kept.append(at_extreme[np.unique(columns, return_index=True)[1]])
    return np.unique(np.concatenate(kept))


def _column_starts(x: NDArray[np.float64], columns: int) -> NDArray[np.intp]:
    """Positions of the first point of each column that has points."""
    width = x[-1] - x[0]
    if not width > 0:
        return np.array([0])
    column = np.minimum((x - x[0]) / width * columns, columns - 1).astype(np.intp)
    return np.flatnonzero(np.diff(column, prepend=-1))
