"""Residuals, contributions and other vectors that user functions return as trees, and their jacobians."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError
from optcore.leaves import Leaf, library_of, reordered
from optcore.sparse import Jacobian, is_sparse, stack, to_csr, to_dense
from optcore.structure import Structure, show
from optcore.tree import Converter

__all__ = ["ResidualReader"]


@dataclass(frozen=True)
class _Layout:
    """What the first residuals were like."""

    structure: Structure
    leaves: list[Leaf]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [leaf.shape for leaf in self.leaves]

    @functools.cached_property
    def is_row(self) -> bool:
        """Whether they are a list of numbers."""
        return all(leaf.shape == () for leaf in self.leaves) and self.structure.root.is_row

    @property
    def slices(self) -> list[slice]:
        stops = itertools.accumulate(leaf.size for leaf in self.leaves)
        return [slice(stop - leaf.size, stop) for leaf, stop in zip(self.leaves, stops, strict=True)]

    @property
    def m(self) -> int:
        return sum(leaf.size for leaf in self.leaves)


class ResidualReader:
    """Reads residuals (any pytree of arrays) as a vector, and their jacobian as an (m, n) array.

    Both are matched by the tree that the function returned first.

    Args:
        converter: knows params.
        keeps_sparse: whether sparse jacobians stay sparse.
    """

    def __init__(self, converter: Converter, *, keeps_sparse: bool = False) -> None:
        self._converter = converter
        self._keeps_sparse = keeps_sparse
        #: Whether the first jacobian was sparse; solvers want all of them alike.
        self._is_sparse: bool | None = None
        self._layout: _Layout | None = None
        self._vector_shape: tuple[int, ...] | None = None

    def residuals(self, value: Any, what: str) -> NDArray[Any]:
        """Residuals as a vector of shape (m,), complex where they are (within a complex step)."""
        if type(value) is np.ndarray and value.ndim == 1 and value.dtype.kind in "fc" and value.size:
            if self._layout is None:
                self.learn(_Layout(Structure.of(value)[0], [Leaf(value.shape)]))
            if value.shape == self._vector_shape:
                return value
        if self._layout is None:
            structure, values = Structure.of(value)
            leaves = [self._leaf(given) for given in values]
            arrays = self._read(values, structure, leaves, value, what)
            layout = _Layout(structure, [Leaf(a.shape, axes=leaf.axes) for a, leaf in zip(arrays, leaves, strict=True)])
            if layout.m == 0:
                raise InvalidFunctionError(f"{what} returned no residuals: {show(value)}")
            self.learn(layout)
        else:
            layout = self._layout
            matched = layout.structure.match(
                value, f"the answer of {what}", InvalidFunctionError, "the residuals at the start"
            )
            arrays = self._read(matched, layout.structure, layout.leaves, value, what)
            if [array.shape for array in arrays] != layout.shapes:
                came = [array.shape for array in arrays]
                raise InvalidFunctionError(
                    f"{what} returned residuals of shape {came}, but at the start they had {layout.shapes}; the number "
                    "of residuals must not change"
                )
        flat = np.concatenate([array.ravel() for array in arrays])
        return flat if flat.dtype.kind == "c" else flat.astype(np.float64)

    @staticmethod
    def _leaf(value: Any) -> Leaf:
        """What has the labels of a leaf of residuals; its shape is known once it is read."""
        if library_of(value) != "pandas":
            return Leaf(())
        return Leaf((), axes=(value.index,) if value.ndim == 1 else (value.index, value.columns))

    @staticmethod
    def _read(
        values: Sequence[Any], structure: Structure, leaves: list[Leaf], whole: Any, what: str
    ) -> list[NDArray[Any]]:
        arrays = []
        for i, (value, leaf) in enumerate(zip(values, leaves, strict=True)):
            if library_of(value) == "pandas" and value.ndim == len(leaf.axes):
                for axis, wanted in zip(("index", "columns"), leaf.axes, strict=False):
                    value = reordered(value, axis, wanted, what, InvalidFunctionError, "at the start they were")
            try:
                array = np.asarray(value)
            except ValueError as error:  # a list of lists of different lengths
                raise InvalidFunctionError(f"{what} must return numbers, but returned {show(whole)}") from error
            if array.dtype.kind not in "iufc":
                name = structure.leaves[i].name
                where = f" at {name!r}" if name else ""
                raise InvalidFunctionError(f"{what} must return numbers, but returned {show(whole)}{where}")
            arrays.append(array)
        return arrays

    def jacobian(self, tree: Any, what: str, m: int | None = None) -> Jacobian:
        """The jacobian as an array of shape (m, n), or a sparse one.

        Args:
            tree: a tree of residuals whose leaves are trees of params (JAX's convention).
            what: what returned it, for messages.
            m: the number of residuals, for functions that were never asked for residuals.
        """
        jacobian = self._jacobian(tree, what, m)
        if self._is_sparse is None:
            self._is_sparse = self._keeps_sparse and is_sparse(jacobian)
        return to_csr(jacobian) if self._is_sparse else to_dense(jacobian)

    def _jacobian(self, tree: Any, what: str, m: int | None) -> Jacobian:
        if self._layout is None:  # only where a jacobian is asked for first
            shape = (m,) if m is not None else tuple(getattr(tree, "shape", None) or np.asarray(tree).shape)[:1]
            return self._converter.jacobian_rows(tree, Leaf(shape), what)
        structure, leaves = self._layout.structure, self._layout.leaves
        if structure.is_leaf:
            return self._converter.jacobian_rows(tree, leaves[0], what)
        if self._layout.is_row and type(tree) not in (list, tuple):
            # Residuals in a list: their derivative may be what that of residuals in an array would be.
            return self._converter.jacobian_rows(tree, Leaf((len(leaves),)), what)
        branches = structure.match(tree, what, InvalidFunctionError, "the residuals")
        blocks = [
            self._converter.jacobian_rows(branch, leaf, f"{what} of residual {node.name!r}")
            for branch, leaf, node in zip(branches, leaves, structure.leaves, strict=True)
        ]
        return stack(blocks, axis=0)

    @property
    def structure(self) -> Any:
        """What was learnt from the first residuals, to send to or from another process; None before."""
        return self._layout

    def learn(self, structure: Any) -> None:
        """Take over what another process learnt."""
        if self._layout is None:
            self._layout = structure
            shapes = structure.shapes
            self._vector_shape = shapes[0] if structure.structure.is_leaf and len(shapes[0]) == 1 else None

    def unflatten(self, vector: NDArray[Any]) -> Any:
        """Residuals as the function returned them; numbers as floats."""
        assert self._layout is not None
        leaves = []
        for part, leaf in zip(self._layout.slices, self._layout.leaves, strict=True):
            block = vector[part].reshape(leaf.shape)
            leaves.append(block.item() if block.shape == () else block)
        return self._layout.structure.spec.unflatten(leaves)

    def tree_of(self, jacobian: NDArray[Any]) -> Any:
        """The inverse of `jacobian`: the tree that JAX would give."""
        if self._layout is None:
            return self._converter.tree_of(jacobian, (jacobian.shape[0],))
        branches = [
            self._converter.tree_of(jacobian[part] if leaf.shape else jacobian[part.start], leaf.shape)
            for part, leaf in zip(self._layout.slices, self._layout.leaves, strict=True)
        ]
        return self._layout.structure.spec.unflatten(branches)
