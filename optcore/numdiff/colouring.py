"""Colours of columns that can be moved together. Pure functions of patterns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["colour"]

Indices = NDArray[np.intp]
#: Pairs of columns that share a row, above which only orders are tried that don't need them.
MOST_PAIRS = 20_000_000


def colour(rows: Indices, columns: Indices, n: int) -> Indices:
    """Colours of columns such that columns of one colour share no row.

    Greedy, in three orders (as they come, most neighbours first, fewest last), of which the best is taken; the first
    that needs no more colours than a row has entries can't be beaten. See Curtis, Powell & Reid (1974) for the idea,
    Coleman & More (1983), SIAM J. Numer. Anal. 20(1), for the orders. No pair of columns is looked at: each row
    keeps the set of its colours as the bits of a number.

    Args:
        rows: row of each entry, shape (nnz,).
        columns: column of each entry, shape (nnz,).
        n: number of columns.

    Returns:
        Shape (n,), counted from 0.

    >>> colour(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 2, 2]), 3).tolist()
    [0, 1, 0]
    """
    if not len(rows):
        return np.zeros(n, dtype=np.intp)
    m = int(rows.max()) + 1
    per_row = np.bincount(rows, minlength=m)
    least = int(per_row.max())
    rows_of = _lists(rows, columns, n)
    best = _greedy(rows_of, range(n), m)
    if best.max() + 1 > least and (per_row.astype(np.int64) ** 2).sum() <= MOST_PAIRS:
        neighbours = _neighbours(rows, columns, m, n)
        degree = np.diff(neighbours.indptr)
        orders = (
            lambda: np.argsort(-degree, kind="stable").tolist(),
            lambda: _smallest_last(neighbours.indices.tolist(), neighbours.indptr.tolist()),
        )
        for order in orders:
            found = _greedy(rows_of, order(), m)
            best = min(best, found, key=lambda colours: colours.max())
            if best.max() + 1 == least:
                break
    return best


def _lists(values: Indices, owners: Indices, n: int) -> list[list[int]]:
    """For each of n owners its values."""
    order = np.argsort(owners, kind="stable")
    ends = np.cumsum(np.bincount(owners, minlength=n)).tolist()
    flat = values[order].tolist()
    return [flat[start:stop] for start, stop in itertools.pairwise([0, *ends])]


def _neighbours(rows: Indices, columns: Indices, m: int, n: int) -> Any:
    """The pairs of columns that share a row, as a csr_array of shape (n, n)."""
    from scipy.sparse import csr_array

    pattern = csr_array((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=(m, n))
    shared = (pattern.T @ pattern).tocsr()
    shared.setdiag(0)
    shared.eliminate_zeros()
    return shared


def _smallest_last(neighbours: list[int], ends: list[int]) -> list[int]:
    """Remove the column with the fewest neighbours left, again and again; the last removed comes first."""
    left = [stop - start for start, stop in itertools.pairwise(ends)]
    buckets: list[list[int]] = [[] for _ in range(max(left) + 1)]
    for column in range(len(left) - 1, -1, -1):
        buckets[left[column]].append(column)
    order: list[int] = []
    lowest = 0
    while len(order) < len(left):
        bucket = buckets[lowest]
        if not bucket:
            lowest += 1
            continue
        column = bucket.pop()
        if left[column] != lowest:  # it has moved to a lower bucket since, or is removed
            continue
        left[column] = -1
        order.append(column)
        for other in neighbours[ends[column] : ends[column + 1]]:
            size = left[other]
            if size > 0:
                left[other] = size - 1
                buckets[size - 1].append(other)
        lowest = max(lowest - 1, 0)
    return order[::-1]


def _greedy(rows_of: list[list[int]], order: Iterable[int], m: int) -> Indices:
    """The smallest colour that no row of the column has, for one column after the other."""
    taken = [0] * m
    colours = [0] * len(rows_of)
    for column in order:
        used = 0
        for row in rows_of[column]:
            used |= taken[row]
        chosen = ~used & (used + 1)
        for row in rows_of[column]:
            taken[row] |= chosen
        colours[column] = chosen.bit_length() - 1
    return np.array(colours, dtype=np.intp)


def colour_symmetric(rows: Indices, columns: Indices, n: int) -> Indices:
    """Colours of columns of a symmetric matrix such that each entry can be read in its row or in its column.

    A star colouring: neighbours differ, and no path of four columns has two colours only. Greedy, algorithm 4.1 of
    Gebremedhin, Manne & Pothen (2005), SIAM Review 47(4), in three orders; colours of columns that share no row are one
    too, and taken where they are fewer.

    Args:
        rows: row of each entry, shape (nnz,); with (i, j) there is (j, i).
        columns: column of each entry, shape (nnz,).
        n: number of columns.

    Returns:
        Shape (n,), counted from 0.

    >>> arrow = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]])
    >>> colour_symmetric(*np.nonzero(arrow), 4).tolist()
    [0, 1, 1, 1]
    """
    off = rows != columns
    others = _lists(rows[off], columns[off], n)
    ends = np.concatenate([[0], np.cumsum([len(each) for each in others])])
    flat = [other for each in others for other in each]
    degree = np.diff(ends)
    orders = (
        range(n),
        np.argsort(-degree, kind="stable").tolist(),
        _smallest_last(flat, ends.tolist()),
    )
    found = [_greedy_star(others, order) for order in orders]
    return min([*found, colour(rows, columns, n)], key=lambda colours: colours.max(initial=0))


def _greedy_star(others: list[list[int]], order: Iterable[int]) -> Indices:
    """The smallest colour that makes no neighbours and no path of four alike, for one column after the other."""
    colours = [-1] * len(others)
    #: For each column how many of its neighbours have a colour.
    around: list[dict[int, int]] = [{} for _ in others]
    for column in order:
        forbidden = set()
        for neighbour in others[column]:
            own = colours[neighbour]
            if own >= 0:
                forbidden.add(own)
                # column, neighbour, second, third: the third would have the colour of the neighbour.
                forbidden.update(
                    colours[second]
                    for second in others[neighbour]
                    if colours[second] >= 0 and around[second].get(own, 0) > 1
                )
                # second, neighbour, column is a path whose ends may get one colour, unless column has another
                # neighbour of the neighbour's colour.
                if around[column][own] > 1:
                    forbidden.update(colours[second] for second in others[neighbour] if colours[second] >= 0)
            else:
                forbidden.update(colours[second] for second in others[neighbour] if colours[second] >= 0)
        chosen = 0
        while chosen in forbidden:
            chosen += 1
        colours[column] = chosen
        for neighbour in others[column]:
            around[neighbour][chosen] = around[neighbour].get(chosen, 0) + 1
    return np.array(colours, dtype=np.intp)
