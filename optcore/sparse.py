"""Jacobians that may be sparse: what differs between numpy's arrays and scipy's sparse ones.

Within optcore a sparse jacobian is a scipy.sparse.csr_array of float64, whatever sparse thing came in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Jacobian", "entries", "is_sparse", "nan_columns", "stack", "to_csr", "to_dense", "without_nan"]

#: NDArray of shape (m, n), or a csr_array of that shape.
Jacobian = Any


def is_sparse(value: Any) -> bool:
    """Whether it is a sparse array or matrix of scipy; imports nothing."""
    return type(value).__module__.startswith("scipy.sparse") and hasattr(value, "tocsr")


def to_csr(value: Any) -> Any:
    """As a csr_array of float64. Entries given twice, as COO allows, are summed."""
    import scipy.sparse

    return scipy.sparse.csr_array(value, dtype=np.float64)


def to_dense(jacobian: Jacobian) -> NDArray[np.float64]:
    """As a numpy array."""
    dense: NDArray[np.float64] = jacobian.toarray() if is_sparse(jacobian) else jacobian
    return dense


def entries(derivative: Jacobian) -> NDArray[np.float64]:
    """The numbers in a gradient or jacobian as a vector, those that a sparse one leaves out left out."""
    if is_sparse(derivative):
        data: NDArray[np.float64] = derivative.data
        return data
    flat: NDArray[np.float64] = derivative if derivative.ndim == 1 else derivative.ravel()
    return flat


def nan_columns(derivative: Jacobian) -> NDArray[np.intp]:
    """The columns, or the entries of a gradient, that hold a NaN."""
    if is_sparse(derivative):
        coordinates = derivative.tocoo()
        return np.unique(coordinates.col[np.isnan(coordinates.data)])
    return np.flatnonzero(np.isnan(np.atleast_2d(derivative)).any(axis=0))


def without_nan(derivative: Jacobian) -> Jacobian:
    """The same with zeros for NaN."""
    if is_sparse(derivative):
        cleaned = derivative.copy()
        cleaned.data[np.isnan(cleaned.data)] = 0.0
        return cleaned
    return np.where(np.isnan(derivative), 0.0, derivative)


def stack(blocks: Sequence[Jacobian], *, axis: int) -> Jacobian:
    """Blocks on top of each other (axis 0) or side by side (axis 1); sparse if one of them is."""
    if len(blocks) == 1:
        return blocks[0]
    if not any(map(is_sparse, blocks)):
        return np.concatenate(blocks, axis=axis)
    import scipy.sparse

    join = scipy.sparse.vstack if axis == 0 else scipy.sparse.hstack
    return to_csr(join([to_csr(block) for block in blocks], format="csr"))
