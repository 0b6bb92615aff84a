"""Params as the user knows them <-> flat float64 vectors; derivatives as trees <-> arrays.

Trees are matched by key, never by position: optree sorts the keys of dicts, as JAX does.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import optree
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, InvalidInputError
from optcore.leaves import (
    Leaf,
    RestoreArray,
    RestoreJax,
    accessor_name,
    align,
    as_pandas,
    completed,
    derivative_array,
    is_scalar,
    leaf_name,
    library_of,
    numeric,
    read_leaf,
    refuse_none,
    restore_number,
    show,
)

__all__ = ["Converter", "ResidualReader"]

Vector = NDArray[Any]  # float64, or complex128 within a complex step

_ONE_LEAF = optree.tree_structure(0)  # type: ignore[arg-type]  # a number is a tree of one leaf


class Converter:
    """Flattens and restores trees that look like `params`.

    Args:
        params: any pytree of numbers, numpy arrays, JAX arrays, pandas Series and DataFrames.

    Raises:
        InvalidInputError: a leaf isn't numeric, or there is nothing to optimize.

    >>> converter = Converter({"b": 2.0, "a": [1, 3]})
    >>> converter.flatten({"a": [1, 3], "b": 2})
    array([1., 3., 2.])
    >>> converter.names
    ('a[0]', 'a[1]', 'b')
    >>> converter.unflatten(np.array([4.0, 5.0, 6.0]))
    {'b': 6.0, 'a': [4.0, 5.0]}
    """

    def __init__(self, params: Any) -> None:
        if params is None:
            raise InvalidInputError("params are missing: give the start values as a number, an array or a tree of them")
        #: Params are one 1-d numpy array: nothing to convert.
        self.is_vector = isinstance(params, np.ndarray) and params.ndim == 1
        if self.is_vector:
            self._spec = _ONE_LEAF
            self._paths: list[tuple[Any, ...]] = [()]
            self._leaves = [Leaf("", params.shape, RestoreArray(params.shape))]
            self.start: NDArray[np.float64] = numeric(params, "params")
        else:
            self._paths, values, self._spec = optree.tree_flatten_with_path(params)
            refuse_none(params)
            names = [accessor_name(accessor) for accessor in self._spec.accessors()]
            read = [read_leaf(value, name) for value, name in zip(values, names, strict=True)]
            self._leaves = [leaf for leaf, _ in read]
            self.start = np.concatenate([flat for _, flat in read]) if read else np.zeros(0)
        if self.start.size == 0:
            raise InvalidInputError(f"params are empty: there is nothing to optimize in {show(params)}")
        self.n = self.start.size
        self._stops = list(itertools.accumulate(leaf.size for leaf in self._leaves))
        self._all_numbers = all(leaf.restore is restore_number for leaf in self._leaves)
        for i in () if np.isfinite(self.start).all() else np.flatnonzero(~np.isfinite(self.start)):
            raise InvalidInputError(f"the start of {self.names[i]!r} is {self.start[i]}; start at a finite value")

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """What each entry of the flat vector is called."""
        names = tuple(label for leaf in self._leaves for label in leaf.labels)
        return ("0",) if names == ("x",) and self._paths == [()] else names

    @functools.cached_property
    def eps(self) -> float:
        """Rounding error, relative, of the params that user functions get: JAX arrays may be in single precision."""
        restored = [leaf.restore(np.zeros(leaf.size)) for leaf in self._leaves if isinstance(leaf.restore, RestoreJax)]
        return max([float(np.finfo(np.float64).eps), *(float(np.finfo(array.dtype).eps) for array in restored)])

    def flatten(self, params: Any) -> NDArray[np.float64]:
        """A tree that looks like the first one, as a vector of shape (n,)."""
        leaves = self._match(params, "params", InvalidInputError)
        flat = [
            self._leaf_array(value, leaf, leaf.within("params"), InvalidInputError, float64=True).ravel()
            for value, leaf in zip(leaves, self._leaves, strict=True)
        ]
        return np.concatenate(flat)

    def unflatten(self, x: Vector) -> Any:
        """The vector x, shape (n,), as params. Always new objects, so that a user function may change them."""
        if self.is_vector:
            return x.copy()
        if self._all_numbers:
            return optree.tree_unflatten(self._spec, x.tolist())
        parts = np.split(x, self._stops[:-1])
        leaves = [leaf.restore(part) for leaf, part in zip(self._leaves, parts, strict=True)]
        return optree.tree_unflatten(self._spec, leaves)

    def describe(self, x: Vector) -> str:
        """Params as messages show them."""
        return show(self.unflatten(x), 300)

    def flatten_partial(self, tree: Any, *, default: float, what: str) -> NDArray[np.float64]:
        """A number for all, or a tree with some of the leaves of params; the rest gets the default.

        Args:
            tree: None, a number, or a tree of which each leaf has the key of a leaf (or of a branch) of params.
            default: value of the leaves that are missing or None.
            what: what this is, for messages.
        """
        flat = np.full(self.n, default)
        if tree is None:
            return flat
        if is_scalar(tree):
            flat[:] = float(tree)
            return flat
        slices = self._slices()
        for path, value in self._partial_leaves(tree):
            targets = [i for i, full in enumerate(self._paths) if full[: len(path)] == path]
            if not targets:
                raise InvalidInputError(
                    f"{what} has a leaf {leaf_name(path)!r} that params don't have; params have {self._known()}"
                )
            if value is None:
                continue
            for i in targets:
                flat[slices[i]] = self._partial_leaf(value, self._leaves[i], default, what)
        return flat

    def _partial_leaves(self, tree: Any) -> list[tuple[tuple[Any, ...], Any]]:
        """Paths and values of a partial tree; lists where params have an array are one value."""
        if isinstance(tree, np.ndarray) and self._paths == [(i,) for i in range(len(tree))]:
            tree = tree.tolist()  # params are a list of numbers
        leaves: dict[tuple[Any, ...], Any] = {}
        paths, values, _ = optree.tree_flatten_with_path(tree, none_is_leaf=True)
        for path, value in zip(paths, values, strict=True):
            full = next((full for full in self._paths if len(full) < len(path) and path[: len(full)] == full), None)
            if full is None:
                leaves[path] = value
            else:
                leaves.setdefault(full, []).append(value)
        return list(leaves.items())

    def _partial_leaf(self, value: Any, leaf: Leaf, default: float, what: str) -> NDArray[np.float64]:
        label = leaf.within(what)
        if is_scalar(value):
            return np.full(leaf.size, float(value))
        if isinstance(value, list):
            value = [default if entry is None else entry for entry in value]
        if library_of(value) == "pandas" and leaf.index is not None:
            value = align(completed(value, leaf, default, label), leaf, label, InvalidInputError)
        array = numeric(value, label)
        if array.shape != leaf.shape:
            raise InvalidInputError(f"{label} has shape {array.shape}, but params have {leaf.shape} there")
        return array.ravel()

    def _slices(self) -> list[slice]:
        starts = [0, *self._stops[:-1]]
        return [slice(a, b) for a, b in zip(starts, self._stops, strict=True)]

    def _known(self) -> str:
        names = [leaf.name for leaf in self._leaves]
        return ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")

    # derivatives ---------------------------------------------------------------------------------------------------

    def gradient(self, tree: Any, what: str) -> NDArray[Any]:
        """A gradient with the structure of params as a vector, shape (n,).

        Raises:
            InvalidFunctionError: tree, leaf shape or length doesn't fit; the message names the leaf.
        """
        if self.is_vector:
            array = derivative_array(tree, what)
            if array.shape != (self.n,):
                raise InvalidFunctionError(
                    f"{what} returned shape {array.shape}, but params have shape ({self.n},)"
                    + ("; mark the jacobian of residuals with om.mark.least_squares" if array.ndim == 2 else "")
                )
            return array
        leaves = self._match(tree, what, InvalidFunctionError)
        if self._all_numbers:
            try:
                array = np.array(leaves)
            except (TypeError, ValueError):
                array = np.zeros(0)
            if array.dtype.kind in "iuf" and array.shape == (self.n,):
                return array.astype(np.float64)
            # Something that isn't a number: the careful way below says at which leaf.
        parts = [
            self._leaf_array(value, leaf, leaf.within(what), InvalidFunctionError).ravel()
            for value, leaf in zip(leaves, self._leaves, strict=True)
        ]
        return np.concatenate(parts)

    def jacobian_rows(self, tree: Any, shape: tuple[int, ...], what: str) -> NDArray[Any]:
        """The derivative of one residual leaf: a tree of params with leaves of shape `shape + param leaf shape`.

        Returns:
            Shape (size of the residual leaf, n).
        """
        m = math.prod(shape)
        if self.is_vector:
            array = derivative_array(tree, what)
            if array.shape != (*shape, self.n):
                raise InvalidFunctionError(f"{what} returned shape {array.shape}, but expected {(*shape, self.n)}")
            return array.reshape(m, self.n)
        blocks = []
        for value, leaf in zip(self._match(tree, what, InvalidFunctionError), self._leaves, strict=True):
            array = derivative_array(value, leaf.within(what))
            if array.shape != shape + leaf.shape:
                raise InvalidFunctionError(
                    f"{leaf.within(what)} has shape {array.shape}, but expected {shape + leaf.shape} "
                    "(residual shape + param shape)"
                )
            blocks.append(array.reshape(m, leaf.size))
        return np.hstack(blocks)

    def tree_of(self, rows: NDArray[Any], shape: tuple[int, ...] = ()) -> Any:
        """The inverse: a (n,) gradient, or (m, n) rows of a residual leaf of the given shape, as a tree of params."""
        leaves = []
        for leaf, part in zip(self._leaves, self._slices(), strict=True):
            block = rows[..., part].reshape(shape + leaf.shape)
            if shape == () and leaf.index is not None:
                block = as_pandas(block, leaf)
            leaves.append(block.item() if block.shape == () and leaf.restore is restore_number else block)
        return optree.tree_unflatten(self._spec, leaves)

    # matching ------------------------------------------------------------------------------------------------------

    def _match(self, tree: Any, what: str, error: type[Exception]) -> Sequence[Any]:
        """The leaves of `tree` in the order of params, matched by key."""
        leaves, spec = optree.tree_flatten(tree, is_leaf=None)
        if spec == self._spec:
            return leaves
        if len(self._leaves) == 1 and self._paths[0] == ():
            return [tree]  # params are one array or number; a list is read as an array
        paths, leaves, _ = optree.tree_flatten_with_path(tree)
        given = dict(zip(paths, leaves, strict=True))
        for path in given:
            if path not in self._paths and not self._is_inside(path):
                raise error(
                    f"{what} has a leaf {leaf_name(path)!r} that params don't have; params have {self._known()}"
                )
        subtrees = []
        for path, leaf in zip(self._paths, self._leaves, strict=True):
            if path in given:
                subtrees.append(given[path])
                continue
            inner = [value for other, value in given.items() if other[: len(path)] == path]
            if not inner:
                raise error(f"{what} lacks the leaf {leaf.name!r} of params")
            subtrees.append(inner)  # a list where params have an array
        return subtrees

    def _is_inside(self, path: tuple[Any, ...]) -> bool:
        return any(path[: len(full)] == full for full in self._paths)

    @staticmethod
    def _leaf_array(
        value: Any, leaf: Leaf, what: str, error: type[Exception], *, float64: bool = False
    ) -> NDArray[Any]:
        if leaf.index is not None and library_of(value) == "pandas":
            value = align(value, leaf, what, error)
        array = numeric(value, what) if float64 else derivative_array(value, what)
        if array.shape != leaf.shape:
            raise error(f"{what} has shape {array.shape}, but params have {leaf.shape} there")
        return array


class ResidualReader:
    """Reads residuals (any pytree of arrays) as a vector, and their jacobian as an (m, n) array.

    Both are matched by the tree that the function returned first.
    """

    def __init__(self, converter: Converter) -> None:
        self._converter = converter
        self._spec: optree.PyTreeSpec | None = None
        self._shapes: list[tuple[int, ...]] = []
        self._names: list[str] = []

    def residuals(self, value: Any, what: str) -> NDArray[Any]:
        """Residuals as a vector of shape (m,), complex where they are (within a complex step)."""
        if type(value) is np.ndarray and value.ndim == 1 and value.dtype.kind in "fc":
            if self._spec is None:
                self._remember(value, [value.shape], [""])
            if self._shapes == [value.shape]:
                return value
        paths, leaves, spec = optree.tree_flatten_with_path(value)
        arrays = [np.asarray(leaf) for leaf in leaves]
        names = [leaf_name(path) for path in paths]
        for array, name in zip(arrays, names, strict=True):
            if array.dtype.kind not in "iufc":
                where = f" at {name!r}" if name else ""
                raise InvalidFunctionError(f"{what} must return numbers, but returned {show(value)}{where}")
        if self._spec is None:
            if sum(array.size for array in arrays) == 0:
                raise InvalidFunctionError(f"{what} returned no residuals: {show(value)}")
            self._remember(value, [array.shape for array in arrays], names)
        elif spec != self._spec or [array.shape for array in arrays] != self._shapes:
            raise InvalidFunctionError(
                f"{what} returned residuals of shape {[array.shape for array in arrays]}, but at the start they had "
                f"{self._shapes}; the number of residuals must not change"
            )
        flat = np.concatenate([array.ravel() for array in arrays])
        return flat if flat.dtype.kind == "c" else flat.astype(np.float64)

    def _remember(self, value: Any, shapes: list[tuple[int, ...]], names: list[str]) -> None:
        self._spec = optree.tree_structure(value)
        self._shapes, self._names = shapes, names

    def jacobian(self, tree: Any, what: str, m: int | None = None) -> NDArray[Any]:
        """The jacobian as an array of shape (m, n).

        Args:
            tree: a tree of residuals whose leaves are trees of params (JAX's convention).
            what: what returned it, for messages.
            m: the number of residuals, for functions that were never asked for residuals.
        """
        if self._spec is None:  # only fun_and_jac without a call yet, or a jacobian asked for first
            rows = -1 if m is None else m
            shape = (rows,) if rows >= 0 else np.asarray(tree).shape[:1]
            return self._converter.jacobian_rows(tree, shape, what)
        if len(self._shapes) == 1 and self._names == [""]:
            return self._converter.jacobian_rows(tree, self._shapes[0], what)
        try:
            branches = self._spec.flatten_up_to(tree)
        except (ValueError, TypeError) as error:
            raise InvalidFunctionError(
                f"{what} must have the structure of the residuals, with params inside: {error}"
            ) from error
        blocks = [
            self._converter.jacobian_rows(branch, shape, f"{what} of residual {name!r}")
            for branch, shape, name in zip(branches, self._shapes, self._names, strict=True)
        ]
        return np.vstack(blocks)

    @property
    def structure(self) -> Any:
        """What was learnt from the first residuals, to send to or from another process; None before."""
        return None if self._spec is None else (self._spec, self._shapes, self._names)

    def learn(self, structure: Any) -> None:
        """Take over what another process learnt."""
        if self._spec is None:
            self._spec, self._shapes, self._names = structure

    def unflatten(self, vector: NDArray[Any]) -> Any:
        """Residuals as the function returned them; numbers as floats."""
        leaves, start = [], 0
        for shape in self._shapes:
            size = math.prod(shape)
            block = vector[start : start + size].reshape(shape)
            leaves.append(block.item() if shape == () else block)
            start += size
        assert self._spec is not None
        return optree.tree_unflatten(self._spec, leaves)

    def tree_of(self, jacobian: NDArray[Any]) -> Any:
        """The inverse of `jacobian`: the tree that JAX would give."""
        if self._spec is None:
            return self._converter.tree_of(jacobian, (jacobian.shape[0],))
        branches, row = [], 0
        for shape in self._shapes:
            size = math.prod(shape)
            branches.append(self._converter.tree_of(jacobian[row : row + size], shape))
            row += size
        return optree.tree_unflatten(self._spec, branches)
