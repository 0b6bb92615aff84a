"""Params as the user knows them <-> flat float64 vectors of what is free; gradients and jacobians likewise.

Trees are matched by key, never by position: optree sorts the keys of dicts, as JAX does.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, InvalidInputError
from optcore.fixed import read_fixed
from optcore.leaves import (
    FLOAT64,
    Leaf,
    Restore,
    RestoreJax,
    align,
    as_pandas,
    derivative_array,
    jacobian_block,
    library_of,
    numeric,
    read_leaf,
    remedy,
    restore_number,
    within,
)
from optcore.partial import spread_numbers
from optcore.sparse import Jacobian, is_sparse, stack
from optcore.structure import ONE_LEAF, Structure, distinct, refuse_none, show

__all__ = ["Converter"]

Vector = NDArray[Any]  # float64, or complex128 within a complex step


class Converter:
    """Flattens and restores trees that look like `params`.

    Below it there are only vectors of the n free entries; user functions always get all of params.

    Args:
        params: any pytree of numbers, numpy arrays, JAX arrays, pandas Series and DataFrames.
        fixed: what stays as it is: names, or a tree of bools (see `optcore.fixed.read_fixed`).

    Attributes:
        n: number of free entries.
        size: number of all entries.
        start: the free entries of params, shape (n,).
        is_vector: params are one 1-d numpy array, all of it free: there is nothing to convert.
        structure: the keys of params.
        leaves: what is at each of them.

    Raises:
        InvalidInputError: a leaf isn't numeric or not finite, or there is nothing to optimize; names the leaf.

    >>> converter = Converter({"b": 2.0, "a": [1, 3]})
    >>> converter.flatten({"a": [1, 3], "b": 2})
    array([1., 3., 2.])
    >>> converter.names
    ('a[0]', 'a[1]', 'b')
    >>> converter.unflatten(np.array([4.0, 5.0, 6.0]))
    {'b': 6.0, 'a': [4.0, 5.0]}
    >>> Converter({"b": 2.0, "a": [1, 3]}, fixed="a").unflatten(np.array([6.0]))
    {'b': 6.0, 'a': [1.0, 3.0]}
    """

    def __init__(self, params: Any, fixed: Any = None) -> None:
        if params is None:
            raise InvalidInputError("params are missing: give the start values as a number, an array or a tree of them")
        self._is_array = type(params) is np.ndarray and params.ndim == 1
        self.structure, values = (ONE_LEAF, [params]) if self._is_array else Structure.of(params)
        if not self._is_array:
            refuse_none(params, len(values))
        read = [read_leaf(value, functools.partial(self._name, i)) for i, value in enumerate(values)]
        self.leaves = [leaf for leaf, _ in read]
        parts = [flat for _, flat in read]
        #: All entries at the start.
        self._values: NDArray[np.float64] = parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0), *parts])
        if self._values.size == 0:
            raise InvalidInputError(f"params are empty: there is nothing to optimize in {show(params)}")
        self.size = self._values.size
        self._all_numbers = all(leaf.restore is restore_number for leaf in self.leaves)
        #: Params are a list or tuple of numbers: an array can stand for a gradient or a row of a jacobian.
        self._is_row = (
            type(params) in (list, tuple)
            and len(params) == sum(leaf.is_number for leaf in self.leaves) == self.structure.spec.num_nodes - 1
        )
        #: Positions of the free entries; None: all.
        self._free: NDArray[np.intp] | None = None if fixed is None else read_fixed(fixed, self)
        self.start = self._values if self._free is None else self._values[self._free]
        self.n = self.start.size
        self.is_vector = self._is_array and self._free is None
        if not np.isfinite(self.start).all():
            i = np.flatnonzero(~np.isfinite(self.start))[0]
            raise InvalidInputError(f"the start of {self.names[i]!r} is {self.start[i]}; start at a finite value")

    @functools.cached_property
    def slices(self) -> list[slice]:
        """Where the entries of each leaf are among all of them."""
        stops = itertools.accumulate(leaf.size for leaf in self.leaves)
        return [slice(stop - leaf.size, stop) for leaf, stop in zip(self.leaves, stops, strict=True)]

    @functools.cached_property
    def _cuts(self) -> list[tuple[int | slice, Restore]]:
        """Where the entries of each leaf are, and what makes it of them; the entry itself where it is a number."""
        return [
            (part.start if leaf.is_number else part, leaf.restore)
            for part, leaf in zip(self.slices, self.leaves, strict=True)
        ]

    @functools.cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        return [leaf.shape for leaf in self.leaves]

    # names ---------------------------------------------------------------------------------------------------------

    def _name(self, leaf: int) -> str:
        return self.structure.leaves[leaf].name

    @functools.cached_property
    def all_names(self) -> tuple[str, ...]:
        """What each entry of params is called, fixed ones among them; no two have the same name."""
        if self._is_array:
            return tuple(map(str, range(self.size)))
        if self.structure.is_leaf and self.leaves[0].shape == ():
            return ("0",)
        nodes = self.structure.leaves
        names = [label for leaf, node in zip(self.leaves, nodes, strict=True) for label in leaf.labels(node.name)]
        if len(set(names)) == len(names):
            return tuple(names)
        spelled = [label for leaf, node in zip(self.leaves, nodes, strict=True) for label in leaf.labels(node.spelled)]
        return distinct(names, spelled)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """What each entry of the flat vector is called."""
        return self.all_names if self._free is None else tuple(self.all_names[i] for i in self._free)

    @property
    def free(self) -> NDArray[np.intp] | None:
        """Positions of the free entries among all; None: all are."""
        return self._free

    @property
    def blocks(self) -> list[tuple[str, slice]]:
        """The name of each leaf, and where its free entries are in the flat vector."""
        slices = self.slices
        if self._free is not None:
            ends = [np.searchsorted(self._free, (part.start, part.stop)) for part in slices]
            slices = [slice(int(start), int(stop)) for start, stop in ends]
        return list(zip(self.structure.names, slices, strict=True))

    @functools.cached_property
    def eps(self) -> float:
        """Rounding error, relative, of the params that user functions get: JAX arrays may be in single precision."""
        restored = [leaf.restore(np.zeros(leaf.size)) for leaf in self.leaves if isinstance(leaf.restore, RestoreJax)]
        return max([float(np.finfo(np.float64).eps), *(float(np.finfo(array.dtype).eps) for array in restored)])

    # params --------------------------------------------------------------------------------------------------------

    def with_fixed(self, x: Vector) -> Vector:
        """Vectors of the free entries, shape (..., n), as vectors of all entries, shape (..., size)."""
        if self._free is None:
            return x
        full = np.empty((*x.shape[:-1], self.size), dtype=x.dtype)
        full[:] = self._values
        full[..., self._free] = x
        return full

    def unflatten(self, x: Vector) -> Any:
        """The vector x, shape (n,), as params. Always new objects, so that a user function may change them."""
        if self.is_vector:
            return x.copy()
        if self._free is None:
            return self._build(x if self._all_numbers else x.copy())
        return self._build(self.with_fixed(x))

    def restore(self, x: Vector) -> Any:
        """As `unflatten`, of a vector of all entries, shape (size,)."""
        return self._build(x.copy())

    def _build(self, x: Vector) -> Any:
        """Params of a vector of all entries that becomes part of them."""
        if self._is_array:
            return x
        if self._all_numbers:
            leaves: Any = x.tolist()
        else:
            leaves = [x[part] if restore is None else restore(x[part]) for part, restore in self._cuts]
        return self.structure.spec.unflatten(leaves)

    def flatten(self, params: Any) -> NDArray[np.float64]:
        """The free entries of a tree that looks like the first one, as a vector of shape (n,)."""
        flat = self.flatten_all(params)
        return flat if self._free is None else flat[self._free]

    def flatten_all(self, params: Any) -> NDArray[np.float64]:
        """All entries of a tree that looks like the first one, as a vector of shape (size,); undone by `restore`."""
        values = self.structure.match(params, "params", InvalidInputError)
        return np.concatenate([self._entries(value, i, "params", InvalidInputError) for i, value in enumerate(values)])

    def describe(self, x: Vector) -> str:
        """Params as messages show them."""
        return show(self.unflatten(x), 300)

    def flatten_partial(self, tree: Any, *, default: float, what: str) -> NDArray[np.float64]:
        """A number for all, or a tree with some of the leaves of params; the rest gets the default.

        Args:
            tree: None, a number, or a tree of which each leaf has the key of a leaf (or of a branch) of params.
            default: value of the leaves that are missing or None.
            what: what this is, for messages.

        Returns:
            The values of the free entries, shape (n,).
        """
        flat = spread_numbers(tree, self, default, what)
        return flat if self._free is None else flat[self._free]

    # derivatives ---------------------------------------------------------------------------------------------------

    def gradient(self, tree: Any, what: str) -> NDArray[Any]:
        """A gradient with the structure of params as a vector, shape (n,).

        Raises:
            InvalidFunctionError: tree, leaf shape or length doesn't fit; the message names the leaf.
        """
        flat = self._gradient(tree, what)
        return flat if self._free is None else flat[self._free]

    def _gradient(self, tree: Any, what: str) -> NDArray[Any]:
        if self._is_array or (self._is_row and hasattr(tree, "shape")):
            return self._gradient_array(tree, what)
        leaves = self.structure.match(tree, what, InvalidFunctionError)
        flat = self._numbers(leaves) if self._all_numbers else self._arrays(leaves)
        if flat is not None:
            return flat
        return np.concatenate([self._entries(leaf, i, what, InvalidFunctionError) for i, leaf in enumerate(leaves)])

    def _gradient_array(self, value: Any, what: str) -> NDArray[Any]:
        array = derivative_array(value, what, (self.size,))
        if array.shape != (self.size,):
            advice = remedy(array.shape, (self.size,))
            if array.ndim == 2 and not advice:
                advice = "; mark the jacobian of residuals with om.mark.least_squares"
            raise InvalidFunctionError(
                f"{what} returned shape {array.shape}, but params have shape ({self.size},){advice}"
            )
        return array

    def _numbers(self, leaves: Any) -> NDArray[np.float64] | None:
        """Leaves that are numbers as a vector; None if something else is among them."""
        try:
            array = np.array(leaves)
        except (TypeError, ValueError):
            return None
        if array.shape != (self.size,) or array.dtype.kind not in "iuf":
            return None
        return array if array.dtype is FLOAT64 else array.astype(np.float64)

    def _arrays(self, leaves: Any) -> NDArray[np.float64] | None:
        """Leaves that are arrays, as in most gradients, as a vector; None if one needs a closer look."""
        for value, shape in zip(leaves, self._shapes):  # noqa: B905  as long as each other
            if type(value) is not np.ndarray or value.shape != shape or value.dtype is not FLOAT64:
                if shape == () and type(value) in (float, np.float64):
                    continue
                return None
        return np.concatenate(leaves, axis=None)

    def _entries(self, value: Any, i: int, what: str, error: type[Exception]) -> NDArray[Any]:
        """What is given for leaf i, of params or of a derivative, as a vector."""
        leaf, label = self.leaves[i], within(what, self._name(i))
        if leaf.axes and library_of(value) == "pandas":
            value = align(value, leaf, label, error)
        is_derivative = error is InvalidFunctionError
        array = derivative_array(value, label, leaf.shape) if is_derivative else numeric(value, label)
        if array.shape != leaf.shape:
            raise error(
                f"{label} has shape {array.shape}, but params have {leaf.shape} there{remedy(array.shape, leaf.shape)}"
            )
        return array.ravel()

    def jacobian_rows(self, tree: Any, residual: Leaf, what: str) -> Jacobian:
        """The derivative of one residual leaf: a tree of params with leaves of shape `shape + param leaf shape`.

        Args:
            tree: the derivative; its leaves may be sparse matrices.
            residual: the leaf of residuals.
            what: what returned it, for messages.

        Returns:
            Shape (size of the residual leaf, n); sparse if one of the leaves is.
        """
        if self._is_row and hasattr(tree, "shape"):
            rows = jacobian_block(tree, residual, Leaf((self.size,)), what)
        elif self.structure.is_leaf:
            rows = jacobian_block(tree, residual, self.leaves[0], what)
        else:
            values = self.structure.match(tree, what, InvalidFunctionError)
            blocks = [
                jacobian_block(
                    value, residual, leaf, within(what, self._name(i)), advice=" (residual shape + param shape)"
                )
                for i, (value, leaf) in enumerate(zip(values, self.leaves, strict=True))
            ]
            rows = stack(blocks, axis=1)
        if self._free is None:
            return rows
        return rows.tocsc()[:, self._free] if is_sparse(rows) else rows[:, self._free]

    def tree_of(self, rows: NDArray[Any], shape: tuple[int, ...] = ()) -> Any:
        """The inverse: a (n,) gradient, or (m, n) rows of a residual leaf of the given shape, as a tree of params.

        Fixed entries get 0.
        """
        if self._free is not None:
            full = np.zeros((*rows.shape[:-1], self.size), dtype=rows.dtype)
            full[..., self._free] = rows
            rows = full
        leaves = []
        for leaf, part in zip(self.leaves, self.slices, strict=True):
            block = rows[..., part].reshape(shape + leaf.shape)
            if shape == () and leaf.axes:
                block = as_pandas(block, leaf)
            leaves.append(block.item() if block.shape == () and leaf.is_number else block)
        return self.structure.spec.unflatten(leaves)
